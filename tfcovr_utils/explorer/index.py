"""A folder of people's clips made searchable: which files are taken, which are left out, and why.

What was found in a file is cached while the file is unchanged, so a second run looks only at new files, and a
killed run resumes. Embeddings are cached by content elsewhere (`embedding`), with the same effect.
"""

import json
import os
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
from ..video.hashes import version_if_any
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
        taken = f"{len(self.clips)} clips taken, {len(self.left)} files left out"
        gone = f", {self.gone} are gone" if self.gone else ""
        lines = [f"{self.folder}: {taken}; {self.looked_at} were new or changed{gone}."]
        lines += [f"  left out: {reason}" for reason in self.left["reason"]]
        if self.others:
            counts = (
                f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(self.others.items())
            )
            known = " ".join(sorted(VIDEO_SUFFIXES))
            lines.append(f"  not looked at, by their names: {', '.join(counts)}; videos are named {known}")
        return "\n".join(lines)


def index_folder(folder: Path, say: Callable[[str], None] = lambda _: None) -> Indexed:
    """Look at every video in a folder and below it; unchanged files are not read again."""
    folder = find_folder(folder)
    cache_path = index_path(folder)
    known = _read_cache(cache_path)
    versions = {path.relative_to(folder).as_posix(): version_if_any(path) for path in list_videos(folder)}
    found = {
        name: known[name]["found"]
        for name, version in versions.items()
        if name in known and known[name]["version"] == version
    }
    new = [name for name in versions if name not in found]
    gone = known.keys() - versions.keys()
    for start in range(0, len(new), AT_ONCE):
        if start:
            say(f"{start} of {len(new)} files looked at")
        group = new[start : start + AT_ONCE]
        with ThreadPoolExecutor() as pool:
            found |= zip(group, pool.map(lambda name: read_duration(folder, name), group))
        _write_cache(found, versions, cache_path)
    if gone and not new:
        _write_cache(found, versions, cache_path)
    left = [(name, why) for name, why in found.items() if isinstance(why, str)]
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    others = Counter(suffix for path in files if (suffix := path.suffix.lower()) not in VIDEO_SUFFIXES)
    left = pd.DataFrame(left, columns=["path", "reason"])
    return Indexed(folder, load(folder, found).clips, left, dict(others), len(new), len(gone))


def find_folder(path: Path) -> Path:
    """Return the folder's full path; a path that is no folder is refused."""
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            next(os.scandir(path), None)
            return path.resolve()
        what = "is a file" if path.exists() else "does not exist"
    except PermissionError:
        what = "may not be read by this user"
    raise ValueError(f"{path} {what}; give a folder of videos, such as one that holds .mp4 files.")


def index_path(folder: Path) -> Path:
    """Where the cache of a folder is: not in the folder, which may be read-only."""
    return data_dir() / "folders" / f"{folder.name}-{digest(str(folder))[:16]}.json"


def _read_cache(path: Path) -> dict[str, dict]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _write_cache(found: dict[str, float | str], versions: dict, path: Path) -> None:
    # A name that is not UTF-8 cannot be written, and its file is left out each time anyway.
    names = [name for name in found if versions[name] is not None and name.isprintable()]
    write_json({name: {"version": versions[name], "found": found[name]} for name in names}, path)
