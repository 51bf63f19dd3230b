"""Long videos with the frame number drawn in them are cut to the frame, whatever breaks or is killed."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from command import wait_for_end_of_group

from tfcovr_utils.sources.source import CLIP_COLUMNS
from tfcovr_utils.video import cutting, probe, read_clip
from tfcovr_utils.video.cutting import FAILURES, MANIFEST, cut, find_videos

BITS = 11
FPS = 25
N_FRAMES = 1500
SHAPE = (48, 16 * BITS)
ODD_ID = "-_a_E_b-c_D"  # a FineGym video id


def drawn_video(n_frames=N_FRAMES):
    """(T, H, W, 3) uint8: frame i shows i in binary, black and white blocks from left to right."""
    bits = (np.arange(n_frames)[:, None] >> np.arange(BITS)) & 1
    columns = (bits[:, np.arange(SHAPE[1]) * BITS // SHAPE[1]] * 255).astype(np.uint8)
    return np.broadcast_to(columns[:, None, :, None], (n_frames, *SHAPE, 3))


def numbers(path):
    frames = read_clip(path, range(probe(path).n_frames))
    centres = (2 * np.arange(BITS) + 1) * SHAPE[1] // (2 * BITS)
    return ((frames[:, SHAPE[0] // 2, centres].mean(-1) > 127) << np.arange(BITS)).sum(1)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """A minute with B-frames and a keyframe every ten seconds, as the web's videos have them."""
    from drawn_videos import encode  # here, so that workers that import this file need no torch

    path = tmp_path_factory.mktemp("long") / f"{ODD_ID}.mkv"
    return encode(path, drawn_video(), FPS, options={"g": "250", "bf": "3", "sc_threshold": "0"})


@pytest.fixture
def videos(tmp_path, long_video):
    folder = tmp_path / "videos"
    (folder / "2019 finals").mkdir(parents=True)
    (folder / "2019 finals" / long_video.name).symlink_to(long_video)
    return folder


def table(*rows):
    clips = pd.DataFrame(rows, columns=["source_video", "start_s", "end_s"])
    clips["clip_id"] = [f"{row.source_video}_{k}" for k, row in enumerate(clips.itertuples())]
    clips["path"] = [f"finegym/{clip_id}.mp4" for clip_id in clips["clip_id"]]
    return clips.assign(dataset="finegym", label_id="0", split="")[CLIP_COLUMNS]


def hashes(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.mp4")
    }


WINDOWS = [(0.0, 1.0), (0.0, 0.04), (7.32, 9.0), (9.96, 10.04), (12.345, 13.456), (33.3, 36.6), (59.0, 60.0)]


def test_clips_start_and_end_at_the_very_frame(tmp_path, videos):
    clips = table(*((ODD_ID, *window) for window in WINDOWS))
    report = cut(clips, videos, tmp_path / "out")
    assert (report.made, report.kept, len(report.failures)) == (len(WINDOWS), 0, 0)
    for clip in clips.itertuples():
        path = tmp_path / "out" / clip.path
        first, last = np.ceil(round(clip.start_s * FPS, 6)), np.ceil(round(clip.end_s * FPS, 6)) - 1
        assert numbers(path).tolist() == list(range(int(first), int(last) + 1)), clip
        info = probe(path)
        assert abs(info.duration_s - (clip.end_s - clip.start_s)) <= 1 / FPS and info.fps == FPS


