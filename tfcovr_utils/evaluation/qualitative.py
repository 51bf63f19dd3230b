"""Which queries to look at, chosen by rule, what stands at the top of their rankings, and what is wrong with it.

Everything here is a view of per-query results (see `evaluation.evaluate`) and a benchmark's tables. Nothing is scored.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..benchmark.benchmark import Benchmark
from ..benchmark.protocols import make_task
from ..labels import Attributes, Change, difference
from ..methods import METHODS
from .results import read_results

RANKING_COLUMNS = ["query_id", "method", "rank", "clip_id", "path", "label", "right", "score"]


def read_rankings(
    results_dir: Path, methods: list[str], protocol: str = "full", seed: int = 0
) -> pd.DataFrame:
    """Results of these methods on test, in this order, under one protocol and with one seed (0 for what no seed changes)."""
    results = read_results(results_dir)
    results = results[results["protocol"] == protocol]
    parts = []
    for name in methods:
        its_seed = seed if name not in METHODS or METHODS[name].seeded else 0
        parts.append(results[(results["method"] == name) & (results["seed"] == its_seed)])
        if parts[-1].empty:
            raise ValueError(
                f"{results_dir} has no result of {name!r} under {protocol!r} with seed {its_seed}; run notebook 05 with this seed, "
                f"or choose of {', '.join(results['method'].unique())}."
            )
    return pd.concat(parts, ignore_index=True)


def choose_queries(rankings: pd.DataFrame, methods: list[str], metric: str = "ap@50") -> pd.DataFrame:
    """Queries to show, one a rule: columns rule, query_id, kind, and both methods' AP in per cent.

    Best, median and worst of the second method; where each is furthest ahead of the other, if it ever is; the second method's
    median within each kind of change. Among equals the smallest query id counts; a query that an earlier rule took is
    passed over. Queries that either leaves undefined are none.
    """
    before, after = methods
    table = (
        100
        * rankings.pivot(index="query_id", columns="method", values=metric)[[before, after]]
        .dropna()
        .sort_index()
    )
    kind = rankings.drop_duplicates("query_id").set_index("query_id")["kind"].reindex(table.index)
    ascending = table[after].sort_values(kind="stable")
    ahead = (table[after] - table[before]).sort_values(kind="stable")
    rules = {
        f"best of {after}": table[after].sort_values(ascending=False, kind="stable"),
        f"median of {after}": _from_the_middle(ascending),
        f"worst of {after}": ascending,
        f"{after} furthest ahead": (-ahead[ahead > 0]).sort_values(kind="stable"),
        f"{before} furthest ahead": ahead[ahead < 0],
    } | {
        f"median {name} change of {after}": _from_the_middle(ascending[kind[ascending.index] == name])
        for name in sorted(set(kind) - {""})
    }
    rows, taken = [], set()
    for rule, candidates in rules.items():
        chosen = next((query for query in candidates.index if query not in taken), None)
        if chosen is not None:
            taken.add(chosen)
            rows.append({"rule": rule, "query_id": chosen, "kind": kind[chosen], **table.loc[chosen]})
    return pd.DataFrame(rows, columns=["rule", "query_id", "kind", before, after])


def _from_the_middle(ordered: pd.Series) -> pd.Series:
    """The same values, those nearest the middle of the order first."""
    return ordered.iloc[np.argsort(np.abs(np.arange(len(ordered)) - (len(ordered) - 1) / 2), kind="stable")]


def top_ranked(
    rankings: pd.DataFrame, benchmark: Benchmark, query_ids: list[str], depth: int = 3
) -> pd.DataFrame:
    """The query clip (method "", rank 0) and each method's first clips, by query: RANKING_COLUMNS."""
    (protocol,) = rankings["protocol"].unique()
    task = make_task(benchmark, protocol)
    query_clip = dict(zip(task.queries["query_id"], task.queries["query_clip"]))
    answers = dict(zip(task.queries["query_id"], map(set, task.answers)))
    by_query = rankings.set_index(["query_id", "method"])
    rows = []
    for query_id in query_ids:
        rows.append([query_id, "", 0, query_clip[query_id], None, np.nan])
        for method in rankings["method"].unique():
            found = by_query.loc[(query_id, method)]
            rows += [
                [query_id, method, rank, clip_id, clip_id in answers[query_id], score]
                for rank, (clip_id, score) in enumerate(zip(found["retrieved"][:depth], found["scores"]), 1)
            ]
    table = pd.DataFrame(rows, columns=["query_id", "method", "rank", "clip_id", "right", "score"])
    clips = benchmark.clips.set_index("clip_id")
    text = benchmark.labels.set_index("label_id")["text"]
    return table.assign(
        path=table["clip_id"].map(clips["path"]), label=table["clip_id"].map(clips["label_id"]).map(text)
    )[RANKING_COLUMNS]


