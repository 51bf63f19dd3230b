"""What can go wrong around a run: kills, a full disk, permissions, damaged files, two runs in one folder.

Where a module's own tests show its part (a damaged shard, a torn manifest, two processes in one store), it
is not shown again.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import kill_pipeline
import numpy as np
import pandas as pd
import pipeline
import pytest
import stage1_problem
import stage2_problem
import torch
from command import command, wait_for_end_of_group
from safetensors.torch import load_file
from small_benchmark import small_benchmark, small_setting

from tfcovr_utils import rendering
from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.encoders.aim import load_pretrained, save_pretrained
from tfcovr_utils.evaluation import results, saved
from tfcovr_utils.machine import files
from tfcovr_utils.machine.files import (
    CannotWrite,
    append_rows,
    create_array,
    locked,
    replacing,
    replacing_files,
    write_json,
    write_table,
)
from tfcovr_utils.machine.tensors import read_checkpoint, read_weights, write_checkpoint, write_weights
from tfcovr_utils.machine.workers import make_pool
from tfcovr_utils.profiles import PROFILES
from tfcovr_utils.texts.llm.cache import Answers
from tfcovr_utils.training import teaching
from tfcovr_utils.training.fusion import Fusion
from tfcovr_utils.training.readers import ClipReader, Readout
from tfcovr_utils.training.settings import Stage1Settings
from tfcovr_utils.training.single_stage import SingleStage
from tfcovr_utils.training.teaching import TrainingClips, learn
from tfcovr_utils.video import write_clip

ROOT = Path(__file__).parents[1]
TENSORS = {"a": torch.arange(4000.0), "b": torch.ones(3, dtype=torch.bfloat16), "c": torch.tensor(7)}
needs_posix = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX signals")


# ---- kills over the whole pipeline; thirty of them are `python tests/kill_pipeline.py`


@pytest.fixture
def small(monkeypatch):
    """The pipeline's small profile, and what a pipeline in this process would leave behind put back."""
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], **pipeline.SMALL))
    for name in ("TFCOVR_DATA", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@needs_posix
def test_a_killed_pipeline_ends_as_an_undisturbed_one(tmp_path, small):
    pipeline.run(tmp_path / "whole")
    expected, out = pipeline.digest(tmp_path / "whole"), tmp_path / "killed"
    rng = random.Random(0)
    with pipeline.FakeOpenAI(pipeline.DELAY_S) as model:
        reached = []
        for step in (
            "render",
            "stage 1",
        ):  # once this one is reached, at any moment of the seconds that follow
            process = kill_pipeline.start(out, model.url, small=True)
            while kill_pipeline.step_reached(out) != step:
                assert process.poll() is None, Path(f"{out}.log").read_text()
                time.sleep(0.01)
            time.sleep(2 * rng.random())
            kill_pipeline.kill(process)
            reached.append(kill_pipeline.step_reached(out))
        pipeline.run(out, model.url)
        keys = [key for _, key, _ in model.requests]
    assert len(set(reached)) == 2 and pipeline.digest(out) == expected
    assert len(keys) == len(set(keys)) and set(model.billed.values()) == {
        1
    }  # the second kill was after the answers


@pytest.mark.slow
@needs_posix
def test_workers_end_when_a_rendering_s_leader_alone_is_killed(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "tfcovr_utils", "render", "--profile", "smoke", "--out", str(out)],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not ((out / "manifest.jsonl").exists() and (out / "manifest.jsonl").stat().st_size):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    wait_for_end_of_group(process.pid)


# ---- files


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if files._TEMPORARY.fullmatch(path.name)]


def test_what_killed_runs_left_is_cleared_and_nothing_else(tmp_path):
    kept = [
        tmp_path / name for name in (".lock", ".a.json", ".deadbeef.npy", "a." + "0" * 32 + ".json", "b.json")
    ]
    for path in kept:
        path.touch()
        os.utime(path, (0, 0))
    own = {}
    for name in ("old", "new"):
        with pytest.raises(KeyboardInterrupt), replacing(tmp_path / f"{name}.json") as temporary:
            own[name] = temporary
            raise KeyboardInterrupt
        own[name].write_text("{")  # a kill would have left it
    folder = tmp_path / f".config.json.{'a' * 32}"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    for path in (own["old"], folder):
        os.utime(path, (time.time() - 2 * files.LEFT_OVER_S,) * 2)
    files._clear_once.cache_clear()  # as in another process
    write_json({}, tmp_path / "c.json")
    assert not own["old"].exists() and not folder.exists() and own["new"].exists()
    files.clear_left_over(tmp_path)
    assert not own["new"].exists() and all(path.exists() for path in kept) and (tmp_path / "c.json").exists()


