"""Results: saved, replaced, summed up; intervals that cover; tables recomputed from the Parquet."""

import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from random_row import random_embeddings
from small_benchmark import small_benchmark

from tfcovr_utils.benchmark import make_task
from tfcovr_utils.evaluation import results, rows, saved
from tfcovr_utils.evaluation.rows import run
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.methods import METHODS, Method, NotRun, Setting
from tfcovr_utils.metrics.intervals import bootstrap_interval
from tfcovr_utils.metrics.ranking import RANKS
from tfcovr_utils.profiles import PROFILES

SEEDS = (0, 1, 2)
HEADLINES = [f"mAP@{k}" for k in RANKS]


@pytest.fixture(scope="module")
def benchmark():
    return small_benchmark()


def setting(benchmark, seed=0):
    return Setting(benchmark, clips_dir=None, profile=PROFILES["smoke"], seed=seed)


@pytest.fixture(scope="module")
def folder(benchmark, tmp_path_factory):
    """Three rows under two protocols: one seeded, one not, one a variant of its own name."""
    folder = tmp_path_factory.mktemp("run") / "results"
    noisy = Method(
        "noisy-oracle", "control", "Random vectors.", lambda s: random_embeddings(s.benchmark, s.seed), True
    )
    for method, seeds in ((METHODS["random"], SEEDS), (noisy, SEEDS), (METHODS["source-label-only"], (0,))):
        for seed in seeds:
            run(method, setting(benchmark, seed), ["capped", "full"], folder)
    return folder


def test_a_result_replaces_its_like_and_leaves_the_others(benchmark, tmp_path):
    random = METHODS["random"]
    run(random, setting(benchmark), ["full", "capped"], tmp_path)
    run(random, setting(benchmark), ["full"], tmp_path, "val")
    path = tmp_path / "random" / "seed-0.parquet"
    before = pd.read_parquet(path)
    other = evaluate(random_embeddings(benchmark), benchmark, "full")
    saved.save_result(other, tmp_path, "random", 0, {"revision": "new"})
    after = pd.read_parquet(path)
    is_new = (after["protocol"] == "full") & (after["split"] == "test")
    assert after.loc[is_new, "ap@50"].tolist() == other["ap@50"].tolist() and set(
        after.loc[is_new, "revision"]
    ) == {"new"}
    old = before[(before["protocol"] != "full") | (before["split"] != "test")]
    pd.testing.assert_frame_equal(after[~is_new].reset_index(drop=True), old.reset_index(drop=True))
    records = json.loads(path.with_suffix(".json").read_text())
    assert set(records) == {"test full", "test capped", "val full"} and records["test full"] == {
        "revision": "new"
    }
    assert (
        records["test capped"]["about"] == random.about
        and records["test capped"]["profile"]["name"] == "smoke"
    )
    assert results.read_results(tmp_path, "val")["split"].unique().tolist() == ["val"]


def test_the_summary_is_of_seeds_and_queries(benchmark, folder):
    table = results.summarise(folder).set_index(["method", "protocol"])
    for name, seeds in (("random", SEEDS), ("source-label-only", (0,))):
        for protocol in ("capped", "full"):
            per_seed = [
                evaluate(METHODS[name].fit(setting(benchmark, seed)), benchmark, protocol) for seed in seeds
            ]
            row = table.loc[(name, protocol)]
            for k in RANKS:
                values = 100 * np.array([part[f"ap@{k}"] for part in per_seed])  # (seeds, Q)
                assert row[f"mAP@{k}"] == pytest.approx(values.mean())
                assert row[f"mAP@{k} sd"] == pytest.approx(
                    np.std(values.mean(1), ddof=1) if len(seeds) > 1 else np.nan, nan_ok=True
                )
                interval = bootstrap_interval(values, results.BOOTSTRAP_SEED, per_seed[0]["answer_set"])
                assert (row[f"mAP@{k} low"], row[f"mAP@{k} high"]) == pytest.approx(
                    (interval.low, interval.high)
                )
                assert row[f"mAP@{k} low"] < row[f"mAP@{k}"] < row[f"mAP@{k} high"]
            assert (row["n_seeds"], row["n_queries"], row["coverage"]) == (len(seeds), len(per_seed[0]), 1)
            right = benchmark.queries.set_index("query_id")["target_labels"][per_seed[0]["query_id"]]
            assert row["n_sets"] == len({tuple(sorted(labels)) for labels in right}) < row["n_queries"]
    assert table.loc[("noisy-oracle", "full"), "status"] == "run"


