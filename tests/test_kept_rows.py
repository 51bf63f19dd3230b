"""A cached row with equal ingredients is not fitted again; whatever decides its numbers fits it again."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from small_benchmark import small_setting

from tfcovr_utils.evaluation import rows
from tfcovr_utils.evaluation.rows import run
from tfcovr_utils.methods import METHODS


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return small_setting(tmp_path_factory)


@pytest.fixture
def fits(monkeypatch):
    """Names of the methods that were evaluated, and so fitted before."""
    seen, real = [], rows.evaluate

    def counting(fitted, benchmark, protocol, split):
        seen.append(protocol)
        return real(fitted, benchmark, protocol, split)

    monkeypatch.setattr(rows, "evaluate", counting)
    return seen


def test_the_same_row_is_taken_as_it_is(setting, fits, tmp_path):
    first = run(METHODS["clip-mlp-15"], setting, ["full", "capped"], tmp_path)
    record = json.loads((tmp_path / "clip-mlp-15" / "seed-0.json").read_text())["test full"]
    again = run(METHODS["clip-mlp-15"], setting, ["full", "capped"], tmp_path)
    assert fits == ["full", "capped"]
    columns = ["query_id", "protocol", "ap@50", "first_rank"]
    pd.testing.assert_frame_equal(first[columns], again[columns])
    assert (
        set(record["weights"]) == {path.name for path in setting.folder.iterdir() if path.name[0] != "."}
        and record["versions"]["torch"]
    )


@pytest.mark.parametrize(
    "change", ["seed", "stage 2", "clip", "texts", "weights", "CLIP", "protocol", "code", "own code"]
)
def test_what_decides_a_number_makes_it_anew(setting, fits, tmp_path, monkeypatch, change):
    clips, weights = (
        shutil.copytree(setting.clips_dir, tmp_path / "clips"),
        shutil.copytree(setting.weights["clip"], tmp_path / "clip"),
    )
    here = replace(setting, clips_dir=clips, weights={"clip": str(weights)}, folder=tmp_path / "row")
    method, results = METHODS["clip-mlp-15"], tmp_path / "results"
    run(method, here, ["full"], results)
    protocols = ["full"]
    if change == "seed":
        here = replace(here, seed=1)
    elif change == "stage 2":
        here = replace(here, stage2=replace(here.stage2, lr=5e-4))
    elif change == "clip":
        one, other = here.benchmark.clips["path"].iloc[[0, -1]]
        shutil.copyfile(clips / other, clips / one)
    elif change == "texts":
        texts = here.benchmark.modifications
        here = replace(
            here,
            benchmark=replace(here.benchmark, modifications=texts.assign(text=texts["text"] + " please")),
        )
    elif change == "weights":
        next(here.folder.glob("*.safetensors")).unlink()
    elif change == "CLIP":
        (weights / "note.txt").write_text("another file")
    elif change == "protocol":
        protocols = ["full", "capped"]
    elif change == "code":
        monkeypatch.setattr(rows, "hash_rooms", lambda *rooms: "changed")
    else:
        method = replace(method, fit=lambda setting: METHODS["clip-avg-zs"].fit(setting))
    run(method, here, protocols, results)
    assert len(fits) == 1 + len(protocols)