def test_two_writers_of_one_process_do_not_meet(tmp_path):
    """Threads of one process, and processes of equal number on two machines, have temporary files of their
    own."""

    def write(number: int) -> None:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text(f"{number}" * 1000)
            time.sleep(0.01)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    content = (tmp_path / "a.txt").read_text()
    assert (
        len(content) == 1000
        and len(set(content)) == 1
        and [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    )


WRITERS = {
    "JSON": lambda path: write_json(["x" * 100] * 100, path),
    "a table": lambda path: write_table(pd.DataFrame({"a": np.random.default_rng(0).random(4000)}), path),
    "weights": lambda path: write_weights(TENSORS, path),
    "a checkpoint": lambda path: write_checkpoint({"seed": 0}, {"model": TENSORS}, path),
    "a clip": lambda path: write_clip(
        path, np.random.default_rng(0).integers(0, 255, (30, 64, 64, 3)).astype(np.uint8), 25
    ),
    "a manifest": lambda path: append_rows([{"clip_id": "x" * 100}] * 100, path),
    "an array": lambda path: create_array(path, (100_000,)),
    "answers": lambda path: write_answer(path),
}


def write_answer(path: Path) -> None:
    with Answers(path) as answers:
        answers.add("key", {"content": "x" * 10_000})


@contextmanager
def disk_of(size: int):
    """Let no file of this process grow beyond `size` bytes; the system refuses in the middle of a write."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk_is_one_sentence_and_what_was_there_stays(tmp_path, what):
    path = tmp_path / "file.mp4"
    kept = {"a manifest": b'{"clip_id": "a"}\n', "answers": b'{"key": "a"}\n'}.get(what, b"what was there")
    path.write_bytes(kept)
    with (
        disk_of(1000),
        pytest.raises(
            CannotWrite, match=r"file.mp4 cannot be written \(File too large\); make room"
        ) as error,
    ):
        WRITERS[what](path)
    assert "Traceback" not in str(error.value) and not left_over(tmp_path)
    content = path.read_bytes()
    if what == "a manifest":  # its reader drops a torn line
        assert content.startswith(kept) and "a" in files.read_manifest(path)
    elif what != "an array":
        assert content == kept
    WRITERS[what](path)


@pytest.mark.parametrize("what", WRITERS)
def test_a_file_where_the_folder_should_be_is_named(tmp_path, what):
    (tmp_path / "folder").write_text("no folder")
    with pytest.raises(CannotWrite, match=r"folder/file.mp4 cannot be written .*choose another folder"):
        WRITERS[what](tmp_path / "folder" / "file.mp4")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("what", WRITERS)
def test_a_folder_without_permission_is_named(tmp_path, what):
    (tmp_path / "folder").mkdir(mode=0o555)
    with pytest.raises(
        CannotWrite,
        match=r"folder/file.mp4 cannot be written \(Permission denied\); make room, correct the permissions",
    ):
        WRITERS[what](tmp_path / "folder" / "file.mp4")


def test_a_writer_s_own_error_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), replacing(tmp_path / "a.txt"):
        (tmp_path / "nowhere").read_text()


def test_the_sentence_comes_whole_out_of_a_worker_process(tmp_path):
    (tmp_path / "file").touch()
    with (
        make_pool(1) as pool,
        pytest.raises(CannotWrite, match=r"a.json cannot be written \(File exists: .*file\); make room"),
    ):
        pool.submit(write_json, {}, tmp_path / "file" / "a.json").result()


@pytest.mark.slow
def test_the_command_says_it_too(tmp_path):
    """A rendering on a full disk: one line and no traceback; with room it goes on and is whole."""
    out = tmp_path / "out"
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "from tfcovr_utils.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, "render", "--profile", "smoke", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert "cannot be written (File too large); make room" in run.stderr.splitlines()[-1] and not left_over(
        out
    )


# ---- damaged files


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """One bit of a tensor's values: both formats' readers load that without a word."""
    content = bytearray(path.read_bytes())
    values = next(value for value in load_any(path) if value.numel() > 8 and value.is_floating_point())
    place = bytes(content).index(values.contiguous().numpy().tobytes()) + 5
    content[place] ^= 1
    path.write_bytes(content)


def load_any(path: Path) -> list[torch.Tensor]:
    if path.suffix == ".safetensors":
        return list(load_file(path).values())
    saved = torch.load(path, weights_only=True)
    return list(saved["weights"].values())


DAMAGES = {"cut short": cut_short, "empty": empty, "one bit": flip}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("stage", [1, 2])
def test_a_damaged_checkpoint_is_named_and_not_gone_on_from(tmp_path, stage, how):
    path = tmp_path / "checkpoint.pt"
    features, label_idx = stage1_problem.ordered_clips()

    def fit(**options):
        if stage == 2:
            return stage2_problem.fit(checkpoint=path, **options)[0].state_dict()
        return stage1_problem.fit(
            "mean", features, label_idx, replace(stage1_problem.QUICK, epochs=2), checkpoint=path, **options
        )[0].state_dict()

    whole = fit()
    DAMAGES[how](path)
    with pytest.raises(
        ValueError,
        match=r"checkpoint.pt is damaged or cut short \(.+\), so no run can resume from it; remove it",
    ):
        fit(resume=True)
    path.unlink()
    again = fit(resume=True)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return small_setting(tmp_path_factory)


def fusion_in(folder: Path) -> tuple[Path, object]:
    stage2_problem.fit()[0].save_pretrained(folder)
    return folder / "model.safetensors", Fusion.load


def single_stage_in(folder: Path) -> tuple[Path, object]:
    SingleStage(
        ClipReader(Readout("ordered", 8, num_frames=3, width=16, heads=2), ["a"]), Fusion(16, 5, 8, 8)
    ).save_pretrained(folder)
    return folder / "model.safetensors", SingleStage.load


def reader_in(folder: Path) -> tuple[Path, object]:
    ClipReader(Readout("ordered", 8, num_frames=3, width=16, heads=2), ["a"]).save(folder)
    return folder / "reader.safetensors", ClipReader.load


def aim_in(folder: Path) -> tuple[Path, object]:
    save_pretrained(stage1_problem.tiny_aim(), folder)
    return folder / "model.safetensors", load_pretrained


SAVED = {"fusion": fusion_in, "single stage": single_stage_in, "reader": reader_in, "AIM": aim_in}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("what", SAVED)
def test_damaged_weights_are_named(tmp_path, what, how):
    path, load = SAVED[what](tmp_path)
    load(tmp_path)
    DAMAGES[how](path)
    with pytest.raises(
        ValueError, match=rf"{path.name} is damaged .*; remove it, and train it or fetch it again"
    ):
        load(tmp_path)


@pytest.mark.parametrize("what", SAVED)
def test_a_damaged_description_of_weights_is_named(tmp_path, what):
    _, load = SAVED[what](tmp_path)
    described = next(tmp_path.glob("*.json"))
    described.write_text(described.read_text()[:-5])
    with pytest.raises(ValueError, match=rf"{described.name} is damaged"):
        load(tmp_path)


def test_a_damaged_folder_of_blip_is_named(tmp_path, here):
    from tfcovr_utils.encoders import load_encoder

    source = ROOT / PROFILES["smoke"].blip_weights
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    cut_short(tmp_path / "model.safetensors")
    with pytest.raises(
        FileNotFoundError,
        match=r"is no complete Hugging Face folder of this kind .*make or fetch that folder again",
    ):
        load_encoder("blip", str(tmp_path))


@pytest.mark.parametrize("how", ["cut short", "empty"])
def test_a_damaged_table_is_named(tmp_path, benchmarks, how):
    benchmarks[0].save(tmp_path)
    DAMAGES[how](tmp_path / "triplets.parquet")
    with pytest.raises(
        ValueError,
        match=r"triplets.parquet is damaged \(.+\); remove it, and run the command that made it again",
    ):
        Benchmark.load(tmp_path)
    (tmp_path / "random").mkdir()
    DAMAGES["empty"](tmp_path / "random" / "seed-0.parquet")
    with pytest.raises(ValueError, match=r"seed-0.parquet is damaged"):
        results.read_results(tmp_path)


def test_others_weights_have_no_hash_and_are_read(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "theirs.safetensors")
    assert read_weights(tmp_path / "theirs.safetensors")["a"].tolist() == [1, 1]
    write_weights(TENSORS, tmp_path / "ours.safetensors")
    write_weights(TENSORS, tmp_path / "again.safetensors")
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert all(
        torch.equal(value, TENSORS[name])
        for name, value in read_weights(tmp_path / "ours.safetensors").items()
    )
    write_checkpoint({"seed": 1}, {"step": 3}, tmp_path / "c.pt")
    assert read_checkpoint(tmp_path / "c.pt", {"seed": 1})["step"] == 3


# ---- a kill between files that belong together


class Killed(BaseException):
    """Nothing in the package catches it."""


def kill_at(monkeypatch, module, name: str, call: int) -> None:
    """Let a function of a module do its work until its `call`-th call, which dies instead."""
    real, calls = getattr(module, name), []

    def dying(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, dying)


@pytest.mark.parametrize("moment", [1, 2, 3, 4])
def test_weights_and_their_description_are_of_one_run(tmp_path, monkeypatch, moment):
    """Killed at any rename of a save over an older model of other sizes: the older one, the newer one, or
    one that says it is not whole."""
    old, new = Fusion(8, 5, 4, 4), Fusion(8, 5, 6, 6)
    old.save_pretrained(tmp_path)
    kill_at(monkeypatch, files.os, "replace", moment)
    with pytest.raises(Killed):
        new.save_pretrained(tmp_path)
    monkeypatch.undo()
    try:
        found = Fusion.load(tmp_path)
    except FileNotFoundError as error:
        assert "holds no config.json of a fusion; give the folder" in str(error)
    else:
        assert any(
            stage2_problem.same(found, one) for one in (old.eval(), new.eval()) if one.config == found.config
        )
    new.save_pretrained(tmp_path)
    assert stage2_problem.same(Fusion.load(tmp_path), new) and not left_over(tmp_path)


@pytest.fixture(scope="module")
def benchmarks():
    return small_benchmark(budget=50), small_benchmark(budget=60)


@pytest.mark.parametrize("moment", [1, 10, 11, 12, 15, 19, 20])  # ten files are written, then moved
def test_a_benchmark_is_whole_or_says_that_it_is_not(tmp_path, monkeypatch, benchmarks, moment):
    old, new = benchmarks
    old.save(tmp_path)
    kill_at(monkeypatch, files.os, "replace", moment)
    with pytest.raises(Killed):
        new.save(tmp_path)
    monkeypatch.undo()
    try:
        found = len(Benchmark.load(tmp_path).triplets)
    except FileNotFoundError as error:
        assert "has no clips.parquet; build the benchmark there" in str(error)
    else:
        assert found in (len(old.triplets), len(new.triplets))
        assert pd.read_parquet(tmp_path / "triplets.parquet").equals(
            (old if found == len(old.triplets) else new).triplets
        )


def test_a_result_without_its_record_is_no_result_of_another(tmp_path, monkeypatch):
    """Killed between the rows and their record: no record of earlier rows stands beside the new ones."""
    table = pd.DataFrame(
        {"query_id": ["q"], "split": "test", "protocol": "full", "task": "t", "ap@50": [1.0]}
    )
    path = saved.save_result(table, tmp_path, "random", 0, {"revision": "old", "history": [{"val": 1}]})
    kill_at(monkeypatch, saved, "write_json", 2)
    with pytest.raises(Killed):
        saved.save_result(table.assign(**{"ap@50": 0.5}), tmp_path, "random", 0, {"revision": "new"})
    monkeypatch.undo()
    assert (
        pd.read_parquet(path)["revision"].tolist() == ["new"]
        and json.loads(path.with_suffix(".json").read_text()) == {}
    )
    with pytest.raises(FileNotFoundError, match="seed-0.json does not exist or is incomplete; run `"):
        results.training_curve(tmp_path, "random", 0)
    saved.save_result(table, tmp_path, "random", 0, {"revision": "new"})
    assert json.loads(path.with_suffix(".json").read_text()) == {"test full": {"revision": "new"}}


def test_an_encoder_half_replaced_is_not_taken_for_the_one_before(here, monkeypatch):
    folder = here.folder.parent / "half" / "frozen-mlp"
    settings = Stage1Settings(epochs=1, batch=16, lr=3e-3)

    def taught(**changes):
        clips = here.benchmark, here.clips_dir, here.profile, here.weights["clip"], here.store_dir
        learned = learn("frozen-mlp", TrainingClips(*clips), 0, folder, replace(settings, **changes))
        return learned.model.reader.state_dict()

    first = taught()
    kill_at(monkeypatch, teaching, "write_table", 1)
    with pytest.raises(Killed):
        taught(lr=1e-1)  # its reader is in the folder, and nothing that says so
    monkeypatch.undo()
    (folder / "checkpoint.pt").unlink()
    again = taught()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


# ---- two runs in one folder


@needs_posix
def test_a_second_run_says_that_it_waits_and_a_killed_one_holds_nothing(tmp_path, capsys):
    path = tmp_path / "manifest.jsonl"
    script = (
        "import sys, time; from tfcovr_utils.machine.files import locked\n"
        "with locked(sys.argv[1]): print('held', flush=True), time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"

    def wait() -> float:
        with locked(path):
            return time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        time.sleep(0.5)
        assert not waiting.done()
        killed_at = time.monotonic()
        os.kill(holder.pid, signal.SIGKILL)
        assert waiting.result(20) >= killed_at
    holder.communicate()
    said = capsys.readouterr().err
    assert said.count("manifest.jsonl; this run waits and then resumes.") == 1


@pytest.mark.slow
def test_two_renderings_into_one_folder_end_well(tmp_path):
    command = [
        sys.executable,
        "-m",
        "tfcovr_utils",
        "render",
        "--profile",
        "smoke",
        "--workers",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    script = (
        "import sys; from dataclasses import replace; from tfcovr_utils.profiles import PROFILES\n"
        "from tfcovr_utils.cli.main import main\n"
        "small = {'clips_per_label': (3, 2, 2), 'sources_per_split': (4, 2, 2)}\n"
        "PROFILES['smoke'] = replace(PROFILES['smoke'], **small); sys.exit(main(sys.argv[1:]))"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, *command[3:]],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("this run waits and then resumes" in one for one in said) == 1
    assert rendering.check(tmp_path / "out") == {"missing": [], "changed": []}
    lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == len({json.loads(line)["clip_id"] for line in lines}) == 140  # each rendered once


def test_two_evaluations_into_one_folder_lose_nothing(tmp_path):
    """Each adds another protocol to the same file, at once."""
    names = [f"protocol {number}" for number in range(12)]

    def save(name: str) -> None:
        saved.save_result(
            pd.DataFrame({"query_id": ["q"], "split": "test", "protocol": name, "task": "t"}),
            tmp_path,
            "random",
            0,
            {"revision": name},
        )

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(save, names))
    assert sorted(pd.read_parquet(tmp_path / "random" / "seed-0.parquet")["protocol"]) == sorted(names)
    assert set(json.loads((tmp_path / "random" / "seed-0.json").read_text())) == {
        f"test {name}" for name in names
    }


@pytest.mark.slow
def test_two_trainings_into_one_folder_give_what_one_gives(tmp_path, here, small, monkeypatch):
    """The commands of both stages, twice at once into the same folders."""
    monkeypatch.setenv("TFCOVR_DATA", str(tmp_path / "data"))
    torch.set_num_threads(1)  # as these processes have, for equal bits
    here.benchmark.save(tmp_path / "tables")
    shared = [
        "--benchmark",
        str(tmp_path / "tables"),
        "--clips",
        str(here.clips_dir),
        "--weights",
        here.weights["clip"],
        "--profile",
        "smoke",
    ]
    stages = {
        "teach": ["--recipe", "frozen-mlp", "--set", "epochs=3", "save_every_s=0.0"],
        "train": ["--set", "steps=30", "select_every=1"],
    }
    script = (
        "import json, sys; from tfcovr_utils.cli.main import main\n"
        "for arguments in json.loads(sys.argv[1]): main(arguments)"
    )

    def given(out: Path) -> list[list[str]]:
        return [
            [stage, *shared, "--resume", "--out", str(out / stage), *options]
            for stage, options in stages.items()
        ]

    environment = os.environ | {"OMP_NUM_THREADS": "1", "TFCOVR_DATA": str(tmp_path / "data")}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, json.dumps(given(tmp_path / "both"))],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        _, said = process.communicate()
        assert process.returncode == 0, said
    for arguments in given(tmp_path / "one"):
        command(arguments[0])(arguments[1:])
    for name in ("teach/reader.safetensors", "train/fusion/model.safetensors"):
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert not left_over(tmp_path / "both")


def test_files_that_belong_together_come_together(tmp_path):
    (tmp_path / "config.json").write_text("old")
    with pytest.raises(Killed), replacing_files(tmp_path, "config.json") as temporary:
        (temporary / "config.json").write_text("new")
        raise Killed
    assert (tmp_path / "config.json").read_text() == "old" and not left_over(tmp_path)
