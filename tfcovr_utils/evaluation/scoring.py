"""A fitted method on a benchmark -> a table with a row a query; and its command.

    tfcovr score --benchmark DIR --method NAME --protocol full --profile mini --seed 0 --out DIR

How such tables are kept and summed up is in `results.py`.
"""

import time
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..benchmark.benchmark import Benchmark
from ..benchmark.protocols import Task, make_task
from ..labels import Attributes, difference
from ..machine.hashing import hash_files_below, hash_rooms, hash_text, hash_weights_named, versions
from ..methods import METHODS, Fitted, Method, NotRun, Setting
from ..metrics.official import average_precision_official, rank_official, recall_official
from ..metrics.ranking import (
    BLOCK,
    RANKS,
    average_precision_ranked,
    first_rank_at,
    first_rank_ranked,
    hit_ranked,
    rank_gallery,
    recall_ranked,
)
from ..profiles import data_dir, provenance
from ..video.hashes import hash_contents
from .recalls import write_recalls
from .results import find_result, save_not_run, save_result

# Rooms and files whose code decides a row's numbers.
MADE_BY = (
    *(
        "video",
        "labels",
        "sources",
        "texts",
        "benchmark",
        "metrics",
        "encoders",
        "embedding",
        "training",
        "methods",
    ),
    "evaluation/scoring.py",
)
RECALL_RANKS = (1, 5, 10, 50)
DEPTH = max(*RANKS, *RECALL_RANKS)  # how many clips a query's row keeps


def evaluate(
    fitted: Fitted, benchmark: Benchmark, protocol: str = "full", split: str = "test"
) -> pd.DataFrame:
    """Score a method: one row a query, by query_id.

    Columns: query_id, split, protocol, task (a hash of what was asked), kind (temporal, event), changed (attributes that
    the modification changes), ap@5/10/25/50, recall@1/5/10/50, hit@1/5/10/50, first_rank (of the first right clip,
    infinity if it can never be found), n_targets, retrieved and scores (lists, best first, of at most 50), missed (see
    `_missed`), coverage.

    Metrics are fractions, NaN where a query has no target or could not be embedded. A gallery clip that could not be
    embedded is never found, and still counts among the answers. `coverage` is the share of the gallery that was
    embedded, 0 for a query that was not itself. Under `official` a repeated clip fills a place and is a hit each time, and
    recall and hit know one target, as in the released code.
    """
    task = make_task(benchmark, protocol, split)
    query_emb, gallery_emb, asked, embedded = _embed(fitted, task)
    rank = _rank_official if protocol == "official" else _rank
    metrics, retrieved, scores = rank(task, query_emb, gallery_emb, embedded)
    answered = np.array([bool(clips) for clips in task.answers])
    metrics = pd.DataFrame(metrics)
    metrics.loc[~(asked & answered)] = np.nan
    table = pd.DataFrame(
        {
            "query_id": task.queries["query_id"],
            "split": split,
            "protocol": protocol,
            "task": task.fingerprint,
            **_changes(task, benchmark),
            **metrics,
            "n_targets": [len(clips) for clips in task.answers],
            "retrieved": [ids if ok else [] for ids, ok in zip(retrieved, asked)],
            "scores": [values if ok else [] for values, ok in zip(scores, asked)],
        }
    )
    return table.assign(missed=_missed(table["retrieved"], task, benchmark), coverage=asked * embedded.mean())


def _embed(fitted: Fitted, task: Task) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """Embeddings of the queries (Q, D) and of the places of the gallery (G, D), and which of each could be had: (Q,), (G,).

    What could not is 0.
    """
    clips = list(dict.fromkeys(task.gallery))
    query_emb, clip_emb = fitted.embed_queries(task.queries).float(), fitted.embed_gallery(clips).float()
    wanted = (len(task.queries), len(clips))
    if (
        query_emb.ndim != 2
        or clip_emb.ndim != 2
        or (len(query_emb), len(clip_emb)) != wanted
        or query_emb.shape[1] != clip_emb.shape[1]
    ):
        raise ValueError(
            f"the method gave queries of shape {tuple(query_emb.shape)} and gallery clips of {tuple(clip_emb.shape)}; "
            f"expected (Q, D) and (G, D) with Q = {wanted[0]}, G = {wanted[1]} and one D."
        )
    if len(clips) < len(task.gallery):
        clip_emb = clip_emb[torch.from_numpy(pd.Index(clips).get_indexer(task.gallery))]
    had = [vectors.sum(1).isfinite() for vectors in (query_emb, clip_emb)]
    filled = [
        vectors if ok.all() else vectors.masked_fill(~ok[:, None], 0)
        for vectors, ok in zip((query_emb, clip_emb), had)
    ]
    return *filled, *(ok.numpy() for ok in had)


