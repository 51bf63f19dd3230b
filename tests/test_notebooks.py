"""Every notebook runs from top to bottom under `smoke`, as a user runs it."""

import json
import os
import shutil

import papermill
import pytest

from tfcovr_utils.profiles import ROOT
from tfcovr_utils.reproduce.run import run_notebook
from tfcovr_utils.reproduce.steps import resolve_parameters, select_notebooks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One data folder for all notebooks, so the benchmark is rendered once and never taken from an earlier
    run."""
    folder = tmp_path_factory.mktemp("data")
    for kept in ("modifications", "paper"):
        shutil.copytree(ROOT / "data" / kept, folder / kept)
    return folder


def run(notebook, parameters, data, tmp_path, monkeypatch):
    monkeypatch.setenv("TFCOVR_DATA", str(data))
    monkeypatch.setenv("TFCOVR_RUNS", str(data / "runs"))
    out = tmp_path / notebook.name
    run_notebook(
        notebook,
        out,
        resolve_parameters([notebook], {}, {"source": "smoke", "seed": 0, **parameters})[notebook],
    )
    cells = json.loads(out.read_text())["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("notebook", select_notebooks([]), ids=lambda path: path.stem)
def test_notebook_runs_under_smoke(notebook, data, tmp_path, monkeypatch):
    run(notebook, {}, data, tmp_path, monkeypatch)
    assert (
        papermill.inspect_notebook(str(notebook))["source"]["default"] == '"mini"'
    )  # what is run by hand is mini


@pytest.mark.parametrize(
    ("number", "rows"),
    [
        (
            "05",
            {
                "results/tfcovr-base-long",
                "results/tfcovr-base-multi-positive",
                "results/tfcovr-ordered-shuffled",
                "results/tfcovr-text-pooling",
            },
        ),
        (
            "07",
            {
                "results/bse-covr-oracle",
                "dense/results/blip-covr-ft",
                "dense/results/bse-covr",
                "dense/results/bse-covr-undescribed",
            },
        ),
    ],
)
def test_rows_that_are_left_to_the_sweep_run_too(number, rows, data, tmp_path, monkeypatch):
    (notebook,) = select_notebooks([number])
    run(notebook, {"sweep": True, "seed": 1}, data, tmp_path, monkeypatch)
    runs = data / "runs" / "smoke"
    assert {name for name in rows if (runs / name / "seed-1.parquet").exists()} == rows
    assert {path.suffix for path in (runs / "seed-1" / "figures").glob(f"{number}_overview.*")} == {
        ".pdf",
        ".svg",
        ".png",
        ".csv",
    }  # not among seed 0's


@pytest.mark.skipif(not os.environ.get("TFCOVR_ANNOTATIONS"), reason="TFCOVR_ANNOTATIONS is not set")
@pytest.mark.parametrize("notebook", select_notebooks(["01", "02", "03"]), ids=lambda path: path.stem)
def test_notebook_runs_on_the_real_annotations(notebook, data, tmp_path, monkeypatch):
    run(notebook, {"source": "tfcovr"}, data, tmp_path, monkeypatch)
