"""Find and read the annotation files that others publish.

Each error names the file, what was expected and what to do. Nothing in a file runs: cells that hold Python
literals are parsed as literals.
"""

import ast
import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

GET_AGAIN = "get the file again from its owner"
MAX_CELL = 50_000  # characters of a Python literal; JSON may be longer


def bad_file(path: Path | str, problem: str) -> ValueError:
    """Make the error of a file that only its owner can correct."""
    return ValueError(f"{path} {problem}; {GET_AGAIN}.")


def find_file(folder: Path, patterns: list[str], origin: str) -> Path:
    """Return the last match, by name, of the first pattern that matches: v1.1 comes before v1.0.

    `origin` says who publishes the file, and under which terms.
    """
    for pattern in patterns:
        if found := sorted(Path(folder).glob(pattern)):
            return found[-1]
    raise FileNotFoundError(
        f"{' or '.join(patterns)} is not in {folder}; it comes from {origin}; put it into that folder."
    )


def read_csv(path: Path, columns: Iterable[str], advice: str = GET_AGAIN) -> pd.DataFrame:
    """Read a CSV as text; it must have at least these columns."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = "" if isinstance(error, UnicodeDecodeError) else f" ({str(error).strip()})"
        raise ValueError(f"{path} is not a CSV in UTF-8{reason}; {advice}.") from error
    missing = [name for name in columns if name not in table]
    if missing:
        found = f"no column {missing[0]!r}, only {', '.join(table)}"
        raise ValueError(f"{path} has {found}; expected {', '.join(columns)}; {advice}.")
    return table


def read_json(path: Path, kind: type, keys: Iterable[str] = ()):
    """Read a JSON file that holds a `kind`: a dict, or a list whose entries have at least these keys."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise bad_file(f"{path}{where}", "is not JSON in UTF-8") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder; expected a JSON file.") from error
    if not isinstance(content, kind):
        raise bad_file(path, f"holds a {type(content).__name__}; expected a {kind.__name__}")
    for idx, entry in enumerate(content if keys else []):
        missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if missing:
            where, problem = f"{path}, annotation {idx}:", f"no {missing[0]!r}"
            raise bad_file(where, f"{problem}; expected the keys {', '.join(keys)}")
    return content


def parse_literal(cell: str) -> object:
    """Return the value of a JSON or Python literal; None for anything else and for what is too long.

    >>> parse_literal("['a', 1]"), parse_literal("__import__('os')")
    (['a', 1], None)
    """
    try:
        return json.loads(cell)  # many times faster, and EgoCVR's long lists are of numbers
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(cell) if len(cell) <= MAX_CELL else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def parse_list(cell: str, kind: type, path: Path, row: int) -> list:
    """Read a cell that holds a list of values of one type."""
    values = parse_literal(cell)
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise unreadable_cell(cell, f"a list of {kind.__name__}", path, row)
    return values


def unreadable_cell(cell: str, expected: str, path: Path, row: int) -> ValueError:
    """Make the error for a cell of a CSV that is not as expected; `row` counts from 0."""
    where = f"{path}, row {row + 1}: the cell {cell[:60]!r} ({len(cell)} characters)"
    problem = f"is not {expected} of at most {MAX_CELL} characters, and nothing of it was run"
    return bad_file(where, problem)
