"""The official TF-CoVR release as the benchmark's tables, and ours written back as that release.

The release names clips and label ids only. Texts, times and the labels of the test clips come from
the annotation files of FineGym and FineDiving where they lie beside the CSVs.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ...machine.files import write_json, write_table
from ...profiles import SPLITS
from .. import finediving, finegym
from ..source import CLIP_COLUMNS, LABEL_COLUMNS, Source, combine
from . import label_tables as release_tables
from .csv_files import HUB_DATASET, read_queries, read_train, write_queries, write_train
from .label_tables import GALLERY

# Beside an exported release: our tables that the official files have no place for.
OWN_FOLDER = "own_tables"
OWN_TABLES = ("clips", "labels", "pairs", "modifications", "descriptions", "gallery")


def load(folder: Path) -> Source:
    """Read the clips and labels that the official CSVs name; their split is given."""
    tables = read_release(folder)
    return Source(tables["clips"], tables["labels"], tables["choices"]["notes"])


def download(folder: Path) -> Path:
    """Fetch the official release into a folder; what is there already is not fetched again."""
    from huggingface_hub import snapshot_download  # slow to import, and seldom needed

    try:
        return Path(snapshot_download(HUB_DATASET, repo_type="dataset", local_dir=folder))
    except Exception as error:
        raise ConnectionError(
            f"{HUB_DATASET} could not be fetched from the Hugging Face hub "
            f"({type(error).__name__}); where there is a network, run `hf download "
            f"{HUB_DATASET} --repo-type dataset --local-dir tfcovr`, and copy that to {folder}."
        ) from error


def read_release(folder: Path, known: Source | None = None) -> dict:
    """Read the three official CSVs, in the folder or in one below it, as a Benchmark's fields.

    `known` adds labels, times and texts to the clips; by default it is read from the annotation
    files in the folder. The gallery is named `capped` and holds each clip that answers a query,
    once. `queries` has a column more than ours, `target_clip`: see `target_column`. A benchmark
    that `export_official` wrote comes back as it was.
    """
    folder = Path(folder)
    train = read_train(folder)
    queries = pd.concat([read_queries(folder, split) for split in SPLITS[1:]], ignore_index=True)
    if (folder / OWN_FOLDER).is_dir():
        return _with_own_tables(train, queries, folder / OWN_FOLDER)
    known = _read_annotations(folder) if known is None else known
    return release_tables.build(train, queries, known)


def export_official(
    tables: Mapping[str, pd.DataFrame] | object, folder: Path, gallery: str = GALLERY
) -> list[Path]:
    """Write a Benchmark, or a dict of its tables, as the official CSVs; return their paths.

    `target_videos_ids` gets every target in `gallery`. Query ids become numbers, and a dot or slash
    in a clip's name an escape, because the official code cannot do with less. What the CSVs have no
    place for goes to `own_tables/`, which the official code does not read and `read_release` does.
    """
    tables = dict(tables if isinstance(tables, Mapping) else vars(tables))
    targets = tables["targets"]
    if gallery not in set(targets["gallery"]):
        raise ValueError(
            f"gallery {gallery!r} has no targets; choose one of {', '.join(sorted(set(targets['gallery'])))}."
        )
    text_of = tables["modifications"].set_index("modification_id")["text"]
    answers = targets[targets["gallery"] == gallery].groupby("query_id")["clip_id"].agg(list)
    queries = tables["queries"]
    unanswered = queries.loc[~queries["query_id"].isin(answers.index), "query_id"]
    if len(unanswered):
        raise ValueError(
            f"{len(unanswered)} queries, such as {unanswered.iloc[0]!r}, have no target in gallery "
            f"{gallery!r}, and the official code needs one each; leave them out."
        )
    queries = queries.assign(
        text=queries["modification_id"].map(text_of),
        targets=queries["query_id"].map(answers),
        target_clip=target_column(queries, answers),
    )
    triplets = tables["triplets"]
    folder = Path(folder)
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
    """Return the one target of each query that makes the official gallery, duplicates and all.

    The release says which, in `target_clip`. For our own queries a hash of the query's id draws it
    from `answers`, the list of clips by query id.
    """
    if "target_clip" in queries:
        return queries["target_clip"]
    drawn = [
        answers[query_id][zlib.crc32(query_id.encode()) % len(answers[query_id])]
        for query_id in queries["query_id"]
    ]
    return pd.Series(drawn, index=queries.index, dtype=str)


def _with_own_tables(train: pd.DataFrame, queries: pd.DataFrame, own_folder: Path) -> dict:
    """Our own release: triplets, queries and their targets from the CSVs, the rest from beside."""
    own = {path.stem: pd.read_parquet(path) for path in sorted(own_folder.glob("*.parquet"))}
    written = json.loads((own_folder / "written.json").read_text("utf-8"))
    text_of = own["modifications"].set_index("modification_id")["text"]
    said = own["queries"]["modification_id"].map(text_of)
    triplets = release_tables.triplets(train, own["modifications"])
    if said.tolist() != queries["text"].tolist() or triplets["modification_id"].isna().any():
        raise ValueError(
            f"{own_folder} belongs to other CSVs than those beside it; remove it to read the CSVs "
            f"alone, or export the benchmark again."
        )
    # In the order of the CSVs, whose ids are numbers only.
    queries = queries.assign(
        query_id=own["queries"]["query_id"],
        modification_id=own["queries"]["modification_id"],
        target_labels=own["queries"]["target_labels"].map(list),
    )
    answers = release_tables.targets(queries, written["gallery"])
    return {name: own[name] for name in OWN_TABLES if name in own} | {
        "triplets": triplets,
        "queries": queries[written["query_columns"]],
        "targets": release_tables.in_order(pd.concat([answers, own["targets"]]), queries),
        "choices": written["choices"],
    }


def _read_annotations(folder: Path) -> Source:
    """FineGym's and FineDiving's own files, of those that lie in the folder."""
    found = [Source(pd.DataFrame(columns=CLIP_COLUMNS), pd.DataFrame(columns=LABEL_COLUMNS))]
    if any(folder.glob("gym288_*element*.txt")):
        found.append(finegym.load(folder))
    if any(folder.glob("finediving_spot_*.json")) or any(folder.glob("*grained_annotation*.pkl")):
        found.append(finediving.load(folder))
    return combine(*found)
