"""The official TF-CoVR release as a Benchmark's tables, and a Benchmark of ours written as such a release.

The release names clips and label ids only. Texts, times and the labels of the test clips come from the
annotation files of FineGym and FineDiving where they are beside the CSVs.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ...machine.files import read_json, write_json, write_table
from ...profiles import SPLITS
from .. import finediving, finegym
from ..source import CLIP_COLUMNS, LABEL_COLUMNS, Source, combine
from . import release_tables
from .csv_files import read_queries, read_train, write_queries, write_train
from .release_tables import GALLERY

# An exported release has our tables that the official files have no place for in this folder.
OWN_FOLDER = "own_tables"
OWN_TABLES = ("clips", "labels", "pairs", "modifications", "descriptions", "gallery")


def load(folder: Path) -> Source:
    """Read the clips, with their split, and the labels that the official CSVs name."""
    tables = read_release(folder)
    return Source(tables["clips"], tables["labels"], tables["choices"]["notes"])


def read_release(folder: Path) -> dict:
    """Read the three official CSVs, in the folder or in one below it, as a Benchmark's fields.

    The gallery is named `capped` and holds each clip that answers a query, once. `queries` has a further
    column, `target_clip`: see `target_column`. A benchmark that `export_official` wrote comes back as it was.
    """
    folder = Path(folder)
    train = read_train(folder)
    queries = pd.concat([read_queries(folder, split) for split in SPLITS[1:]], ignore_index=True)
    if (folder / OWN_FOLDER).is_dir():
        return _with_own_tables(train, queries, folder / OWN_FOLDER)
    return release_tables.build(train, queries, read_annotations(folder))


def read_annotations(folder: Path) -> Source:
    """Read those of FineGym's and FineDiving's own files that are in the folder."""
    found = [Source(pd.DataFrame(columns=CLIP_COLUMNS), pd.DataFrame(columns=LABEL_COLUMNS))]
    if any(folder.glob("gym288_*element*.txt")):
        found.append(finegym.load(folder))
    if any(folder.glob("finediving_spot_*.json")) or any(folder.glob("*grained_annotation*.pkl")):
        found.append(finediving.load(folder))
    return combine(*found)


def export_official(
    tables: Mapping[str, pd.DataFrame] | object, folder: Path, gallery: str = GALLERY
) -> list[Path]:
    """Write a Benchmark, or a dict of its tables, as the official CSVs; return their paths.

    `target_videos_ids` gets every target in `gallery`. The official code needs query ids that are numbers and
    clip names without dots and slashes, so those are escaped. What the CSVs have no place for goes to
    `own_tables/`, which `read_release` reads and the official code does not.
    """
    tables, folder = dict(tables if isinstance(tables, Mapping) else vars(tables)), Path(folder)
    targets, queries, triplets = (tables[name] for name in ("targets", "queries", "triplets"))
    galleries = sorted(set(targets["gallery"]))
    if gallery not in galleries:
        raise ValueError(f"gallery {gallery!r} has no targets; choose one of {', '.join(galleries)}.")
    text_of = tables["modifications"].set_index("modification_id")["text"]
    answers = targets[targets["gallery"] == gallery].groupby("query_id")["clip_id"].agg(list)
    unanswered = queries.loc[~queries["query_id"].isin(answers.index), "query_id"]
    if len(unanswered):
        raise ValueError(
            f"{len(unanswered)} queries, such as {unanswered.iloc[0]!r}, have no target in gallery "
            f"{gallery!r}, and the official code needs one each; leave them out."
        )
    queries = queries.assign(
        text=queries["modification_id"].map(text_of),
        targets=queries["listed_targets"].map(json.loads)
        if "listed_targets" in queries
        else queries["query_id"].map(answers),
        target_clip=target_column(queries, answers),
    )
    paths = [folder / f"{split}_finegd.csv" for split in SPLITS]
    write_train(triplets.assign(text=triplets["modification_id"].map(text_of)), paths[0])
    parts = [queries[queries["split"] == split] for split in SPLITS[1:]]
    for part, path in zip(parts, paths[1:]):
        write_queries(part, path)
    own = {name: tables[name] for name in OWN_TABLES if name in tables}
    own["queries"] = pd.concat(parts)[["query_id", "modification_id", "target_labels"]]
    own["targets"] = targets[targets["gallery"] != gallery]
    for name, table in own.items():
        write_table(table, folder / OWN_FOLDER / f"{name}.parquet")
    written = {
        "gallery": gallery,
        "query_columns": list(tables["queries"]),
        "choices": tables.get("choices", {}),
    }
    write_json(written, folder / OWN_FOLDER / "written.json")
    return paths


def target_column(queries: pd.DataFrame, answers: pd.Series) -> pd.Series:
    """Return the one target of each query that makes the official gallery, duplicates included.

    The release names it in `target_clip`. For our own queries a hash of the query's id draws it from
    `answers`, the list of clips by query id.
    """
    if "target_clip" in queries:
        return queries["target_clip"]
    lists = [(query_id, answers[query_id]) for query_id in queries["query_id"]]
    drawn = [clips[zlib.crc32(query_id.encode()) % len(clips)] for query_id, clips in lists]
    return pd.Series(drawn, index=queries.index, dtype=str)


def _with_own_tables(train: pd.DataFrame, queries: pd.DataFrame, own_folder: Path) -> dict:
    """Read a release of ours: triplets, queries and targets from the CSVs, the rest from `own_folder`."""
    own = {path.stem: pd.read_parquet(path) for path in sorted(own_folder.glob("*.parquet"))}
    written = read_json(own_folder / "written.json")
    text_of = own["modifications"].set_index("modification_id")["text"]
    texts = own["queries"]["modification_id"].map(text_of)
    triplets = release_tables.build_triplets(train, own["modifications"])
    if texts.tolist() != queries["text"].tolist() or triplets["modification_id"].isna().any():
        raise ValueError(
            f"{own_folder} belongs to other CSVs than those beside it; remove it to read the CSVs alone, or "
            "export the benchmark again."
        )
    # In the order of the CSVs, whose ids are only numbers.
    queries = queries.assign(**own["queries"], listed_targets=queries["targets"].map(json.dumps))
    queries = queries.assign(target_labels=lambda t: t["target_labels"].map(list))
    targets = pd.concat([release_tables.build_targets(queries, written["gallery"]), own["targets"]])
    return {name: own[name] for name in OWN_TABLES if name in own} | {
        "triplets": triplets,
        "queries": queries[written["query_columns"]],
        "targets": release_tables.sort_targets(targets, queries),
        "choices": written["choices"],
    }
