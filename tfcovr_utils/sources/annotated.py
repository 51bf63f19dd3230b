"""Benchmarks whose texts belong to a triplet and not to a pair of labels: their rows as a Benchmark's tables.

Labels stay empty, and what answers a query is what its owners say.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..labels.pairing import PAIR_COLUMNS
from .source import CLIP_COLUMNS, LABEL_COLUMNS

STYLE = "given"  # of texts and descriptions that somebody else wrote: no limit of ours holds for them
QUERY_COLUMNS = ["query_id", "split", "query_clip", "modification_id", "target_labels"]
TRIPLET_COLUMNS = ["query_clip", "target_clip", "text"]
_NO_ENDS = {"source_label": "", "target_label": ""}
_WRITING = {"model": "", "prompt_sha": "", "created": ""}


def tables(
    source: str,
    clips: pd.DataFrame,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    targets: pd.DataFrame,
    triplets: pd.DataFrame | None = None,
    descriptions: pd.DataFrame | None = None,
    **choices,
) -> dict:
    """Give every field of a Benchmark.

    clips: clip_id, split, path and perhaps source_video, a row for every mention; a clip of several splits is of the last.
    queries: query_id, split, query_clip, text, and what more is to be kept. gallery and targets: as in a benchmark; targets that
    are the query clip are left out. triplets: of training, `TRIPLET_COLUMNS`. descriptions: clip_id and text.
    """
    triplets = pd.DataFrame(columns=TRIPLET_COLUMNS, dtype=str) if triplets is None else triplets
    mute = {"queries": queries["text"] == "", "triplets": triplets["text"] == ""}
    queries, triplets = queries[~mute["queries"]], triplets[~mute["triplets"]]
    own = queries.set_index("query_id")["query_clip"]
    targets = targets[targets["query_id"].isin(own.index)]
    is_own = targets["query_id"].map(own) == targets["clip_id"]
    texts = pd.concat([queries["text"], triplets["text"]]).drop_duplicates().sort_values(ignore_index=True)
    id_of = pd.Series(map(_text_id, texts), index=texts, dtype=str)
    descriptions = (
        pd.DataFrame(columns=["clip_id", "text"], dtype=str) if descriptions is None else descriptions
    )
    kept = [name for name in queries if name not in (*QUERY_COLUMNS, "text")]
    made = {
        "clips": _clips(source, clips),
        "labels": pd.DataFrame(columns=LABEL_COLUMNS, dtype=str),
        "pairs": pd.DataFrame(columns=PAIR_COLUMNS, dtype=str),
        "modifications": pd.DataFrame(
            {"modification_id": id_of.to_numpy(), "style": STYLE, "text": texts}
        ).assign(**_NO_ENDS, writer=source, **_WRITING),
        "triplets": triplets.assign(modification_id=triplets["text"].map(id_of), **_NO_ENDS)[
            ["query_clip", "target_clip", "modification_id", *_NO_ENDS]
        ],
        "queries": queries.assign(
            modification_id=queries["text"].map(id_of), target_labels=[[] for _ in range(len(queries))]
        )[[*QUERY_COLUMNS, *kept]],
        "gallery": gallery.drop_duplicates(),
        "targets": targets[~is_own].drop_duplicates()[["query_id", "gallery", "clip_id"]],
        "descriptions": descriptions[descriptions["text"] != ""]
        .drop_duplicates("clip_id")
        .assign(label_id="", style=STYLE, writer=source)[["clip_id", "label_id", "style", "text", "writer"]],
    }
    notes = {f"{name}_without_text": int(empty.sum()) for name, empty in mute.items()} | {
        "targets_that_are_the_query": int(is_own.sum())
    }
    return {name: table.reset_index(drop=True) for name, table in made.items()} | {
        "choices": {"source": source, **choices, "notes": choices.get("notes", {}) | notes}
    }


def grouped(
    searched: Iterable[tuple[str, Iterable[str]]], gallery: str, split: str
) -> tuple[list[str], pd.DataFrame]:
    """Of (query clip, what it searches) a query, the name of each query's group and the groups as rows of the gallery.

    A query's own clip counts as a member, since it never answers; so queries that search the same become one group.
    """
    names, groups = [], {}
    for own, clip_ids in searched:
        members = sorted({own, *clip_ids})
        names.append(hashlib.sha256("\n".join(members).encode()).hexdigest()[:12])
        groups[names[-1]] = members
    rows = pd.DataFrame(
        [(gallery, split, clip_id, name) for name, members in groups.items() for clip_id in members],
        columns=["gallery", "split", "clip_id", "group"],
        dtype=str,
    )
    return names, rows


def read_entries(path: Path, wanted: Iterable[str]) -> list[dict]:
    """A JSON list of objects that have at least the keys wanted."""
    entries = _read_json(path)
    if not isinstance(entries, list):
        raise ValueError(
            f"{path} holds a {type(entries).__name__}; expected a list of annotations, so fetch it again."
        )
    for place, entry in enumerate(entries):
        absent = [key for key in wanted if not isinstance(entry, dict) or key not in entry]
        if absent:
            raise ValueError(
                f"{path}, annotation {place}: no {absent[0]!r}; expected the keys {', '.join(wanted)}, so fetch it again."
            )
    return entries


def read_mapping(path: Path) -> dict:
    """A JSON object."""
    content = _read_json(path)
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a {type(content).__name__}; expected names with what they stand for, so fetch it again."
        )
    return content


def read_rows(path: Path, wanted: Iterable[str]) -> pd.DataFrame:
    """A CSV as text, with at least the columns wanted."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV in UTF-8 ({error}); fetch it again.") from error
    absent = [name for name in wanted if name not in table]
    if absent:
        raise ValueError(
            f"{path} has the columns {', '.join(table)}; expected {', '.join(wanted)}, so {absent[0]} is missing."
        )
    return table


def read_list(path: Path, row: int, text: str) -> list:
    """A list that a cell of a CSV holds as Python writes it."""
    try:
        # JSON is many times faster, and the long lists are of numbers.
        return json.loads(text) if text[1:2].isdigit() else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(
            f"{path}, row {row + 1}: {text[:40]!r} is not a list; fetch the file again."
        ) from None


def _read_json(path: Path):
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON in UTF-8 ({error}); fetch it again.") from error


def _clips(source: str, clips: pd.DataFrame) -> pd.DataFrame:
    """One row a clip; "" as its split, which belongs to none, stays only where no mention says another."""
    order = clips["split"].map({"": -1, "train": 0, "val": 1, "test": 2})
    clips = (
        clips.iloc[order.argsort(kind="stable")]
        .drop_duplicates("clip_id", keep="last")
        .sort_values("clip_id")
    )
    video = clips["source_video"] if "source_video" in clips else clips["clip_id"]
    return clips.assign(
        dataset=source, source_video=video, label_id="", start_s=float("nan"), end_s=float("nan")
    )[CLIP_COLUMNS]


def _text_id(text: str) -> str:
    return "text:" + hashlib.sha256(text.encode()).hexdigest()[:12]
