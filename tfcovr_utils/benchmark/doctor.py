"""The doctor: what is wrong with a benchmark, how often, and what to do about it. It stops nothing.

It derives each table from clips, labels and texts again, independently of the code that built the table.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..texts import LENGTHS, count_words
from ..video import VideoError, probe
from ..video.hashes import clip_exists
from .queries import meanings

SHORTEST_S = 0.2  # at usual frame rates, a shorter clip has too few frames to show a motion
EXAMPLES = 3
REPORT_COLUMNS = ["problem", "count", "examples", "advice"]
ADVICE = {
    "clips too short": "take exact times, or drop the clips",
    "labels without training clips": "they cannot be learned; get more videos or drop them",
    "labels without a pair": "no query can use them; look at their attributes",
    "queries without targets": "score without them; get more videos",
    "missing valid targets": "right answers would count as wrong; build again",
    "targets that do not answer": "wrong answers would count as right; build again",
    "duplicates": "build again from a list without them",
    "sources shared between splits": "scores would be too good; split by source again",
    "clips used outside their split": "build again after the split changed",
    "triplets within one source": "they teach the scene and not the motion; build again",
    "triplets that contradict their labels": "build again after labels changed",
    "unknown ids": "tables of different builds were mixed; build again",
    "texts outside the limits": "write them again",
    "missing clip files": "get or cut them, or go on with `Benchmark.restrict`",
    "unreadable clip files": "cut or download them again",
}
KEYS = {
    "clips": ["clip_id"],
    "labels": ["label_id"],
    "pairs": ["source_label", "target_label"],
    "modifications": ["modification_id"],
    "triplets": ["query_clip", "target_clip", "modification_id"],
    "queries": ["query_id"],
    "gallery": ["gallery", "split", "group", "clip_id"],
    "targets": ["query_id", "gallery", "clip_id"],
    "descriptions": ["clip_id", "label_id", "style", "text"],
}


def examine(benchmark, clips_dir: Path | None = None) -> pd.DataFrame:
    """Return problem, count, examples and advice of each check; with `clips_dir`, of the clips' files."""
    cases = _in_tables(benchmark) | ({} if clips_dir is None else _in_files(benchmark, Path(clips_dir)))
    rows = []
    for problem, found in cases.items():
        found = list(found)
        rows.append((problem, len(found), ", ".join(map(str, found[:EXAMPLES])), ADVICE[problem]))
    return pd.DataFrame(rows, columns=REPORT_COLUMNS)


def _in_tables(b) -> dict[str, Iterable]:
    label_ids, clips = b.labels["label_id"], b.clips
    trained = clips.loc[clips["split"] == "train", "label_id"]
    splits = clips.groupby("source_video")["split"].nunique()
    missing, wrong = _differing_targets(b)
    return {
        "clips too short": clips.loc[clips["end_s"] - clips["start_s"] < SHORTEST_S, "clip_id"],
        "labels without training clips": label_ids[~label_ids.isin(trained)],
        "labels without a pair": label_ids[~label_ids.isin(b.pairs["source_label"])],
        "queries without targets": _queries_without_targets(b),
        "missing valid targets": missing,
        "targets that do not answer": wrong,
        "duplicates": _duplicates(b),
        "sources shared between splits": splits.index[splits > 1],
        "clips used outside their split": _clips_outside_their_split(b),
        "triplets within one source": _triplets_where(b, "source_video"),
        "triplets that contradict their labels": _triplets_where(b, "label_id"),
        "unknown ids": _unknown_ids(b),
        "texts outside the limits": _texts_outside_limits(b),
    }


def _in_files(b, clips_dir: Path) -> dict[str, Iterable]:
    paths = b.clips["path"]
    return {
        "missing clip files": (path for path in paths if not clip_exists(clips_dir / path)),
        "unreadable clip files": (
            f"{path} ({fault})" for path in paths if (fault := _fault_of(clips_dir / path))
        ),
    }


def _fault_of(path: Path) -> str | None:
    try:
        return probe(path).fault if path.is_file() else None
    except VideoError as error:
        return str(error)


def _queries_without_targets(b) -> Iterable[str]:
    for gallery in b.gallery["gallery"].unique():
        answered = b.targets.loc[b.targets["gallery"] == gallery, "query_id"]
        for query in b.queries.loc[~b.queries["query_id"].isin(answered), "query_id"]:
            yield f"{query} in {gallery}"