def _score(query_emb: torch.Tensor, gallery_emb: torch.Tensor, embedded: np.ndarray) -> torch.Tensor:
    """Scores (Q, G): the product, and minus infinity where a gallery clip could not be embedded."""
    return (query_emb @ gallery_emb.T).masked_fill_(~torch.from_numpy(embedded), -torch.inf)


def _rank(task: Task, query_emb: torch.Tensor, gallery_emb: torch.Tensor, embedded: np.ndarray):
    """Metrics by name, retrieved ids and their scores; a block of queries at a time, so memory stays bounded."""
    own, answers = task.own_idx(), task.answers_idx()
    findable = [[idx for idx in row if embedded[idx]] for row in answers]
    first, ranked, top = [], [], []
    step = max(1, BLOCK // len(embedded))
    for start in range(0, len(query_emb), step):
        rows = slice(start, start + step)
        scores = task.narrow(_score(query_emb[rows], gallery_emb, embedded), start)
        ranked.append(rank_gallery(scores, DEPTH, own[rows]))
        first.append(first_rank_at(scores, findable[rows], own[rows]))
        top.append(scores.gather(1, torch.from_numpy(ranked[-1]).clamp(min=0)).numpy())
    first, ranked, top = (np.concatenate(parts) for parts in (first, ranked, top))
    ids = _name(task.gallery, ranked, top)
    return (
        _columns("ap", RANKS, average_precision_ranked(ids, task.answers, RANKS))
        | _columns("recall", RECALL_RANKS, recall_ranked(ids, task.answers, RECALL_RANKS))
        | _columns("hit", RECALL_RANKS, hit_ranked(ids, task.answers, RECALL_RANKS))
        | {"first_rank": np.where(np.isnan(first), np.inf, first)},
        *_lists(ids, top),
    )


def _rank_official(task: Task, query_emb: torch.Tensor, gallery_emb: torch.Tensor, embedded: np.ndarray):
    """As `_rank`, by the released code's rules; the first rank counts each clip once."""
    scores = _score(query_emb, gallery_emb, embedded)
    ids = rank_official(scores, task.gallery, task.queries["query_clip"], len(task.gallery))
    first_place = {clip_id: idx for idx, clip_id in reversed([*enumerate(task.gallery)])}
    ranked = np.vectorize(first_place.get)(ids)
    top = scores.gather(1, torch.from_numpy(ranked)).numpy()
    ids = _name(task.gallery, ranked, top)
    recall = recall_official(ids[:, :DEPTH], task.official_target, RECALL_RANKS)
    return (
        _columns("ap", RANKS, average_precision_official(ids[:, :DEPTH], task.answers, RANKS))
        | _columns("recall", RECALL_RANKS, recall)
        | _columns("hit", RECALL_RANKS, (recall > 0).astype(float))
        | {"first_rank": first_rank_ranked(ids, task.answers)},
        *_lists(ids[:, :DEPTH], top[:, :DEPTH]),
    )


def _name(gallery: list[str], ranked: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Ids of ranked places; "" where there is no clip, or one that could not be embedded."""
    names = np.array(gallery, dtype=object)
    return np.where((ranked >= 0) & (scores > -np.inf), names[ranked], "")


def _columns(name: str, ranks: tuple[int, ...], values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}@{k}": values[:, column] for column, k in enumerate(ranks)}


def _lists(ids: np.ndarray, scores: np.ndarray) -> tuple[list[list[str]], list[list[float]]]:
    found = ids != ""
    return [row[kept].tolist() for row, kept in zip(ids, found)], [
        row[kept].tolist() for row, kept in zip(scores, found)
    ]


def _changes(task: Task, benchmark: Benchmark) -> dict[str, pd.Series]:
    """What each query's modification changes, as its label pair says; "" where no pair is known."""
    pairs = benchmark.modifications[["modification_id", "source_label", "target_label"]].merge(
        benchmark.pairs
    )
    pairs = pairs.set_index("modification_id")
    return {
        name: task.queries["modification_id"].map(pairs[name]).astype(str).fillna("")
        for name in ("kind", "changed")
    }


def _missed(retrieved: pd.Series, task: Task, benchmark: Benchmark) -> list[str | None]:
    """Attributes in which the clip ranked first differs from every right label, as "saltos,shape".

    "" where it has each of them right; None where a label is not known or nothing was retrieved.
    """
    first = [clips[0] if clips else "" for clips in retrieved]
    labels = benchmark.clips.set_index("clip_id")["label_id"].reindex(first).fillna("")
    attributes = benchmark.labels.set_index("label_id")["attributes"].map(Attributes.from_json).to_dict()

    @cache
    def differing(label: str, right: tuple[str, ...]) -> str:
        changes = [
            [change.attribute for change in difference(attributes[target], attributes[label])]
            for target in right
        ]
        return ",".join(name for name in changes[0] if all(name in others for others in changes))

    return [
        differing(label, tuple(right)) if label and len(right) else None
        for label, right in zip(labels, task.queries["target_labels"])
    ]


def run(
    method: Method,
    setting: Setting,
    protocols: list[str],
    results_dir: Path,
    split: str = "test",
    recalls_dir: Path | None = None,
) -> pd.DataFrame | None:
    """Fit a method, evaluate it under each protocol and save; a method that cannot run is recorded and gives None.

    A result that is there already, made from the same (`_made_of`) and with its weights whole, is returned as it is.
    recalls_dir: where BSE-CoVR's files go, see `save_recalls`.
    """
    seed = setting.seed if method.seeded else 0  # another would repeat it, and look like a spread of 0
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
        made_of=made_of,
        weights=hash_files_below(setting.folder) if setting.folder else {},
        **fitted.facts,
    )
    for table in tables:
        save_result(table, results_dir, method.name, seed, made | {"coverage": table["coverage"].mean()})
    return pd.concat(tables, ignore_index=True)


def _made_of(method: Method, setting: Setting) -> dict | None:
    """All that decides a row's numbers, as hashes by kind; None for a method of somebody's own, whose code could change unseen."""
    registered = [name for name, known in METHODS.items() if known.fit is method.fit]
    if not registered:
        return None
    profile = asdict(setting.profile)
    weights = {name: value for name, value in profile.items() if name.endswith("_weights")}
    weights |= {
        "clip": None,
        "aim": None,
        "checkpoint": setting.checkpoint,
        **setting.weights,
    }
    paths = setting.benchmark.clips["path"] if setting.clips_dir else []
    return {
        "code": hash_text(str([registered[0], hash_rooms(*MADE_BY)])),
        "benchmark": setting.benchmark.digest,
        "clips": hash_contents(
            paths, setting.clips_dir or "", setting.store_dir or data_dir() / "embeddings"
        ),
        "weights": hash_text(str({name: hash_weights_named(value) for name, value in weights.items()})),
        "settings": hash_text(
            str([profile, setting.seed, setting.stage1, setting.stage2, setting.single_stage])
        ),
        "machine": hash_text(str([versions(), torch.cuda.is_available()])),
    }


def save_recalls(
    fitted: Fitted, benchmark: Benchmark, protocol: str, folder: Path, split: str = "test"
) -> None:
    """Write recalls.json and query_feat.npy of a method and, where it can read texts alone, the same of these (`recalls`)."""
    annotation = benchmark.choices.get("annotations", {}).get(split, "queries.parquet")
    queries = make_task(benchmark, protocol, split).queries
    for text_only, embed in ((False, fitted.embed_queries), (True, fitted.embed_text_only)):
        if embed is not None:
            query_emb = embed(queries)
            table = evaluate(Fitted(lambda _: query_emb, fitted.embed_gallery), benchmark, protocol, split)
            write_recalls(folder, table, query_emb, annotation, text_only)
