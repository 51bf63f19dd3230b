"""Every notebook runs from top to bottom under `smoke`, as a user runs it."""

import json
import os
import shutil

import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from tfcovr_utils import open_study
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.reproduce.run import run_notebook
from tfcovr_utils.reproduce.steps import resolve_parameters, select_notebooks
from tfcovr_utils.sources.release.embedding_files import write_embeddings
from tfcovr_utils.sources.release.released import export_official

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


WORDS = (
    "back tuck",
    "back tuck with a full twist",
    "cartwheel",
    "dive in pike",
    "front walkover",
    "split leap",
)


@pytest.fixture(scope="module")
def rendered(data):
    """The study of `smoke`, whose clips stand for those that other sources bring."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFCOVR_DATA", str(data))
        return open_study("smoke")


@pytest.fixture(scope="module")
def own_clips(rendered, tmp_path_factory):
    """Two folders of a person's own clips: in subfolders that name them in free words, and without labels."""
    folder = tmp_path_factory.mktemp("own")
    for words, (_, clips) in zip(WORDS, rendered.clips.groupby("label_id")):
        for place in ("labelled/" + words, "unlabelled"):
            (folder / place).mkdir(parents=True, exist_ok=True)
            for clip in clips.groupby("source_video").head(1).head(10).itertuples():
                shutil.copy(rendered.clips_dir / clip.path, folder / place)
    return folder


@pytest.fixture(scope="module")
def release(rendered, tmp_path_factory):
    """CSVs and embeddings in the authors' layout; BLIP-2's lack some clips, as the authors' do."""
    folder = tmp_path_factory.mktemp("release")
    export_official(rendered.benchmark, folder)
    for encoder, name, left_out in (("clip", "aim_embeddings_8", 0), ("blip2", "blip2_embeddings", 20)):
        embedded = rendered.embed(encoder)
        kept = list(zip(embedded.clip_ids, embedded.values.numpy()))[left_out:]
        write_embeddings(dict(kept), folder, name)
    return folder


# Notebooks 08 and 10 show what 05 has scored, so they run after it.
ORDERS = [["00"], ["01"], ["02"], ["04"], ["03", "05", "08", "10"], ["06"], ["07"], ["09"]]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_notebooks_run_on_a_folder_of_clips(order, own_clips, data, tmp_path, monkeypatch):
    given = {"source": "folder", "profile": "smoke", "clips": str(own_clips / "labelled")}
    for number in order:
        run(*select_notebooks([number]), given, data, tmp_path, monkeypatch)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_notebooks_run_on_a_release_or_say_what_it_lacks(order, release, data, tmp_path, monkeypatch):
    given = {"source": "released", "profile": "smoke", "annotations": str(release)}
    for number in order:
        if number in ("04", "09"):
            with pytest.raises(PapermillExecutionError, match="NotGiven: released has no videos here"):
                run(*select_notebooks([number]), given, data, tmp_path, monkeypatch)
        else:
            run(*select_notebooks([number]), given, data, tmp_path, monkeypatch)


@pytest.mark.parametrize("notebook", select_notebooks(["00", "01", "09"]), ids=lambda path: path.stem)
def test_clips_without_labels_are_searched_and_nothing_more(notebook, own_clips, data, tmp_path, monkeypatch):
    given = {"source": "folder", "profile": "smoke", "clips": str(own_clips / "unlabelled")}
    if notebook.stem[:2] == "01":
        with pytest.raises(PapermillExecutionError, match="NotGiven: folder has no labels"):
            run(notebook, given, data, tmp_path, monkeypatch)
    else:
        run(notebook, given, data, tmp_path, monkeypatch)
