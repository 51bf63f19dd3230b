"""Which queries to look at, chosen by rule, what their rankings begin with, and what is wrong there."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..benchmark import Benchmark, make_task
from ..methods import METHODS
from .results import read_results
from .scoring import label_differences

RANKING_COLUMNS = ["query_id", "method", "rank", "clip_id", "path", "label", "right", "score"]


def read_rankings(
    results_dir: Path, methods: list[str], protocol: str = "full", seed: int = 0
) -> pd.DataFrame:
    """Read these methods' results on test, in this order; seed 0 for a method that has no seeds."""
    results = read_results(results_dir)
    results = results[results["protocol"] == protocol]
    parts = []
    for name in methods:
        its_seed = seed if name not in METHODS or METHODS[name].seeded else 0
        parts.append(results[(results["method"] == name) & (results["seed"] == its_seed)])
        if parts[-1].empty:
            raise ValueError(
                f"{results_dir} has no result of {name!r} under {protocol!r} with seed {its_seed}; "
                f"run notebook 05 with this seed, or choose one of {', '.join(results['method'].unique())}."
            )
    return pd.concat(parts, ignore_index=True)


def choose_queries(rankings: pd.DataFrame, methods: list[str], metric: str = "ap@50") -> pd.DataFrame:
    """Choose a query by each rule, none twice: rule, query_id, kind, and both methods' AP in per cent.

    The rules: best, median and worst of the second method; where each is furthest ahead of the other, if
    anywhere; the second's median within each kind of change. The smallest id wins among equals.
    """
    before, after = methods
    table = rankings.pivot(index="query_id", columns="method", values=metric)[[before, after]]
    table = 100 * table.dropna().sort_index()
    kind = rankings.drop_duplicates("query_id").set_index("query_id")["kind"].reindex(table.index)
    ascending = table[after].sort_values(kind="stable")
    ahead = (table[after] - table[before]).sort_values(kind="stable")
    rules = {
        f"best of {after}": table[after].sort_values(ascending=False, kind="stable"),
        f"median of {after}": _from_the_middle(ascending),
        f"worst of {after}": ascending,
        f"{after} furthest ahead": (-ahead[ahead > 0]).sort_values(kind="stable"),
        f"{before} furthest ahead": ahead[ahead < 0],
    }
    for name in sorted(set(kind) - {""}):
        of_kind = ascending[kind[ascending.index] == name]
        rules[f"median {name} change of {after}"] = _from_the_middle(of_kind)
    chosen: dict[str, str] = {}  # query -> rule
    for rule, candidates in rules.items():
        query = next((query for query in candidates.index if query not in chosen), None)
        if query is not None:
            chosen[query] = rule
    rows = [[rule, query, kind[query], *table.loc[query]] for query, rule in chosen.items()]
    return pd.DataFrame(rows, columns=["rule", "query_id", "kind", before, after])


def _from_the_middle(ordered: pd.Series) -> pd.Series:
    """The same values, those nearest the middle of the order first."""
    return ordered.iloc[np.argsort(np.abs(np.arange(len(ordered)) - (len(ordered) - 1) / 2), kind="stable")]


def top_ranked(
    rankings: pd.DataFrame, benchmark: Benchmark, query_ids: list[str], depth: int = 3
) -> pd.DataFrame:
    """Return the query clip (method "", rank 0) and each method's first clips, by query: RANKING_COLUMNS."""
    asked = _asked(rankings, benchmark)
    by_query = rankings.set_index(["query_id", "method"])
    rows = []
    for query_id in query_ids:
        rows.append([query_id, "", 0, asked.loc[query_id, "query_clip"], None, np.nan])
        for method in rankings["method"].unique():
            found, right = by_query.loc[(query_id, method)], set(asked.loc[query_id, "answers"])
            best = zip(found["retrieved"][:depth], found["scores"])
            rows += [
                [query_id, method, rank, clip, clip in right, score]
                for rank, (clip, score) in enumerate(best, 1)
            ]
    table = pd.DataFrame(rows, columns=["query_id", "method", "rank", "clip_id", "right", "score"])
    clips, text = benchmark.clips.set_index("clip_id"), benchmark.labels.set_index("label_id")["text"]
    label = table["clip_id"].map(clips["label_id"]).map(text)
    return table.assign(path=table["clip_id"].map(clips["path"]), label=label)[RANKING_COLUMNS]


