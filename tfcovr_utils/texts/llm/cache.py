"""Answers of a language model on disk: one JSON line each, only ever appended.

The key of an answer is a hash of the whole request and of who was asked, so a changed prompt,
example, model or parameter asks anew and everything else is never asked, or paid for, twice.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from ...machine.files import explain_write_errors

try:
    import fcntl
except ImportError:  # Windows has no such lock; there two runs at once may ask the same
    fcntl = None


class Answers:
    """The lines of a JSONL file by their key, the last of a key counting; tolerates a torn last line.

    Use as a context manager: one run holds the file at a time.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._lines: dict[str, dict] = {}

    def __enter__(self) -> "Answers":
        with explain_write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b", buffering=0)
        try:
            self._lock()
            self._load()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def get(self, key: str) -> dict | None:
        """Return the line of a key, or None."""
        return self._lines.get(key)

    def keys(self, prefix: str) -> list[str]:
        """List the keys that begin so, oldest first."""
        return [key for key in self._lines if key.startswith(prefix)]

    def add(self, key: str, line: dict) -> None:
        """Append one line and wait until the disk has it."""
        line = {"key": key, **line}
        self._write(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n")
        self._lines[key] = line

    def _write(self, content: bytes) -> None:
        end = os.fstat(self._file.fileno()).st_size
        with explain_write_errors(self.path):
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[self._file.write(rest) :]
                os.fsync(self._file.fileno())
            except OSError:
                with suppress(OSError):
                    self._file.truncate(end)  # else the next answer would go on in the middle of this line
                raise

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"{self.path} is in use by another run, which may ask the same; wait until it ends."
            ) from None

    def _load(self) -> None:
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        tail = lines.pop()
        for number, line in enumerate(lines, start=1):
            if not self._take(line):
                raise ValueError(
                    f"{self.path}, line {number} is not an answer in JSON; remove that line, and the "
                    f"rest is kept."
                )
        if tail and self._take(tail):
            self._write(b"\n")  # only the end of the line is missing
        elif tail:
            # The run was killed in the middle of writing it.
            self._file.truncate(self._file.tell() - len(tail))

    def _take(self, line: bytes) -> bool:
        try:
            found = json.loads(line)
            self._lines[found["key"]] = found
        except (ValueError, KeyError, TypeError):
            return False
        return True
