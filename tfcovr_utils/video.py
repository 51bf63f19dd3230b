"""Read, write, cut and preview clips: the only module that knows a decoder or an encoder of video.

decord reads by default and PyAV wherever decord cannot. decord 0.6 spins for ever on a file that holds
fewer frames than its container says, so it only ever sees a file that PyAV has just decoded to the end
without a fault; that check costs a fraction of the read and is remembered for as long as the file is
unchanged. A file too long to check so is read by PyAV, which seeks. No audio, no network, no cache.
"""

from __future__ import annotations

import io
import math
import os
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

POLICIES = ("centre", "middle", "random")
DECODERS = ("auto", "decord", "av")
CONTAINERS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg"  # never playlists, subtitles or still images
TIMEOUT_S = 8.0
TIME_TOLERANCE_S = 1e-3  # Matroska stores times in whole milliseconds
MAX_FRAME_PIXELS = 2**26  # 8192 x 8192: a damaged header must not claim all memory
MAX_CLIP_BYTES = 2**31
CHECKED_PIXELS = 2**28  # a longer video (about 100 s at 256 x 256) is not decoded to its end before a read
SEEK_GAP_S = 5.0  # below this, decoding on is cheaper than seeking
SEEK_MARGIN_S = 1.0  # seek this much early: pictures that lead an open group need the group before
KEYFRAME_INTERVAL = 12  # short, so that a frame in the middle of a clip is cheap to reach
GIF_SIDES, GIF_COLOURS, GIF_FRAMES = (192, 160, 128, 96, 64, 48, 32), (128, 64, 32), (24, 12, 6)


class VideoError(ValueError):
    """A clip that cannot be read, written or cut as asked; `reason` is its kind in a word or two."""

    def __init__(self, message: str, reason: str = "unreadable"):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class ClipInfo:
    """What a file holds. Width and height are as displayed, after any rotation its metadata asks for."""

    n_frames: int  # frames that decode; packets, unopened, in a video too long to be checked
    fps: float  # average
    width: int
    height: int
    duration_s: float
    codec: str
    declared_frames: int  # what the container says; 0 where it says nothing
    fault: str | None = None  # why read_clip refuses the file, as a sentence


@dataclass(frozen=True)
class _Inspection:
    info: ClipInfo
    pts: np.ndarray | None  # (n,) presentation times in ticks; None in a video too long to be checked
    time_base: Fraction
    start_pts: int


