"""The benchmark's tables out of the rows of the official CSVs (see `official_csv` for the rows)."""

import hashlib

import pandas as pd

from ...labels import Attributes, difference, label_text
from ...labels.pairing import KINDS, PAIR_COLUMNS
from ...profiles import SPLITS
from ..folder import read_attributes
from ..source import CLIP_COLUMNS, LABEL_COLUMNS, Source, label_row

GALLERY = "capped"
_GYM_CLIP = r"^(.{11})_E_\d+_\d+_A_\d+_\d+$"
_DIVE_CLIP = r"^(.+?)(?:_r?\d+)?_\d+$"  # session, round, number
_ENDS = ["source_label", "target_label"]


def build(train: pd.DataFrame, queries: pd.DataFrame, known: Source) -> dict:
    """Give every field of a Benchmark; what neither the rows nor `known` say is "" or NaN."""
    table, notes = clips(train, queries, known)
    label_of = table.set_index("clip_id")["label_id"]
    label_ids = {*train["source_label"], *train["target_label"], *label_of} - {""}
    label_table = labels(label_ids, known)
    queries = queries.assign(source_label=queries["query_clip"].map(label_of))
    texts = modifications(train, queries)
    of_text = texts.drop_duplicates(["source_label", "text"])
    queries = queries.merge(of_text[["source_label", "text", "modification_id"]], how="left")
    right = [sorted({label_of[clip] for clip in answer} - {""}) for answer in queries["targets"]]
    columns = ["query_id", "split", "query_clip", "modification_id", "target_labels", "target_clip"]
    tables = {
        "clips": table,
        "labels": label_table,
        "pairs": pairs(train, label_table),
        "modifications": texts,
        "triplets": triplets(train, texts),
        "queries": queries.assign(target_labels=right)[columns],
        "gallery": gallery(queries),
        "targets": targets(queries),
    }
    tables = {name: _with_texts(table) for name, table in tables.items()}
    return tables | {"choices": {"notes": known.notes | notes}}


def clips(train: pd.DataFrame, queries: pd.DataFrame, known: Source) -> tuple[pd.DataFrame, dict[str, int]]:
    """List every clip that the rows name, and count what is not known of them."""
    named = [
        train[[f"{role}_clip", f"{end}_label"]].set_axis(["clip_id", "label_id"], axis=1)
        for role, end in (("query", "source"), ("target", "target"))
    ]
    named += [
        queries[[column, "split"]].explode(column).set_axis(["clip_id", "split"], axis=1)
        for column in ("query_clip", "target_clip", "targets")
    ]
    named = pd.concat(named, ignore_index=True).dropna(subset="clip_id")
    named = named.fillna({"split": SPLITS[0], "label_id": ""}).drop_duplicates()
    n_splits = named.groupby("clip_id")["split"].nunique()
    # A clip of test is one whatever else names it; the doctor tells what trains on it.
    place = named["split"].map(SPLITS.index).groupby(named["clip_id"]).max()
    label = named[named["label_id"] != ""].groupby("clip_id")["label_id"].first()
    table = pd.DataFrame({"clip_id": place.index, "split": [SPLITS[k] for k in place]}, dtype=str)
    told = known.clips.drop(columns="split").rename(columns={"label_id": "told"})
    table = table.merge(told, on="clip_id", how="left")
    gym = table["clip_id"].str.extract(_GYM_CLIP)[0]
    session = table["clip_id"].str.extract(_DIVE_CLIP)[0]
    dataset = gym.notna().map({True: "finegym", False: "finediving"})
    source = table["source_video"].fillna(gym).fillna(session).fillna(table["clip_id"])
    table = table.assign(
        label_id=table["clip_id"].map(label).fillna(table["told"]).fillna(""),
        source_video=source,
        dataset=table["dataset"].fillna(dataset),
    )
    path = table["path"].fillna(table["dataset"] + "/" + table["clip_id"] + ".mp4")
    table = table.assign(path=path)[CLIP_COLUMNS].astype({"start_s": float, "end_s": float})
    return table, {
        "released_clips_in_two_splits": int((n_splits > 1).sum()),
        "released_clips_without_label": int((table["label_id"] == "").sum()),
        "released_clips_without_times": int(table["end_s"].isna().sum()),
    }


