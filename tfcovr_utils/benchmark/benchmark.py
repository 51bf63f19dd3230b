"""The benchmark: built from a source's clips and labels, saved, loaded, checked; and its command.

tfcovr build --source tfcovr --annotations DIR --out DIR --json
"""

import json
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..labels.pairing import Encoder, pair_labels
from ..machine.files import load_table, replacing, together, write_json, write_table
from ..machine.hashing import hash_text
from ..profiles import SPLITS
from ..sources import Source
from ..texts import MODIFICATION_COLUMNS, describe_labels, make_jobs, write_by_rule
from .doctor import examine
from .queries import build_queries
from .splits import split_by_source

BUDGET = 180_000  # training triplets, as in the paper
# What a directed label pair of each tier weighs; as counts they fill the paper's budget.
PER_PAIR = {1: 175, 2: 175, 3: 53}
TARGETS_PER_QUERY = 10  # of one label, for one query clip
TRIPLET_COLUMNS = ["query_clip", "target_clip", "modification_id", "source_label", "target_label"]
DESCRIPTION_COLUMNS = ["clip_id", "label_id", "style", "text", "writer"]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark as tables; their columns are the same whatever the source."""

    clips: pd.DataFrame
    labels: pd.DataFrame
    pairs: pd.DataFrame
    modifications: pd.DataFrame
    triplets: pd.DataFrame
    queries: pd.DataFrame
    gallery: pd.DataFrame
    targets: pd.DataFrame
    descriptions: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=DESCRIPTION_COLUMNS, dtype=str)
    )
    choices: dict = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        source: Source,
        *,
        seed: int = 0,
        budget: int = BUDGET,
        encoder: Encoder | None = None,
        decisions: Path | None = None,
        modifications: pd.DataFrame | None = None,
    ) -> "Benchmark":
        """Pair the labels, write the texts, split by source, and draw triplets and queries.

        A split that the source gives is kept. `modifications` brings texts that were already
        accepted; pairs it does not cover get the rule writer's.
        """
        clips = source.clips.sort_values("clip_id", ignore_index=True)
        if source.labels.empty:
            raise ValueError(
                f"{len(clips)} clips have no label, and without labels there are no pairs; put clips into folders named by label, or give "
                "the CSV itself that names their labels."
            )
        labels = source.labels.sort_values("label_id", ignore_index=True)
        pairs = pair_labels(labels, encoder, decisions)
        choices: dict = {"seed": seed, "notes": source.notes}
        if (clips["split"] == "").any():
            split, drawn = split_by_source(clips, pairs, seed)
            clips, choices = clips.assign(split=split), choices | drawn
        texts = write_modifications(labels, pairs, modifications)
        triplets = draw_triplets(clips, pairs, texts, budget, seed)
        parts = [build_queries(clips, labels, pairs, texts, s, seed) for s in SPLITS[1:]]
        queries, gallery, targets = (pd.concat(part, ignore_index=True) for part in zip(*parts))
        tables = (clips, labels, pairs, texts, triplets, queries, gallery, targets)
        return cls(*tables, describe_labels(labels), choices)

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the choices as JSON; what is equal gives equal bytes."""
        with together(folder, f"{TABLES[0]}.parquet") as temporary:
            for name in TABLES:
                write_table(getattr(self, name), temporary / f"{name}.parquet")
            write_json(self.choices, temporary / "choices.json")

    @classmethod
    def load(cls, folder: Path) -> "Benchmark":
        """Read what `save` wrote."""
        folder = Path(folder)
        absent = [name for name in TABLES if not (folder / f"{name}.parquet").exists()]
        if absent:
            raise FileNotFoundError(
                f"{folder} has no {absent[0]}.parquet; build the benchmark there with "
                f"`tfcovr build --out {folder}`."
            )
        tables = {name: load_table(folder / f"{name}.parquet") for name in TABLES}
        lists = tables["queries"]["target_labels"].map(list)
        tables["queries"] = tables["queries"].assign(target_labels=lists)
        choices = folder / "choices.json"
        return cls(**tables, choices=json.loads(choices.read_text()) if choices.exists() else {})

    @cached_property
    def digest(self) -> str:
        """Hash of all tables, row by row."""
        rows = [pd.util.hash_pandas_object(getattr(self, name).astype(str), index=False) for name in TABLES]
        return hash_text(str([values.to_numpy().tobytes() for values in rows]))

    def check(self, clips_dir: Path | None = None) -> pd.DataFrame:
        """Ask the doctor: one row a possible problem, with its count, examples and what to do.

        With `clips_dir` the files of the clips are opened too.
        """
        return examine(self, clips_dir)

    def restrict(self, clip_ids: set[str]) -> "Benchmark":
        """Keep what can be done with these clips only: same split, same queries, fewer of each.

        A query stays while its clip and at least one target of each gallery that had some are there.
        """
        clips = self.clips[self.clips["clip_id"].isin(clip_ids)]
        both = self.triplets[["query_clip", "target_clip"]].isin(clip_ids).all(axis=1)
        gallery = self.gallery[self.gallery["clip_id"].isin(clip_ids)]
        targets = self.targets[self.targets["clip_id"].isin(clip_ids)]
        before, left = (
            table.groupby("query_id")["gallery"]
            .nunique()
            .reindex(self.queries["query_id"], fill_value=0)
            .to_numpy()
            for table in (self.targets, targets)
        )
        queries = self.queries[self.queries["query_clip"].isin(clip_ids) & (before == left)]
        targets = targets[targets["query_id"].isin(queries["query_id"])]
        tables = {"clips": clips, "gallery": gallery, "targets": targets, "queries": queries}
        tables["triplets"] = self.triplets[both]
        return replace(self, **{k: table.reset_index(drop=True) for k, table in tables.items()})

    def reworded(self, modifications: pd.DataFrame) -> "Benchmark":
        """Ask the same of the same clips in other words; `modifications` has one text for each label pair that is asked."""
        ends = ["source_label", "target_label"]
        of_pair = modifications.set_index(ends)["modification_id"]
        before = self.modifications.set_index("modification_id")[ends].apply(tuple, axis=1)
        now = before.map(of_pair.to_dict())
        asked = pd.concat([self.triplets["modification_id"], self.queries["modification_id"]]).unique()
        if now[asked].isna().any():
            raise ValueError(
                f"{now[asked].isna().sum()} of {len(asked)} label pairs that are asked have no new text, such as "
                f"{' -> '.join(before[asked][now[asked].isna()].iloc[0])}; write one for each."
            )
        tables = {
            name: getattr(self, name).assign(modification_id=getattr(self, name)["modification_id"].map(now))
            for name in ("triplets", "queries")
        }
        return replace(self, modifications=modifications, **tables)

    def coverage(self, complete: "Benchmark") -> dict[str, float]:
        """Return what share of each table of the complete benchmark is here."""
        return {
            name: round(len(getattr(self, name)) / max(len(getattr(complete, name)), 1), 4)
            for name in ("clips", "triplets", "queries", "targets")
        }