def test_every_registered_row_stands_in_the_summary(folder):
    table = results.summarise(folder)
    assert list(dict.fromkeys(table["method"])) == [*METHODS, "noisy-oracle"]
    absent = table[table["status"] != "run"]
    assert set(absent["method"]) == set(METHODS) - {"random", "source-label-only"} and absent[
        HEADLINES
    ].isna().all(axis=None)
    assert (
        absent["status"]
        .str.contains("not run: it has no result yet. To run it: `tfcovr score --method")
        .all()
    )
    assert table["group"].tolist() == [
        METHODS[name].group if name in METHODS else "" for name in table["method"]
    ]


def test_a_row_that_cannot_run_says_why_until_it_runs(benchmark, tmp_path):
    def refuse(_):
        raise NotRun("the weights 'x/y' are not to be had.", "hf download x/y")

    wanting = Method("wanting", "zero-shot", "Needs weights.", refuse, False)
    run(METHODS["random"], setting(benchmark), ["full"], tmp_path)
    assert run(wanting, setting(benchmark), ["full"], tmp_path) is None
    row = results.summarise(tmp_path).set_index("method").loc["wanting"]
    assert row["status"] == "not run: the weights 'x/y' are not to be had. To run it: `hf download x/y`."
    assert row[HEADLINES].isna().all() and row["n_seeds"] == 0
    here = Method("wanting", "zero-shot", "Has them.", lambda s: random_embeddings(s.benchmark), False)
    run(here, setting(benchmark), ["full"], tmp_path)
    assert results.summarise(tmp_path).set_index("method").loc["wanting", "status"] == "run"
    assert not (tmp_path / "wanting" / "not-run.json").exists()


def test_a_folder_of_rows_that_cannot_run_is_still_a_table(tmp_path):
    saved.save_not_run(tmp_path, "clip-mlp-1", "no weights.")
    table = results.summarise(tmp_path).set_index("method")
    assert (
        table.loc["clip-mlp-1", "status"] == "not run: no weights."
        and table["mAP@5 sd"].isna().all()
        and len(table) == len(METHODS)
    )


def test_the_csv_is_recomputed_from_the_parquet(folder, tmp_path):
    results.write_results_csv(folder, tmp_path / "results_mini.csv")
    written = pd.read_csv(tmp_path / "results_mini.csv", dtype=str)
    assert list(written) == [
        "method",
        "protocol",
        "seed",
        "mAP@5",
        "mAP@10",
        "mAP@25",
        "mAP@50",
        "n_queries",
        "coverage",
        "revision",
    ]
    assert len(written) == 2 * (len(SEEDS) + len(SEEDS) + 1)
    for row in written.to_dict("records"):
        table = pd.read_parquet(folder / row["method"] / f"seed-{row['seed']}.parquet").query(
            f"protocol == {row['protocol']!r}"
        )
        assert [row[name] for name in HEADLINES] == [f"{100 * table[f'ap@{k}'].mean():.2f}" for k in RANKS]
        assert (row["n_queries"], row["coverage"], row["revision"]) == (
            str(len(table)),
            "1.0000",
            table["revision"].iloc[0],
        )


def test_undefined_queries_are_counted_out(benchmark, tmp_path):
    lost = benchmark.queries.query("split == 'test'")["query_id"].iloc[:2].tolist()
    partial = Method(
        "partial", "control", "Two queries less.", lambda s: random_embeddings(s.benchmark, 0, lost), False
    )
    run(partial, setting(benchmark), ["full"], tmp_path)
    run(METHODS["random"], setting(benchmark), ["full"], tmp_path)
    found = results.read_results(tmp_path)
    n_asked = len(found[found["method"] == "random"])
    row = results.results_table(found).set_index("method").loc["partial"]
    assert (row["n_queries"], row["coverage"]) == (n_asked - 2, pytest.approx(1 - 2 / n_asked))
    part = [found[found["method"] == name] for name in ("partial", "random")]
    assert results.compare(*part).num_queries == n_asked - 2
    summary = results.summarise(tmp_path).set_index("method")
    assert summary.loc["partial", "n_queries"] == n_asked - 2 and summary.loc[
        "partial", "mAP@50"
    ] == pytest.approx(row["mAP@50"])


def test_a_query_that_one_seed_lost_has_no_mean_over_seeds(benchmark, tmp_path):
    lost = benchmark.queries.query("split == 'test'")["query_id"].iloc[0]
    for seed in (0, 1):
        method = Method(
            "partial",
            "control",
            "x.",
            lambda s: random_embeddings(s.benchmark, s.seed, [lost] * s.seed),
            True,
        )
        run(method, setting(benchmark, seed), ["full"], tmp_path)
    values, sets = results.by_seed(results.read_results(tmp_path))
    assert (
        values.columns[values.isna().all()].tolist() == [lost] == values.columns[values.isna().any()].tolist()
    )
    assert sets.index.equals(values.columns)


