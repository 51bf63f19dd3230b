"""Rows of a table, and the embeddings they read, side by side in several processes."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from ..embedding.embed import Embedded, embed_clips
from ..encoders import Encoder
from ..machine.workers import run_in_parallel, worker_count
from ..methods import METHODS, Setting
from .scoring import run


def run_rows(
    settings: dict[str, Setting],
    protocols: list[str],
    results_dir: Path,
    method: str | None = None,
    recalls: bool = False,
) -> None:
    """`run` each row in its setting, by its name; begin with those that take longest.

    method: what all rows are, where their names are not the methods' own. recalls: write BSE-CoVR's files beside the weights.
    """
    run_in_parallel(
        _run_row,
        [
            (name, method or name, setting, protocols, results_dir, recalls)
            for name, setting in settings.items()
        ],
    )


def embed_in_shares(encoder: Encoder, clips: pd.DataFrame, clips_dir: Path, **options) -> Embedded:
    """`embed_clips`, each process a share; all is then read from the store."""
    shares = worker_count()
    run_in_parallel(
        partial(_embed_share, encoder, clips, clips_dir, options),
        [((share, shares),) for share in range(shares)],
    )
    return embed_clips(encoder, clips, clips_dir, **options)


def _embed_share(
    encoder: Encoder, clips: pd.DataFrame, clips_dir: Path, options: dict, shard: tuple[int, int]
) -> None:
    embed_clips(encoder, clips, clips_dir, shard=shard, **options)


def _run_row(
    name: str, method: str, setting: Setting, protocols: list[str], results_dir: Path, recalls: bool
) -> None:
    # By its name, since a copy of a method from another process is no longer known as a registered one.
    run(
        replace(METHODS[method], name=name),
        setting,
        protocols,
        results_dir,
        recalls_dir=setting.folder if recalls else None,
    )
