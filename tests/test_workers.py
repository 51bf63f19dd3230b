"""Calls side by side: in processes of their own, with their share of the threads, and nothing finished is
lost."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_benchmark import small_setting

from tfcovr_utils.embedding.embed import embed_clips
from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.evaluation import rows
from tfcovr_utils.evaluation.rows import embed_in_shares, run, run_rows
from tfcovr_utils.machine.workers import run_in_parallel
from tfcovr_utils.methods import METHODS


def note(folder: Path, name: str) -> None:
    (folder / name).write_text(f"{os.getpid()} {torch.get_num_threads()}")


def meet(folder: Path, name: str, other: str) -> None:
    """Return when the other has begun too: one after another would never end."""
    note(folder, name)
    for _ in range(600):
        if (folder / other).exists():
            return
        time.sleep(0.1)
    raise TimeoutError(other)


def fail_or_note(folder: Path, name: str) -> None:
    if name == "wrong":
        raise ValueError("the clip is wrong")
    time.sleep(1)
    note(folder, name)


def die(folder: Path, name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def threads():
    """Two threads, whatever these tests run with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


@pytest.mark.slow
def test_calls_run_at_once_with_a_thread_each(threads, tmp_path):
    run_in_parallel(meet, [(tmp_path, "a", "b"), (tmp_path, "b", "a"), (tmp_path, "c", "a")])
    seen = [(tmp_path / name).read_text().split() for name in "abc"]
    assert str(os.getpid()) not in {pid for pid, _ in seen} and {count for _, count in seen} == {"1"}


def test_one_thread_runs_them_here_in_order(threads, tmp_path):
    torch.set_num_threads(1)
    with pytest.raises(ValueError, match="the clip is wrong"):
        run_in_parallel(fail_or_note, [(tmp_path, "a"), (tmp_path, "wrong"), (tmp_path, "b")])
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (
        tmp_path / "a"
    ).read_text() == f"{os.getpid()} 1"


def test_what_has_begun_ends_where_another_fails(threads, tmp_path):
    with pytest.raises(ValueError, match="the clip is wrong"):
        run_in_parallel(fail_or_note, [(tmp_path, name) for name in ("a", "wrong", *"bcdefgh")])
    assert (tmp_path / "a").exists() and not (tmp_path / "h").exists()


@pytest.mark.slow
def test_a_killed_process_is_told_and_the_next_calls_run(threads, tmp_path):
    with pytest.raises(RuntimeError, match="OMP_NUM_THREADS=1"):
        run_in_parallel(die, [(tmp_path, "a"), (tmp_path, "b")])
    run_in_parallel(note, [(tmp_path, "a"), (tmp_path, "b")])
    assert (tmp_path / "a").exists() and (tmp_path / "b").exists()


@pytest.mark.slow
def test_ctrl_c_ends_them(threads, tmp_path):
    script = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
        "from test_workers import meet; from tfcovr_utils.machine.workers import run_in_parallel; "
        "torch.set_num_threads(2); folder = Path(sys.argv[2]); "
        "run_in_parallel(meet, [(folder, 'a', 'never'), (folder, 'b', 'never')])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # a shell's background jobs ignore it
        for _ in range(600):
            if (tmp_path / "a").exists() and (tmp_path / "b").exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        heard = process.communicate(timeout=30)[1]
    assert b"KeyboardInterrupt" in heard
    for name in "ab":
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / name).read_text().split()[0]), 0)


@pytest.mark.slow
def test_rows_side_by_side_are_those_of_one_after_another(threads, tmp_path_factory, tmp_path, monkeypatch):
    setting = small_setting(tmp_path_factory)
    names = ["clip-mlp-15", "clip-avg-zs"]
    settings = {name: replace(setting, folder=tmp_path / "side" / name) for name in names}
    monkeypatch.setattr(rows, "run", None)  # in this process alone
    run_rows(settings, ["full"], tmp_path / "side" / "results")
    monkeypatch.undo()
    for name in names:
        alone = run(
            METHODS[name],
            replace(setting, folder=tmp_path / "alone" / name),
            ["full"],
            tmp_path / "alone" / "results",
        )
        monkeypatch.setattr(rows, "evaluate", None)  # the kept result is found: nothing may be scored anew
        beside = run(METHODS[name], settings[name], ["full"], tmp_path / "side" / "results")
        monkeypatch.undo()
        columns = ["query_id", "protocol", "ap@50", "first_rank"]
        pd.testing.assert_frame_equal(alone[columns], beside[columns])


def test_rows_of_one_method_have_names_of_their_own(tmp_path_factory, tmp_path):
    setting = small_setting(tmp_path_factory)
    run_rows(
        {"clip-mlp-15-brief": replace(setting, stage2=replace(setting.stage2, steps=10))},
        ["full"],
        tmp_path,
        method="clip-mlp-15",
    )
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["clip-mlp-15-brief"]


@pytest.mark.slow
def test_shares_embed_what_one_process_embeds(threads, tmp_path_factory, tmp_path, monkeypatch):
    setting = small_setting(tmp_path_factory)
    clip = load_encoder("clip", setting.weights["clip"], read_out="pooled")
    asked = dict(clips=setting.benchmark.clips, clips_dir=setting.clips_dir, frames=5, progress=False)
    alone = embed_clips(clip, store_dir=tmp_path / "alone", **asked)
    here = []
    monkeypatch.setattr(
        type(clip), "encode_frames", lambda *given: here.append(given)
    )  # in this process alone
    shared = embed_in_shares(clip, store_dir=tmp_path / "shared", **asked)
    assert here == [] and shared.clip_ids == alone.clip_ids
    torch.testing.assert_close(shared.values, alone.values)
