"""What a method is: a row of a table, fitted on a benchmark, then asked for embeddings of queries and of gallery clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from ..benchmark.benchmark import Benchmark
from ..profiles import Profile
from ..training.settings import Stage2Settings
from ..training.single_stage import SingleStageSettings
from ..training.stage1 import Stage1Settings

FAMILIES = ("control", "zero-shot", "fine-tuned", "beyond the paper")


class NotRun(Exception):
    """Something a row needs is not to be had here; the row stands in its table with this reason and what would run it."""

    def __init__(self, reason: str, command: str = ""):
        super().__init__(f"{reason} To run it: `{command}`." if command else reason)


@dataclass(frozen=True)
class Setting:
    """What a method is fitted on. `seed` is the training's, never the data's."""

    benchmark: Benchmark
    clips_dir: Path  # where the paths of the benchmark's clips begin
    profile: Profile
    seed: int = 0
    folder: Path | None = None  # where what was trained is saved; None saves nothing
    checkpoint: Path | None = (
        None  # such a folder, to evaluate instead of training; what stage 1 taught is read beside it
    )
    clip_weights: str | None = None  # hub id or folder; None is the profile's
    weights: dict[str, str] = field(
        default_factory=dict
    )  # of blip, blip2, languagebind, captioner; the profile's unless named
    aim_weights: str | None = None  # AIM's, an official checkpoint or a folder, in place of training stage 1
    stage1: Stage1Settings | None = None  # of rows that train stage 1; None is the profile's
    stage2: Stage2Settings | None = None  # of rows that train stage 2; None is the profile's
    single_stage: SingleStageSettings | None = None  # of rows that train both at once; None is the profile's
    store_dir: Path | None = None  # embeddings on disk; None is the usual place


@dataclass(frozen=True)
class Fitted:
    """A method ready to answer. Both give float tensors on the CPU whose product is the score.

    A row of NaN says that this query or clip could not be embedded. `embed_queries` may read `query_clip` and
    `text`; only controls read more. `facts` are JSON values for the record beside the results, such as the hash of
    the weights or the step that was chosen.
    """

    embed_queries: Callable[[pd.DataFrame], torch.Tensor]  # queries -> (Q, D)
    embed_gallery: Callable[[Sequence[str]], torch.Tensor]  # clip ids -> (G, D)
    facts: dict = field(default_factory=dict)
    embed_text_only: Callable[[pd.DataFrame], torch.Tensor] | None = (
        None  # the same model's queries, their clips left out
    )


@dataclass(frozen=True)
class Method:
    """A row of a table."""

    name: str
    family: str  # one of FAMILIES
    about: str  # one sentence: how the embeddings of queries and of gallery clips are made
    fit: Callable[[Setting], Fitted]
    seeded: bool  # whether another seed gives another result


def look_up(ids: Sequence[str], values: torch.Tensor, wanted: Sequence[str]) -> torch.Tensor:
    """Rows of `values` (N, ...) in the order of `wanted`; NaN where an id has none."""
    idx = torch.from_numpy(pd.Index(ids).get_indexer(list(wanted)))
    rows = values[idx.clamp(min=0)]
    return (
        rows.masked_fill((idx < 0).view(-1, *[1] * (values.ndim - 1)), torch.nan) if (idx < 0).any() else rows
    )


def stored(
    query_ids: Sequence[str], query_emb: torch.Tensor, clip_ids: Sequence[str], clip_emb: torch.Tensor
) -> Fitted:
    """Take embeddings made elsewhere, (Q, D) and (G, D), for a method."""
    return Fitted(
        lambda queries: look_up(query_ids, query_emb, queries["query_id"]),
        lambda wanted: look_up(clip_ids, clip_emb, wanted),
    )