def failures(rankings: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """How far the clip ranked first lies from the right labels in attribute space: one row a method and query that was answered.

    Columns: method, query_id, kind, changed, clip_id (ranked first), label_id, right_label (of the right labels the one with
    the fewest attributes other than the clip's), distance (how many those are; 0 is a right answer), first_rank.
    """
    label_of = benchmark.clips.set_index("clip_id")["label_id"]
    right_labels = benchmark.queries.set_index("query_id")["target_labels"]
    answered = rankings[rankings["retrieved"].map(len) > 0]
    table = answered[["method", "query_id", "kind", "changed", "first_rank"]].assign(
        clip_id=answered["retrieved"].str[0]
    )
    table = table.assign(label_id=table["clip_id"].map(label_of))
    table = table[(table["label_id"] != "") & (table["query_id"].map(right_labels).map(len) > 0)].reset_index(
        drop=True
    )
    differing = _differences(benchmark)
    nearest = [
        min((len(differing(right, label)), right) for right in right_labels[query])
        for query, label in zip(table["query_id"], table["label_id"])
    ]
    return table.assign(
        right_label=[right for _, right in nearest], distance=[distance for distance, _ in nearest]
    )


def wrong_factors(failed: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """What `failures` got wrong, one row an attribute: its columns, and factor, wanted, got, asked, step.

    `asked` says whether the modification changes the factor; `step` is got - wanted where both are counts, else NaN.
    """
    differing = _differences(benchmark)
    rows = []
    for row in failed[failed["distance"] > 0].to_dict("records"):
        for factor, wanted, got in differing(row["right_label"], row["label_id"]):
            counts = all(isinstance(value, float) for value in (wanted, got))
            rows.append(
                row
                | {
                    "factor": factor,
                    "wanted": _say(wanted),
                    "got": _say(got),
                    "asked": factor in row["changed"].split(","),
                    "step": got - wanted if counts else np.nan,
                }
            )
    return pd.DataFrame(rows, columns=[*failed.columns, "factor", "wanted", "got", "asked", "step"])


def misses_by_factor(failed: pd.DataFrame, wrong: pd.DataFrame) -> pd.DataFrame:
    """Share of queries in per cent whose first clip has a factor wrong: method, factor, asked, queries, missed.

    Of the queries whose modification changes the factor (`asked`), and of those that leave it as it is; of the wrong,
    `median_rank` says where the first right clip stood.
    """
    rows = []
    for method, part in failed.groupby("method", sort=False):
        changed = part.set_index("query_id")["changed"].str.split(",")
        for factor in wrong["factor"].value_counts().index:
            missed = wrong[(wrong["method"] == method) & (wrong["factor"] == factor)]
            for asked in (True, False):
                queries = int((changed.map(lambda names: factor in names) == asked).sum())
                of_these = missed[missed["asked"] == asked]
                rows.append(
                    {
                        "method": method,
                        "factor": factor,
                        "asked": asked,
                        "queries": queries,
                        "missed": 100 * len(of_these) / queries if queries else np.nan,
                        "median_rank": of_these["first_rank"].median(),
                    }
                )
    return pd.DataFrame(rows)


def typical_failures(
    wrong: pd.DataFrame, method: str, rankings: pd.DataFrame, benchmark: Benchmark
) -> pd.DataFrame:
    """An example of each factor that a method misses: of the queries nearest to right, the one in the middle by the rank of
    its first right clip. Columns of `wrong_factors`, `text`, `query_clip`, and `right_clip`: the right clip ranked highest."""
    wrong = wrong[wrong["method"] == method].sort_values(["distance", "first_rank", "query_id"])
    nearest = wrong[wrong["distance"] == wrong.groupby("factor")["distance"].transform("min")]
    frequent = wrong["factor"].value_counts().index
    rows = pd.DataFrame(
        [
            part.iloc[(len(part) - 1) // 2]
            for factor in frequent
            for part in [nearest[nearest["factor"] == factor]]
        ],
        columns=wrong.columns,
    )
    (protocol,) = rankings["protocol"].unique()
    task = make_task(benchmark, protocol)
    asked = task.queries.assign(answers=task.answers).set_index("query_id").loc[rows["query_id"]]
    retrieved = rankings[rankings["method"] == method].set_index("query_id")["retrieved"]
    right = [
        next((clip for clip in retrieved[query] if clip in set(answers)), answers[0])
        for query, answers in asked["answers"].items()
    ]
    return rows.assign(
        text=asked["text"].to_numpy(), query_clip=asked["query_clip"].to_numpy(), right_clip=right
    ).reset_index(drop=True)


def _differences(benchmark: Benchmark) -> Callable[[str, str], tuple[Change, ...]]:
    """A function of two label ids: what differs from the first to the second."""
    attributes = benchmark.labels.set_index("label_id")["attributes"].map(Attributes.from_json)
    return lru_cache(maxsize=None)(lambda wanted, got: difference(attributes[wanted], attributes[got]))


def _say(value) -> str:
    """A value of an attribute in words: 2.5, "tucked", "none"."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        value = ", ".join(value)
    return {"": "none", "None": "none", "True": "yes", "False": "no"}.get(str(value), str(value))
