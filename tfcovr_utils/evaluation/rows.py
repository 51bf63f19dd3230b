"""Rows of a table: fit a method, score it, keep the result; several rows in parallel processes."""

import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from ..embedding.embed import Embedded, embed_clips
from ..encoders import Encoder
from ..machine.hashing import hash_files_below, hash_rooms, hash_text, hash_weights_named, versions
from ..machine.workers import run_in_parallel, worker_count
from ..methods import METHODS, Method, NotRun, Setting
from ..profiles import data_dir, provenance
from ..video.hashes import hash_contents
from .recalls import save_recalls
from .saved import find_result, save_not_run, save_result
from .scoring import evaluate

# Rooms and files whose code decides a row's numbers.
MADE_BY = (
    *("video", "labels", "sources", "texts", "benchmark", "metrics", "encoders", "embedding", "training"),
    *("methods", "evaluation/scoring.py", "evaluation/rows.py"),
)


def run(
    method: Method,
    setting: Setting,
    protocols: list[str],
    results_dir: Path,
    split: str = "test",
    recalls_dir: Path | None = None,
) -> pd.DataFrame | None:
    """Fit a method, score it under each protocol and save the results, unless they are saved already.

    For a method that cannot run, save why and return None. recalls_dir: also write BSE-CoVR's files there.
    """
    seed = setting.seed if method.seeded else 0  # other seeds would repeat the row with a spread of 0
    made_of = _made_of(method, replace(setting, seed=seed))
    kept = find_result(results_dir, method.name, seed, split, protocols, made_of, setting.folder)
    if kept is not None and (recalls_dir is None or (Path(recalls_dir) / "recalls.json").exists()):
        return kept
    started = time.perf_counter()
    try:
        fitted = method.fit(setting)
        fit_s = time.perf_counter() - started
        tables = [evaluate(fitted, setting.benchmark, protocol, split) for protocol in protocols]
        if recalls_dir is not None:
            save_recalls(fitted, setting.benchmark, protocols[0], recalls_dir, split)
    except NotRun as missing:
        save_not_run(results_dir, method.name, str(missing))
        return None
    made = provenance(
        setting.profile,
        setting.seed,
        method=method.name,
        about=method.about,
        fit_s=round(fit_s, 1),
        versions=versions(),
        benchmark=setting.benchmark.digest,
        made_of=made_of,
        weights=hash_files_below(setting.folder) if setting.folder else {},
        **fitted.facts,
    )
    for table in tables:
        save_result(table, results_dir, method.name, seed, made | {"coverage": table["coverage"].mean()})
    return pd.concat(tables, ignore_index=True)


def run_rows(
    settings: dict[str, Setting],
    protocols: list[str],
    results_dir: Path,
    method: str | None = None,
    recalls: bool = False,
) -> None:
    """`run` rows by name in parallel, the longest first; method: of all rows, if names are not methods."""
    row = partial(_run_row, protocols=protocols, results_dir=results_dir, recalls=recalls)
    run_in_parallel(row, [(name, method or name, setting) for name, setting in settings.items()])


def embed_in_shares(encoder: Encoder, clips: pd.DataFrame, clips_dir: Path, **options) -> Embedded:
    """`embed_clips` in parallel, a share in each process; then read all from the store."""
    shares = worker_count()
    share = partial(_embed_share, encoder, clips, clips_dir, options)
    run_in_parallel(share, [((number, shares),) for number in range(shares)])
    return embed_clips(encoder, clips, clips_dir, **options)


def _embed_share(
    encoder: Encoder, clips: pd.DataFrame, clips_dir: Path, options: dict, shard: tuple[int, int]
) -> None:
    embed_clips(encoder, clips, clips_dir, shard=shard, **options)


def _run_row(name: str, method: str, setting: Setting, protocols, results_dir, recalls) -> None:
    # Look the method up here: a copy from another process would not count as registered.
    row = replace(METHODS[method], name=name)
    run(row, setting, protocols, results_dir, recalls_dir=setting.folder if recalls else None)


def _made_of(method: Method, setting: Setting) -> dict | None:
    """Hashes of all that decides a row's numbers; None for an unregistered method, whose code is unknown."""
    registered = [name for name, known in METHODS.items() if known.fit is method.fit]
    if not registered:
        return None
    profile = asdict(setting.profile)
    weights = {name: value for name, value in profile.items() if name.endswith("_weights")}
    weights |= {"checkpoint": setting.checkpoint, **setting.weights, **setting.embeddings}
    settings = [profile, setting.seed, setting.stage1, setting.stage2, setting.single_stage]
    settings += [setting.peer] if setting.peer else []
    paths = setting.benchmark.clips["path"] if setting.clips_dir else []
    store_dir = setting.store_dir or data_dir() / "embeddings"
    return {
        "code": hash_text(str([registered[0], hash_rooms(*MADE_BY)])),
        "benchmark": setting.benchmark.digest,
        "clips": hash_contents(paths, setting.clips_dir or "", store_dir),
        "weights": hash_text(str({name: hash_weights_named(value) for name, value in weights.items()})),
        "settings": hash_text(str(settings)),
        "machine": hash_text(str([versions(), torch.cuda.is_available()])),
    }
