"""The front door: a study on a benchmark of six labels."""

import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from small_benchmark import small_setting

from tfcovr_utils import open_study
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.study import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study whose runs and embeddings go to temporary folders."""
    setting, patch = small_setting(tmp_path_factory), pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("study")
    patch.setenv("TFCOVR_RUNS", str(folder / "runs"))
    patch.setenv("TFCOVR_DATA", str(folder / "data"))
    profile = replace(setting.profile, clip_weights=setting.weights["clip"])
    yield Study("smoke", setting.benchmark, setting.clips_dir, profile)
    patch.undo()


def test_rows_are_scored_kept_and_compared(study):
    table = study.score(["random", "clip-avg-zs", "label-oracle"])
    assert table.loc["label-oracle", "mAP@50"] == pytest.approx(100) and (table["status"] == "run").all()
    assert list(table.index) == ["random", "clip-avg-zs", "label-oracle"]
    gap = study.compare("label-oracle", "random")
    expected = table.loc["label-oracle", "mAP@50"] - table.loc["random", "mAP@50"]
    assert gap.mean == pytest.approx(expected) and gap.low <= gap.mean <= gap.high
    lines = study.compare_all([("label-oracle", "random", "all"), ("text-only", "random", "not run")])
    assert lines[["row", "mean"]].to_numpy().tolist() == [["label-oracle", pytest.approx(gap.mean)]]
    assert study.table(["text-only"]).loc["text-only", "status"].startswith("not run")
    assert set(study.by_kind(["random"]).columns) <= {"temporal", "event"}


def test_one_question_is_answered_as_the_row_answers_it(study):
    study.score(["label-oracle", "clip-avg-zs"])
    query = study.queries.iloc[0]
    ranking = study.ask(query["query_clip"], query["text"], k=5, method="clip-avg-zs")
    kept = study.results(["clip-avg-zs"]).set_index("query_id")["retrieved"][query["query_id"]]
    assert ranking["clip_id"].tolist() == list(kept)[:5] and ranking["score"].is_monotonic_decreasing
    assert ranking["right"].tolist() == [clip in query["answers"] for clip in ranking["clip_id"]]
    assert study.ask(query["query_clip"], "words that nobody asked", k=2)["right"].isna().all()
    with pytest.raises(ValueError, match="clip 'no such clip' is not in this benchmark; choose one of"):
        study.ask("no such clip", "show with 2 twists")


def test_views_say_what_the_tables_say(study):
    targets = study.benchmark.targets
    for query in study.queries.itertuples():
        of_query = targets[(targets["query_id"] == query.query_id) & (targets["gallery"] == "full")]
        assert query.answers == sorted(of_query["clip_id"])
    assert study.labels.loc["one", ["apparatus", "base"]].tolist() == ["FX", "salto"]
    assert (study.clips["seconds"] == 1).all() and study.clips["text"].notna().all()


def test_what_is_exported_is_named(study):
    table = pd.DataFrame({"a": [1]})
    figure = study.sheet({"one": study.clips["clip_id"].iloc[0]}, frames=3, labelled=True)
    names = study.export("99", first=(figure, table), second=table)
    assert "99_first.pdf" in names and "99_second.md" in names
    assert all((study.figures_dir / name).exists() for name in names)
    study.score(["random"])
    assert all((study.figures_dir / name).exists() for name in study.export_results())


def test_a_source_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="source 'tiny' is not known; choose one of circo, cirr"):
        open_study("tiny")


@pytest.mark.parametrize("asks", ["require_main_guard()\n{}", "with locked('x'):\n    {}"])
def test_a_script_without_a_guard_is_refused_in_place_of_waiting_for_itself(asks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(
        "from tfcovr_utils.machine.files import locked\n"
        "from tfcovr_utils.machine.workers import make_pool, require_main_guard\n"
        + asks.format("make_pool(1).submit(print).result()\n")
    )
    run = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert run.returncode and 'below `if __name__ == "__main__":`' in run.stderr
