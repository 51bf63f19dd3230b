"""Frame numbers drawn in the pixels come back exactly, whatever reads them, and whatever is broken is named.

`python tests/test_video.py` prints the table of broken inputs and the sentence each gets.
"""

import itertools
import math
import multiprocessing
import os
import pickle
import socket
import stat
import struct
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from drawn_videos import HEIGHT, WIDTH, drawn_clip, encode, numbers
from PIL import Image

from tfcovr_utils.video import (
    VideoError,
    container,
    cut_clip,
    inspection,
    preview,
    probe,
    read_clip,
    sample_indices,
    write_clip,
)
from tfcovr_utils.video import decoding as reading
from tfcovr_utils.video import frames as frames_module
from tfcovr_utils.video.request import check_rate

RATES = [24, 25, 29.97, 30, 60]
needs_decord = pytest.mark.skipif(reading._decord() is None, reason="decord has no wheel here")
DECODERS = ["av", pytest.param("decord", marks=needs_decord)]
SECONDS_FOR_A_BROKEN_INPUT = 10

SENTENCES = {  # what some of them say
    "missing": "does not exist",
    "a pipe": "is a pipe, socket or device",
    "a folder": "is a folder",
    "zero bytes": "is empty",
    "a JPEG": "cannot be opened as a video",
    "no moov atom": "cannot be opened as a video",
    "only sound": "has no video stream",
    "zero frames": "holds no frame that decodes",
    "one frame of 48 is garbage": "is damaged",
    "cut in half, moov first": "declares 48 frames and holds 25",
    "no time left": "was not read in time",
    "index -1": "has no frame -1",
    "window past the end": "correct the window",
}

OPEN_GOP = "open-gop=1:keyint=12:bframes=3:b-adapt=0:scenecut=0"
# name: (file name, codec, pixel format, encoder options)
ENCODINGS = {
    "long GOP, B-frames": ("b.mp4", "libx264", "yuv420p", {"g": "250", "bf": "3", "b-pyramid": "strict"}),
    "open GOP": ("open.mp4", "libx264", "yuv420p", {"x264-params": OPEN_GOP}),
    "Matroska": ("m.mkv", "libx264", "yuv420p", {"g": "12", "bf": "2"}),
    "transport stream": ("t.ts", "libx264", "yuv420p", {"bf": "2"}),
    "VP9": ("v.webm", "libvpx-vp9", "yuv420p", {"cpu-used": "8", "lag-in-frames": "8"}),
    "10 bit": ("ten.mp4", "libx264", "yuv420p10le", {"g": "12", "bf": "2"}),
    "GIF": ("g.gif", "gif", "rgb8", {}),
}