def test_what_cannot_be_cut_is_named_and_the_rest_is_cut(tmp_path, videos, long_video):
    content = bytearray(long_video.read_bytes())
    (videos / "half.mkv").write_bytes(content[: len(content) // 2])
    (videos / "empty.mp4").touch()
    (videos / "text.webm").write_text("not found")
    (videos / "twice.mp4").touch()
    (videos / "twice.avi").touch()
    clips = table(
        (ODD_ID, 1.0, 2.0),
        ("half", 2.0, 3.0),
        ("half", 58.0, 59.0),
        ("empty", 0.0, 1.0),
        ("text", 0.0, 1.0),
        ("missing", 0.0, 1.0),
        ("missing", 1.0, 2.0),
        ("twice", 0.0, 1.0),
        (ODD_ID, 3.0, 3.0),
        (ODD_ID, 80.0, 81.0),
        (ODD_ID, np.nan, 2.0),
    )
    report = cut(clips, videos, tmp_path / "out")
    assert report.made == 2 and set(hashes(tmp_path / "out")) == set(clips["path"][:2])
    reasons = report.failures.set_index("clip_id")["reason"].to_dict()
    told = {clip_id: reasons[clip_id] for clip_id in clips["clip_id"][2:]}
    for clip_id, said in [
        ("half_2", "half.mkv"),
        ("empty_3", "clip 'empty.mp4' is empty"),
        ("text_4", "'text.webm' cannot"),
        ("missing_5", "'missing' is not in"),
        ("missing_6", "'missing' is not in"),
        ("twice_7", "twice.avi and twice.mp4 have one name"),
        (f"{ODD_ID}_8", "exact ones"),
        (f"{ODD_ID}_9", "[80, 81)"),
        (f"{ODD_ID}_10", "by its times"),
    ]:
        assert said in told[clip_id], told[clip_id]
    assert not multiprocessing.active_children()
    assert "2 x the video 'missing'" in str(report) and "2 clips cut" in str(report)
    written = pd.read_csv(tmp_path / "out" / FAILURES)
    assert written["clip_id"].tolist() == sorted(reasons)


def test_a_second_run_cuts_only_what_changed(tmp_path, videos):
    out = tmp_path / "out"
    clips = table((ODD_ID, 1.0, 2.0), (ODD_ID, 3.0, 4.0), (ODD_ID, 5.0, 6.0), (ODD_ID, 7.0, 8.0))
    assert cut(clips, videos, out, workers=1).made == 4
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    assert (report := cut(clips, videos, out, workers=1)).made == 0 and report.kept == 4
    (out / clips["path"][1]).unlink()
    (out / clips["path"][2]).write_bytes(b"torn")
    clips.loc[3, "end_s"] = 7.4
    with open(out / MANIFEST, "a") as manifest:
        manifest.write('{"clip_id": "half a li')
    report = cut(clips, videos, out, workers=1)
    assert (report.made, report.kept) == (3, 1)
    kept = out / clips["path"][0]
    assert kept.stat().st_mtime_ns == before[kept]
    assert len(numbers(out / clips["path"][3])) == 10 and len(numbers(out / clips["path"][2])) == 25
    rows = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    assert {row["path"]: row["sha256"] for row in rows} == hashes(out) and len(rows) == 4
    assert all(str(tmp_path) not in json.dumps(row) for row in rows)


def test_part_of_the_clips_leaves_the_others_known(tmp_path, videos):
    clips = table((ODD_ID, 1.0, 2.0), (ODD_ID, 3.0, 4.0))
    cut(clips, videos, tmp_path / "out", workers=1)
    cut(clips[:1], videos, tmp_path / "out")
    assert cut(clips, videos, tmp_path / "out").kept == 2


def test_a_clip_that_is_a_file_already_is_never_written_over(tmp_path, videos, long_video):
    whole = videos / "whole.mkv"
    whole.write_bytes(long_video.read_bytes())
    before = whole.read_bytes()
    clips = table(("whole", 0.0, 2.0), (ODD_ID, 1.0, 2.0)).assign(dataset="folder")
    clips.loc[0, "path"] = "whole.mkv"
    for made in (1, 0):
        report = cut(clips, videos, videos, workers=1)
        assert (report.made, len(report.failures)) == (made, 0)
    assert whole.read_bytes() == before and len(numbers(videos / clips["path"][1])) == 25


def test_folders_of_frames_are_nothing_to_cut(tmp_path, videos):
    clips = table(("01", 0.0, 2.0)).assign(dataset="finediving", path="finediving/01/10")
    report = cut(clips, videos, tmp_path / "out")
    assert (report.made, report.kept, len(report.failures)) == (0, 0, 0)


def cut_or_die(job, videos_dir, out_dir):
    """Stand in for the worker's part: one video takes the process down."""
    if job.video == "deadly.mkv":
        os._exit(11)
    return real_cut_one(job, videos_dir, out_dir)


real_cut_one = cutting._cut_one


@pytest.mark.slow
def test_a_video_that_kills_its_reader_is_named_and_the_rest_is_cut(tmp_path, videos, monkeypatch):
    (videos / "deadly.mkv").touch()
    rows = [(ODD_ID, float(k), k + 0.2) for k in range(6)]
    clips = table(*rows[:3], ("deadly", 0.0, 1.0), rows[3], ("deadly", 1.0, 2.0), *rows[4:])
    monkeypatch.setattr(cutting, "_cut_one", cut_or_die)
    report = cut(clips, videos, tmp_path / "out", workers=1)
    assert report.made == 6 and len(hashes(tmp_path / "out")) == 6
    assert report.failures["clip_id"].tolist() == ["deadly_3", "deadly_5"]
    assert report.failures["reason"].str.contains("process that read deadly.mkv died").all()


def tell_deafness(job, videos_dir, out_dir):
    """Stand in for the worker's part: say whether Ctrl-C could kill the worker from its birth on."""
    return f"deaf: {signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())}"


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs POSIX signals")
def test_workers_are_born_deaf_to_ctrl_c(tmp_path, videos, monkeypatch):
    monkeypatch.setattr(cutting, "_cut_one", tell_deafness)
    report = cut(table((ODD_ID, 0.0, 1.0)), videos, tmp_path / "out", workers=1)
    assert report.failures["reason"].tolist() == ["deaf: True"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_missing_folder_of_videos_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder; give the one"):
        cut(table(), tmp_path / "nowhere", tmp_path / "out")


def test_videos_are_found_by_their_ids(tmp_path):
    for name in (f"{ODD_ID}.mp4", "sub/0LtLS9wROrk.WEBM", "0LtLS9wROrk.f137.mp4", "note.txt", ".x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert set(find_videos(tmp_path)) == {ODD_ID, "0LtLS9wROrk", "0LtLS9wROrk.f137"}


def started(videos, annotations, out):
    command = [sys.executable, "-m", "tfcovr_utils", "cut", "--source", "finegym", "--workers", "2"]
    command += ["--annotations", annotations, "--videos", videos, "--out", out]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs ignore SIGINT and hand that on; a user's Ctrl-C meets a program that
        # does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX signals")
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_goes_on_to_the_same_files(tmp_path, videos, kill):
    n_clips = 40
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    (annotations / "gym288_categories.txt").write_text("Clabel: 0; set: 1; Glabel: 0; (VT) tsukahara piked\n")
    rows = [f"{ODD_ID}_E_{k:06d}_{k + 9:06d}_A_0000_0002 0\n" for k in range(n_clips)]
    (annotations / "gym288_train_element_v1.1.txt").write_text("".join(rows))
    (annotations / "gym288_val_element.txt").write_text("")
    broken = tmp_path / "broken"
    manifest = broken / MANIFEST
    process = started(videos, annotations, broken)
    while process.poll() is None and not (manifest.exists() and manifest.stat().st_size):
        time.sleep(0.002)
    if kill == signal.SIGKILL:
        process.kill()  # the parent alone: its workers must notice
    else:
        os.killpg(process.pid, kill)  # as Ctrl-C does
    _, error = process.communicate(timeout=20)
    assert process.returncode == (130 if kill == signal.SIGINT else -signal.SIGKILL), error
    assert "Traceback" not in error
    wait_for_end_of_group(process.pid)
    done = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert 0 < len(done) < n_clips
    times = {row["path"]: (broken / row["path"]).stat().st_mtime_ns for row in done}

    said, error = (again := started(videos, annotations, broken)).communicate(timeout=60)
    assert again.returncode == 0 and "40 x finegym_clips_without_exact_times" in error, error
    assert f"{n_clips - len(done)} clips cut, {len(done)} kept from before, 0 failed" in said
    assert all((broken / path).stat().st_mtime_ns == time for path, time in times.items())
    if kill == signal.SIGKILL:
        started(videos, annotations, tmp_path / "whole").communicate(timeout=60)
        assert hashes(broken) == hashes(tmp_path / "whole") and len(hashes(broken)) == n_clips
        assert sorted(p.name for p in broken.rglob("*")) == sorted(
            p.name for p in (tmp_path / "whole").rglob("*")
        )