def sample_indices(n_frames: int, frames: int, policy: str = "centre", rng: np.random.Generator | None = None) -> np.ndarray:
    """Choose frames out of a clip of `n_frames`: (T,) int64, ascending.

    "centre" takes the middle of each of `frames` equal segments, as AIM's loader does; "random" takes a
    random frame of each; "middle" takes the one frame n // 2, whatever `frames` says. A clip shorter than
    `frames` repeats frames.
    """
    if n_frames < 1 or frames < 1:
        raise VideoError(f"cannot sample {frames} frames out of {n_frames}; both must be at least 1", "bad request")
    segment = np.arange(frames, dtype=np.int64)
    if policy == "centre":
        return (2 * segment + 1) * n_frames // (2 * frames)
    if policy == "middle":
        return np.array([n_frames // 2], dtype=np.int64)
    if policy == "random":
        if rng is None:
            raise VideoError("policy 'random' needs a seed or a numpy Generator; pass seed=0 for instance", "bad request")
        return np.minimum(((segment + rng.random(frames)) * n_frames / frames).astype(np.int64), n_frames - 1)
    raise VideoError(f"unknown policy {policy!r}; choose one of {', '.join(POLICIES)}", "bad request")


def probe(path: str | Path, *, timeout_s: float = TIMEOUT_S) -> ClipInfo:
    """Tell what a video file holds. A damaged file has its `fault` set; one without a video raises VideoError."""
    return _inspect(path, timeout_s).info


def read_clip(
    path: str | Path,
    indices: Sequence[int] | str = "centre",
    frames: int = 12,
    start_s: float | None = None,
    end_s: float | None = None,
    *,
    decoder: str = "auto",
    timeout_s: float = TIMEOUT_S,
    seed: int | np.random.Generator | None = None,
) -> np.ndarray:
    """Decode frames of a clip: uint8 (T, H, W, 3), RGB, upright (rotation metadata applied), in the order asked.

    `indices` is a policy of `sample_indices` or frame numbers, in any order, repeats allowed. Both count
    from the start of the file or, where `start_s` or `end_s` is given, within the frames shown from
    `start_s` up to but not including `end_s`, in seconds of the video. Raises VideoError on anything a file or a request can
    get wrong, within about `timeout_s`.
    """
    _check_choice("decoder", decoder, DECODERS)
    if isinstance(indices, str):
        _check_choice("policy", indices, POLICIES)
    start_s, end_s = _check_window(start_s, end_s)
    deadline = time.monotonic() + timeout_s
    seen = _inspect(path, timeout_s)
    if seen.info.fault:
        raise VideoError(seen.info.fault, "damaged")
    pts = seen.pts if seen.pts is not None else _packet_pts(path, start_s, end_s, deadline)
    seconds = (pts - seen.start_pts) * float(seen.time_base)
    window = np.flatnonzero((seconds >= start_s - TIME_TOLERANCE_S) & (seconds < end_s - TIME_TOLERANCE_S))
    if not len(window):
        raise VideoError(f"{_name(path)} lasts {seen.info.duration_s:.3f} s and shows no frame in [{start_s:g}, {end_s:g}) s; correct the window", "bad window")
    if isinstance(indices, str):
        chosen = sample_indices(len(window), frames, indices, None if seed is None else np.random.default_rng(seed))
    else:
        chosen = _check_indices(path, indices, len(window))
    wanted, order = np.unique(window[chosen], return_inverse=True)
    size = len(chosen) * seen.info.width * seen.info.height * 3
    if size > MAX_CLIP_BYTES:
        raise VideoError(f"{_name(path)}: {len(chosen)} frames of {seen.info.width}x{seen.info.height} need {size / 2**30:.1f} GiB, over the limit of {MAX_CLIP_BYTES / 2**30:.0f}; ask for fewer frames", "too large")
    if seen.pts is None and decoder == "decord":
        raise VideoError(f"{_name(path)} is too long to be checked for decord; read it with decoder='auto' or cut it by cut_clip", "too large")
    if seen.pts is None:
        clip = _read_long(path, pts[wanted], deadline)
    else:
        clip = None if decoder == "av" else _read_by_decord(path, wanted, len(pts), deadline, required=decoder == "decord")
        clip = _read_by_av(path, wanted, deadline) if clip is None else clip
    return np.stack([clip[i] for i in order])


def write_clip(path: str | Path, frames: np.ndarray, fps: float, *, crf: int = 18) -> Path:
    """Encode uint8 (T, H, W, 3) RGB as H.264 yuv420p mp4 at a constant rate; the same input gives the same bytes.

    An odd height or width gains one repeated row or column, because yuv420p halves both. The file appears
    under its name only when it is complete.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise VideoError(f"cannot write an array of {frames.dtype} {frames.shape}; expected uint8 (T, H, W, 3) with at least one frame", "bad request")
    with _encoder(path, _check_rate(fps), crf) as encode:
        for frame in frames:
            encode(frame)
    return Path(path)


def cut_clip(source_path: str | Path, start_s: float, end_s: float, out_path: str | Path, *, crf: int = 18) -> int:
    """Re-encode the frames of a video shown in [start_s, end_s) as a clip of its own; return their number.

    Seeks, then streams: memory does not grow with the source. A source of variable rate becomes constant at
    its average rate, each frame going to the nearest slot, so the duration is right to one frame.
    """
    start_s, end_s = _check_window(start_s, end_s)
    if not math.isfinite(end_s):
        raise VideoError("cut_clip needs an end_s; pass probe(path).duration_s for the end of the video", "bad window")
    with _opened(source_path) as (container, stream):
        rate = _check_rate(stream.average_rate or stream.guessed_rate)
        n_slots = max(1, round((end_s - start_s) * rate))
        written, held, origin_s = 0, None, None
        with _encoder(out_path, rate, crf) as encode:
            for frame, seconds in _decoded_from(container, stream, start_s):
                if seconds >= end_s - TIME_TOLERANCE_S:
                    break
                if seconds < start_s - TIME_TOLERANCE_S:
                    held = frame
                    continue
                if origin_s is None:
                    shown_late = seconds - start_s > 1 / rate + TIME_TOLERANCE_S
                    origin_s = start_s if held is not None and shown_late else seconds
                slot = round((seconds - origin_s) * rate)
                while held is not None and written < min(slot, n_slots):
                    encode(_upright(held))
                    written += 1
                if slot >= written and written < n_slots:
                    encode(_upright(frame))
                    written += 1
                held = frame
            if not written:
                raise VideoError(f"{_name(source_path)} shows no frame in [{start_s:g}, {end_s:g}) s; correct the window", "bad window")
    return written


def preview(frames_or_path: np.ndarray | str | Path, *, fps: float = 8.0, max_bytes: int = 100_000) -> bytes:
    """Make a looping GIF of a clip, shrunk in size, colours, then frames until it is at most `max_bytes`."""
    from PIL import Image

    is_array = isinstance(frames_or_path, np.ndarray)
    clip = frames_or_path if is_array else read_clip(frames_or_path, "centre", min(GIF_FRAMES[0], probe(frames_or_path).n_frames))
    for n_frames in GIF_FRAMES:
        for colours in GIF_COLOURS:
            for side in GIF_SIDES:
                pictures = []
                for index in sample_indices(len(clip), min(n_frames, len(clip))):
                    picture = Image.fromarray(clip[index])
                    picture.thumbnail((side, side))
                    pictures.append(picture.quantize(colours, dither=Image.Dither.NONE))
                buffer = io.BytesIO()
                pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)
                if buffer.tell() <= max_bytes:
                    return buffer.getvalue()
    raise VideoError(f"no preview fits {max_bytes} bytes; allow at least a few thousand", "bad request")


def _name(path) -> str:
    return f"clip {os.fspath(path)!r}"


def _check_choice(what, value, valid):
    if value not in valid:
        raise VideoError(f"unknown {what} {value!r}; choose one of {', '.join(valid)}", "bad request")


def _check_window(start_s, end_s) -> tuple[float, float]:
    start_s, end_s = 0.0 if start_s is None else float(start_s), math.inf if end_s is None else float(end_s)
    if not (0 <= start_s < end_s):
        raise VideoError(f"window [{start_s:g}, {end_s:g}) s is not one; expected 0 <= start_s < end_s, in seconds", "bad window")
    return start_s, end_s


def _check_indices(path, indices, n_frames) -> np.ndarray:
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
        raise VideoError(f"{_name(path)}: indices {indices!r} are not frame numbers; expected a non-empty list of integers", "bad index")
    for index in chosen:
        if not 0 <= index < n_frames:
            raise VideoError(f"{_name(path)} has no frame {index} in the window read; expected 0 to {n_frames - 1}", "bad index")
    return chosen


def _check_rate(fps) -> Fraction:
    if fps is None or not 0 < fps <= 1000:
        raise VideoError(f"frame rate {fps!r} is not one; expected more than 0 and at most 1000 frames a second", "bad request")
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)  # 29.97 and 23.976 are names for n * 1000 / 1001
    return ntsc if ntsc and abs(fps - ntsc) < 0.005 else Fraction(fps).limit_denominator(1001)


def _check_file(path) -> os.stat_result:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise VideoError(f"{_name(path)} does not exist; check the path or run the notebook that makes the clips", "missing") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{_name(path)} cannot be reached ({error}); check the path", "missing") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise VideoError(f"{_name(path)} is {kind}; expected a video file", "not a file")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{_name(path)} may not be read by this user; correct its permissions", "no permission")
    if status.st_size == 0:
        raise VideoError(f"{_name(path)} is empty (0 bytes); fetch or render it again", "empty")
    return status


@contextmanager
def _opened(path):
    """Yield (container, video stream) of a file; whatever libav raises inside becomes a VideoError."""
    _check_file(path)
    try:
        limits = {"max_pixels": str(MAX_FRAME_PIXELS)}
        container = av.open(f"file:{os.fspath(path)}", options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file", **limits}, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(f"{_name(path)} is not a video that can be opened ({_cause(error)}); fetch it again or convert it to mp4", "not a video") from None
    with container:
        stream = container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            raise VideoError(f"{_name(path)} has no video stream, only {len(container.streams)} of other kinds; drop it", "no video stream")
        if stream.codec_context is None:
            raise VideoError(f"{_name(path)} has a video stream of an unknown codec; convert it to H.264 mp4", "not a video")
        if not 0 < stream.width * stream.height <= MAX_FRAME_PIXELS:
            raise VideoError(f"{_name(path)} declares frames of {stream.width}x{stream.height}; expected 1 to {MAX_FRAME_PIXELS} pixels, so fetch it again", "too large")
        stream.codec_context.thread_count = 1  # parallelism is one clip a worker, not threads inside a clip
        stream.codec_context.options = limits
        try:
            yield container, stream
        except av.error.FFmpegError as error:
            raise VideoError(f"{_name(path)} is damaged ({_cause(error)}); fetch it again", "damaged") from None


def _cause(error) -> str:
    return getattr(error, "strerror", None) or str(error)


def _inspect(path, timeout_s) -> _Inspection:
    status = _check_file(path)
    return _inspect_version(os.fspath(path), (status.st_ino, status.st_size, status.st_mtime_ns), timeout_s)


@lru_cache(maxsize=16384)
def _inspect_version(path, version, timeout_s) -> _Inspection:
    deadline = time.monotonic() + timeout_s
    with _opened(path) as (container, stream):
        declared, fault, packets, pts, shapes, rotation = stream.frames, None, 0, [], set(), 0
        budget = CHECKED_PIXELS // (stream.width * stream.height)
        short = declared <= budget
        for packet in container.demux(stream) if short else ():
            _check_deadline(path, deadline)
            packets += packet.size > 0
            try:
                for frame in packet.decode():
                    if frame.is_corrupt:
                        fault = fault or f"{_name(path)} is damaged at frame {len(pts)}; fetch it again or drop it"
                    pts.append(frame.pts)
                    shapes.add((frame.width, frame.height, frame.format.name))
                    rotation = frame.rotation
            except av.error.FFmpegError as error:
                fault = fault or f"{_name(path)} is damaged near frame {len(pts)} ({_cause(error)}); fetch it again or drop it"
            short = len(pts) <= budget
            if not short:
                break
        if short:
            if declared and packets != declared:
                fault = f"{_name(path)} declares {declared} frames and holds {packets}; it is truncated or mislabelled, so fetch it again or re-encode it with cut_clip"
            elif not pts:
                raise VideoError(f"{_name(path)} holds no frame that decodes; fetch it again or drop it", "no frames")
            elif len(shapes) > 1:
                fault = f"{_name(path)} changes its frame size or pixel format midway ({len(shapes)} kinds); re-encode it with cut_clip"
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        if None in pts:
            pts = [round(i / rate / stream.time_base) for i in range(len(pts))]
        ticks = np.array(pts, dtype=np.int64)
        if short:
            n_frames, duration_s = len(pts), float((ticks.max() - ticks.min()) * stream.time_base + 1 / rate) if pts else 0.0
        else:
            duration_s = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / av.time_base
            n_frames = declared or round(duration_s * rate)
        width, height = (stream.height, stream.width) if rotation % 180 else (stream.width, stream.height)
        info = ClipInfo(n_frames, float(rate), width, height, duration_s, stream.codec_context.name, declared, fault)
        start_pts = stream.start_time if stream.start_time is not None else int(ticks.min(initial=0))
        return _Inspection(info, ticks if short else None, stream.time_base, start_pts)


def _check_deadline(path, deadline):
    if time.monotonic() > deadline:
        raise VideoError(f"{_name(path)} was not decoded in time; raise timeout_s or cut it into shorter clips", "timeout")


def _packet_pts(path, start_s, end_s, deadline) -> np.ndarray:
    """Presentation times, in ticks, of a long video's frames from about `start_s` to beyond `end_s`; nothing is decoded."""
    with _opened(path) as (container, stream):
        zero, found = stream.start_time or 0, []
        if start_s > SEEK_GAP_S:
            container.seek(zero + round((start_s - SEEK_MARGIN_S) / stream.time_base), stream=stream)
        for packet in container.demux(stream):
            _check_deadline(path, deadline)
            if packet.size and packet.pts is not None and not packet.is_discard:
                found.append(packet.pts)
                if (packet.dts - zero) * stream.time_base > end_s:
                    break
        return np.array(sorted(found), dtype=np.int64)


def _decoded_from(container, stream, start_s) -> Iterator[tuple[av.VideoFrame, float]]:
    """Decode from a keyframe at or before `start_s` on: (frame, its time in seconds from the start of the video)."""
    zero = stream.start_time or 0
    if start_s > SEEK_GAP_S:
        container.seek(zero + round((start_s - SEEK_MARGIN_S) / stream.time_base), stream=stream)
    for frame in container.decode(stream):
        yield frame, float((frame.pts - zero) * stream.time_base)


@lru_cache(maxsize=1)
def _decord():
    """decord, or None where it has no wheel (macOS, ARM) or cannot be loaded."""
    try:
        import torch  # noqa: F401  before decord: in the other order the process segfaults where CUDA is present
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _read_by_decord(path, wanted, n_frames, deadline, required) -> list[np.ndarray] | None:
    """Frames of a checked file at the ascending numbers `wanted`. None where decord is absent or fails, unless `required`.

    Frames are taken one after the other from the first: decord's own skipping and seeking are where it
    loops for ever, and on an open group of pictures they land on the wrong frame.
    """
    decord = _decord()
    if decord is None:
        if required:
            raise VideoError("decord cannot be imported here; use decoder='auto' or 'av'", "bad request")
        return None
    clip, remaining = [], set(wanted.tolist())
    try:
        # fault_tol: by default decord silently repeats a neighbour in place of a frame it cannot decode.
        reader = decord.VideoReader(f"file:{os.fspath(path)}", num_threads=1, fault_tol=1e-9)
        if len(reader) != n_frames:
            raise RuntimeError(f"decord counts {len(reader)} frames, not {n_frames}")
        for index in range(wanted[-1] + 1):
            _check_deadline(path, deadline)
            frame = reader.next()
            if index in remaining:
                clip.append(frame.asnumpy())
    except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, AssertionError, StopIteration) as error:
        if required:
            raise VideoError(f"{_name(path)} cannot be read by decord ({error}); use decoder='auto'", "damaged") from None
        return None
    return clip


def _read_by_av(path, wanted, deadline) -> list[np.ndarray]:
    """Frames of a checked file at the ascending numbers `wanted`."""
    clip, remaining, reformatter = [], set(wanted.tolist()), VideoReformatter()
    with _opened(path) as (container, stream):
        for index, frame in enumerate(container.decode(stream)):
            _check_deadline(path, deadline)
            if index in remaining:
                clip.append(_upright(frame, reformatter))
                if index == wanted[-1]:
                    return clip
    raise VideoError(f"{_name(path)} changed while it was read; read it again", "damaged")


def _read_long(path, wanted_pts, deadline) -> list[np.ndarray]:
    """Frames of an unchecked video shown at the ascending times `wanted_pts`, seeking over what lies between."""
    clip, reformatter = [], VideoReformatter()
    with _opened(path) as (container, stream):
        margin, gap = (round(s / stream.time_base) for s in (SEEK_MARGIN_S, SEEK_GAP_S))
        frames, position = container.decode(stream), stream.start_time or 0
        for pts in wanted_pts.tolist():
            if pts - position > gap:
                container.seek(pts - margin, stream=stream)
                frames = container.decode(stream)
            for frame in frames:
                _check_deadline(path, deadline)
                position = frame.pts if frame.pts is not None else position
                if position >= pts:
                    break
            if position != pts or frame.is_corrupt:
                raise VideoError(f"{_name(path)} is damaged near {float(pts * stream.time_base):.3f} s; fetch it again", "damaged")
            clip.append(_upright(frame, reformatter))
    return clip


def _upright(frame, reformatter=None) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned as the metadata says, as decord and players do."""
    rgb = (reformatter or frame).reformat(*(() if reformatter is None else (frame,)), format="rgb24").to_ndarray()
    return np.rot90(rgb, round(frame.rotation / 90) % 4) if frame.rotation else rgb


@contextmanager
def _encoder(path, rate, crf):
    """Yield a function that encodes one (H, W, 3) uint8 frame; the file takes its name when all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part_path = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        # One thread and bitexact: neither the machine's cores nor a version string changes the bytes.
        with av.open(str(part_path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "g": str(KEYFRAME_INTERVAL), "bf": "0"})
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            reformatter = VideoReformatter()

            def encode(frame):
                frame = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
                if not stream.codec_context.is_open:
                    stream.height, stream.width = frame.shape[:2]
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                container.mux(stream.encode(reformatter.reformat(picture, format="yuv420p")))

            yield encode
            container.mux(stream.encode())
        os.replace(part_path, path)
    finally:
        part_path.unlink(missing_ok=True)
