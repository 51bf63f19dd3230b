"""Answers of a language model on disk: one JSON line each, only ever appended.

An answer's key hashes the whole request and the provider: a changed prompt, example, model or parameter asks
anew, and nothing else is asked, or paid for, twice.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ...machine.files import explain_write_errors


class Answers(dict):
    """The lines of a JSONL file by their key, oldest first.

    The last line of a key counts, and a torn last line is dropped.
    Use it as a context manager: one run at a time holds the file.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = Path(path)
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), fallback_to_soft=False)

    def __enter__(self) -> "Answers":
        with explain_write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise RuntimeError(
                    f"{self.path} is in use by another run, which may ask the same; wait until it ends."
                ) from None
        try:
            self._load()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def add(self, key: str, line: dict) -> None:
        """Append one line and wait until it is on disk."""
        line = {"key": key, **line}
        self._append(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n")
        self[key] = line

    def _append(self, content: bytes) -> None:
        with explain_write_errors(self.path), open(self.path, "ab", buffering=0) as file:
            end = file.tell()
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(end)  # so that the next answer does not continue half a line
                raise

    def _load(self) -> None:
        *lines, tail = self.path.read_bytes().split(b"\n") if self.path.exists() else [b""]
        for number, line in enumerate(lines, start=1):
            if not self._parse(line):
                advice = "remove that line, and the rest is kept"
                raise ValueError(f"{self.path}, line {number} is not an answer in JSON; {advice}.")
        if self._parse(tail):
            self._append(b"\n")  # only the end of the line is missing
        elif tail:  # the run was killed while it wrote this line
            os.truncate(self.path, self.path.stat().st_size - len(tail))

    def _parse(self, line: bytes) -> bool:
        try:
            found = json.loads(line)
            self[found["key"]] = found
        except (ValueError, KeyError, TypeError):
            return False
        return True