TABLES = [f.name for f in fields(Benchmark) if f.name != "choices"]


def write_modifications(
    labels: pd.DataFrame, pairs: pd.DataFrame, accepted: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one short text a directed pair: the accepted one where there is one, else by rule."""
    texts = write_by_rule(make_jobs(pairs, labels))
    if accepted is None:
        return texts
    ends = ["source_label", "target_label"]
    wanted = accepted[accepted["style"] == "short"].merge(pairs[ends])
    both = pd.concat([wanted[MODIFICATION_COLUMNS], texts]).drop_duplicates(ends)
    return both.sort_values(ends, ignore_index=True)  # as without accepted texts: draws go by this order


def draw_triplets(
    clips: pd.DataFrame, pairs: pd.DataFrame, modifications: pd.DataFrame, budget: int = BUDGET, seed: int = 0
) -> pd.DataFrame:
    """Draw distinct training triplets of different sources, spread evenly over the label pairs.

    Each directed pair draws round-robin over its query clips, with at most `TARGETS_PER_QUERY`
    targets for each. The budget is filled from all pairs at once, at the pace of `PER_PAIR`, so a
    pair with few clips gives all it has and no pair is favoured by its order.
    """
    columns = _TrainingClips(clips, pairs, modifications)
    drawn, pace = [], []
    for pair, (query, target, allowed) in enumerate(columns.products()):
        rng = np.random.default_rng([seed, pair])
        per_query = min(TARGETS_PER_QUERY, allowed.shape[1])
        key = np.where(allowed, rng.random(allowed.shape), np.inf)
        best = np.argsort(key, axis=1, kind="stable")[:, :per_query]  # (Q, targets), at random
        order = rng.random(len(query)).argsort()
        turn, asked = np.meshgrid(np.arange(per_query), order, indexing="ij")
        answer = best[asked, turn].ravel()
        asked = asked.ravel()
        valid = allowed[asked, answer]
        asked, answer = asked[valid], answer[valid]
        drawn.append(np.stack([np.full(len(asked), pair), query[asked], target[answer]]))
        pace.append(np.arange(1, len(asked) + 1) / PER_PAIR[columns.tier[pair]])
    table = np.concatenate([np.zeros((3, 0), dtype=int), *drawn], axis=1)
    chosen = np.argsort(np.concatenate([np.zeros(0), *pace]), kind="stable")[:budget]
    return columns.frame(*table[:, np.sort(chosen)])


def stream_all_triplets(
    clips: pd.DataFrame, pairs: pd.DataFrame, modifications: pd.DataFrame, path: Path
) -> int:
    """Write every training triplet of different sources to Parquet, and return how many.

    The product runs to tens of millions of rows, so it goes out pair by pair as codes into
    dictionaries; memory stays at one pair's product.
    """
    columns = _TrainingClips(clips, pairs, modifications)
    count = 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, columns.schema()) as writer:
        for pair, (query, target, allowed) in enumerate(columns.products()):
            asked, answer = np.nonzero(allowed)
            if len(asked):
                writer.write_table(columns.coded(pair, (query, asked), (target, answer)))
                count += len(asked)
    return count


class _TrainingClips:
    """Training clips by label, and every directed pair's queries and targets among them."""

    def __init__(self, clips: pd.DataFrame, pairs: pd.DataFrame, modifications: pd.DataFrame):
        train = clips[clips["split"] == "train"].sort_values("clip_id", ignore_index=True)
        short = modifications[modifications["style"] == "short"]
        pairs = pairs.merge(short[["source_label", "target_label", "modification_id"]])
        self.clip_id = train["clip_id"].to_numpy()
        self.pairs = pairs.sort_values("modification_id", ignore_index=True)
        self.tier = self.pairs["tier"].to_numpy()
        self._video = pd.factorize(train["source_video"])[0]
        self._clips_of = {label: idx for label, idx in train.groupby("label_id").indices.items()}

    def products(self):
        """Yield (query_idx, target_idx, allowed (Q, T)) a pair; allowed where sources differ."""
        nothing = np.zeros(0, dtype=np.int64)
        for source, target in self.pairs[["source_label", "target_label"]].to_numpy():
            query = self._clips_of.get(source, nothing)
            answer = self._clips_of.get(target, nothing)
            yield query, answer, self._video[query][:, None] != self._video[answer]

    def frame(self, pair: np.ndarray, query: np.ndarray, target: np.ndarray) -> pd.DataFrame:
        chosen = self.pairs.iloc[pair].reset_index(drop=True)
        table = chosen.assign(query_clip=self.clip_id[query], target_clip=self.clip_id[target])
        return table[TRIPLET_COLUMNS]

    def schema(self) -> pa.Schema:
        coded = pa.dictionary(pa.int32(), pa.string())
        return pa.schema([(name, coded) for name in TRIPLET_COLUMNS])

    def coded(self, pair: int, *ends: tuple[np.ndarray, np.ndarray]) -> pa.Table:
        """One pair's triplets; each end is the clips of a label and the positions among them."""
        row = self.pairs.iloc[pair]
        columns = [(self.clip_id[clips], place) for clips, place in ends]
        same = np.zeros(len(columns[0][1]), dtype=np.int32)
        columns += [([row[name]], same) for name in TRIPLET_COLUMNS[2:]]
        arrays = [
            pa.DictionaryArray.from_arrays(pa.array(idx, pa.int32()), pa.array(names, pa.string()))
            for names, idx in columns
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema())
