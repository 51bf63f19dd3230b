"""The committed numbers of `mini`: recomputed from their per-query files, and one method evaluated again."""

import json
import re

import pandas as pd
import pytest

from tfcovr_utils import rendering
from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.evaluation.asked import across, by_what_is_asked
from tfcovr_utils.evaluation.results import HEADLINES, compare, format_results, results_table
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.methods import METHODS, Setting
from tfcovr_utils.profiles import ROOT, get_profile
from tfcovr_utils.sources import load_source

FIGURES, WEIGHTS = ROOT / "figures", ROOT / "data" / "trained" / "clip-mlp-15"


def committed(name: str) -> pd.DataFrame:
    return pd.read_csv(FIGURES / f"{name}.csv", dtype=str)


@pytest.mark.parametrize("name", ["results_mini", "results_mini-render1", "results_mini_dense"])
def test_every_line_follows_from_its_queries(name):
    queries = pd.read_parquet(FIGURES / f"{name}_queries.parquet")
    assert not queries.duplicated(["method", "protocol", "seed", "query_id"]).any()
    again = format_results(results_table(queries)).astype(str).reset_index(drop=True)
    pd.testing.assert_frame_equal(again, committed(name))
    assert (queries.groupby(["method", "protocol", "seed"]).size() == queries["query_id"].nunique()).all()


def test_a_changed_query_is_noticed():
    queries = pd.read_parquet(FIGURES / "results_mini_queries.parquet")
    queries.loc[queries["method"] == "clip-mlp-15", "ap@50"] += 1e-3
    again = format_results(results_table(queries)).astype(str).reset_index(drop=True)
    assert not again.equals(committed("results_mini"))


SAID = re.compile(r"`([\w-]+)` - `([\w-]+)`: ([+-][\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]")


def test_every_difference_in_docs_is_computed():
    queries = pd.read_parquet(FIGURES / "results_mini_queries.parquet").query("protocol == 'full'")
    rows = dict(list(queries.groupby("method")))
    said = SAID.findall((ROOT / "docs" / "results.md").read_text("utf-8"))
    assert len(said) >= 10
    for row, against, *numbers in said:
        gap = compare(rows[row], rows[against])
        assert [f"{gap.mean:+.2f}", f"{gap.low:.2f}", f"{gap.high:.2f}"] == numbers, (row, against)


def test_the_open_world_follows_from_its_queries():
    queries = pd.read_parquet(FIGURES / "open_world_mini_queries.parquet")
    parts = dict(list(queries.groupby("way", sort=False)))
    asked = {
        way: part.drop_duplicates("query_id").set_index("query_id")["asked"] for way, part in parts.items()
    }
    tables = {way: by_what_is_asked(part, asked[way]) for way, part in parts.items()}
    again = pd.concat(tables, names=["held out"]).reset_index().round(2)
    pd.testing.assert_frame_equal(again, pd.read_csv(FIGURES / "open_world_mini.csv"), check_dtype=False)
    shown = (
        (ROOT / "docs" / "results.md").read_text("utf-8").partition("<!-- open world of mini: begin -->")[2]
    )
    lines = [line.strip("| ").split(" | ") for line in shown.strip().splitlines() if line.startswith("|")]
    (_, *columns), rows = lines[0], lines[2:]
    table = across(tables)
    for name, *values in rows:
        for column, value in zip(columns, values):
            way = next(way for way in tables if (way, column) in table)
            assert value == f"{table.loc[name.strip('`'), (way, column)]:.1f}"
    assert len(rows) == 6 and len(columns) == 6


@pytest.mark.slow
def test_one_method_evaluated_again_from_its_weights(tmp_path):
    """Its test clips are rendered, embedded and ranked anew; nothing is trained."""
    profile = get_profile("mini")
    folder = rendering.build(profile, tmp_path / "mini", progress=False, splits=["test"])
    benchmark = Benchmark.build(load_source("mini", folder))
    setting = Setting(benchmark, folder, profile, checkpoint=WEIGHTS, store_dir=tmp_path / "store")
    fitted = METHODS["clip-mlp-15"].fit(setting)
    seed = json.loads((WEIGHTS / "record.json").read_text())["test full"]["seed"]
    rows = committed("results_mini").set_index(["method", "protocol", "seed"])
    for protocol in ("full", "capped"):
        table = evaluate(fitted, benchmark, protocol)
        again = 100 * table[[f"ap@{name.partition('@')[2]}" for name in HEADLINES]].mean()
        said = rows.loc[("clip-mlp-15", protocol, str(seed)), HEADLINES].astype(float)
        assert again.to_numpy() == pytest.approx(
            said.to_numpy(), abs=0.02
        )  # the last bits of a product depend on the machine
        assert (table["coverage"] == 1).all()
