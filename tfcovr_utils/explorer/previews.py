"""Small moving previews of clips: each made once, kept on disk, and the last few in memory."""

from collections import OrderedDict
from pathlib import Path

from ..machine.files import replacing
from ..machine.hashing import digest
from ..profiles import data_dir
from ..video import preview
from ..video.hashes import file_version

MAX_BYTES = 100_000
IN_MEMORY = 64


class Previews:
    """GIFs of at most `MAX_BYTES` by the path of the clip; a file that changes gets a new one. A broken clip raises VideoError."""

    def __init__(self, folder: Path | None = None):
        self.folder = Path(folder or data_dir() / "previews")
        self._recent: OrderedDict[str, bytes] = OrderedDict()

    def get(self, path: str | Path) -> bytes:
        key = digest(f"{Path(path).resolve()} {file_version(path)}")[:32]
        if key not in self._recent:
            kept = self.folder / key[:2] / f"{key}.gif"
            if not kept.exists():
                made = preview(path, max_bytes=MAX_BYTES)
                with replacing(kept) as temporary:
                    temporary.write_bytes(made)
            self._recent[key] = kept.read_bytes()
            if len(self._recent) > IN_MEMORY:
                self._recent.popitem(last=False)
        self._recent.move_to_end(key)
        return self._recent[key]
