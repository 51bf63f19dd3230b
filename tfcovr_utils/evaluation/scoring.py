"""A fitted method on a benchmark -> a table with a row for each query. `rows` fits and keeps."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import torch

from ..benchmark import Benchmark, Task, make_task
from ..labels import Attributes, Change, difference
from ..machine.hashing import hash_text
from ..methods import Fitted
from ..metrics import official, ranking
from ..metrics.ranking import BLOCK, RANKS

RECALL_RANKS = (1, 5, 10, 50)
DEPTH = max(*RANKS, *RECALL_RANKS)  # clips that a query's row keeps


def evaluate(
    fitted: Fitted, benchmark: Benchmark, protocol: str = "full", split: str = "test"
) -> pd.DataFrame:
    """Score a method: one row for each query, by query_id; metrics are fractions, NaN without targets.

    task is a hash of the questions; answer_set of a query's right labels, or of its right clips where there
    are no labels; kind and changed are of the modification; first_rank is infinite if no
    right clip is found; retrieved and scores have up to 50 clips, best first; coverage is the embedded share
    of the gallery. A gallery clip without embedding is never found, but counts among the answers. Under
    `official`, every repetition of a clip can be a hit, and recall and hit know one target.
    """
    task = make_task(benchmark, protocol, split)
    query_emb, gallery_emb, asked, embedded = _embed(fitted, task)
    metrics, retrieved, scores = _rank(task, query_emb, gallery_emb, embedded)
    answered = np.array([bool(clips) for clips in task.answers])
    metrics.loc[~(asked & answered)] = np.nan
    pairs = benchmark.modifications[["modification_id", "source_label", "target_label"]].merge(
        benchmark.pairs
    )
    pairs = pairs.set_index("modification_id")[["kind", "changed"]]
    changes = {
        name: task.queries["modification_id"].map(pairs[name]).astype(str).fillna("") for name in pairs
    }
    retrieved = [ids if ok else [] for ids, ok in zip(retrieved, asked)]
    return pd.DataFrame(
        {
            "query_id": task.queries["query_id"],
            "split": split,
            "protocol": protocol,
            "task": task.fingerprint,
            "answer_set": _answer_sets(task),
            **changes,
            **metrics,
            "n_targets": [len(clips) for clips in task.answers],
            "retrieved": retrieved,
            "scores": [values if ok else [] for values, ok in zip(scores, asked)],
            "missed": _missed(retrieved, task, benchmark),
            "coverage": asked * embedded.mean(),
        }
    )


def _answer_sets(task: Task) -> list[str]:
    """Name each query's set of right answers: queries that share one are no independent draws."""
    right = zip(task.queries["target_labels"], task.answers)
    return [hash_text("\n".join(sorted(labels if len(labels) else clips)))[:12] for labels, clips in right]


def _embed(fitted: Fitted, task: Task) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """Embeddings of queries (Q, D) and gallery places (G, D), 0 if missing, and which are not: (Q,), (G,)."""
    clips = list(dict.fromkeys(task.gallery))
    query_emb, clip_emb = fitted.embed_queries(task.queries).float(), fitted.embed_gallery(clips).float()
    shapes = [tuple(vectors.shape) for vectors in (query_emb, clip_emb)]
    wanted = len(task.queries), len(clips)
    if shapes != [(number, query_emb.shape[-1]) for number in wanted]:
        raise ValueError(
            f"the method gave queries of shape {shapes[0]} and gallery clips of shape {shapes[1]}; "
            f"expected (Q, D) and (G, D) with Q = {wanted[0]}, G = {wanted[1]} and the same D."
        )
    if len(clips) < len(task.gallery):
        clip_emb = clip_emb[torch.from_numpy(pd.Index(clips).get_indexer(task.gallery))]
    finite = [vectors.sum(1).isfinite() for vectors in (query_emb, clip_emb)]
    filled = [
        vectors if ok.all() else vectors.masked_fill(~ok[:, None], 0)
        for vectors, ok in zip((query_emb, clip_emb), finite)
    ]
    return *filled, *(ok.numpy() for ok in finite)


