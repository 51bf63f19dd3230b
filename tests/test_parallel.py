"""Two processes, launched by Accelerate on the CPU, agree with one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import parallel_worker
import pytest
import torch
from small_benchmark import small_setting
from stage2_problem import SMALL, fit
from tiny_encoder import shards, write_drawn

from tfcovr_utils.embedding.store import safe_open
from tfcovr_utils.machine import processes
from tfcovr_utils.profiles import ROOT

pytestmark = pytest.mark.slow

TASKS = [
    "gradients",
    "draws",
    "stage2",
    "stage2_resumed",
    "stage1",
    "stage1_pixels",
    "clips",
    "pixels",
    "commands",
]
LAUNCH = [
    sys.executable,
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
    "--main_process_port",
    "0",
]


def launch(home, *arguments, **environment):
    """Run a script, or -m and a module, in two processes without GPUs or a user's configuration."""
    here = {"PYTHONPATH": str(ROOT), "HF_HOME": str(home), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*LAUNCH, *map(str, arguments)],
        env=os.environ | here | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return small_setting(tmp_path_factory)


@pytest.fixture(scope="module")
def folder(here, tmp_path_factory):
    """Clips of which one is there twice and one is broken; a benchmark; and for each way of running a
    folder of its own."""
    folder = tmp_path_factory.mktemp("parallel")
    for seed in range(10):
        write_drawn(folder / "videos" / f"{seed}.mp4", seed)
    (folder / "videos" / "99.mp4").write_bytes((folder / "videos" / "0.mp4").read_bytes())
    (folder / "videos" / "5b.mp4").write_bytes(b"broken")
    here.benchmark.save(folder / "tables")
    given = {
        "benchmark": str(folder / "tables"),
        "clips": str(here.clips_dir),
        "weights": here.weights["clip"],
    }
    (folder / "given.json").write_text(json.dumps(given))
    for name in ("one", "two"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(scope="module")
def one(folder):
    return {name: getattr(parallel_worker, name)(folder / "one") for name in TASKS}


@pytest.fixture(scope="module")
def launched(folder):
    ran = launch(folder, Path(parallel_worker.__file__), folder / "two", *TASKS)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran


@pytest.fixture(scope="module")
def two(launched, folder):
    """What each of the two processes found."""
    return [torch.load(folder / "two" / f"process-{index}.pt", weights_only=True) for index in range(2)]


def close(found, expected, atol):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def test_the_sum_of_the_gradients_is_that_of_the_whole_batch(one, two):
    for process in two:
        close(process["gradients"], one["gradients"], 1e-6)
    assert one["gradients"]["gradients"][0].abs().max() > 0.01


def test_processes_begin_alike_and_draw_apart(one, two):
    first, second = (process["draws"] for process in two)
    assert torch.equal(first["drawn"], one["draws"]["drawn"]) and not torch.equal(
        second["drawn"], first["drawn"]
    )
    assert torch.equal(first["weight"], one["draws"]["weight"]) and torch.equal(
        second["weight"], first["weight"]
    )
    assert (first["seed"], second["seed"], one["draws"]["seed"]) == ([7, 1], [7, 1, 1], [7, 1])
    assert first["each"] == second["each"] == [0, 1] and first["first"] == second["first"] == 0
    assert (first["rows"], second["rows"], one["draws"]["rows"]) == ([0, 1, 2], [3, 4, 5], list(range(6)))


@pytest.mark.parametrize("loss", ["info_nce", "hn_nce", "multi_positive"])
def test_stage_2_on_two_is_stage_2_on_one(one, two, loss):
    expected = one["stage2"][loss]
    for process in two:
        found = process["stage2"][loss]
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-4) and found["val"] == pytest.approx(
            expected["val"], abs=1e-4
        )
        close(found["weights"], expected["weights"], 1e-3)
    assert all(
        torch.equal(value, two[1]["stage2"][loss]["weights"][name])
        for name, value in two[0]["stage2"][loss]["weights"].items()
    )
    assert expected["loss"][-1] < 0.8 * expected["loss"][0]


def test_stage_2_goes_on_where_two_processes_stopped(one, two, folder):
    for process in two:
        whole, resumed = process["stage2_resumed"]["whole"], process["stage2_resumed"]["resumed"]
        assert resumed[0] == whole[0] and all(
            torch.equal(value, resumed[1][name]) for name, value in whole[1].items()
        )
    assert (
        two[0]["stage2_resumed"]["whole"][0] != one["stage2_resumed"]["whole"][0]
    )  # dropout is on: its states had to be kept
    sentence = (
        "cut.pt was written by 2 processes and this run has 1; resume with 2, or remove it to begin again"
    )
    with pytest.raises(ValueError, match=sentence):
        fit(parallel_worker.replace(SMALL, dropout=0.5), checkpoint=folder / "two" / "cut.pt", resume=True)


