"""Writing files so that a reader never meets half of one: write beside, then rename. What goes wrong with the place is one sentence."""

import errno
import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

try:
    import fcntl
except ImportError:  # Windows has no such lock; there two runs at once may do the same work twice
    fcntl = None

LEFT_OVER_S = 3600  # a temporary file that was not written to for so long was left by a run that was killed
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.\w+)?")
_OF_THE_PLACE = {
    getattr(errno, name, None)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENOTDIR", "EEXIST", "EIO")
}


class CannotWrite(OSError):
    """A file cannot be written where it belongs, for a reason of the place: a full disk, permissions, a file where a folder should be."""

    def __init__(self, path: Path, error: OSError):
        super().__init__(error.errno, os.strerror(error.errno))
        self.path, self.at = Path(path), error.filename

    def __reduce__(self):  # it comes out of worker processes, too
        return CannotWrite, (self.path, OSError(self.errno, self.strerror, self.at))

    def __str__(self) -> str:
        at = (
            f": {self.at}"
            if self.at and not _TEMPORARY.fullmatch(Path(self.at).name) and Path(self.at) != self.path
            else ""
        )
        return (
            f"{self.path} cannot be written ({self.strerror}{at}); make room, correct the permissions or choose another folder, and "
            "give the same command again: what was written before is kept."
        )


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Make one sentence of what goes wrong with the place of `path` while it is written."""
    try:
        yield
    except CannotWrite:
        raise
    except OSError as error:
        if error.errno not in _OF_THE_PLACE:
            raise
        raise CannotWrite(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it there if the block succeeds, remove it if not.

    A killed run leaves its temporary file. It is no file of anybody's by its name, and is removed by the first write into its
    folder by a later process, an hour after it was last written to.
    """
    path = Path(path)
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_once(path.parent)
        # The suffix stays last, since writers of video and pictures go by it. Drawn at random, since process ids and names of
        # machines can be equal on a disk that several of them share.
        temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def together(folder: Path, last: str) -> Iterator[Path]:
    """Give a temporary folder for files that belong together; they take their places in `folder` if the block succeeds.

    The one called `last` is removed first and comes last, so while it is there, the others are whole and of the same run.
    """
    folder = Path(folder)
    with told(folder / last):
        folder.mkdir(parents=True, exist_ok=True)
        _clear_once(folder)
        temporary = folder / f".{last}.{uuid.uuid4().hex}"
        temporary.mkdir()
        try:
            yield temporary
            with alone(folder / last):
                (folder / last).unlink(missing_ok=True)
                for file in sorted(temporary.iterdir(), key=lambda file: file.name == last):
                    os.replace(file, folder / file.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Work on `path` while no other run does: one that comes later says so and waits. A killed run holds nothing."""
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    with told(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = open(lock, "a")
    with held:
        if fcntl is not None:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(
                    f"another run is writing {path}; this one waits until that ends, and goes on from there.",
                    file=sys.stderr,
                    flush=True,
                )
                fcntl.flock(held, fcntl.LOCK_EX)
            except OSError:
                pass  # some network disks have no locks; there two runs at once may do the same work twice
        yield


def clear_left_over(folder: Path, older_than_s: float = 0.0) -> None:
    """Remove temporary files and folders in `folder` that nobody has written to for so long: killed runs left them."""
    settled = time.time() - older_than_s
    with suppress(OSError):
        for path in Path(folder).iterdir():
            if _TEMPORARY.fullmatch(path.name):
                with suppress(OSError):
                    if path.stat().st_mtime <= settled:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()


@lru_cache(maxsize=1024)
def _clear_once(folder: Path) -> None:
    """Once a process and folder: listing a large folder at every write into it would cost more than writing."""
    clear_left_over(folder, LEFT_OVER_S)


def create_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Make an array of bytes on disk, and take its room at once: a disk found full later would end the process without a word."""
    with told(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _clear_once(Path(path).parent)
        array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        if hasattr(os, "posix_fallocate"):
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return array


def write_json(value, path: Path) -> None:
    """Write JSON with sorted keys, so equal values give equal bytes."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path):
    """Read what `write_json` wrote."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it, and give the command that made it again."
        ) from error


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def load_table(path: Path) -> pd.DataFrame:
    """Read what `write_table` wrote."""
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:
        if getattr(error, "errno", None) is not None:  # there is no such file, or it may not be read
            raise
        reason = str(error).split(".")[0]
        raise ValueError(
            f"{path} is damaged ({reason}); remove it, and give the command that made it again."
        ) from error


def read_manifest(path: Path) -> dict[str, dict]:
    """Rows of a JSONL manifest by clip, the last of a clip counting; a line that a kill cut short is none."""
    rows = {}
    for line in Path(path).read_text("utf-8", "replace").splitlines() if Path(path).exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["clip_id"]] = row
    return rows


def write_manifest(rows: Iterable[dict], path: Path) -> None:
    """Write a manifest anew, whole lines only, so that lines can be appended to it."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def append_rows(rows: Iterable[dict], path: Path) -> None:
    """Add lines to a manifest; they are in the file when this returns."""
    with told(path), open(path, "a", encoding="utf-8") as manifest:
        manifest.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
