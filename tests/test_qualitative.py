"""Queries chosen by rule, the top of rankings, and what is wrong there, against brute force on six labels."""

import numpy as np
import pandas as pd
import pytest
from small_benchmark import small_benchmark

from tfcovr_utils.evaluation.qualitative import (
    choose_queries,
    failures,
    misses_by_factor,
    read_rankings,
    top_ranked,
    typical_failures,
    wrong_factors,
)
from tfcovr_utils.evaluation.rows import run
from tfcovr_utils.labels import Attributes, difference
from tfcovr_utils.methods import METHODS, Setting
from tfcovr_utils.profiles import PROFILES

PAIR = ["random", "label-oracle"]


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    benchmark, folder = small_benchmark(), tmp_path_factory.mktemp("run") / "results"
    for name in PAIR:
        run(METHODS[name], Setting(benchmark, folder, PROFILES["smoke"]), ["full"], folder)
    return benchmark, folder, read_rankings(folder, PAIR)


def test_rankings_that_are_not_there_are_named(answered):
    with pytest.raises(
        ValueError, match="no result of 'clip-mlp-1' under 'full' with seed 0; run notebook 05"
    ):
        read_rankings(answered[1], ["random", "clip-mlp-1"])
    with pytest.raises(ValueError, match="with seed 3"):
        read_rankings(
            answered[1], ["label-oracle", "random"], seed=3
        )  # the oracle knows no seed, random has no third
    with pytest.raises(FileNotFoundError):
        read_rankings(answered[1] / "nowhere", PAIR)


def test_each_rule_chooses_the_query_it_says():
    before = dict(zip("abcdefg", (0.9, 0.1, 0.5, 0.2, 0.3, 0.0, 0.4)))
    after = dict(zip("abcdefg", (0.2, 1.0, 1.0, 0.4, 0.6, 0.9, 0.0)))
    kind = dict(zip("abcdefg", ("event", "event", "temporal", "temporal", "event", "temporal", "temporal")))
    rows = [
        {"method": name, "query_id": query, "kind": kind[query], "ap@50": ap[query]}
        for name, ap in (("x", before), ("y", after))
        for query in "gfedcba"
    ]
    rows += [{"method": name, "query_id": "undefined", "kind": "event", "ap@50": np.nan} for name in "xy"]
    chosen = choose_queries(pd.DataFrame(rows), ["x", "y"]).set_index("rule")
    # y ascending: g 0, a .2, d .4, e .6, f .9, b 1, c 1; y - x: f .9, b .9, c .5, e .3, d .2, g -.4, a -.7
    assert chosen.query_id.to_dict() == {
        "best of y": "b",
        "median of y": "e",
        "worst of y": "g",
        "y furthest ahead": "f",
        "x furthest ahead": "a",
        "median temporal change of y": "d",
    }  # of events a, e, b none is left; of temporal d is nearest the middle
    assert chosen.loc["best of y", ["x", "y"]].tolist() == [10, 100]
    never_behind = pd.DataFrame(rows).assign(
        **{"ap@50": [row["ap@50"] * (row["method"] == "y") for row in rows]}
    )
    assert not choose_queries(never_behind, ["x", "y"]).rule.str.contains("x furthest").any()


def test_the_top_of_a_ranking_is_right_where_the_targets_say_so(answered):
    benchmark, _, rankings = answered
    queries = sorted(set(rankings.query_id))[:6]
    ranked = top_ranked(rankings, benchmark, queries, depth=4)
    targets = set(
        benchmark.targets[benchmark.targets.gallery == "full"][["query_id", "clip_id"]].itertuples(
            index=False, name=None
        )
    )
    found = ranked[ranked["rank"] > 0]
    assert found.right.tolist() == [
        key in targets for key in found[["query_id", "clip_id"]].itertuples(index=False, name=None)
    ]
    assert (
        ranked[ranked["rank"] == 0].clip_id.tolist()
        == benchmark.queries.set_index("query_id").loc[queries, "query_clip"].tolist()
    )
    assert (
        found.groupby(["query_id", "method"]).score.apply(lambda scores: scores.is_monotonic_decreasing).all()
    )
    assert found.right.nunique() == 2 and (found.path == found.clip_id + ".mp4").all()