def failures(rankings: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """Return how many attributes the clip ranked first has wrong, for each method and answered query.

    right_label is the right label nearest to label_id, the clip's; distance counts the attributes between.
    """
    label_of = benchmark.clips.set_index("clip_id")["label_id"]
    right_labels = benchmark.queries.set_index("query_id")["target_labels"]
    answered = rankings[rankings["retrieved"].map(len) > 0]
    table = answered[["method", "query_id", "kind", "changed", "first_rank"]]
    table = table.assign(clip_id=answered["retrieved"].str[0])
    table = table.assign(label_id=table["clip_id"].map(label_of))
    known = (table["label_id"] != "") & (table["query_id"].map(right_labels).map(len) > 0)
    table = table[known].reset_index(drop=True)
    differing = label_differences(benchmark)
    nearest = [
        min((len(differing(right, label)), right) for right in right_labels[query])
        for query, label in zip(table["query_id"], table["label_id"])
    ]
    return table.assign(
        right_label=[label for _, label in nearest], distance=[number for number, _ in nearest]
    )


def wrong_factors(failed: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """Return what `failures` got wrong, one row for each attribute (factor).

    asked: whether the modification changes the factor. step: got - wanted of two numbers, else NaN.
    """
    differing = label_differences(benchmark)
    rows = []
    for row in failed[failed["distance"] > 0].itertuples(index=False):
        for factor, wanted, got in differing(row.right_label, row.label_id):
            step = got - wanted if isinstance(wanted, float) and isinstance(got, float) else np.nan
            rows.append([*row, factor, _say(wanted), _say(got), factor in row.changed.split(","), step])
    return pd.DataFrame(rows, columns=[*failed.columns, "factor", "wanted", "got", "asked", "step"])


def misses_by_factor(failed: pd.DataFrame, wrong: pd.DataFrame) -> pd.DataFrame:
    """Return the share of queries, in per cent, whose first clip has a factor wrong, asked for or not."""
    rows = []
    for method, part in failed.groupby("method", sort=False):
        changed = part["changed"].str.split(",")
        for factor in wrong["factor"].value_counts().index:
            changes = changed.map(lambda names, factor=factor: factor in names)
            missed = wrong[(wrong["method"] == method) & (wrong["factor"] == factor)]
            for asked in (True, False):
                queries, of_these = int((changes == asked).sum()), missed[missed["asked"] == asked]
                share = 100 * len(of_these) / queries if queries else np.nan
                rows.append([method, factor, asked, queries, share, of_these["first_rank"].median()])
    return pd.DataFrame(rows, columns=["method", "factor", "asked", "queries", "missed", "median_rank"])


def typical_failures(
    wrong: pd.DataFrame, method: str, rankings: pd.DataFrame, benchmark: Benchmark
) -> pd.DataFrame:
    """Return an example of each factor that a method misses, the most frequent factor first.

    Of the queries with the smallest distance, it is the one with the median first rank. right_clip: the right
    clip ranked highest.
    """
    wrong = wrong[wrong["method"] == method].sort_values(["distance", "first_rank", "query_id"])
    nearest = wrong[wrong["distance"] == wrong.groupby("factor")["distance"].transform("min")]
    parts = [nearest[nearest["factor"] == factor] for factor in wrong["factor"].value_counts().index]
    rows = pd.DataFrame([part.iloc[(len(part) - 1) // 2] for part in parts], columns=wrong.columns)
    asked = _asked(rankings, benchmark).loc[rows["query_id"]]
    retrieved = rankings[rankings["method"] == method].set_index("query_id")["retrieved"]
    right = [
        next((clip for clip in retrieved[query] if clip in set(answers)), answers[0])
        for query, answers in asked["answers"].items()
    ]
    rows = rows.assign(
        text=asked["text"].to_numpy(), query_clip=asked["query_clip"].to_numpy(), right_clip=right
    )
    return rows.reset_index(drop=True)


def _asked(rankings: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """The queries of the rankings' protocol with their answers, by query_id."""
    (protocol,) = rankings["protocol"].unique()
    task = make_task(benchmark, protocol)
    return task.queries.assign(answers=task.answers).set_index("query_id")


def _say(value) -> str:
    """A value of an attribute in words: 2.5, "tucked", "none"."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        value = ", ".join(value)
    return {"": "none", "None": "none", "True": "yes", "False": "no"}.get(str(value), str(value))
