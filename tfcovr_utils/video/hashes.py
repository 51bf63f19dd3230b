"""Hashes of clip files, the keys of embeddings and results; cached while a file is unchanged."""

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from ..machine import processes
from ..machine.files import write_json
from ..machine.hashing import digest, digest_file, hash_text
from .request import VideoError, check_file

HASH_THREADS = 4
# A file changed this recently could change again without its times telling; its hash is not cached.
SETTLED_NS = 2 * 10**9


def clip_exists(path: Path) -> bool:
    """Say whether a clip is there: a file, or a folder with frames in it."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def file_version(path: Path) -> list[int]:
    """Return what changes when a file does: size and times of change. VideoError if it cannot be read."""
    check_file(path)
    return version_if_any(path)


def version_if_any(path: Path) -> list[int] | None:
    """As `file_version`, also of an empty or unreadable file; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    # Copying tools set the first time back; nobody can set the second.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def hash_clips(
    names: Iterable[str], folder: Path, cache_dir: Path, progress: bool = False, shared: bool = False
) -> tuple[dict[str, dict], dict[str, str]]:
    """Hash files below `folder`: name -> {"version", "sha256"}, and name -> fault of what cannot be read.

    Hashes of unchanged files come from a cache below `cache_dir`. With `shared`, all ranks call this
    together and each hashes its share.
    """
    names, folder = list(dict.fromkeys(names)), Path(folder).resolve()
    cache_path = Path(cache_dir) / f"files-{digest(str(folder))[:16]}.json"
    known = _read_cache(cache_path)

    def look(name: str) -> dict | str:
        try:
            version, entry = file_version(folder / name), known.get(name, {})
            changed = entry.get("version") != version
            return {"version": version, "sha256": digest_file(folder / name)} if changed else entry
        except VideoError as error:
            return str(error)
        except OSError as error:
            return f"clip {str(folder / name)!r} cannot be read ({error.strerror}); fetch it again"

    share = names[processes.rank() :: processes.world_size()] if shared else names
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        looked = pool.map(look, share)
        bar = tqdm(looked, "hash", len(share), unit="file", disable=not progress, mininterval=2, delay=2)
        found = dict(zip(share, bar))
    if shared:
        parts = processes.gather_values(found)
        found = {name: entry for part in parts for name, entry in part.items()}
    files = {name: entry for name, entry in found.items() if isinstance(entry, dict)}
    if not shared or processes.is_main():
        _add_to_cache(files, cache_path)
    return files, {name: entry for name, entry in found.items() if isinstance(entry, str)}


def hash_contents(names: Iterable[str], folder: Path, cache_dir: Path) -> str:
    """Return one hash of what files below `folder` hold, and of which cannot be read."""
    files, faults = hash_clips(names, folder, cache_dir)
    contents = [(name, file["sha256"]) for name, file in sorted(files.items())]
    return hash_text(str(contents) + str(sorted(faults)))


def _add_to_cache(files: dict[str, dict], path: Path) -> None:
    settled = time.time_ns() - SETTLED_NS
    # Read again, since other runs may have added to it; a race between two writers costs some hashing.
    known = _read_cache(path)
    fresh = {name: file for name, file in files.items() if max(file["version"][1:]) < settled}
    if any(known.get(name) != file for name, file in fresh.items()):
        with suppress(OSError):  # the cache saves time and nothing else
            write_json(known | fresh, path)


def _read_cache(path: Path) -> dict[str, dict]:
    try:
        status = path.stat()
        return _read_cache_version(path, (status.st_ino, status.st_size, status.st_mtime_ns))
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=4)
def _read_cache_version(path: Path, version: tuple[int, ...]) -> dict[str, dict]:
    """Read the cache of a folder; `version` changes when another process adds to the file."""
    return json.loads(path.read_text())
