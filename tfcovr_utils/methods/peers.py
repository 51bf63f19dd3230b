"""The released tests of peers, where they are not ours: `score --as` a peer gives that peer's number."""

from dataclasses import dataclass, replace

import pandas as pd
import torch

from ..benchmark.benchmark import Benchmark
from ..sources.published_files import parse_list
from .base import NotRun
from .composed import Way

TEMPERATURE = 0.1  # of CoVR's weights of frames
_AS_COVR = {"written_as": "covr", "max_words": 30, "max_tokens": 64}


@dataclass(frozen=True)
class Peer:
    """What a peer's released test does.

    rows: those that it tests. described, writer: as of `Way`; None keeps the row's. scored: a target's frames
    are weighted by the annotations' scores, not averaged. unit_targets: pooled targets are made unit again.
    """

    rows: tuple[str, ...]
    options: dict
    described: str | None = None
    writer: str = "captioner"
    scored: bool = True
    unit_targets: bool = True

    def way(self, way: Way) -> Way:
        """How this peer reads a query of a row that reads it `way`."""
        described = way.described if self.described is None else self.described
        return replace(way, described=described, writer=self.writer)


_BLIP, _ECDE = ("blip-covr-zs", "blip-covr-ft"), ("blip-covr-ecde-zs", "blip-covr-ecde-ft")
PEERS = {
    "covr": Peer((*_BLIP, "blip-covr-captions-ft"), _AS_COVR),
    "ecde": Peer(_ECDE, _AS_COVR, described=""),
    "bse-covr": Peer(("bse-covr",), _AS_COVR, writer="owners"),
    "tf-covr": Peer(("blip2-covr-ft",), {"max_tokens": 64}, scored=False, unit_targets=False),
}


def check_peer(peer: str, row: str) -> None:
    """Raise a ValueError unless the peer's released test covers a row.

    >>> check_peer("ecde", "blip-covr-ecde-zs")
    """
    if row not in PEERS[peer].rows:
        raise ValueError(f"{peer} does not test {row}; choose one of {', '.join(PEERS[peer].rows)}.")


def pool_by_scores(frames: torch.Tensor, scores: list[list[float]], clip_ids: list[str]) -> torch.Tensor:
    """Weight frames (N, T, D) by the softmax of their scores, as CoVR does; no scores weigh all the same."""
    count = frames.shape[1]
    for clip_id, row in zip(clip_ids, scores):
        if len(row) not in (0, count):
            raise NotRun(
                f"{clip_id} has {len(row)} scores for {count} frames; score it with --frames {len(row)}."
            )
    weights = torch.tensor([row or [1.0] * count for row in scores]) / TEMPERATURE
    return torch.einsum("nf,nfe->ne", weights.softmax(1), frames)


def frame_scores(benchmark: Benchmark, clip_ids: list[str]) -> list[list[float]]:
    """The owners' scores of each clip's frames, from the query that the clip answers; [] for other clips."""
    if "frame_scores" not in benchmark.queries:
        raise NotRun("this benchmark has no scores of frames, by which CoVR pools; build it of WebVid-CoVR.")
    answered = benchmark.targets.merge(benchmark.queries, on="query_id").drop_duplicates("clip_id")
    texts = pd.Series(answered["frame_scores"].to_numpy(), answered["clip_id"])
    given = texts.reindex(clip_ids).fillna("").tolist()
    return [parse_list(text, float, "frame_scores", row) if text else [] for row, text in enumerate(given)]
