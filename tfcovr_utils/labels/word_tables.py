"""Tables of words that stand beside the code as CSV files, to be read and edited like any table."""

import csv
from pathlib import Path

_COUNTS = ("entry_turn", "saltos", "rotation")
_FLAGS = {"yes": True, "no": False}  # of or_more, ring and armstand


def read_rows(path: Path) -> list[list[str]]:
    """Read the rows of a CSV below its heading."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def read_value(attribute: str, text: str) -> object:
    """Read the value of an attribute as a table writes it.

    >>> read_value("saltos", "2"), read_value("ring", "yes"), read_value("finish", "hang")
    (2.0, True, 'hang')
    """
    return float(text) if attribute in _COUNTS else _FLAGS.get(text, text)
