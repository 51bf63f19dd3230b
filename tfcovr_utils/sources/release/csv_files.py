"""The official TF-CoVR CSVs, a row at a time: what stands in them, checked, and how it is written.

Their cells hold Python literals, which the official code evaluates. Here they are parsed as literals,
up to a size, and nothing in them runs.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ...machine.files import replacing
from ..source import first_file

HUB_DATASET = "ucf-crcv/TF-CoVR"
ORIGIN = f"the official release, the dataset {HUB_DATASET} on the Hugging Face hub"
TRAIN_COLUMNS = ["query_video", "target_video", "modification", "label1", "label2"]
QUERY_COLUMNS = ["query_id", "query_video", "target_video", "target_videos_ids", "modification"]
MAX_CELL = 50_000  # characters; a cell holds a text and its label, or a query's few targets
# The official loaders cut a clip's name at the first dot, and a name must do as a file's name.
_UNFIT = re.compile(r"[%./\\]")
_ESCAPED = re.compile(r"%(25|2E|2F|5C)")


def official_name(clip_id: str) -> str:
    """Write a clip's id as the official files can hold it; most ids stay as they are."""
    return _UNFIT.sub(lambda found: f"%{ord(found[0]):02X}", clip_id)


def clip_of(name: str) -> str:
    """Read what `official_name` wrote."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)


def read_train(folder: Path) -> pd.DataFrame:
    """Read the training triplets: query_clip, target_clip, source_label, target_label, text."""
    path, rows = _read(folder, "train", TRAIN_COLUMNS)
    # The same few cells stand in very many rows.
    cells = rows[["modification", "label2"]].drop_duplicates()
    texts = [_text(cell, label, path, row) for row, cell, label in cells.itertuples()]
    rows = rows.merge(cells.assign(text=texts), on=["modification", "label2"], how="left")
    return pd.DataFrame(
        {
            "query_clip": rows["query_video"].map(clip_of),
            "target_clip": rows["target_video"].map(clip_of),
            "source_label": rows["label1"],
            "target_label": rows["label2"],
            "text": rows["text"],
        },
        dtype=str,
    )


def read_queries(folder: Path, split: str) -> pd.DataFrame:
    """Read the queries of val or test: query_id, split, query_clip, target_clip, text, targets.

    `targets` lists all the clips that answer, `target_clip` is the one that the official gallery
    takes. Ids that are numbers come as ours are written, e.g. "test-0012".
    """
    path, rows = _read(folder, split, QUERY_COLUMNS)
    lists = [_names(cell, path, row) for row, cell in rows["target_videos_ids"].items()]
    table = pd.DataFrame(
        {
            "query_id": [f"{split}-{query_id:0>4}" for query_id in rows["query_id"]],
            "split": split,
            "query_clip": rows["query_video"].map(clip_of),
            "target_clip": rows["target_video"].map(clip_of),
            "text": rows["modification"],
        },
        dtype=str,
    )
    repeated = table["query_id"][table["query_id"].duplicated()]
    if len(repeated):
        raise ValueError(f"{path} has query_id {repeated.iloc[0]!r} twice; get the file again.")
    return table.assign(targets=lists)


def write_train(rows: pd.DataFrame, path: Path) -> None:
    """Write what `read_train` reads."""
    cells = [repr({label: {"modification": text}}) for label, text in zip(rows["target_label"], rows["text"])]
    columns = [rows["query_clip"].map(official_name), rows["target_clip"].map(official_name)]
    columns += [cells, rows["source_label"], rows["target_label"]]
    _write(dict(zip(TRAIN_COLUMNS, columns)), path)


def write_queries(rows: pd.DataFrame, path: Path) -> None:
    """Write what `read_queries` reads; the official code wants whole numbers as ids."""
    numbers = rows["query_id"].str.extract(r"-(\d+)$")[0].astype(float)
    if numbers.isna().any() or numbers.duplicated().any():
        numbers = pd.Series(range(len(rows)), index=rows.index)
    columns = [
        numbers.astype(int),
        rows["query_clip"].map(official_name),
        rows["target_clip"].map(official_name),
        [repr([official_name(clip) for clip in clips]) for clips in rows["targets"]],
        rows["text"],
    ]
    _write(dict(zip(QUERY_COLUMNS, columns)), path)


def _read(folder: Path, split: str, columns: list[str]) -> tuple[Path, pd.DataFrame]:
    name = f"{split}_finegd.csv"
    path = first_file(Path(folder), [name, f"*/{name}"], ORIGIN)
    try:
        # As strings: ids such as 12 and 107b share a column.
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = str(error).strip()
        raise ValueError(f"{path} is not a CSV ({reason}); get the file again.") from error
    missing = [column for column in columns if column not in rows]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; expected {', '.join(columns)}, so get the file again."
        )
    return path, rows[columns]


def _text(cell: str, label: str, path: Path, row: int) -> str:
    """The modification of one label out of `{label: {"modification": text}}`."""
    said = _literal(cell)
    said = {str(key): value for key, value in said.items()} if isinstance(said, dict) else {}
    text = said[label].get("modification") if isinstance(said.get(label), dict) else None
    if not isinstance(text, str):
        raise _unreadable(cell, f"a dict of {label!r} -> {{'modification': text}}", path, row)
    return text


def _names(cell: str, path: Path, row: int) -> list[str]:
    names = _literal(cell)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _unreadable(cell, "a list of clip names", path, row)
    return [clip_of(name) for name in names]


def _literal(cell: str) -> object:
    """The value of a literal; None where the cell is too long or is anything else."""
    if len(cell) > MAX_CELL:
        return None
    try:
        return ast.literal_eval(cell)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _unreadable(cell: str, expected: str, path: Path, row: int) -> ValueError:
    return ValueError(
        f"{path}, row {row + 1}: the cell {cell[:60]!r} ({len(cell)} characters) is not {expected} of "
        f"at most {MAX_CELL} characters, and nothing of it was run; get the file again."
    )


def _write(columns: dict[str, Iterable], path: Path) -> None:
    with replacing(path) as temporary:
        pd.DataFrame(columns).to_csv(temporary, index=False, lineterminator="\n")
