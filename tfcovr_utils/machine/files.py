"""Files that no reader finds half written: a writer fills a temporary file and renames it.

A full disk or a folder without permission is one sentence, `CannotWrite`. `locked` lets one run at a time
work in a folder.
"""

import errno
import json
import os
import re
import shutil
import sys
import time
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from .workers import require_main_guard

MAX_JSON_BYTES = 2**30
MAX_TABLE_BYTES = 2**34
LEFT_OVER_S = 3600  # a temporary file that nobody has written to for so long was left by a killed run
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.\w+)?")
_PARQUET_ERRORS = (ValueError, OSError, KeyError, TypeError, OverflowError, pa.ArrowException)
_WRITE_ERRORS = {
    getattr(errno, name, None)
    for name in (
        "ENOSPC",
        "EDQUOT",
        "EFBIG",
        "EROFS",
        "EACCES",
        "EPERM",
        "ENOTDIR",
        "EISDIR",
        "EEXIST",
        "EIO",
    )
}


class CannotWrite(OSError):
    """The system refuses to write a file: a full disk, permissions, a file where a folder should be."""

    def __init__(self, path: Path, error: OSError):
        super().__init__(error.errno, os.strerror(error.errno))
        self.path, self.at = Path(path), error.filename

    def __reduce__(self):  # worker processes raise it too
        return CannotWrite, (self.path, OSError(self.errno, self.strerror, self.at))

    def __str__(self) -> str:
        elsewhere = self.at and Path(self.at) != self.path and not _TEMPORARY.fullmatch(Path(self.at).name)
        at = f": {self.at}" if elsewhere else ""
        return (
            f"{self.path} cannot be written ({self.strerror}{at}); make room, correct the permissions or"
            " choose another folder, and give the same command again: what was written before is kept."
        )


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Raise CannotWrite where the system refuses to write `path`; other errors pass."""
    try:
        yield
    except CannotWrite:
        raise
    except OSError as error:
        if error.errno not in _WRITE_ERRORS:
            raise
        raise CannotWrite(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it there if the block succeeds, remove it if not.

    A killed run leaves its temporary file; an hour later the next writer to the folder removes it.
    """
    path = Path(path)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_once(path.parent)
        # The suffix stays last, since writers of video and pictures go by it. The name is random, since
        # processes on two machines that share a disk may have equal ids.
        temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: Path, last: str) -> Iterator[Path]:
    """Give a temporary folder for files of one run; move them into `folder` if the block succeeds.

    The file named `last` is removed first and moved last: while it exists, all others are of its run.
    """
    folder = Path(folder)
    with explain_write_errors(folder / last):
        folder.mkdir(parents=True, exist_ok=True)
        _clear_once(folder)
        temporary = folder / f".{last}.{uuid.uuid4().hex}"
        temporary.mkdir()
        try:
            yield temporary
            with locked(folder / last):
                (folder / last).unlink(missing_ok=True)
                for file in sorted(temporary.iterdir(), key=lambda file: file.name == last):
                    os.replace(file, folder / file.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`; a run that finds it held says so and waits. A killed run frees its lock."""
    require_main_guard()  # a script without one would wait in its workers for the lock that it holds itself
    path = Path(path)
    # A disk without locks must not fall back to a file that a killed run would leave behind.
    lock = FileLock(path.with_name(f".{path.name}.lock"), fallback_to_soft=False)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            sentence = f"another run is writing {path}; this run waits and then resumes."
            print(sentence, file=sys.stderr, flush=True)
            lock.acquire()
        except OSError as error:
            # Some network disks have no locks; there two runs at once may do the same work twice.
            if error.errno in _WRITE_ERRORS:
                raise
    try:
        yield
    finally:
        lock.release()


def clear_left_over(folder: Path, older_than_s: float = 0.0) -> None:
    """Remove temporary files and folders that killed runs left in `folder`, those of a certain age."""
    settled = time.time() - older_than_s
    with suppress(OSError):
        for path in Path(folder).iterdir():
            if _TEMPORARY.fullmatch(path.name):
                with suppress(OSError):
                    if path.stat().st_mtime <= settled:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()


@lru_cache(maxsize=1024)
def _clear_once(folder: Path) -> None:
    """Once a process and folder, since listing a large folder at every write would cost more than writing."""
    clear_left_over(folder, LEFT_OVER_S)


def create_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Make an array of bytes on disk, allocated at once: a memory map on a full disk kills the process."""
    with explain_write_errors(path):
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
    check_size(path, Path(path).stat().st_size, MAX_JSON_BYTES)
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except RecursionError as error:
        raise _damaged(path, "its lists are nested too deep") from error
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _damaged(path, f"it is not JSON{where}") from error


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def load_table(path: Path) -> pd.DataFrame:
    """Read what `write_table` wrote."""
    if Path(path).is_dir():  # pandas would read all Parquet files in it
        raise ValueError(f"{path} is a folder; expected a Parquet file.")
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
            rows, size = file.metadata.num_rows, sum(group.total_byte_size for group in groups)
        check_size(path, max(rows, size), MAX_TABLE_BYTES)  # rows too: a column of one value takes no bytes
        return pd.read_parquet(path)
    except TooLarge:
        raise
    except _PARQUET_ERRORS as error:
        if getattr(error, "errno", None) is not None:  # the file is missing, or may not be read
            raise
        raise _damaged(path, "it is not a whole Parquet file") from error


def load_array(path: Path) -> np.ndarray:
    """Map an npy file, read-only: no memory is taken for a shape that the file does not hold."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, TypeError, zipfile.BadZipFile) as error:
        raise _damaged(path, "it is not a whole npy file of numbers") from error
    if not isinstance(array, np.ndarray):
        raise _damaged(path, "an archive, where one array of npy was expected")
    return array


class TooLarge(ValueError):
    """A file that asks for more memory than any of ours needs."""


def check_size(path: Path, size: int, most: int) -> None:
    """Refuse a file by the size that it states, before memory is taken."""
    if size > most:
        raise TooLarge(f"{path} asks for {size:,} bytes; expected at most {most:,}, so choose another file.")


def _damaged(path: Path, reason) -> ValueError:
    return ValueError(f"{path} is damaged ({reason}); remove it, and run the command that made it again.")


def read_manifest(path: Path) -> dict[str, dict]:
    """Read a JSONL manifest: the last row of each clip by its id. A line that a kill cut short is skipped."""
    rows = {}
    for line in Path(path).read_text("utf-8", "replace").splitlines() if Path(path).exists() else []:
        with suppress(json.JSONDecodeError):
            row = json.loads(line)
            rows[row["clip_id"]] = row
    return rows


def write_manifest(rows: Iterable[dict], path: Path) -> None:
    """Write a manifest of whole lines, to which others can be appended."""
    with replacing(path) as temporary:
        temporary.write_text("".join(_lines(rows)), "utf-8")


def append_rows(rows: Iterable[dict], path: Path) -> None:
    """Append lines to a manifest; they are in the file when this returns."""
    with explain_write_errors(path), open(path, "a", encoding="utf-8") as manifest:
        manifest.writelines(_lines(rows))


def _lines(rows: Iterable[dict]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