def test_comparison_pairs_queries_and_averages_seeds(folder):
    found = results.read_results(folder)
    full = found[found["protocol"] == "full"]
    a, b = (full[full["method"] == name] for name in ("source-label-only", "random"))
    difference = results.compare(a.sample(frac=1, random_state=0), b)
    assert difference.mean == pytest.approx(100 * (a["ap@50"].mean() - b["ap@50"].mean()))
    # 93 queries ask for 6 sets: that settles little.
    assert difference.num_sets == 6 and difference.low < 0 < difference.p_value < 0.1
    assert results.compare(b, a).mean == pytest.approx(-difference.mean)
    itself = results.compare(b, b)
    assert (itself.mean, itself.low, itself.high, itself.p_value) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="answer 2 different sets of questions"):
        results.compare(a, found[(found["method"] == "random") & (found["protocol"] == "capped")])
    with pytest.raises(ValueError, match="results hold 6 methods and protocols; choose one"):
        results.by_seed(found)


def save_row(benchmark, folder, method, seed=0, protocols=("full",)):
    """As `run` saves it."""
    record = {"revision": "x", "benchmark": benchmark.digest, "history": [{"seconds": 1.0, "val": 0.5}]}
    for protocol in protocols:
        table = evaluate(random_embeddings(benchmark, seed), benchmark, protocol)
        path = saved.save_result(table, folder, method, seed, record)
    return path


