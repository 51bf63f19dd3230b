"""A Benchmark's tables from the rows of the official CSVs (`csv_files` reads the rows)."""

import json
from collections import Counter
from itertools import chain

import pandas as pd

from ...labels import Attributes, difference, label_text
from ...labels.pairing import ENDS, KINDS, PAIR_COLUMNS
from ...machine.hashing import digest
from ...profiles import SPLITS
from ..folder import read_attributes
from ..source import CLIP_COLUMNS, LABEL_COLUMNS, MODIFICATION_COLUMNS, Source, label_row

GALLERY = "capped"
_GYM_CLIP = r"^(.{11})_E_\d+_\d+_A_\d+_\d+$"
_DIVE_CLIP = r"^(.+?)(?:_r?\d+)?_\d+$"  # session, round, number
_QUERIES = ["query_id", "split", "query_clip", "modification_id", "target_labels", "target_clip"]
_QUERIES += ["listed_targets"]  # as the CSV has them, JSON: with the query clip and repetitions


def build(train: pd.DataFrame, queries: pd.DataFrame, known: Source) -> dict:
    """Return every field of a Benchmark; what neither the rows nor `known` say is "" or NaN."""
    clips, notes = build_clips(train, queries, known)
    label_of = dict(zip(clips["clip_id"], clips["label_id"]))
    labels = build_labels({*train["source_label"], *train["target_label"], *label_of.values()} - {""}, known)
    queries = queries.assign(source_label=queries["query_clip"].map(label_of))
    texts = build_modifications(train, queries)
    of_text = texts.drop_duplicates(["source_label", "text"])[["source_label", "text", "modification_id"]]
    right = [sorted({label_of[clip] for clip in answers} - {""}) for answers in queries["targets"]]
    gallery = [(GALLERY, split, clip) for split in SPLITS for clip in sorted(_answers(queries, split))]
    tables = {
        "clips": clips,
        "labels": labels,
        "pairs": build_pairs(train, labels),
        "modifications": texts,
        "triplets": build_triplets(train, texts),
        "queries": queries.merge(of_text, how="left").assign(
            target_labels=right, listed_targets=queries["targets"].map(json.dumps)
        )[_QUERIES],
        "gallery": pd.DataFrame(gallery, columns=["gallery", "split", "clip_id"], dtype=str),
        "targets": build_targets(queries, GALLERY),
    }
    for name, table in tables.items():
        columns = [column for column in table if table[column].dtype == object and column != "target_labels"]
        tables[name] = table.astype(dict.fromkeys(columns, str))
    return tables | {"choices": {"notes": known.notes | notes}}


def build_clips(
    train: pd.DataFrame, queries: pd.DataFrame, known: Source
) -> tuple[pd.DataFrame, dict[str, int]]:
    """List every clip that the rows name, and count what is not known of them."""
    label_of = {}
    for clips, labels in (("query_clip", "source_label"), ("target_clip", "target_label")):
        for clip_id, label_id in zip(train[clips], train[labels]):
            if label_id:
                label_of.setdefault(clip_id, label_id)
    splits = {split: _answers(queries, split) for split in SPLITS}
    splits["train"] |= {*train["query_clip"], *train["target_clip"]}
    for split, clip_id in zip(queries["split"], queries["query_clip"]):
        splits[split].add(clip_id)
    n_splits = Counter(chain.from_iterable(splits.values()))
    # A clip of test stays one whatever else names it; `tfcovr check` counts what trains on it.
    split_of = {clip_id: split for split in SPLITS for clip_id in splits[split]}
    table = pd.DataFrame(sorted(split_of.items()), columns=["clip_id", "split"], dtype=str)
    table = table.merge(known.clips.drop(columns="split"), on="clip_id", how="left")
    gym = table["clip_id"].str.extract(_GYM_CLIP)[0]
    session = table["clip_id"].str.extract(_DIVE_CLIP)[0]
    dataset = table["dataset"].fillna(gym.notna().map({True: "finegym", False: "finediving"}))
    table = table.assign(
        label_id=table["clip_id"].map(label_of).fillna(table["label_id"]).fillna(""),
        source_video=table["source_video"].fillna(gym).fillna(session).fillna(table["clip_id"]),
        dataset=dataset,
        path=table["path"].fillna(dataset + "/" + table["clip_id"] + ".mp4"),
    )[CLIP_COLUMNS].astype({"start_s": float, "end_s": float})
    return table, {
        "released_clips_in_two_splits": sum(n > 1 for n in n_splits.values()),
        "released_clips_without_label": int((table["label_id"] == "").sum()),
        "released_clips_without_times": int(table["end_s"].isna().sum()),
    }


