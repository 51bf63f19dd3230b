"""What each table of a benchmark must hold, checked where it is read: columns, kinds, keys, known labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..labels.pairing import ENDS
from ..labels.word_tables import read_rows
from ..machine.files import load_table

TEXT, NUMBER, LIST = "texts", "numbers", "lists of texts"
# Table -> its columns and their kinds, and the columns that are its key; a table may have more columns.
COLUMNS: dict[str, dict[str, str]] = {}
KEYS: dict[str, list[str]] = {}
for _table, _column, _kind, _is_key in read_rows(Path(__file__).with_suffix(".csv")):
    COLUMNS.setdefault(_table, {})[_column] = _kind
    if _is_key:
        KEYS.setdefault(_table, []).append(_column)
_NUMBERS_MISSING = ("start_s", "end_s", "similarity")  # NaN where nobody knows
ADVICE = "correct that, or build the benchmark again with `tfcovr build`."


def read_table_named(folder: Path, name: str, only: Sequence[str] = ()) -> pd.DataFrame:
    """Read a benchmark's table from its Parquet file, checked; `only`: the columns that matter."""
    path = Path(folder) / f"{name}.parquet"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; give --benchmark a folder that `tfcovr build` wrote."
        )
    return check_table(load_table(path), name, path, only)


def check_table(table: pd.DataFrame, name: str, path: Path | str, only: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table if its columns, their kinds and its keys are those of the table `name`."""
    wanted = {column: kind for column, kind in COLUMNS[name].items() if not only or column in only}
    if missing := [column for column in wanted if column not in table]:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; a table of {name} has {', '.join(wanted)}; {ADVICE}"
        )
    if name == "clips" and table.empty:
        raise ValueError(f"{path} has no rows, and there is no benchmark without clips; {ADVICE}")
    check_kinds(table, wanted, path)
    if name in KEYS and {*KEYS[name]} <= {*wanted} and (twice := table.duplicated(KEYS[name])).any():
        row = int(np.flatnonzero(twice)[0])
        value = ", ".join(table[KEYS[name]].iloc[row])
        raise ValueError(f"{path}, row {row + 1}: {', '.join(KEYS[name])} {value!r} is there twice; {ADVICE}")
    return table


def check_kinds(table: pd.DataFrame, kinds: Mapping[str, str], said: Path | str) -> None:
    """Refuse a table in which a value is not of its column's kind; `said` names the table."""
    for column, kind in kinds.items():
        wrong = _wrong(table[column], kind)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            value = str(table[column].iloc[row])[:60]
            raise ValueError(f"{said}, row {row + 1}: {column} is {value!r}; expected {kind}; {ADVICE}")


def check_labels(tables: Mapping[str, pd.DataFrame], folder: Path | str) -> None:
    """Refuse tables whose clips or pairs name a label that the table of labels lacks."""
    known = {*tables["labels"]["label_id"], ""}
    for name, columns in (("clips", ["label_id"]), ("pairs", ENDS)):
        for column in columns:
            if strange := sorted(set(tables[name][column]) - known):
                raise ValueError(f"{folder}: {column} {strange[0]!r} of {name} is no known label; {ADVICE}")


def _wrong(values: pd.Series, kind: str) -> np.ndarray:
    """Which values are not of a kind: (N,) bool."""
    if kind == NUMBER and pd.api.types.is_numeric_dtype(values):
        return np.zeros(len(values), bool) if values.name in _NUMBERS_MISSING else values.isna().to_numpy()
    is_right = {TEXT: _is_text, NUMBER: pd.api.types.is_number, LIST: _is_list_of_texts}[kind]
    return ~np.fromiter(map(is_right, values), bool, len(values))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, (list, np.ndarray)) and all(map(_is_text, value))
