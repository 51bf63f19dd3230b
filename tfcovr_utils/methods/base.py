"""A method is a row of a table: it is fitted on a benchmark, then embeds queries and gallery clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from ..benchmark.benchmark import Benchmark
from ..encoders import ENCODERS
from ..profiles import Profile
from ..training.settings import SingleStageSettings, Stage1Settings, Stage2Settings

GROUPS = ("control", "zero-shot", "fine-tuned", "beyond the paper")


class NotRun(Exception):
    """A method lacks something it needs; the table shows this reason and the command that would help."""

    def __init__(self, reason: str, command: str = ""):
        super().__init__(f"{reason} To run it: `{command}`." if command else reason)


@dataclass(frozen=True)
class Setting:
    """What a method is fitted on. `seed` is the training's, never the data's.

    weights: by encoder name, a hub id, a folder or a file; an encoder that is not named takes the profile's.
    "aim" names trained AIM weights (an official checkpoint or a folder), which then replace training stage 1.
    embeddings: by encoder name, files of clips' embeddings that are read in place of the clips.
    """

    benchmark: Benchmark
    clips_dir: Path  # the folder that the paths of the benchmark's clips are relative to
    profile: Profile
    seed: int = 0
    folder: Path | None = None  # where trained weights are saved; None saves nothing
    checkpoint: Path | None = None  # such a folder: evaluate it, and its neighbour `stage1`, without training
    weights: dict[str, str] = field(default_factory=dict)
    embeddings: dict[str, Path] = field(default_factory=dict)
    stage1: Stage1Settings | None = None  # None takes the profile's settings, here and below
    stage2: Stage2Settings | None = None
    single_stage: SingleStageSettings | None = None
    peer: str = ""  # whose released test is followed, one of `peers.PEERS`; "" is ours
    store_dir: Path | None = None  # folder of embedding stores; None is `embeddings` in the data folder

    def __post_init__(self):
        if unknown := self.weights.keys() - ENCODERS.keys():
            raise ValueError(f"weights name {min(unknown)!r}; choose one of {', '.join(ENCODERS)}.")

    def weights_of(self, encoder_name: str) -> str:
        """Return the weights of an encoder: those named here, else the profile's."""
        return self.weights.get(encoder_name) or getattr(self.profile, f"{encoder_name}_weights")


@dataclass(frozen=True)
class Fitted:
    """A method ready to answer. Both functions give float tensors on the CPU; the score is their product.

    A row of NaN marks a query or a clip that could not be embedded. `embed_queries` may read `query_clip` and
    `text`; only controls read more. `facts` are JSON values for the record beside the results, such as the
    hash of the weights.
    """

    embed_queries: Callable[[pd.DataFrame], torch.Tensor]  # queries -> (Q, D)
    embed_gallery: Callable[[Sequence[str]], torch.Tensor]  # clip ids -> (G, D)
    facts: dict = field(default_factory=dict)
    embed_text_only: Callable[[pd.DataFrame], torch.Tensor] | None = None  # queries without their clips


@dataclass(frozen=True)
class Method:
    """A row of a table."""

    name: str
    group: str  # one of GROUPS
    about: str  # one sentence: how the embeddings of queries and of gallery clips are made
    fit: Callable[[Setting], Fitted]
    seeded: bool = False  # whether another seed gives another result


def look_up(ids: Sequence[str], values: torch.Tensor, wanted: Sequence[str]) -> torch.Tensor:
    """Return rows of `values` (N, ...) in the order of `wanted`; NaN for an unknown id.

    >>> look_up(["a", "b"], torch.tensor([[1.0], [2.0]]), ["b", "c"])
    tensor([[2.],
            [nan]])
    """
    idx = torch.from_numpy(pd.Index(ids).get_indexer(list(wanted)))
    rows = values[idx.clamp(min=0)]
    if (idx >= 0).all():
        return rows
    return rows.masked_fill((idx < 0).view(-1, *[1] * (values.ndim - 1)), torch.nan)


def stored(
    query_ids: Sequence[str], query_emb: torch.Tensor, clip_ids: Sequence[str], clip_emb: torch.Tensor
) -> Fitted:
    """Make a fitted method of embeddings that were made elsewhere: (Q, D) and (G, D)."""
    return Fitted(
        lambda queries: look_up(query_ids, query_emb, queries["query_id"]),
        lambda wanted: look_up(clip_ids, clip_emb, wanted),
    )