def coloured_clip(n_frames=24, height=64, width=64):
    """(T, H, W, 3) uint8: a smooth colour field that moves."""
    t, y, x = np.meshgrid(np.arange(n_frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [np.sin(0.07 * x + 0.2 * t), np.sin(0.05 * y - 0.3 * t), np.sin(0.04 * (x + y) + 0.1 * t)]
    return (127.5 * (1 + np.stack(waves, axis=-1))).round().astype(np.uint8)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """One file of 60 drawn frames for each encoding."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: encode(folder / file_name, drawn_clip(60), 25, codec, pix_fmt, options)
        for name, (file_name, codec, pix_fmt, options) in ENCODINGS.items()
    }


@pytest.fixture
def long_videos(monkeypatch):
    """Treat every file as too long to be checked."""
    monkeypatch.setattr(inspection, "CHECKED_PIXELS", 1)
    inspection._inspect_version.cache_clear()
    yield
    inspection._inspect_version.cache_clear()


# Which frames


@pytest.mark.parametrize("n_frames", [1, 5, 12, 13, 100])
@pytest.mark.parametrize("frames", [1, 8, 12])
def test_centre_is_the_middle_of_each_interval(n_frames, frames):
    edges = [Fraction(n_frames * i, frames) for i in range(frames + 1)]
    expected = [math.floor((a + b) / 2) for a, b in itertools.pairwise(edges)]
    assert sample_indices(n_frames, frames).tolist() == expected


@pytest.mark.parametrize("n_frames", [1, 5, 8, 13, 100])
@pytest.mark.parametrize("frames", [1, 2, 8, 12])
def test_ends_are_even_steps_from_the_first_to_the_last(n_frames, frames):
    expected = [math.floor(Fraction((n_frames - 1) * i, max(frames - 1, 1))) for i in range(frames)]
    assert sample_indices(n_frames, frames, "ends").tolist() == expected


def test_other_policies():
    assert sample_indices(24, 12, "middle").tolist() == [12]
    assert sample_indices(24, 12, "centre-half").tolist() == [*range(6, 18)]
    assert sample_indices(40, 4, "centre-half").tolist() == [12, 17, 22, 27]
    assert sample_indices(1, 4, "centre-half").tolist() == [0, 0, 0, 0]
    assert sample_indices(20, 8, "ends").tolist() == [0, 2, 5, 8, 10, 13, 16, 19]
    assert sample_indices(3, 8, "ends").tolist() == [0, 0, 0, 0, 1, 1, 1, 2]
    assert sample_indices(1, 4).tolist() == [0, 0, 0, 0]


def test_rates_are_exact_fractions():
    names = {29.97: Fraction(30000, 1001), 23.976: Fraction(24000, 1001), 59.94: Fraction(60000, 1001)}
    exact = {25: Fraction(25), 12.5: Fraction(25, 2), 1 / 3: Fraction(1, 3)}
    for rate, fraction in {**names, **exact}.items():
        assert check_rate(rate) == check_rate(fraction) == fraction


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("rate", RATES)
def test_frames_are_exact_at_every_rate(tmp_path, rate, decoder):
    path = write_clip(tmp_path / "clip.mp4", drawn_clip(48), rate)
    exact_rate = check_rate(rate)
    info = probe(path)
    assert (info.n_frames, info.width, info.height) == (48, WIDTH, HEIGHT)
    assert info.fps == pytest.approx(float(exact_rate))
    assert info.duration_s == pytest.approx(float(48 / exact_rate), abs=1e-3)
    assert numbers(read_clip(path, decoder=decoder)) == sample_indices(48, 12).tolist()
    assert numbers(read_clip(path, "middle", decoder=decoder)) == [24]
    for first, stop in [(0, 48), (7, 8), (11, 31), (36, 48)]:
        window = {"start_s": float(first / exact_rate), "end_s": float(stop / exact_rate), "decoder": decoder}
        assert numbers(read_clip(path, range(stop - first), **window)) == list(range(first, stop))
        assert (
            numbers(read_clip(path, "centre", 3, **window))
            == (first + sample_indices(stop - first, 3)).tolist()
        )


@pytest.mark.parametrize("decoder", ["auto", "av"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_random_access_equals_sequential(clips, name, decoder):
    sequential = read_clip(clips[name], range(60), decoder=decoder)
    assert numbers(sequential) == list(range(60))
    asked = [*np.random.default_rng(0).integers(0, 60, 25).tolist(), 59, 0, 59]
    np.testing.assert_array_equal(read_clip(clips[name], asked, decoder=decoder), sequential[asked])


@needs_decord
@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - {"transport stream", "GIF"}))
def test_decord_reads_what_it_should(clips, name):
    assert numbers(read_clip(clips[name], range(60), decoder="decord")) == list(range(60))


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - {"GIF"}))
def test_long_videos_are_read_by_seeking(tmp_path, long_videos, monkeypatch, name):
    monkeypatch.setattr(container, "SEEK_GAP_S", 1.5)
    monkeypatch.setattr(reading, "SEEK_GAP_S", 1.5)
    file_name, codec, pix_fmt, options = ENCODINGS[name]
    path = encode(tmp_path / file_name, drawn_clip(400), 25, codec, pix_fmt, options)
    assert numbers(read_clip(path, [399, 0, 1, 200, 130, 12, 13, 14])) == [399, 0, 1, 200, 130, 12, 13, 14]
    for first in (40, 83, 84, 371):
        window = {"start_s": first / 25, "end_s": first / 25 + 1}
        assert numbers(read_clip(path, range(25), **window)) == list(range(first, first + 25))


@pytest.mark.parametrize(
    "name", ["garbage in the middle", "cut in half, moov first", "declares 480 frames, has 48"]
)
def test_damage_in_long_videos_is_named(tmp_path, long_videos, name):
    path = next(path for case, path, _ in broken_inputs(tmp_path) if case == name)
    with pytest.raises(VideoError, match="damaged|declares"):
        read_clip(path, range(24, 48))


def test_variable_rate_and_late_start(tmp_path):
    shown_at = np.random.default_rng(0).integers(1, 6, 60).cumsum()  # in fiftieths of a second
    path = encode(tmp_path / "vfr.mp4", drawn_clip(60), 50, pts=shown_at, options={"bf": "2"})
    seconds = (shown_at - shown_at[0]) / 50
    expected = np.flatnonzero((seconds >= 1) & (seconds < 2)).tolist()
    assert numbers(read_clip(path, range(len(expected)), start_s=1, end_s=2)) == expected


@pytest.fixture(params=["mp4", "mkv"])
def copied(request, clips, tmp_path):
    """The end of an open-GOP file, not re-encoded: its first pictures refer to a group that is no longer
    there."""
    path = tmp_path / f"copied.{request.param}"
    with av.open(str(clips["open GOP"])) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        source.seek(int(1.3 / stream.time_base), stream=stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    return path


def test_a_cut_without_reencoding_gives_the_frames_that_decode(copied):
    n_frames = probe(copied).n_frames
    assert n_frames < 39  # packets
    assert numbers(read_clip(copied, range(n_frames))) == list(range(60 - n_frames, 60))


def test_a_cut_without_reencoding_reads_alike_when_long(copied, long_videos):
    assert numbers(read_clip(copied, [0, 35])) == [24, 59]


def test_a_long_video_never_gives_another_frame_instead(clips, tmp_path, long_videos):
    path = tmp_path / "headless.mkv"
    with av.open(str(clips["10 bit"])) as source, av.open(str(path), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[:-1]:
            if packet.dts >= 0:  # leaves the first keyframe out; the next is some way on
                packet.stream = copy
                target.mux(packet)
    with pytest.raises(VideoError, match="damaged near|no frame"):
        read_clip(path, [0, 10])


def test_an_edit_list_hides_frames(tmp_path):
    """What `ffmpeg -ss -c copy` makes: all packets from the keyframe on, the first of them not to be
    shown."""
    whole = encode(
        tmp_path / "whole.mp4", drawn_clip(250), options={"g": "500", "bf": "3", "sc_threshold": "0"}
    )
    path = tmp_path / "edited.mp4"
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target,
    ):
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        hidden = round(180 / 25 / stream.time_base)
        for packet in source.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - hidden, packet.dts - hidden, copy
                target.mux(packet)
    assert probe(path).n_frames == 70
    assert numbers(read_clip(path, range(70))) == list(range(180, 250))
    assert numbers(read_clip(path, [0], start_s=1.0, end_s=2.0)) == [205]
    assert cut_clip(path, 1.0, 2.0, tmp_path / "cut.mp4") == 25
    assert numbers(read_clip(tmp_path / "cut.mp4", [0, 24])) == [205, 229]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_metadata_is_applied(tmp_path, rotation, decoder):
    flat = encode(tmp_path / "flat.mp4", drawn_clip(3, 64))
    turned = encode(tmp_path / "turned.mp4", drawn_clip(3, 64), rotation=rotation)
    upright = np.rot90(read_clip(flat, range(3)), rotation // 90, axes=(1, 2))
    np.testing.assert_array_equal(read_clip(turned, range(3), decoder=decoder), upright)
    assert (probe(turned).height, probe(turned).width) == upright.shape[1:3]


def test_one_frame(tmp_path):
    path = write_clip(tmp_path / "one.mp4", drawn_clip(2)[1:], 25)
    assert numbers(read_clip(path, frames=4)) == [1, 1, 1, 1] and numbers(read_clip(path, "middle")) == [1]


# Which pixels


@needs_decord
@pytest.mark.parametrize(
    "codec, pix_fmt, size",
    [
        ("libx264", "yuv420p", (64, 64)),
        ("libx264", "yuvj420p", (50, 66)),
        ("libx264", "yuv444p", (360, 640)),
        ("mpeg4", "yuv420p", (64, 64)),
        ("libvpx-vp9", "yuv420p", (65, 97)),
        ("ffv1", "yuv422p", (64, 64)),
    ],
)
def test_decoders_agree(tmp_path, codec, pix_fmt, size):
    path = encode(tmp_path / "clip.mkv", coloured_clip(4, *size), 25, codec, pix_fmt)
    by_decord, by_av = (read_clip(path, range(4), decoder=name).astype(int) for name in ("decord", "av"))
    assert np.abs(by_decord - by_av).mean() <= 2


@needs_decord
def test_decord_reads_by_default(clips, monkeypatch):
    monkeypatch.setattr(reading, "_read_by_av", lambda *_: pytest.fail("PyAV read what decord can"))
    assert numbers(read_clip(clips["open GOP"], [5])) == [5]


def test_ten_bits_are_for_pyav_alone(tmp_path):
    """decord rounds them its own way, and a table must not depend on where decord has a wheel."""
    path = encode(tmp_path / "ten.mp4", coloured_clip(3), pix_fmt="yuv420p10le")
    np.testing.assert_array_equal(read_clip(path), read_clip(path, decoder="av"))


@pytest.mark.parametrize("width", [2, 16, 32, 48, 64, 80, 96])
def test_narrow_clips_keep_three_channels(tmp_path, width):
    """decord takes the padding of a row for channels where the padded row is a multiple of the width."""
    clip = coloured_clip(3, 32, width)
    back = read_clip(write_clip(tmp_path / "clip.mp4", clip, 25), range(3))
    assert back.shape == clip.shape and np.abs(back.astype(int) - clip).mean() < 12


def test_without_decord_pyav_reads(clips, monkeypatch):
    with_decord = read_clip(clips["Matroska"])
    monkeypatch.setattr(reading, "_decord", lambda: None)
    np.testing.assert_array_equal(read_clip(clips["Matroska"]), with_decord)
    with pytest.raises(VideoError, match="decord cannot be imported"):
        read_clip(clips["Matroska"], decoder="decord")


@pytest.mark.parametrize("size", [(64, 64), (33, 51), (2, 2)])
def test_written_pixels_come_back(tmp_path, size):
    clip = coloured_clip(24, *size)
    path = write_clip(tmp_path / "new folder" / "clip.mp4", clip, 25)
    back = read_clip(path, range(24))
    assert back.shape == (24, size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    error = ((back[:, : size[0], : size[1]].astype(float) - clip) ** 2).mean()
    assert 10 * math.log10(255**2 / error) > 30


def test_writing_is_deterministic_atomic_and_readable_by_others(tmp_path, clips):
    first, second = (write_clip(tmp_path / name, coloured_clip(), 25) for name in ("a.mp4", "b.mp4"))
    assert first.read_bytes() == second.read_bytes()
    cut_clip(clips["open GOP"], 0.5, 1.5, first)
    before = first.read_bytes()
    for _ in range(20):  # x264 has read memory that happened to be there
        read_clip(clips["open GOP"], range(60))
        cut_clip(clips["open GOP"], 0.5, 1.5, second)
        assert before == second.read_bytes()
    with pytest.raises(VideoError, match="correct the window"):
        cut_clip(clips["open GOP"], 0.0, 9.0, first)
    assert first.read_bytes() == before and sorted(tmp_path.iterdir()) == [first, second]
    (tmp_path / "plain").touch()
    assert first.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "shape, kind", [((3, 8, 8, 3), float), ((0, 8, 8, 3), np.uint8), ((3, 8, 8), np.uint8)]
)
def test_what_is_not_a_clip_is_not_written(tmp_path, shape, kind):
    with pytest.raises(VideoError, match="expected uint8"):
        write_clip(tmp_path / "clip.mp4", np.zeros(shape, kind), 25)
    with pytest.raises(VideoError, match="frame rate"):
        write_clip(tmp_path / "clip.mp4", drawn_clip(2), math.nan)
    assert not list(tmp_path.iterdir())


# Cutting


@pytest.mark.parametrize("rate", RATES)
def test_cuts_hold_exactly_the_frames_of_the_window(tmp_path, rate):
    exact_rate = check_rate(rate)
    options = {"g": "250", "bf": "3", "preset": "ultrafast"}
    source = encode(tmp_path / "source.mp4", drawn_clip(500), rate, options=options)
    for first, stop in [(0, 1), (3, 40), (170, 230), (440, 500)]:
        for offset in (0, -0.4):  # a window that begins and ends between two frames
            start_s, end_s = (max(0.0, float((index + offset) / exact_rate)) for index in (first, stop))
            n_frames = cut_clip(source, start_s, end_s, tmp_path / "cut.mp4")
            info = probe(tmp_path / "cut.mp4")
            assert n_frames == info.n_frames == stop - first and info.fps == pytest.approx(float(exact_rate))
            assert abs(info.duration_s - (end_s - start_s)) < 1 / rate + 1e-3
            assert numbers(read_clip(tmp_path / "cut.mp4", range(n_frames))) == list(range(first, stop))
    whole = cut_clip(source, 0, probe(source).duration_s, tmp_path / "cut.mp4")
    assert whole == 500


def test_a_cut_decodes_only_around_its_window(tmp_path, monkeypatch):
    source = encode(tmp_path / "source.mp4", drawn_clip(500), 10, options={"g": "20", "bf": "2"})
    decoded, frames = [], container.Video.frames
    monkeypatch.setattr(
        container.Video, "frames", lambda video: (decoded.append(1) or frame for frame in frames(video))
    )
    assert cut_clip(source, 40, 41, tmp_path / "cut.mp4") == 10
    assert len(decoded) < 70


def test_cuts_of_a_variable_rate_keep_time(tmp_path):
    shown_at = np.r_[
        np.arange(20), 60 + np.arange(20), 120 + np.arange(20)
    ]  # twentieths of a second, two stills
    source = encode(tmp_path / "source.mp4", drawn_clip(60), 20, pts=shown_at, options={"bf": "0"})
    for start_s, end_s in [(0, 6.9), (0.5, 4), (1.5, 2.5), (2, 3.5)]:
        n_frames = cut_clip(source, start_s, end_s, tmp_path / "cut.mp4")
        rate = probe(source).fps
        assert abs(n_frames / rate - (end_s - start_s)) <= 1 / rate + 1e-6
        assert probe(tmp_path / "cut.mp4").n_frames == n_frames


# Previews


@pytest.mark.parametrize("max_bytes", [100_000, 20_000])
def test_previews_fit_and_loop(tmp_path, clips, max_bytes):
    noise = np.random.default_rng(0).integers(0, 256, (60, 120, 160, 3), dtype=np.uint8)
    drawn = {"noise": noise, "colours": coloured_clip(), "one": drawn_clip(1)}
    written = {name: write_clip(tmp_path / f"{name}.mp4", frames, 25) for name, frames in drawn.items()}
    for source in (*written.values(), clips["VP9"]):
        gif = preview(source, max_bytes=max_bytes)
        (tmp_path / "preview.gif").write_bytes(gif)
        with Image.open(tmp_path / "preview.gif") as picture:
            assert len(gif) <= max_bytes and picture.format == "GIF"
            assert picture.n_frames == 1 or picture.info["loop"] == 0
    with pytest.raises(VideoError, match="no preview fits"):
        preview(written["noise"], max_bytes=100)


# Many readers


def read_numbers(path):
    return numbers(read_clip(path, range(0, 60, 7)))


class Clips(torch.utils.data.Dataset):
    def __init__(self, path):
        self.path = path

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.from_numpy(read_clip(self.path, [index]))


@pytest.mark.parametrize(
    "method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()]
)
def test_several_processes(clips, method):
    read_numbers(clips["long GOP, B-frames"])  # the parent has used its decoders before it forks
    with multiprocessing.get_context(method).Pool(2) as pool:
        answers = pool.map_async(read_numbers, [clips["long GOP, B-frames"]] * 8).get(timeout=100)
    assert answers == [list(range(0, 60, 7))] * 8


def test_dataloader_workers(clips):
    loader = torch.utils.data.DataLoader(Clips(clips["Matroska"]), batch_size=None, num_workers=2, timeout=60)
    assert [numbers(clip.numpy()) for clip in loader] == [[index] for index in range(8)]


def test_threads(clips):
    paths = [clips["open GOP"], clips["GIF"], clips["10 bit"]] * 20
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(read_numbers, paths)) == [list(range(0, 60, 7))] * 60


# What is broken


def edited(data, box, offset, value):
    """`data` with a big-endian 32-bit `value` at `offset` bytes after the name of an mp4 box."""
    at = data.index(box) + 4 + offset
    return data[:at] + struct.pack(">I", value) + data[at + 4 :]


def broken_inputs(folder):
    """(what is wrong, path, arguments of read_clip) of inputs that read_clip must refuse."""
    good = folder / "good.mp4"
    rng = np.random.default_rng(0)
    noisy = (coloured_clip(48, 96, 128) // 2 + rng.integers(0, 128, (48, 96, 128, 3))).astype(np.uint8)
    encode(good, noisy, options={"bf": "2"}, muxer={"movflags": "faststart"})
    data = good.read_bytes()
    tail = encode(folder / "tail.mp4", noisy).read_bytes()  # moov after mdat
    mkv = encode(folder / "good.mkv", noisy).read_bytes()
    intra = encode(folder / "intra.mp4", noisy, options={"g": "1", "bf": "0"}).read_bytes()
    with av.open(str(folder / "intra.mp4")) as container:
        lost = [packet for packet in container.demux(video=0) if packet.size][20]
    gif = encode(folder / "good.gif", drawn_clip(5), codec="gif", pix_fmt="rgb8").read_bytes()
    middle = len(data) // 2
    picture = folder / "picture.jpg"
    Image.fromarray(noisy[0]).save(picture)
    with av.open(str(folder / "sound.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    files = {
        "zero bytes": b"",
        "random bytes": rng.bytes(50_000),
        "a text file": b"clip_id,label\n" * 500,
        "an HTML error page": b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head></html>" * 20,
        "a JPEG": picture.read_bytes(),
        "a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\ngood.mp4\n#EXT-X-ENDLIST\n",
        "only sound": (folder / "sound.m4a").read_bytes(),
        "no moov atom": tail[: tail.index(b"moov") - 4],
        "cut in half, moov first": data[:middle],
        "cut in half, moov last": tail[: len(tail) // 2],
        "last 1 % missing": data[: len(data) * 99 // 100],
        "Matroska cut in half": mkv[: len(mkv) // 2],
        "all frames missing": data[: data.index(b"mdat") + 8],
        "garbage in the middle": data[:middle] + rng.bytes(4000) + data[middle + 4000 :],
        "zeros in the middle": data[:middle] + bytes(4000) + data[middle + 4000 :],
        "one frame of 48 is garbage": intra[: lost.pos] + bytes(lost.size) + intra[lost.pos + lost.size :],
        "4000 bytes lost in the middle": data[:middle] + data[middle + 4000 :],
        "declares 480 frames, has 48": edited(data, b"stts", 8, 480),
        "declares 24 frames, has 48": edited(data, b"stts", 8, 24),
        "declares 2 thousand million": edited(data, b"stts", 8, 2_000_000_000),
        "sizes of 24 frames, has 48": edited(data, b"stsz", 8, 24),
        "zero frames": edited(edited(data, b"stsz", 8, 0), b"stts", 8, 0),
        "an unknown codec": data.replace(b"avc1", b"zzzz"),
        "a GIF of 8000x8000": gif[:6] + struct.pack("<HH", 8000, 8000) + gif[10:],
        "a GIF of 65535x65535": gif[:6] + struct.pack("<HH", 65535, 65535) + gif[10:],
    }
    cases = []
    for name, content in files.items():
        path = folder / f"{name.replace(' ', '-').replace('%', '').replace(',', '')}.mp4"
        path.write_bytes(content)
        cases.append((name, path, {}))
    both = folder / "two-sizes.ts"
    parts = [encode(folder / f"{n}.ts", drawn_clip(12, n)) for n in (48, 64)]
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(folder / "socket.mp4"))
    (folder / "link.mp4").symlink_to(folder / "gone.mp4")
    cases += [
        ("frame size changes midway", both, {}),
        ("missing", folder / "missing.mp4", {}),
        ("a link to nothing", folder / "link.mp4", {}),
        ("a NUL in the path", str(folder / "nul\0.mp4"), {}),
        ("a folder", folder, {}),
        ("a pipe", folder / "pipe.mp4", {}),
        ("a socket", folder / "socket.mp4", {}),
        ("an address", "http://localhost/clip.mp4", {}),
        ("index 48 of 48", good, {"indices": [0, 48]}),
        ("index -1", good, {"indices": [-1]}),
        ("index 1.5", good, {"indices": [1.5]}),
        ("no index", good, {"indices": []}),
        ("zero frames asked", good, {"frames": 0}),
        ("unknown policy", good, {"indices": "center"}),
        ("start_s NaN", good, {"start_s": math.nan}),
        ("end_s NaN", good, {"end_s": math.nan}),
        ("start_s after end_s", good, {"start_s": 1.0, "end_s": 0.5}),
        ("empty window", good, {"start_s": 1.0, "end_s": 1.0}),
        ("negative start_s", good, {"start_s": -1.0}),
        ("window past the end", good, {"start_s": 5.0, "end_s": 6.0}),
        ("window half past the end", good, {"start_s": 1.0, "end_s": 3.0}),
        ("no time left", good, {"timeout_s": 0.0, "decoder": "av"}),
    ]
    if os.geteuid():
        hidden = folder / "hidden.mp4"
        hidden.write_bytes(data)
        hidden.chmod(stat.S_IWUSR)
        cases.append(("no permission", hidden, {}))
    return cases


def broken_inputs_table(folder):
    """Rows (what is wrong, error class, seconds, sentence), all read by this one process."""
    folder = Path(folder)
    rows = []
    for name, path, arguments in broken_inputs(folder):
        started = time.perf_counter()
        try:
            error_name, sentence = "none", f"read {read_clip(path, **arguments).shape}"
        except VideoError as error:
            error_name, sentence = type(error).__name__, str(error)
        rows.append(
            (name, error_name, time.perf_counter() - started, sentence.replace(f"{folder}{os.sep}", ""))
        )
    assert numbers(read_clip(write_clip(folder / "after.mp4", drawn_clip(3), 25), range(3))) == [0, 1, 2]
    return rows


def test_broken_inputs_are_named_in_time(tmp_path):
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # a pool can be ended if a decoder hangs
        rows = pool.apply_async(broken_inputs_table, [tmp_path]).get(timeout=100)
    assert len(rows) >= 40
    sentences = {name: sentence for name, *_, sentence in rows}
    for name, expected in SENTENCES.items():
        assert expected in sentences[name]
    for name, error_name, seconds, sentence in rows:
        assert error_name == "VideoError", f"{name}: {sentence}"
        assert seconds < SECONDS_FOR_A_BROKEN_INPUT, f"{name} took {seconds:.1f} s"
        assert 30 < len(sentence) < 300 and "\n" not in sentence, f"{name}: {sentence}"


@pytest.mark.parametrize(
    "name", ["declares 480 frames, has 48", "cut in half, moov first", "one frame of 48 is garbage"]
)
def test_decord_never_sees_a_file_that_fails_the_check(tmp_path, monkeypatch, name):
    path = next(path for case, path, _ in broken_inputs(tmp_path) if case == name)
    monkeypatch.setattr(
        reading, "_read_by_decord", lambda *_: pytest.fail("a file with a fault reached decord")
    )
    assert probe(path).fault and 0 < probe(path).n_frames <= 48
    with pytest.raises(VideoError, match="declares|damaged"):
        read_clip(path)


def test_an_absurd_count_is_not_believed(tmp_path):
    path = next(path for case, path, _ in broken_inputs(tmp_path) if case == "declares 2 thousand million")
    assert probe(path).n_frames == 48


def test_a_replaced_file_is_read_anew(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", drawn_clip(5), 25)
    assert probe(path).n_frames == 5
    write_clip(path, drawn_clip(9), 25)
    assert probe(path).n_frames == 9 and numbers(read_clip(path, [8])) == [8]
    path.write_bytes(b"")
    with pytest.raises(VideoError, match="empty"):
        read_clip(path)


def test_odd_names(tmp_path):
    path = write_clip(tmp_path / "süß: 100%03d?#.mp4", drawn_clip(3), 25)
    assert numbers(read_clip(str(path), [2])) == numbers(read_clip(path, [2], decoder="av")) == [2]


def test_the_error_crosses_processes():
    error = pickle.loads(pickle.dumps(VideoError("no")))
    assert isinstance(error, ValueError) and str(error) == "no"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print("| input | error | seconds | sentence |\n|---|---|---|---|", file=sys.stdout)
        for row in broken_inputs_table(temporary):
            print("| {} | {} | {:.3f} | {} |".format(*row))


# Pictures: clips of one frame


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        (".png", "RGB"),
        (".PNG", "RGBA"),
        (".png", "P"),
        (".jpg", "RGB"),
        (".jpeg", "L"),
        (".webp", "RGB"),
        (".bmp", "RGB"),
        (".jpg", "CMYK"),
    ],
)
def test_a_picture_is_a_clip_of_one_frame(tmp_path, suffix, mode):
    """Decoded as the loaders of composed image retrieval do: Pillow's RGB, whatever the file's own colours
    are."""
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / f"one{suffix}"
    Image.fromarray(pixels).convert(mode).save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    info = probe(path)
    assert (info.n_frames, info.width, info.height, info.fault) == (1, 30, 20, None)
    for policy, frames in (("centre", 4), ("middle", 1), ("ends", 3)):
        clip = read_clip(path, policy, frames)
        assert clip.shape == (frames, 20, 30, 3) and clip.dtype == np.uint8 and (clip == expected).all()
    assert (read_clip(path, [0, 0]) == expected).all()
    with pytest.raises(VideoError, match="has no frame 1 in the window read; expected 0 to 0"):
        read_clip(path, [1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>", "cannot be opened as a picture; fetch it again"),
        (None, "does not exist"),
        ("cut", "is damaged"),
    ],
)
def test_a_broken_picture_gets_one_sentence(tmp_path, content, said):
    path = tmp_path / "one.png"
    if content == "cut":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
        content = path.read_bytes()[:2000]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=said):
        read_clip(path)
    assert (tmp_path / "one.png").exists() == (content is not None)


def test_an_unbelievably_large_picture_is_refused(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "one.png")
    monkeypatch.setattr("tfcovr_utils.video.container.MAX_FRAME_PIXELS", 1000)
    with pytest.raises(VideoError, match="no believable frame size .40x40."):
        probe(tmp_path / "one.png")


def test_frames_are_decoded_once_as_long_as_there_is_room(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.mp4" for number in range(3)]
    for number, path in enumerate(paths):
        write_clip(path, np.full((6, 32, 32, 3), 40 * number, np.uint8), 8)
    decoded = []
    monkeypatch.setattr(
        frames_module,
        "read_clip",
        lambda path, *sampling: decoded.append(path.name) or read_clip(path, *sampling),
    )
    kept = frames_module.FrameCache()
    kept.room = 2 * 4 * 32 * 32 * 3  # for two clips of four frames
    for _ in range(2):
        for path in paths:
            assert np.array_equal(kept.read(path, "centre", 4), read_clip(path, "centre", 4))
    assert decoded == ["0.mp4", "1.mp4", "2.mp4", "2.mp4"]
    write_clip(paths[0], np.full((7, 32, 32, 3), 200, np.uint8), 8)
    assert np.array_equal(kept.read(paths[0], "centre", 4), read_clip(paths[0], "centre", 4))
    with pytest.raises(VideoError):
        kept.read(tmp_path / "absent.mp4", "centre", 4)