def test_a_batch_that_cannot_be_shared_is_refused_in_a_sentence(two):
    sentence = "a batch of 63 cannot be shared equally by 2 processes; choose a multiple of 2, such as 62."
    assert [process["commands"]["refused"] for process in two] == [sentence] * 2


@pytest.mark.parametrize("task", ["stage1", "stage1_pixels"])
def test_stage_1_on_two_is_stage_1_on_one(one, two, task):
    for process in two:
        for column in ("loss", "val_loss", "val_top1"):
            assert process[task][column] == pytest.approx(one[task][column], abs=1e-4), column
        close(process[task]["weights"], one[task]["weights"], 1e-3)
    assert one[task]["loss"][-1] < 0.9 * one[task]["loss"][0]


def rows_in(folder):
    found = []
    for path in shards(folder):
        with safe_open(path, framework="pt") as shard:
            found += json.loads(shard.metadata()["rows"])["keys"]
    return found


def test_clips_are_shared_out_and_each_embedded_once(one, two, folder):
    expected = one["clips"]
    for process in two:
        found = process["clips"]
        assert found["clip_ids"] == expected["clip_ids"] and len(found["clip_ids"]) == 11
        close(found["values"], expected["values"], 1e-5)
        close(found["texts"], expected["texts"], 1e-5)
        assert torch.equal(found["again"], found["values"])
        assert found["encoded"] == [5, 5] and found["more"] == 3  # three texts
        assert found["missing"] == expected["missing"] and list(found["missing"]) == ["id 5b.mp4"]
        assert found["shards"] == expected["shards"]
    for name in ("one", "two"):
        keys = rows_in(folder / name / "store")
        assert len(keys) == len(set(keys)) == 10
    assert len(rows_in(folder / "two" / "texts")) == 3 and len(shards(folder / "two" / "texts")) == 2
    assert set(rows_in(folder / "two" / "shards")) == set(keys)


def test_frames_on_disk_are_decoded_in_shares(one, two):
    for process in two:
        assert (
            torch.equal(process["pixels"]["frames"], one["pixels"]["frames"])
            and process["pixels"]["broken"] == one["pixels"]["broken"]
        )
    assert one["pixels"]["frames"].flatten(1).any(1).sum() == 11


def test_the_commands_write_and_say_once(one, two, launched, folder):
    assert [process["commands"]["code"] for process in two] == [0, 0]
    assert launched.stdout.count("clips are embedded") == 1 and launched.stdout.count("mAP@50 on val") == 1
    history, expected = (
        pd.read_parquet(folder / name / "run" / "history.parquet") for name in ("two", "one")
    )
    assert history["loss"].tolist() == pytest.approx(expected["loss"].tolist(), abs=1e-4)
    assert [
        json.loads((folder / name / "run" / "run.json").read_text())["processes"] for name in ("one", "two")
    ] == [1, 2]


def test_stage_1_is_launched_by_its_command(here, folder):
    """Embedding and training, with dropout: near what one process gives, and written once."""
    read = [
        "--benchmark",
        folder / "tables",
        "--clips",
        here.clips_dir,
        "--weights",
        here.weights["clip"],
        "--profile",
        "smoke",
    ]
    ran = launch(
        folder,
        "-m",
        "tfcovr_utils",
        "teach",
        *read,
        "--recipe",
        "frozen-supcon",
        "--out",
        folder / "cli",
        "--set",
        "epochs=2",
        "batch=16",
        TFCOVR_DATA=str(folder / "cli-data"),
    )
    assert ran.returncode == 0 and ran.stdout.count("top-1 on val") == 1, ran.stderr[-3000:]
    told = json.loads((folder / "cli" / "run.json").read_text())
    assert told["processes"] == 2 and len(pd.read_csv(folder / "cli" / "curve.csv")) == 2
    keys = rows_in(folder / "cli-data")
    assert len(keys) == len(set(keys)) > 50 and not (folder / "cli" / "checkpoint.pt").exists()


def test_a_process_that_fails_does_not_leave_the_others_waiting(folder):
    started = time.monotonic()
    ran = launch(folder, Path(parallel_worker.__file__), folder, "failing")
    assert ran.returncode != 0 and "this one fails" in ran.stderr and time.monotonic() - started < 60


def test_a_process_of_its_own_makes_no_group(monkeypatch):
    processes.barrier()
    processes.copy_weights_from_main(torch.nn.Linear(1, 1))
    assert (
        processes.world_size(),
        processes.rank(),
        processes.gather_values("x"),
        processes.broadcast_from_main(3),
    ) == (1, 0, ["x"], 3)
    monkeypatch.setenv("WORLD_SIZE", "1")  # one process of a launcher's is its own too
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert processes.is_main() and not torch.distributed.is_initialized()