def build_labels(label_ids: set[str], known: Source) -> pd.DataFrame:
    """Take the rows of `known`. Of other labels only a dive code says what it means."""
    table = known.labels[known.labels["label_id"].isin(label_ids)]
    rows = []
    for label_id in sorted(label_ids - set(table["label_id"])):
        attributes = read_attributes(label_id)
        is_dive = attributes.apparatus == "DV"
        text, dataset = (label_text(label_id), "finediving") if is_dive else (label_id, "finegym")
        rows.append(label_row(label_id, text, dataset, attributes, ""))
    table = pd.concat([table, pd.DataFrame(rows, columns=LABEL_COLUMNS)])
    return table.sort_values("label_id", ignore_index=True)


def build_pairs(train: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """List the directed label pairs of the triplets. Tier 0 is none of our tiers."""
    table = train[ENDS].drop_duplicates().sort_values(ENDS, ignore_index=True)
    attributes = labels.set_index("label_id")["attributes"].map(Attributes.from_json)
    ends = [(attributes[source], attributes[target]) for source, target in table.to_numpy()]
    changed = [",".join(change.attribute for change in difference(*pair)) for pair in ends]
    kind = [KINDS[source.apparatus != target.apparatus] for source, target in ends]
    table = table.assign(kind=kind, tier=0, changed=changed, similarity=float("nan"), decision="")
    return table[PAIR_COLUMNS]


def build_modifications(train: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """Name each text of a label pair, and each text of a query that no pair of its label has."""
    texts = train[[*ENDS, "text"]].drop_duplicates().sort_values([*ENDS, "text"])
    number = texts.groupby(ENDS).cumcount()
    suffix = ("#" + (number + 1).astype(str)).where(number > 0, "")
    texts = texts.assign(
        modification_id="short:" + texts["source_label"] + ">" + texts["target_label"] + suffix
    )
    known = set(zip(texts["source_label"], texts["text"]))
    asked = dict.fromkeys(zip(queries["source_label"], queries["text"]))
    others = [
        ("short:" + digest(f"{label}\n{text}")[:12], text, label, "")
        for label, text in asked
        if (label, text) not in known
    ]
    table = pd.concat([texts, pd.DataFrame(others, columns=["modification_id", "text", *ENDS], dtype=str)])
    table = table.assign(style="short", writer="released", model="", prompt_sha="", created="")
    return table[MODIFICATION_COLUMNS].sort_values("modification_id", ignore_index=True)


def build_triplets(train: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Replace each text by its modification's id, NaN where no modification has that text."""
    key = [*ENDS, "text"]
    table = train.merge(texts.drop_duplicates(key)[[*key, "modification_id"]], on=key, how="left")
    return table[["query_clip", "target_clip", "modification_id", *ENDS]]


def build_targets(queries: pd.DataFrame, gallery: str) -> pd.DataFrame:
    """List each clip that answers a query; the query clip is never its own answer."""
    rows = queries.assign(gallery=gallery, clip_id=queries["targets"]).explode("clip_id")
    rows = rows[rows["clip_id"].notna() & (rows["clip_id"] != rows["query_clip"])]
    return sort_targets(rows[["query_id", "gallery", "clip_id"]].drop_duplicates(), queries)


def sort_targets(targets: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """Sort targets as in a benchmark that we build."""
    place = targets["query_id"].map(dict(zip(queries["query_id"], queries["split"].map(SPLITS.index))))
    table = targets.assign(place=place).sort_values(["place", "gallery", "query_id", "clip_id"])
    return table[["query_id", "gallery", "clip_id"]].reset_index(drop=True).astype(str)


def _answers(queries: pd.DataFrame, split: str) -> set[str]:
    rows = queries[queries["split"] == split]
    return {*rows["target_clip"], *chain.from_iterable(rows["targets"])}
