"""A run's report: one file that needs nothing else, with the numbers of the results and what did not run."""

import json
import re

import pandas as pd
import pytest
from PIL import Image
from small_benchmark import small_benchmark

from tfcovr_utils.evaluation.results import summarise
from tfcovr_utils.evaluation.rows import run
from tfcovr_utils.evaluation.saved import save_not_run
from tfcovr_utils.machine.files import write_json
from tfcovr_utils.methods import METHODS, Setting
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.reproduce.report import write_report


@pytest.fixture
def folder(tmp_path):
    benchmark = small_benchmark()
    for name, seed in (("random", 0), ("random", 1), ("source-label-only", 0)):
        run(
            METHODS[name],
            Setting(benchmark, clips_dir=None, profile=PROFILES["smoke"], seed=seed),
            ["full", "capped"],
            tmp_path / "results",
        )
    save_not_run(tmp_path / "results", "clip-avg-zs", "its <weights> are elsewhere.")
    (tmp_path / "figures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "figures" / "05_overview.png")
    write_json(
        {"inputs": {}, "before": {}, "wrote": [], "seconds": 12.5, "parameters": {"profile": "smoke"}},
        tmp_path / "05_rows.json",
    )
    return tmp_path


def test_the_page_holds_all_and_needs_nothing(folder):
    page = write_report(folder).read_text("utf-8")
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "http" not in page and "<script" not in page
    random = summarise(folder / "results", protocols=["full"]).set_index("method").loc["random"]
    assert (
        f"{random['mAP@50']:.2f}" in page
        and f"[{random['mAP@50 low']:.2f}, {random['mAP@50 high']:.2f}]" in page
        and f"{random['mAP@50 sd']:.2f}" in page
    )
    assert (
        "its &lt;weights&gt; are elsewhere." in page
        and "05_rows" in page
        and "12.5" in page
        and page.count("data:image/png;base64,") == 1
    )
    assert "Protocol full" in page and "Protocol capped" in page and "100.00%" in page


def test_the_same_numbers_as_json_and_csv(folder):
    write_report(folder)
    summary = summarise(folder / "results")
    table, told = (
        pd.read_csv(folder / "results.csv"),
        json.loads((folder / "results.json").read_text("utf-8")),
    )
    assert (
        table["method"].tolist() == summary["method"].tolist() == [row["method"] for row in told["results"]]
    )
    assert table["mAP@50"].to_numpy() == pytest.approx(
        summary["mAP@50"].to_numpy(float), abs=1e-4, nan_ok=True
    )
    assert (
        told["notebooks"] == [{"notebook": "05_rows", "parameters": "profile smoke", "seconds": 12.5}]
        and told["facts"]["torch"]
    )


def test_a_run_without_results_has_a_page_too(tmp_path):
    assert "tfcovr: " in write_report(tmp_path).read_text("utf-8")