def test_results_of_an_older_benchmark_are_skipped_and_named(benchmark, tmp_path):
    """After a change of the texts some rows were scored again. Time stamps decide nothing."""
    texts = benchmark.modifications
    older = replace(benchmark, modifications=texts.assign(text=texts["text"] + "."))
    for method, seed in (("random", 0), ("random", 1), ("source-label-only", 0), ("label-oracle", 0)):
        path = save_row(older, tmp_path, method, seed, ["capped", "full"])
        os.utime(path, (2e9, 2e9))
    save_row(benchmark, tmp_path, "text-only", protocols=["capped", "full"])
    os.utime(save_row(benchmark, tmp_path, "random"), (0, 0))
    said = (
        r"random/seed-0 \(capped\), random/seed-1 \(capped\), random/seed-1 \(full\), .*"
        rf"label-oracle/seed-0 \(full\) in {tmp_path} are results of an older benchmark and are skipped; "
        "score these rows again"
    )
    with pytest.warns(UserWarning, match=said) as warned:
        found = results.read_results(tmp_path)
    assert len(warned) == 1
    kept = found[["method", "protocol", "seed"]].drop_duplicates().to_numpy().tolist()
    assert kept == [["random", "full", 0], ["text-only", "capped", 0], ["text-only", "full", 0]]
    assert (found.groupby("protocol")["task"].nunique() == 1).all()
    assert found.columns.tolist()[-2:] == ["method", "seed"]
    with pytest.warns(UserWarning, match=said):
        summary = results.summarise(tmp_path, protocols=["full"]).set_index("method")
    assert summary["n_seeds"].loc[["random", "text-only", "label-oracle"]].tolist() == [1, 1, 0]
    outdated = "not run: its results are of an older benchmark. To run it: `tfcovr score"
    assert summary["status"]["label-oracle"].startswith(outdated)
    assert summary["status"]["video-only"].startswith("not run: it has no result yet.")
    with pytest.warns(UserWarning, match=said):
        cost = results.training_cost(tmp_path, ["text-only", "label-oracle"])
    assert cost["stage 2 s"].to_dict() == {"text-only": 1}
    for method, seed in (("random", 1), ("source-label-only", 0), ("label-oracle", 0)):
        save_row(benchmark, tmp_path, method, seed, ["capped", "full"])
    save_row(benchmark, tmp_path, "random", protocols=["capped"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = results.read_results(tmp_path)
    assert found.groupby("protocol")["method"].nunique().to_dict() == {"capped": 4, "full": 4}


def test_a_kept_result_makes_its_benchmark_the_current_one(benchmark, tmp_path, monkeypatch):
    """A row that is found again counts as scored, though another benchmark was scored since."""
    run(METHODS["random"], setting(benchmark), ["full"], tmp_path)
    save_row(replace(benchmark, gallery=benchmark.gallery.iloc[:-1]), tmp_path, "text-only")
    with pytest.warns(UserWarning, match=r"^random/seed-0 \(full\) in"):
        assert results.read_results(tmp_path)["method"].unique().tolist() == ["text-only"]
    monkeypatch.setattr(rows, "evaluate", None)  # nothing may be scored anew
    path = tmp_path / "random" / "seed-0.parquet"
    before = path.stat().st_mtime_ns
    run(METHODS["random"], setting(benchmark), ["full"], tmp_path)
    assert path.stat().st_mtime_ns == before
    with pytest.warns(UserWarning, match=r"^text-only/seed-0 \(full\) in"):
        assert results.read_results(tmp_path)["method"].unique().tolist() == ["random"]


def test_the_folder_names_its_benchmark_by_split_and_protocol(benchmark, tmp_path):
    save_row(benchmark, tmp_path, "random", protocols=["capped", "full"])
    tasks = {
        f"test {protocol}": make_task(benchmark, protocol).fingerprint for protocol in ("capped", "full")
    }
    named = json.loads((tmp_path / "benchmark.json").read_text())
    assert named == {key: {"benchmark": benchmark.digest, "task": task} for key, task in tasks.items()}
    # The same questions after another training set: the older rows were trained on other triplets.
    fewer = replace(benchmark, triplets=benchmark.triplets.iloc[1:])
    save_row(fewer, tmp_path, "text-only")
    assert json.loads((tmp_path / "benchmark.json").read_text())["test full"]["task"] == tasks["test full"]
    with pytest.warns(UserWarning, match=r"^random/seed-0 \(full\) in"):
        found = results.read_results(tmp_path)
    assert found[["method", "protocol"]].drop_duplicates().to_numpy().tolist() == [
        ["random", "capped"],
        ["text-only", "full"],
    ]


def test_rows_without_their_record_are_of_no_benchmark(benchmark, tmp_path):
    """A run was killed between the rows and their record."""
    path = save_row(benchmark, tmp_path, "random")
    save_row(benchmark, tmp_path, "text-only")
    path.with_suffix(".json").unlink()
    with pytest.warns(UserWarning, match=r"^random/seed-0 \(full\) in"):
        assert results.read_results(tmp_path)["method"].unique().tolist() == ["text-only"]


def test_rows_of_two_benchmarks_are_not_compared(benchmark):
    one, other = (
        evaluate(random_embeddings(some), some, "full").assign(method="random", seed=0)
        for some in (benchmark, replace(benchmark, gallery=benchmark.gallery.iloc[:-1]))
    )
    with pytest.raises(ValueError, match="answer 2 different sets of questions"):
        results.compare(one, other)


def test_an_empty_folder_says_how_to_fill_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no results on test; make some with `tfcovr score"):
        results.read_results(tmp_path)


def test_by_kind_and_by_factor_count_by_hand():
    known = [  # kind, changed, missed, ap@50
        ("temporal", "shape", "shape", 0.0),
        ("temporal", "shape", "", 1.0),
        ("temporal", "rotation,shape", "rotation", 0.5),
        ("event", "apparatus", "shape", 0.25),
        ("event", "apparatus", None, 0.75),
        ("temporal", "rotation", "", np.nan),
        ("", "", "shape", 0.125),  # of no known pair
    ]
    table = pd.DataFrame(known, columns=["kind", "changed", "missed", "ap@50"])
    table = table.assign(
        **{f"ap@{k}": table["ap@50"] for k in RANKS}, method="m", protocol="full", query_id=[*"abcdefg"]
    )
    both = pd.concat([table.assign(seed=0), table.assign(seed=1)], ignore_index=True)
    kinds = results.by_kind(both).set_index("kind")
    assert kinds["n_queries"].to_dict() == {"temporal": 3, "event": 2, "": 1}
    assert kinds["mAP@5"].to_dict() == {"temporal": 50, "event": 50, "": 12.5}
    factors = results.by_factor(both).set_index("factor")[
        ["n_queries", "mAP@50", "missed_changed", "missed_kept"]
    ]
    assert sorted(factors.index) == ["apparatus", "rotation", "shape"]
    assert factors.loc["shape"].tolist() == pytest.approx([3, 50, 100 / 3, 50])
    assert factors.loc["rotation"].tolist() == pytest.approx([2, 50, 50, 0])
    assert factors.loc["apparatus"].tolist() == pytest.approx([1, 25, 0, 0])


def test_intervals_of_average_precisions_cover_as_often_as_they_say(benchmark):
    """For query sets drawn from real APs, many of them 0, 95 % of intervals cover the mean."""
    rng = np.random.default_rng(0)
    population = np.concatenate(
        [evaluate(random_embeddings(benchmark, seed), benchmark, "full")["ap@5"] for seed in range(6)]
    )
    assert (population == 0).mean() > 0.2
    n_sets, level = 600, 0.95
    drawn = [bootstrap_interval(rng.choice(population, 150), seed, resamples=500) for seed in range(n_sets)]
    covered = np.mean([interval.low <= population.mean() <= interval.high for interval in drawn])
    error = np.sqrt(level * (1 - level) / n_sets)
    assert abs(covered - level) < 3 * error
    # The bound has teeth: intervals of a nominal 90 % lie outside it.
    narrow = [
        bootstrap_interval(rng.choice(population, 150), seed, resamples=500, level=0.9)
        for seed in range(n_sets)
    ]
    assert abs(np.mean([i.low <= population.mean() <= i.high for i in narrow]) - level) > 3 * error