def _rank(task: Task, query_emb: torch.Tensor, gallery_emb: torch.Tensor, embedded: np.ndarray):
    """Metrics (Q, ...), retrieved ids and their scores; a block of queries at a time, to bound memory."""
    is_official = task.protocol == "official"
    if not is_official:
        own, answers = task.own_idx(), task.answers_idx()
        findable = [[idx for idx in row if embedded[idx]] for row in answers]
    names = np.array(task.gallery, dtype=object)
    metrics, retrieved, kept = [], [], []
    step = max(1, BLOCK // len(embedded))
    for start in range(0, len(query_emb), step):
        rows = slice(start, start + step)
        scores = (query_emb[rows] @ gallery_emb.T).masked_fill_(~torch.from_numpy(embedded), -torch.inf)
        if is_official:
            ids, top = _name(names, _official_places(task, scores, rows), scores)
            metrics.append(_official_metrics(task, ids, rows))
        else:
            scores = task.narrow(scores, start)
            ids, top = _name(names, ranking.rank_gallery(scores, DEPTH, own[rows]), scores)
            first = ranking.first_rank_at(scores, findable[rows], own[rows])
            metrics.append(_metrics(ids, task.answers[rows], np.where(np.isnan(first), np.inf, first)))
        for row, values in zip(ids[:, :DEPTH], top[:, :DEPTH]):
            retrieved.append(row[row != ""].tolist())
            kept.append(values[row != ""].tolist())
    columns = [f"ap@{k}" for k in RANKS] + [f"{name}@{k}" for name in ("recall", "hit") for k in RECALL_RANKS]
    return pd.DataFrame(np.concatenate(metrics), columns=[*columns, "first_rank"]), retrieved, kept


def _name(names: np.ndarray, ranked: np.ndarray, scores: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Ids of ranked places and their scores; the id is "" if there is no clip, or one without embedding."""
    top = scores.gather(1, torch.from_numpy(ranked).clamp(min=0)).numpy()
    return np.where((ranked >= 0) & (top > -np.inf), names[ranked], ""), top


def _metrics(ids: np.ndarray, answers: list[list[str]], first_rank: np.ndarray) -> np.ndarray:
    recall, hit = (
        ranking.recall_ranked(ids, answers, RECALL_RANKS),
        ranking.hit_ranked(ids, answers, RECALL_RANKS),
    )
    return np.column_stack([ranking.average_precision_ranked(ids, answers, RANKS), recall, hit, first_rank])


def _official_places(task: Task, scores: torch.Tensor, rows: slice) -> np.ndarray:
    place = {clip_id: idx for idx, clip_id in reversed([*enumerate(task.gallery)])}
    ranked = official.rank_official(scores, task.gallery, task.queries["query_clip"][rows], len(task.gallery))
    return np.vectorize(place.get)(ranked)


def _official_metrics(task: Task, ids: np.ndarray, rows: slice) -> np.ndarray:
    """By the rules of the official code; the first rank counts each clip once."""
    answers, shown = task.answers[rows], ids[:, :DEPTH]
    recall = official.recall_official(shown, task.official_target[rows], RECALL_RANKS)
    precision = official.average_precision_official(shown, answers, RANKS)
    return np.column_stack([precision, recall, recall > 0, ranking.first_rank_ranked(ids, answers)])


def label_differences(benchmark: Benchmark) -> Callable[[str, str], tuple[Change, ...]]:
    """Return a function of two label ids: the changes from the first to the second."""
    attributes = benchmark.labels.set_index("label_id")["attributes"].map(Attributes.from_json).to_dict()
    return cache(lambda label, other: difference(attributes[label], attributes[other]))


def _missed(retrieved: list[list[str]], task: Task, benchmark: Benchmark) -> list[str | None]:
    """Attributes in which the first clip differs from every right label, as "saltos,shape", or None."""
    differing = label_differences(benchmark)
    first = [clips[0] if clips else "" for clips in retrieved]
    labels = benchmark.clips.set_index("clip_id")["label_id"].reindex(first).fillna("")

    @cache
    def wrong(label: str, right: tuple[str, ...]) -> str:
        changes = [[change.attribute for change in differing(target, label)] for target in right]
        return ",".join(name for name in changes[0] if all(name in others for others in changes))

    return [
        wrong(label, tuple(right)) if label and len(right) else None
        for label, right in zip(labels, task.queries["target_labels"])
    ]