def _differing_targets(b) -> tuple[list[str], list[str]]:
    """Targets that are missing, and targets that are wrong."""
    given = defaultdict(set, b.targets.groupby(["query_id", "gallery"])["clip_id"].agg(set).to_dict())
    valid = _valid_targets(b)
    missing, wrong = [], []
    for query, gallery in sorted(valid.keys() | given.keys()):
        should, is_ = valid.get((query, gallery), set()), given[query, gallery]
        if should is not None:
            missing += [f"{clip} for {query} in {gallery}" for clip in sorted(should - is_)]
            wrong += [f"{clip} for {query} in {gallery}" for clip in sorted(is_ - should)]
    return missing, wrong


def _valid_targets(b) -> dict[tuple[str, str], set[str] | None]:
    """Right answers by query and gallery, derived again; None if the query clip has no label."""
    meaning_of_label = dict(zip(b.labels["label_id"], meanings(b.labels)))
    label_of_clip = dict(b.clips[["clip_id", "label_id"]].values)
    meant = defaultdict(set)  # (meaning of the source label, text) -> meanings of the target labels
    for row in b.modifications.itertuples():
        target = meaning_of_label.get(row.target_label)
        meant[meaning_of_label.get(row.source_label), row.text].add(target)
    text_of = dict(b.modifications[["modification_id", "text"]].values)
    members = defaultdict(lambda: defaultdict(set))
    for row in b.gallery.itertuples():
        shown = meaning_of_label.get(label_of_clip.get(row.clip_id))
        members[row.gallery, row.split][shown].add(row.clip_id)
    valid = {}
    for row in b.queries.itertuples():
        shown = meaning_of_label.get(label_of_clip.get(row.query_clip))
        answers = meant[shown, text_of.get(row.modification_id)]
        for gallery in b.gallery["gallery"].unique():
            by_meaning = members[gallery, row.split]
            clips = set().union(*(by_meaning[answer] for answer in answers)) - {row.query_clip}
            valid[row.query_id, gallery] = None if shown is None else clips
    return valid


def _duplicates(b) -> Iterable[str]:
    for name, columns in KEYS.items():
        table = getattr(b, name)
        columns = [column for column in columns if column in table]
        for values in table.loc[table.duplicated(columns), columns].values:
            yield f"{name}: {' '.join(map(str, values))}"
    for query in b.queries.loc[b.queries.duplicated(["query_clip", "modification_id"]), "query_id"]:
        yield f"queries: {query} asks what another asks"


def _of_clips(b, column: str) -> pd.Series:
    return b.clips.set_index("clip_id")[column].groupby(level=0).first()


def _clips_outside_their_split(b) -> Iterable[str]:
    split = _of_clips(b, "split")
    for column in ("query_clip", "target_clip"):
        where = b.triplets[column].map(split)
        outside = where.notna() & (where != "train")
        yield from (f"{clip} in triplets" for clip in b.triplets.loc[outside, column].unique())
    for name, column in (("queries", "query_clip"), ("gallery", "clip_id")):
        table = getattr(b, name)
        where = table[column].map(split)
        # Some benchmarks search the same clips on val and on test; such a clip has an empty split.
        outside = where.notna() & (where != "") & (where != table["split"])
        yield from (f"{clip} in {name}" for clip in table.loc[outside, column])


def _triplets_where(b, column: str) -> Iterable[str]:
    """Triplets whose clips share a source video, or whose clips have other labels than the triplet says."""
    query, target = (b.triplets[end].map(_of_clips(b, column)) for end in ("query_clip", "target_clip"))
    if column == "source_video":
        wrong = query == target
    else:
        ends = ((query, "source_label"), (target, "target_label"))
        off = [clip.notna() & (clip != b.triplets[label]) for clip, label in ends]
        wrong = off[0] | off[1]
    yield from (" and ".join(ids) for ids in b.triplets.loc[wrong, ["query_clip", "target_clip"]].values)


def _unknown_ids(b) -> Iterable[str]:
    homes = {
        "label_id": "labels",
        "clip_id": "clips",
        "modification_id": "modifications",
        "query_id": "queries",
    }
    known = {column: set(getattr(b, name)[column]) for column, name in homes.items()}
    known |= dict.fromkeys(("source_label", "target_label"), known["label_id"])
    known |= dict.fromkeys(("query_clip", "target_clip"), known["clip_id"])
    for name in ("clips", "pairs", "modifications", "triplets", "queries", "gallery", "targets"):
        table = getattr(b, name)
        for column in [column for column in table if column in known]:
            # Texts that belong to a triplet and not to a label pair leave the labels empty.
            strange = set(table[column].unique()) - known[column] - {""}
            yield from (f"{value} in {name}.{column}" for value in sorted(strange))


def _texts_outside_limits(b) -> Iterable[str]:
    for row in b.modifications.itertuples():
        low, high = LENGTHS.get(row.style, (1, float("inf")))
        if not low <= count_words(row.text) <= high:
            yield f"{row.modification_id}: {row.text!r}"
