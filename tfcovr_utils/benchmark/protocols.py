"""The protocols: which queries are asked, among which clips, and which are right. Nothing is scored here."""

import json
import zlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..machine.hashing import digest
from ..sources.annotated import KEEPS_QUERY
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
    gallery: list[str]  # (G,) clip ids; only `official` repeats some
    answers: list[list[str]]  # (Q,) right clip ids; the query's own only where its protocol ranks it
    official_target: list[str]  # (Q,) the one target that the official code knows; "" under other protocols
    group: list[str] = field(default_factory=list)  # (Q,) the group that a query searches; [] for all clips
    members: dict[str, frozenset[str]] = field(default_factory=dict)  # group -> clip ids

    @property
    def fingerprint(self) -> str:
        """Hash of the questions, equal for equal ones: results of different benchmarks are never compared."""
        asked = self.queries[["query_id", "query_clip", "text"]].to_numpy().tolist()
        content = [self.protocol, asked, self.gallery, self.answers, self.official_target]
        if self.group:
            content.append([self.group, {group: sorted(clips) for group, clips in self.members.items()}])
        return digest(json.dumps(content, sort_keys=True))[:12]

    def is_searched(self, row: int, clip_id: str) -> bool:
        """Return whether the query of a row searches a clip of the gallery."""
        return not self.group or clip_id in self.members.get(self.group[row], ())

    def answers_idx(self) -> list[list[int]]:
        """Return the gallery indices of each query's answers, if it searches them; not for `official`."""
        place = {clip_id: idx for idx, clip_id in enumerate(self.gallery)}
        return [
            [place[clip_id] for clip_id in clips if clip_id in place and self.is_searched(row, clip_id)]
            for row, clips in enumerate(self.answers)
        ]

    def own_idx(self) -> np.ndarray:
        """Return the gallery index of each query's own clip, -1 if absent or if it may answer: (Q,).

        Not for `official`.
        """
        own = pd.Index(self.gallery).get_indexer(self.queries["query_clip"])
        return np.full_like(own, -1) if self.protocol in KEEPS_QUERY else own

    def narrow(self, scores, start: int = 0):
        """Set scores (B, G) of the queries from `start` on to -inf outside the clips that they search."""
        if not self.group:
            return scores
        index = pd.Index(self.gallery)
        outside = np.ones(scores.shape, dtype=bool)
        groups = pd.Series(self.group[start : start + len(scores)])
        for group, rows in groups.groupby(groups).indices.items():
            idx = index.get_indexer(list(self.members.get(group, ())))
            outside[np.ix_(rows, idx[idx >= 0])] = False
        return scores.masked_fill(scores.new_tensor(outside).bool(), -np.inf)


def choose_protocols(benchmark: Benchmark, rendered: bool = False) -> tuple[str, ...]:
    """List the protocols that test queries allow, the headline first: `capped`, or `full` where rendered."""
    of_test = benchmark.gallery[benchmark.gallery["split"] == "test"]
    first = ("full", "capped") if rendered else ("capped", "full")
    there = [name for name in (*first, *PEER_PROTOCOLS) if name in set(of_test["gallery"])]
    official = ["official"] if "target_clip" in benchmark.queries and GALLERY in there else []
    return tuple([*there, *official]) or first


def make_task(benchmark: Benchmark, protocol: str = "full", split: str = "test") -> Task:
    """Collect a protocol's questions. The order of the tables and the names of the clips change nothing.

    `official`: as the official code asks the release. Its gallery is the column of one target for each query,
    with repetitions; every target of `capped` is right, or all that the release lists: the query clip and
    repetitions count among them, as in the code. Others: the galleries of that name; if the queries have a
    column `<gallery>_group`, each searches only the members of its group.
    """
    known = (*PROTOCOLS, *PEER_PROTOCOLS)
    if protocol not in known:
        raise ValueError(f"protocol {protocol!r} is not known; choose one of {', '.join(known)}.")
    name = GALLERY if protocol == "official" else protocol
    of_split = benchmark.gallery[benchmark.gallery["split"] == split]
    gallery = of_split[of_split["gallery"] == name]
    queries = benchmark.queries[benchmark.queries["split"] == split].sort_values(
        "query_id", ignore_index=True
    )
    if gallery.empty or queries.empty:
        there = sorted(set(of_split["gallery"])) or ["none"]
        raise ValueError(
            f"protocol {protocol!r} needs gallery {name!r} and queries of split {split!r}; this benchmark "
            f"has {len(queries)} such queries and the galleries {', '.join(there)}; "
            "choose another protocol or split."
        )
    text_of = benchmark.modifications.set_index("modification_id")["text"]
    queries = queries.assign(text=queries["modification_id"].map(text_of))
    targets = benchmark.targets[benchmark.targets["gallery"] == name]
    found = targets.groupby("query_id")["clip_id"].agg(sorted)
    answers = [found.get(query_id, []) for query_id in queries["query_id"]]
    official_target = pd.Series("", index=queries.index)
    groups = {}
    if protocol == "official":
        if "listed_targets" in queries:
            answers = [json.loads(listed) for listed in queries["listed_targets"]]
        answered = queries["query_id"].isin(found.index)
        official_target[answered] = target_column(queries[answered], found)
        members = official_target[answered].tolist()
    else:
        # The lower index wins among equal scores, so a hash orders the gallery: names carry meaning.
        members = sorted(set(gallery["clip_id"]), key=lambda clip_id: (zlib.crc32(clip_id.encode()), clip_id))
        if f"{name}_group" in queries:
            of_group = gallery.groupby("group")["clip_id"].agg(frozenset).to_dict()
            groups = {"group": queries[f"{name}_group"].tolist(), "members": of_group}
    return Task(protocol, split, queries, members, answers, official_target.tolist(), **groups)
