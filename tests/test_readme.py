"""README: its examples run, its tables are what the committed numbers give, its links lead somewhere."""

import re
import subprocess

import pandas as pd
import pytest
from small_benchmark import small_setting

from tfcovr_utils.benchmark.protocols import make_task
from tfcovr_utils.methods import METHODS
from tfcovr_utils.plots.tables import to_markdown
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.reproduce.publish import refresh, results_of
from tfcovr_utils.sources import SOURCES
from tfcovr_utils.training.settings import paper_and_code

README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = [
    text for text in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "search_exact" not in text
]


@pytest.fixture
def names(tmp_path_factory, tmp_path, monkeypatch):
    """What README says that its examples know."""
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path))
    setting = small_setting(tmp_path_factory)
    return {
        "setting": setting,
        "results": tmp_path / "results",
        "benchmark": setting.benchmark,
        "folder": setting.clips_dir,
    }


def test_a_method_in_twenty_lines(names, monkeypatch):
    monkeypatch.delitem(METHODS, "text-twice-zs", raising=False)
    exec(EXAMPLES[0], names)
    table = pd.read_parquet(names["results"] / "text-twice-zs" / "seed-0.parquet")
    assert set(table["protocol"]) == {"full", "capped"} and (table["coverage"] == 1).all()
    METHODS.pop("text-twice-zs")


def test_an_encoder_in_twenty_lines(names):
    exec(EXAMPLES[1].replace('"resnet18"', '"resnet18", pretrained=False'), names)
    assert (
        names["embedded"].values.shape == (len(names["benchmark"].clips), 4, 512)
        and not names["embedded"].missing
    )


def test_a_dataset_in_twenty_lines(names, tmp_path):
    clips = names["benchmark"].clips.merge(names["benchmark"].labels[["label_id", "text"]], on="label_id")
    table = pd.DataFrame({"path": clips["path"], "video": clips["source_video"], "label": clips["text"]})
    table.to_csv(tmp_path / "clips.csv", index=False)
    exec(EXAMPLES[2], names | {"folder": tmp_path})
    SOURCES.pop("mine")


def test_a_gallery_on_disk(names, tmp_path):
    benchmark, fitted = names["benchmark"], METHODS["clip-avg-zs"].fit(names["setting"])
    queries = make_task(benchmark, "full", "test").queries
    names |= {
        "fitted": fitted,
        "queries": queries,
        "gallery_folder": tmp_path / "gallery",
        "clip_ids": benchmark.clips["clip_id"].tolist(),
    }
    example, position = re.subn(
        "k=50",
        "k=5",
        next(
            text for text in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "search_exact" in text
        ),
    )
    exec(example, names)
    assert position == 1 and names["found"].idx.shape == (len(queries), 5)


def test_examples_stay_within_twenty_lines():
    assert len(EXAMPLES) == 3 and all(len(example.strip().splitlines()) <= 20 for example in EXAMPLES)


def test_tables_are_those_of_the_committed_numbers():
    results = results_of(pd.read_parquet(ROOT / "figures" / "results_mini_queries.parquet"))
    assert to_markdown(results) in README and to_markdown(paper_and_code()) in README and len(results) > 30


def test_a_lost_marker_is_said(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# no markers\n")
    with pytest.raises(ValueError, match="README.md lacks a marker; put <!-- results of mini: begin --> and"):
        refresh(path, "results of mini", pd.DataFrame({"a": [1]}))
    assert path.read_text() == "# no markers\n"


def test_links_lead_somewhere():
    paths = [path for path in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in path]
    assert len(paths) > 12 and [path for path in paths if not (ROOT / path).exists()] == []


def test_scripts_for_a_cluster_are_bash():
    scripts = [text for text in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) if "#SBATCH" in text]
    assert len(scripts) == 2
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