def test_failures_are_the_fewest_attributes_from_right(answered):
    benchmark, _, rankings = answered
    failed = failures(rankings, benchmark)
    attributes = benchmark.labels.set_index("label_id").attributes.map(Attributes.from_json)
    right = benchmark.queries.set_index("query_id").target_labels
    for row in failed.itertuples():
        apart = {
            label: len(difference(attributes[label], attributes[row.label_id]))
            for label in right[row.query_id]
        }
        assert row.distance == min(apart.values()) == apart[row.right_label]
    oracle = failed.method == "label-oracle"
    assert (failed[oracle].distance == 0).all() and (failed[~oracle].distance > 0).any()
    assert ((failed.distance == 0) == (failed.first_rank == 1)).all()


def test_a_wrong_factor_has_its_values_its_sign_and_whether_it_was_asked_for(answered):
    benchmark = answered[0]
    said = benchmark.queries[(benchmark.queries.split == "test")].merge(
        benchmark.modifications, on="modification_id"
    )
    query = said[(said.source_label == "one") & (said.target_label == "two")].iloc[0]
    shown = benchmark.clips[
        (benchmark.clips.split == "test") & (benchmark.clips.label_id == "beam")
    ].clip_id.iloc[0]
    rankings = pd.DataFrame(
        [
            {
                "method": "x",
                "query_id": query.query_id,
                "kind": "temporal",
                "changed": "rotation",
                "first_rank": 9.0,
                "retrieved": [shown],
            },
            {
                "method": "x",
                "query_id": "none",
                "kind": "",
                "changed": "",
                "first_rank": np.inf,
                "retrieved": [],
            },
        ]
    )
    failed = failures(rankings, benchmark)
    wrong = wrong_factors(failed, benchmark).set_index("factor")
    assert failed.distance.tolist() == [2] and set(wrong.index) == {"apparatus", "rotation"}
    assert wrong.loc["rotation", ["wanted", "got", "asked", "step"]].tolist() == ["2", "1", True, -1]
    assert wrong.loc["apparatus", ["wanted", "got", "asked"]].tolist() == ["FX", "BB", False] and np.isnan(
        wrong.loc["apparatus", "step"]
    )


def test_misses_are_shares_of_the_queries_that_ask_and_of_those_that_do_not():
    failed = pd.DataFrame(
        {"method": "x", "query_id": list("abcd"), "changed": ["shape", "shape", "rotation,shape", "rotation"]}
    )
    wrong = pd.DataFrame(
        {
            "method": "x",
            "query_id": ["a", "d"],
            "factor": "shape",
            "asked": [True, False],
            "first_rank": [3.0, 7.0],
        }
    )
    misses = misses_by_factor(failed, wrong).set_index("asked")
    assert misses.queries.to_dict() == {True: 3, False: 1}
    assert misses.missed.round(6).to_dict() == {
        True: round(100 / 3, 6),
        False: 100,
    } and misses.median_rank.to_dict() == {True: 3, False: 7}


def test_examples_are_near_misses_with_the_right_clip_ranked_highest(answered):
    benchmark, _, rankings = answered
    wrong = wrong_factors(failures(rankings, benchmark), benchmark)
    examples = typical_failures(wrong, "random", rankings, benchmark)
    assert set(examples.factor) == set(wrong.factor) and examples.factor.is_unique
    retrieved = rankings[rankings.method == "random"].set_index("query_id").retrieved
    for row in examples.itertuples():
        assert row.distance == wrong[wrong.factor == row.factor].distance.min()
        assert (
            list(retrieved[row.query_id]).index(row.right_clip) == row.first_rank - 1
            and retrieved[row.query_id][0] == row.clip_id
        )
    assert typical_failures(wrong, "label-oracle", rankings, benchmark).empty
