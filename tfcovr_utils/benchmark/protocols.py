"""The protocols: which queries are asked, among which clips, and which of those are right.

Nothing is embedded, ranked or scored here.
"""

import hashlib
import json
import zlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from ..sources.release.released import GALLERY, target_column
from .benchmark import Benchmark

PROTOCOLS = ("official", "capped", "full")
PEER_PROTOCOLS = ("global", "local", "subset")  # EgoCVR's two, and CIRR's second


@dataclass(frozen=True)
class Task:
    """One protocol on one split. Sizes: Q queries, G places in the gallery."""

    protocol: str
    split: str
    queries: pd.DataFrame  # (Q, ...) the benchmark's queries with their `text`, by query_id
    gallery: list[str]  # (G,) clip ids; only `official` repeats any
    answers: list[list[str]]  # (Q,) right clip ids, never the query's own; [] where there are none
    official_target: list[str]  # (Q,) the one target the released code knows; "" under other protocols
    group: list[str] = field(
        default_factory=list
    )  # (Q,) whose members alone are searched; [] where all clips are
    members: dict[str, frozenset[str]] = field(default_factory=dict)  # group -> clip ids

    def answers_idx(self) -> list[list[int]]:
        """Places of each query's answers among what it searches, in a gallery without repetitions."""
        place = {clip_id: idx for idx, clip_id in enumerate(self.gallery)}
        return [
            [place[clip_id] for clip_id in clips if clip_id in place and self.is_searched(row, clip_id)]
            for row, clips in enumerate(self.answers)
        ]

    def is_searched(self, row: int, clip_id: str) -> bool:
        """Whether the query of a row looks at a clip of the gallery."""
        return not self.group or clip_id in self.members.get(self.group[row], ())

    def narrow(self, scores: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Scores (B, G) of the queries from `start` on, minus infinity outside what each of them searches."""
        if not self.group:
            return scores
        index = pd.Index(self.gallery)
        outside = torch.ones(scores.shape, dtype=torch.bool)
        rows = pd.Series(self.group[start : start + len(scores)])
        for group, of_group in rows.groupby(rows).indices.items():
            idx = index.get_indexer(list(self.members.get(group, ())))
            outside[np.ix_(of_group, idx[idx >= 0])] = False
        return scores.masked_fill(outside.to(scores.device), -torch.inf)

    @property
    def fingerprint(self) -> str:
        """Equal where the same is asked, so that results on different benchmarks are never set side by side."""
        asked = self.queries[["query_id", "query_clip", "text"]].to_numpy().tolist()
        searched = (
            [[self.group, {group: sorted(clips) for group, clips in self.members.items()}]]
            if self.group
            else []
        )
        told = json.dumps(
            [self.protocol, asked, self.gallery, self.answers, self.official_target, *searched],
            sort_keys=True,
        )
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def own_idx(self) -> np.ndarray:
        """Place of each query's own clip in a gallery without repetitions, -1 where it is not in it: (Q,)."""
        return pd.Index(self.gallery).get_indexer(self.queries["query_clip"])


def make_task(benchmark: Benchmark, protocol: str = "full", split: str = "test") -> Task:
    """Set a protocol's questions. Neither the order of the tables nor the names of clips bear on the outcome.

    `capped`, `full` and the peers' are the benchmark's galleries of that name; where the gallery has a column `group`,
    a query searches the members of its own, which the column `<gallery>_group` of the queries names. `official` is what
    the released code makes of the release, or of what `official.export` writes from a benchmark of ours: the gallery is the column of one
    target a query, repetitions kept, while every target of `capped` counts as right.
    """
    known = (*PROTOCOLS, *PEER_PROTOCOLS)
    if protocol not in known:
        raise ValueError(f"protocol {protocol!r} is not known; choose one of {', '.join(known)}.")
    name = GALLERY if protocol == "official" else protocol
    of_split = benchmark.gallery[benchmark.gallery["split"] == split]
    of_name = of_split[of_split["gallery"] == name]
    members = of_name["clip_id"]
    queries = benchmark.queries[benchmark.queries["split"] == split].sort_values(
        "query_id", ignore_index=True
    )
    if members.empty or queries.empty:
        there = sorted(set(of_split["gallery"])) or ["none"]
        raise ValueError(
            f"protocol {protocol!r} needs gallery {name!r} and queries of split {split!r}, and this benchmark has "
            f"{len(queries)} such queries and the galleries {', '.join(there)}; choose another protocol or split."
        )
    text_of = benchmark.modifications.set_index("modification_id")["text"]
    queries = queries.assign(text=queries["modification_id"].map(text_of))
    targets = benchmark.targets[benchmark.targets["gallery"] == name]
    found = targets.groupby("query_id")["clip_id"].agg(sorted)
    answers = [found.get(query_id, []) for query_id in queries["query_id"]]
    answered = queries["query_id"].isin(found.index)
    official_target = pd.Series("", index=queries.index)
    if protocol == "official":
        official_target[answered] = target_column(queries[answered], found)
        members = official_target[answered]
    else:
        # Equal scores go by place, so the places are drawn by a hash: an order by name would have meaning.
        members = sorted(set(members), key=lambda clip_id: (zlib.crc32(clip_id.encode()), clip_id))
    groups = {}
    if f"{name}_group" in queries and protocol != "official":
        groups = {
            "group": queries[f"{name}_group"].tolist(),
            "members": of_name.groupby("group")["clip_id"].agg(frozenset).to_dict(),
        }
    return Task(protocol, split, queries, list(members), answers, list(official_target), **groups)
