"""A folder of clips, as people have them, made searchable: which files are taken, which are left, and why.

What was found in a file is remembered while the file is unchanged, so a second run looks only at what is new, and a
run that was killed goes on. Embeddings are kept by content elsewhere (`embedding`), with the same effect.
"""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..machine.files import write_json
from ..machine.hashing import digest
from ..profiles import data_dir
from ..sources.folder import load, read_duration
from ..video.listing import VIDEO_SUFFIXES, list_videos

AT_ONCE = 32  # files looked at between two savings


@dataclass(frozen=True)
class Indexed:
    """A folder's clips, with the columns of a benchmark's; and the files of the folder that give none."""

    folder: Path
    clips: pd.DataFrame
    left: pd.DataFrame  # path, reason
    others: dict[str, int]  # files that are no videos by their name: suffix -> how many
    looked_at: int  # files that were new or changed since the run before
    gone: int  # files that the run before knew

    def __str__(self) -> str:
        found = f"{self.folder}: {len(self.clips)} clips taken, {len(self.left)} files left out; {self.looked_at} were new or changed"
        lines = [found + f", {self.gone} are gone." if self.gone else found + "."]
        lines += [f"  left out: {reason}" for reason in self.left["reason"]]
        if self.others:
            named = ", ".join(
                f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(self.others.items())
            )
            lines.append(
                f"  not looked at, by their names: {named}; videos are named {' '.join(sorted(VIDEO_SUFFIXES))}"
            )
        return "\n".join(lines)


def index_folder(folder: Path, say: Callable[[str], None] = lambda _: None) -> Indexed:
    """Look at every video in a folder and below it; those that were looked at before and have not changed are not read again."""
    folder = find_folder(folder)
    remembered = index_path(folder)
    known = _read(remembered)
    names = [path.relative_to(folder).as_posix() for path in list_videos(folder)]
    versions = {name: _version(folder / name) for name in names}
    found = {
        name: known[name]["found"]
        for name in names
        if name in known and known[name]["version"] == versions[name]
    }
    new = [name for name in names if name not in found]
    for start in range(0, len(new), AT_ONCE):
        if start:
            say(f"{start} of {len(new)} files looked at")
        group = new[start : start + AT_ONCE]
        with ThreadPoolExecutor() as pool:
            found |= dict(zip(group, pool.map(lambda name: read_duration(folder, name), group)))
        _write(found, versions, remembered)
    if not new and set(known) != set(names):
        _write(found, versions, remembered)
    clips = load(folder, found).clips
    left = pd.DataFrame(
        [(name, why) for name, why in found.items() if isinstance(why, str)], columns=["path", "reason"]
    )
    others = Counter(
        path.suffix.lower()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix.lower() not in VIDEO_SUFFIXES and not path.name.startswith(".")
    )
    return Indexed(folder, clips, left, dict(others), len(new), len(set(known) - set(names)))


def find_folder(path: Path) -> Path:
    """The folder's full path, where it is one."""
    path = Path(path).expanduser()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise ValueError(f"{path} {what}; give a folder of videos, such as one that holds .mp4 files.")
    return path.resolve()


def index_path(folder: Path) -> Path:
    """Where what is known of a folder is kept: not in the folder, which may be read-only."""
    return data_dir() / "folders" / f"{folder.name}-{digest(str(folder))[:16]}.json"


def _version(path: Path) -> list[int] | None:
    """What changes when a file does, an empty or unreadable one too; None for a link that leads nowhere."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _read(path: Path) -> dict[str, dict]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _write(found: dict[str, float | str], versions: dict, path: Path) -> None:
    # A name that is not UTF-8 cannot be written, and its file is left out each time anyway.
    rows = {
        name: {"version": versions[name], "found": what}
        for name, what in found.items()
        if versions[name] is not None and name.isprintable()
    }
    write_json(rows, path)
