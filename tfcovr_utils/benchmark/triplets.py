"""Training triplets: drawn within a budget, or all of them streamed to a file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..machine.files import replacing

BUDGET = 180_000  # training triplets, as in the paper
# Triplets of a directed label pair, by the pair's tier: with these the paper's clips fill the paper's budget.
PER_PAIR = {1: 175, 2: 175, 3: 53}
TARGETS_PER_QUERY = 10  # of one label, for one query clip
TRIPLET_COLUMNS = ["query_clip", "target_clip", "modification_id", "source_label", "target_label"]


def draw_triplets(
    clips: pd.DataFrame, pairs: pd.DataFrame, modifications: pd.DataFrame, budget: int = BUDGET, seed: int = 0
) -> pd.DataFrame:
    """Draw distinct training triplets from different sources, `TARGETS_PER_QUERY` for a query clip at most.

    The budget is filled from all pairs at once, in proportion to `PER_PAIR`; the order of pairs favours none.
    """
    train = _TrainingClips(clips, pairs, modifications)
    drawn, pace = [np.zeros((3, 0), dtype=int)], [np.zeros(0)]
    for pair, (query_idx, target_idx, allowed) in enumerate(train.products()):
        rng = np.random.default_rng([seed, pair])
        per_query = min(TARGETS_PER_QUERY, allowed.shape[1])
        key = np.where(allowed, rng.random(allowed.shape), np.inf)
        best = np.argsort(key, axis=1, kind="stable")[:, :per_query]  # (Q, per_query), in random order
        order = rng.random(len(query_idx)).argsort()
        turn, asked = (axis.ravel() for axis in np.meshgrid(np.arange(per_query), order, indexing="ij"))
        answer = best[asked, turn]
        valid = allowed[asked, answer]
        asked, answer = asked[valid], answer[valid]
        drawn.append(np.stack([np.full(len(asked), pair), query_idx[asked], target_idx[answer]]))
        pace.append(np.arange(1, len(asked) + 1) / PER_PAIR[train.pairs["tier"].iloc[pair]])
    chosen = np.sort(np.argsort(np.concatenate(pace), kind="stable")[:budget])
    pair, query, target = np.concatenate(drawn, axis=1)[:, chosen]
    table = train.pairs.iloc[pair].reset_index(drop=True)
    return table.assign(query_clip=train.clip_ids[query], target_clip=train.clip_ids[target])[TRIPLET_COLUMNS]


def stream_all_triplets(
    clips: pd.DataFrame, pairs: pd.DataFrame, modifications: pd.DataFrame, path: Path
) -> int:
    """Write all training triplets to Parquet, one pair in memory at a time; return their number."""
    train = _TrainingClips(clips, pairs, modifications)
    schema = pa.schema([(name, pa.dictionary(pa.int32(), pa.string())) for name in TRIPLET_COLUMNS])
    count = 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for pair, (query_idx, target_idx, allowed) in enumerate(train.products()):
            asked, answer = np.nonzero(allowed)
            if not len(asked):
                continue
            same = np.zeros(len(asked), dtype=np.int32)
            coded = [(train.clip_ids[query_idx], asked), (train.clip_ids[target_idx], answer)]
            coded += [([value], same) for value in train.pairs.iloc[pair][TRIPLET_COLUMNS[2:]]]
            arrays = [
                pa.DictionaryArray.from_arrays(pa.array(idx, pa.int32()), pa.array(values, pa.string()))
                for values, idx in coded
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(asked)
    return count


class _TrainingClips:
    """The training clips by label, and the directed pairs that have a short text."""

    def __init__(self, clips: pd.DataFrame, pairs: pd.DataFrame, modifications: pd.DataFrame):
        train = clips[clips["split"] == "train"].sort_values("clip_id", ignore_index=True)
        short = modifications[modifications["style"] == "short"]
        pairs = pairs.merge(short[["source_label", "target_label", "modification_id"]])
        self.clip_ids = train["clip_id"].to_numpy()
        self.pairs = pairs.sort_values("modification_id", ignore_index=True)
        self._video = pd.factorize(train["source_video"])[0]
        self._clips_of = train.groupby("label_id").indices

    def products(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (query_idx (Q,), target_idx (T,), allowed (Q, T)) for each pair; the sources must differ."""
        none = np.zeros(0, dtype=np.int64)
        for labels in self.pairs[["source_label", "target_label"]].to_numpy():
            query, target = (self._clips_of.get(label, none) for label in labels)
            yield query, target, self._video[query][:, None] != self._video[target]
