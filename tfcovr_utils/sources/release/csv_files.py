"""The official TF-CoVR CSVs, row by row: read, checked and written.

Their cells hold Python literals, which the official code evaluates. Here they are parsed as literals, up to a
size, and nothing in them runs.
"""

import re
from pathlib import Path

import pandas as pd

from ...machine.files import replacing
from ..published_files import bad_file, find_file, parse_list, parse_literal, read_csv, unreadable_cell

HUB_DATASET = "ucf-crcv/TF-CoVR"
ORIGIN = f"the official release, the dataset {HUB_DATASET} on the Hugging Face hub"
TRAIN_COLUMNS = ["query_video", "target_video", "modification", "label1", "label2"]
QUERY_COLUMNS = ["query_id", "query_video", "target_video", "target_videos_ids", "modification"]
# The official loaders cut a clip's name at the first dot, and a name must be fit for a file.
_UNFIT = re.compile(r"[%./\\]")
_ESCAPED = re.compile(r"%(25|2E|2F|5C)")


def official_name(clip_id: str) -> str:
    """Write a clip's id as the official files can hold it; most ids stay as they are.

    >>> official_name("jump 2.5"), clip_of("jump 2%2E5")
    ('jump 2%2E5', 'jump 2.5')
    """
    return _UNFIT.sub(lambda found: f"%{ord(found[0]):02X}", clip_id)


def clip_of(name: str) -> str:
    """Read what `official_name` wrote."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)


def read_train(folder: Path) -> pd.DataFrame:
    """Read the training triplets: query_clip, target_clip, source_label, target_label, text."""
    path, rows = _read(folder, "train", TRAIN_COLUMNS)
    # A few cells fill very many rows.
    cells = rows[["modification", "label2"]].drop_duplicates()
    texts = {(cell, label): _parse_text(cell, label, path, row) for row, cell, label in cells.itertuples()}
    return pd.DataFrame(
        {
            "query_clip": rows["query_video"].map(clip_of),
            "target_clip": rows["target_video"].map(clip_of),
            "source_label": rows["label1"],
            "target_label": rows["label2"],
            "text": [texts[key] for key in zip(rows["modification"], rows["label2"])],
        },
        dtype=str,
    )


def read_queries(folder: Path, split: str) -> pd.DataFrame:
    """Read the queries of val or test: query_id, split, query_clip, target_clip, text, targets.

    `targets` lists every clip that answers; `target_clip` is the one that the official gallery takes. Ids
    that are numbers become ids of ours, e.g. "test-0012".
    """
    path, rows = _read(folder, split, QUERY_COLUMNS)
    lists = [parse_list(cell, str, path, row) for row, cell in rows["target_videos_ids"].items()]
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
        raise bad_file(path, f"has query_id {repeated.iloc[0]!r} twice")
    return table.assign(targets=[[clip_of(name) for name in names] for names in lists])


def write_train(rows: pd.DataFrame, path: Path) -> None:
    """Write what `read_train` reads."""
    cells = [repr({label: {"modification": text}}) for label, text in zip(rows["target_label"], rows["text"])]
    clips = [rows[name].map(official_name) for name in ("query_clip", "target_clip")]
    _write(TRAIN_COLUMNS, [*clips, cells, rows["source_label"], rows["target_label"]], path)


def write_queries(rows: pd.DataFrame, path: Path) -> None:
    """Write what `read_queries` reads; the official code needs whole numbers as ids."""
    numbers = rows["query_id"].str.extract(r"-(\d+)$")[0].astype(float)
    if numbers.isna().any() or numbers.duplicated().any():
        numbers = pd.Series(range(len(rows)), index=rows.index)
    clips = [rows[name].map(official_name) for name in ("query_clip", "target_clip")]
    lists = [repr([official_name(clip) for clip in clips]) for clips in rows["targets"]]
    _write(QUERY_COLUMNS, [numbers.astype(int), *clips, lists, rows["text"]], path)


def _read(folder: Path, split: str, columns: list[str]) -> tuple[Path, pd.DataFrame]:
    name = f"{split}_finegd.csv"
    path = find_file(folder, [name, f"*/{name}"], ORIGIN)
    return path, read_csv(path, columns)[columns]


def _parse_text(cell: str, label: str, path: Path, row: int) -> str:
    """Return the modification of one label out of `{label: {"modification": text}}`."""
    value = parse_literal(cell)
    entry = {str(key): entry for key, entry in value.items()}.get(label) if isinstance(value, dict) else None
    text = entry.get("modification") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise unreadable_cell(cell, f"a dict of {label!r} -> {{'modification': text}}", path, row)
    return text


def _write(names: list[str], columns: list, path: Path) -> None:
    with replacing(path) as temporary:
        pd.DataFrame(dict(zip(names, columns))).to_csv(temporary, index=False, lineterminator="\n")