def labels(label_ids: set[str], known: Source) -> pd.DataFrame:
    """Take the rows of `known`; of the others a dive code says what it is, a FineGym id nothing."""
    told = known.labels[known.labels["label_id"].isin(label_ids)]
    rows = []
    for label_id in sorted(label_ids - set(told["label_id"])):
        attributes = read_attributes(label_id)
        is_dive = attributes.apparatus == "DV"
        text = label_text(label_id) if is_dive else label_id
        dataset = "finediving" if is_dive else "finegym"
        rows.append(label_row(label_id, text, dataset, attributes, ""))
    table = pd.concat([told, pd.DataFrame(rows, columns=LABEL_COLUMNS)])
    return table.sort_values("label_id", ignore_index=True)


def pairs(train: pd.DataFrame, label_table: pd.DataFrame) -> pd.DataFrame:
    """List the directed label pairs of the triplets; 0 is no tier of ours."""
    table = train[_ENDS].drop_duplicates().sort_values(_ENDS, ignore_index=True)
    parsed = label_table.set_index("label_id")["attributes"].map(Attributes.from_json)
    ends = [(parsed[source], parsed[target]) for source, target in table.to_numpy()]
    changed = [",".join(c.attribute for c in difference(*pair)) for pair in ends]
    kind = [KINDS[source.apparatus != target.apparatus] for source, target in ends]
    table = table.assign(kind=kind, tier=0, changed=changed, similarity=float("nan"), decision="")
    return table[PAIR_COLUMNS]


def modifications(train: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """Name each text of a label pair, and each text of a query that no pair of its label has."""
    said = train[[*_ENDS, "text"]].drop_duplicates().sort_values([*_ENDS, "text"])
    place = said.groupby(_ENDS).cumcount()
    suffix = ("#" + (place + 1).astype(str)).where(place > 0, "")
    named = "short:" + said["source_label"] + ">" + said["target_label"] + suffix
    asked = (
        queries[["source_label", "text"]]
        .drop_duplicates()
        .merge(said[["source_label", "text"]].drop_duplicates(), how="left", indicator=True)
    )
    asked = asked[asked["_merge"] == "left_only"].drop(columns="_merge")
    digest = [
        hashlib.sha256(f"{label}\n{text}".encode()).hexdigest()[:12]
        for label, text in asked[["source_label", "text"]].to_numpy()
    ]
    table = pd.concat(
        [
            said.assign(modification_id=named),
            asked.assign(modification_id=["short:" + d for d in digest], target_label=""),
        ]
    )
    table = table.assign(style="short", writer="released", model="", prompt_sha="", created="")
    columns = ["modification_id", "style", "text", *_ENDS, "writer", "model", "prompt_sha", "created"]
    return table[columns].sort_values("modification_id", ignore_index=True)


def triplets(train: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Put the modification's id in place of its text; NaN where no modification says that."""
    key = [*_ENDS, "text"]
    ids = texts.drop_duplicates(key)[[*key, "modification_id"]]
    table = train.merge(ids, on=key, how="left")
    return table[["query_clip", "target_clip", "modification_id", *_ENDS]]


def gallery(queries: pd.DataFrame) -> pd.DataFrame:
    """Every clip that answers a query of the split, once."""
    named = [
        queries[["split", c]].explode(c).set_axis(["split", "clip_id"], axis=1)
        for c in ("target_clip", "targets")
    ]
    members = pd.concat(named).dropna().drop_duplicates()
    members = members.assign(gallery=GALLERY, place=members["split"].map(SPLITS.index))
    members = members.sort_values(["place", "clip_id"], ignore_index=True)
    return members[["gallery", "split", "clip_id"]]


def targets(queries: pd.DataFrame, name: str = GALLERY) -> pd.DataFrame:
    """A row for each clip that answers a query; the query clip is never its own answer."""
    rows = queries.assign(gallery=name, clip_id=queries["targets"]).explode("clip_id")
    rows = rows[rows["clip_id"].notna() & (rows["clip_id"] != rows["query_clip"])]
    rows = rows[["query_id", "gallery", "clip_id"]].drop_duplicates()
    return in_order(rows, queries)


def in_order(table: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """Sort targets as a benchmark that we build has them."""
    split = table["query_id"].map(queries.set_index("query_id")["split"]).map(SPLITS.index)
    table = table.assign(split=split).sort_values(["split", "gallery", "query_id", "clip_id"])
    return table[["query_id", "gallery", "clip_id"]].reset_index(drop=True).astype(str)


def _with_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Give columns of text pandas' type for it, as a saved benchmark has it."""
    names = [n for n in table if table[n].dtype == object and n != "target_labels"]
    return table.astype(dict.fromkeys(names, str))
