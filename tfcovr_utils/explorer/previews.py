"""Small moving previews of clips: each made once, kept on disk, and the last few in memory."""

from pathlib import Path

from ..machine.files import replacing
from ..machine.hashing import digest
from ..profiles import data_dir
from ..video import preview
from ..video.hashes import file_version
from .recent import Recent

MAX_BYTES = 100_000
IN_MEMORY = 64


class Previews:
    """GIFs of at most `MAX_BYTES` by the clip's path; a changed file gets a new one."""

    def __init__(self, folder: Path | None = None):
        self.folder = Path(folder or data_dir() / "previews")
        self._recent = Recent(IN_MEMORY)

    def get(self, path: str | Path) -> bytes:
        """Return a clip's preview, made if it is not on disk."""
        key = digest(f"{Path(path).resolve()} {file_version(path)}")[:32]

        def read() -> bytes:
            file = self.folder / key[:2] / f"{key}.gif"
            if not file.exists():
                made = preview(path, max_bytes=MAX_BYTES)
                with replacing(file) as temporary:
                    temporary.write_bytes(made)
            return file.read_bytes()

        return self._recent.fetch(key, read)
