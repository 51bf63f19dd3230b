"""The doctor: what is wrong with a benchmark, named, counted, with what to do about it.

It repairs nothing and stops nothing. What a table must hold is worked out here again from clips,
labels and texts, apart from the code that built the table.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from ..texts import LENGTHS, count_words
from ..video import VideoError, probe
from ..video.hashes import clip_exists
from .queries import meanings

SHORTEST_S = 0.2  # below it a clip of the usual frame rates has too few frames to show a motion
EXAMPLES = 3
REPORT_COLUMNS = ["problem", "count", "examples", "advice"]


def examine(benchmark, clips_dir: Path | None = None) -> pd.DataFrame:
    """Return one row a possible problem: name, count, the first examples, and what to do.

    `benchmark` is a `triplets.Benchmark`. With `clips_dir` the files of the clips are opened too.
    """
    found = [(*key, list(find(benchmark))) for key, find in _CHECKS.items()]
    if clips_dir is not None:
        files = Path(clips_dir)
        found += [(*key, list(find(benchmark, files))) for key, find in _FILE_CHECKS.items()]
    rows = [
        (problem, len(cases), ", ".join(map(str, cases[:EXAMPLES])), advice)
        for problem, advice, cases in found
    ]
    return pd.DataFrame(rows, columns=REPORT_COLUMNS)


def _too_short(b) -> Iterable[str]:
    return b.clips.loc[b.clips["end_s"] - b.clips["start_s"] < SHORTEST_S, "clip_id"]


def _labels_without_training_clips(b) -> Iterable[str]:
    trained = b.clips.loc[b.clips["split"] == "train", "label_id"]
    return b.labels.loc[~b.labels["label_id"].isin(trained), "label_id"]


def _labels_without_pairs(b) -> Iterable[str]:
    return b.labels.loc[~b.labels["label_id"].isin(b.pairs["source_label"]), "label_id"]


def _queries_without_targets(b) -> Iterable[str]:
    for gallery in b.gallery["gallery"].unique():
        answered = b.targets.loc[b.targets["gallery"] == gallery, "query_id"]
        for query in b.queries.loc[~b.queries["query_id"].isin(answered), "query_id"]:
            yield f"{query} in {gallery}"


def _valid_targets(b) -> dict[tuple[str, str], set[str] | None]:
    """Every right answer from first principles: query clip, its label, texts, labels, clips.

    None where the query clip has no label, as in the official release by itself.
    """
    meaning_of_label = dict(zip(b.labels["label_id"], meanings(b.labels)))
    label_of_clip = dict(b.clips[["clip_id", "label_id"]].values)
    meant = defaultdict(set)  # (what the source shows, what is said) -> what the target shows
    said = {}
    for row in b.modifications.itertuples():
        source, target = meaning_of_label.get(row.source_label), meaning_of_label.get(row.target_label)
        meant[source, row.text].add(target)
        said[row.modification_id] = row.text
    members = defaultdict(lambda: defaultdict(set))
    for row in b.gallery.itertuples():
        shown = meaning_of_label.get(label_of_clip.get(row.clip_id))
        members[row.gallery, row.split][shown].add(row.clip_id)
    valid = {}
    for row in b.queries.itertuples():
        shown = meaning_of_label.get(label_of_clip.get(row.query_clip))
        answers = meant[shown, said.get(row.modification_id)]
        for gallery in b.gallery["gallery"].unique():
            by_text = members[gallery, row.split]
            clips = set().union(*(by_text[answer] for answer in answers)) - {row.query_clip}
            valid[row.query_id, gallery] = None if shown is None else clips
    return valid


def _differing_targets(b, missing: bool) -> Iterable[str]:
    given = b.targets.groupby(["query_id", "gallery"])["clip_id"].agg(set)
    given = defaultdict(set, given.to_dict())
    valid = _valid_targets(b)
    for key in sorted(valid.keys() | given.keys()):
        should, is_ = valid.get(key, set()), given[key]
        if should is None:
            continue
        for clip in sorted(should - is_ if missing else is_ - should):
            yield f"{clip} for {key[0]} in {key[1]}"


def _missing_targets(b) -> Iterable[str]:
    return _differing_targets(b, missing=True)


def _wrong_targets(b) -> Iterable[str]:
    return _differing_targets(b, missing=False)


def _duplicates(b) -> Iterable[str]:
    keys = {
        "clips": ["clip_id"],
        "labels": ["label_id"],
        "pairs": ["source_label", "target_label"],
        "modifications": ["modification_id"],
        "triplets": ["query_clip", "target_clip", "modification_id"],
        "queries": ["query_id"],
        "gallery": [name for name in ("gallery", "split", "group", "clip_id") if name in b.gallery],
        "targets": ["query_id", "gallery", "clip_id"],
        "descriptions": ["clip_id", "label_id", "style", "text"],
    }
    for name, columns in keys.items():
        table = getattr(b, name)
        for values in table.loc[table.duplicated(columns), columns].values:
            yield f"{name}: {' '.join(map(str, values))}"
    asked = ["query_clip", "modification_id"]
    for query in b.queries.loc[b.queries.duplicated(asked), "query_id"]:
        yield f"queries: {query} asks what another asks"


def _shared_sources(b) -> Iterable[str]:
    splits = b.clips.groupby("source_video")["split"].nunique()
    return splits.index[splits > 1]


def _clips_out_of_their_split(b) -> Iterable[str]:
    split = b.clips.set_index("clip_id")["split"].groupby(level=0).first()
    for column in ("query_clip", "target_clip"):
        where = b.triplets[column].map(split)
        outside = where.notna() & (where != "train")
        yield from (f"{clip} in triplets" for clip in b.triplets.loc[outside, column].unique())
    for name, column in (("queries", "query_clip"), ("gallery", "clip_id")):
        table = getattr(b, name)
        where = table[column].map(split)
        # Some benchmarks search the same clips on val and on test; such a clip is of no split.
        outside = where.notna() & (where != "") & (where != table["split"])
        yield from (f"{clip} in {name}" for clip in table.loc[outside, column])


def _same_source_triplets(b) -> Iterable[str]:
    video = b.clips.set_index("clip_id")["source_video"].groupby(level=0).first()
    ends = [b.triplets[column].map(video) for column in ("query_clip", "target_clip")]
    for values in b.triplets.loc[ends[0] == ends[1], ["query_clip", "target_clip"]].values:
        yield " and ".join(values)


def _mislabelled_triplets(b) -> Iterable[str]:
    label = b.clips.set_index("clip_id")["label_id"].groupby(level=0).first()
    wrong = pd.Series(False, index=b.triplets.index)
    for end in ("source", "target"):
        clip = b.triplets["query_clip" if end == "source" else "target_clip"].map(label)
        wrong |= clip.notna() & (clip != b.triplets[f"{end}_label"])
    for values in b.triplets.loc[wrong, ["query_clip", "target_clip"]].values:
        yield " and ".join(values)


def _unknown_ids(b) -> Iterable[str]:
    known = {
        "label_id": set(b.labels["label_id"]),
        "clip_id": set(b.clips["clip_id"]),
        "modification_id": set(b.modifications["modification_id"]),
        "query_id": set(b.queries["query_id"]),
    }
    kind_of = {"source_label": "label_id", "target_label": "label_id"}
    kind_of |= {"query_clip": "clip_id", "target_clip": "clip_id"}
    for name in ("clips", "pairs", "modifications", "triplets", "queries", "gallery", "targets"):
        table = getattr(b, name)
        for column in table.columns:
            kind = kind_of.get(column, column)
            # Texts that belong to a triplet and not to a label pair leave the labels empty.
            if kind in known:
                strange = set(table[column].unique()) - known[kind] - {""}
                yield from (f"{value} in {name}.{column}" for value in sorted(strange))


def _texts_outside_limits(b) -> Iterable[str]:
    for row in b.modifications.itertuples():
        low, high = LENGTHS.get(row.style, (1, float("inf")))
        if not low <= count_words(row.text) <= high:
            yield f"{row.modification_id}: {row.text!r}"


def _missing_files(b, clips_dir: Path) -> Iterable[str]:
    return (path for path in b.clips["path"] if not clip_exists(clips_dir / path))


def _unreadable_files(b, clips_dir: Path) -> Iterable[str]:
    for path in b.clips["path"]:
        file = clips_dir / path
        if file.is_file():
            try:
                fault = probe(file).fault
            except VideoError as error:
                fault = str(error)
            if fault:
                yield f"{path} ({fault})"


_CHECKS: dict[tuple[str, str], Callable] = {
    ("clips too short", "take exact times, or drop the clips"): _too_short,
    ("labels without training clips", "they cannot be learned; get more videos or drop them"): (
        _labels_without_training_clips
    ),
    ("labels without a pair", "no query can use them; look at their attributes"): (_labels_without_pairs),
    ("queries without targets", "score without them; get more videos"): _queries_without_targets,
    ("missing valid targets", "right answers would count as wrong; build again"): _missing_targets,
    ("targets that do not answer", "wrong answers would count as right; build again"): (_wrong_targets),
    ("duplicates", "build again from a list without them"): _duplicates,
    ("sources shared between splits", "scores would be too good; split by source again"): (_shared_sources),
    ("clips used outside their split", "build again after the split changed"): (_clips_out_of_their_split),
    ("triplets within one source", "they teach the scene and not the motion; build again"): (
        _same_source_triplets
    ),
    ("triplets that contradict their labels", "build again after labels changed"): (_mislabelled_triplets),
    ("unknown ids", "tables of different builds were mixed; build again"): _unknown_ids,
    ("texts outside the limits", "write them again"): _texts_outside_limits,
}
_FILE_CHECKS: dict[tuple[str, str], Callable] = {
    ("missing clip files", "get or cut them, or go on with `Benchmark.restrict`"): _missing_files,
    ("unreadable clip files", "cut or download them again"): _unreadable_files,
}
