"""Read, write, cut and preview clips: the only module that knows a decoder or an encoder of video.

decord reads by default, PyAV wherever decord cannot. decord 0.6 loops for ever where more than 128 packets give
no frame (a cut without re-encoding is enough), repeats frames in silence where fewer do, and aborts the process
on an absurd frame count. So it sees only a file that PyAV has just decoded to its end without a fault; that check
takes about as long as the read at most and is remembered while the file is unchanged. A video too long for the
check is read by PyAV, which seeks. No audio, no network, nothing kept on disk.
"""

from __future__ import annotations

import io
import math
import os
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

from .video_request import (
    POLICIES,
    TIME_TOLERANCE_S,
    VideoError,
    check_choice,
    check_file,
    check_frames,
    check_indices,
    check_rate,
    check_window,
    clip_name,
    sample_indices,
)

DECODERS = ("auto", "decord", "av")
CONTAINERS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg"  # no playlists, subtitles, still images
TIMEOUT_S = 8.0
MAX_FRAME_PIXELS = 2**25  # 8K video; a damaged header must not claim all memory
MAX_CLIP_BYTES = 2**31
CHECKED_PIXELS = 2**28  # under a second of decoding: 4096 frames at 256x256, 291 at 1280x720
CUT_SHORT_S = 0.1
SEEK_GAP_S = 5.0  # below this, decoding on is cheaper than seeking
SEEK_MARGIN_S = 1.0  # seek this much early: pictures that lead an open group need the group before
KEYFRAME_INTERVAL = 12  # short, so that a frame in the middle of a clip is cheap to reach
GIF_SIDE = 192
GIF_STEPS = ((24, 128, 96), (16, 64, 64), (12, 32, 48), (6, 16, 16))  # frames, colours, least side in pixels


@dataclass(frozen=True)
class ClipInfo:
    """What a file holds. Width and height are as displayed, turned as its metadata asks."""

    n_frames: int  # that decode; in a video too long to be checked, as declared or estimated
    fps: float  # on average
    width: int
    height: int
    duration_s: float
    codec: str
    declared_frames: int  # what the container says; 0 where it says nothing
    fault: str | None = None  # the sentence with which read_clip refuses the file


@dataclass(frozen=True)
class _Inspection:
    info: ClipInfo
    pts: np.ndarray | None  # (n_frames,) ticks, in the order shown; None in a video too long to be checked
    time_base: Fraction
    start_pts: int
    bits: int = 8  # of a colour


def probe(path: str | Path, *, timeout_s: float = TIMEOUT_S) -> ClipInfo:
    """Tell what a video file holds; a damaged one has its `fault` set, one that holds no frame raises VideoError."""
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
    """Decode frames of a clip: uint8 (T, H, W, 3), RGB, upright, in the order asked.

    `indices` is a policy of `sample_indices`, which then gives T = `frames` ("middle": 1), or frame numbers
    in any order, repeats allowed. Both count within the file or, where `start_s` or `end_s` is given, within
    the frames shown from `start_s` up to but not including `end_s`, in seconds from the start of the video.
    `seed` is for the policy "random". A file or a request that will not do raises VideoError, a file that
    takes longer than `timeout_s` included; a clip is never returned with frames missing or repeated.
    """
    check_choice("decoder", decoder, DECODERS)
    if isinstance(indices, str):
        check_choice("policy", indices, POLICIES)
    start_s, end_s = check_window(start_s, end_s)
    if decoder != "av":
        _decord()  # its first import takes seconds that are not the file's
    deadline = time.monotonic() + timeout_s
    seen = _inspect(path, timeout_s)
    info = seen.info
    if info.fault:
        raise VideoError(info.fault, "damaged")
    is_long = seen.pts is None
    pts = _packet_pts(path, start_s, end_s, deadline) if is_long else seen.pts
    window = _window(path, (pts - seen.start_pts) * float(seen.time_base), start_s, end_s, info)
    if isinstance(indices, str):
        chosen = sample_indices(len(window), frames, indices, None if seed is None else np.random.default_rng(seed))
    else:
        chosen = check_indices(path, indices, len(window))
    if len(chosen) * info.width * info.height * 3 > MAX_CLIP_BYTES:
        raise VideoError(
            f"{clip_name(path)}: {len(chosen)} frames of {info.width}x{info.height} exceed"
            f" {MAX_CLIP_BYTES >> 30} GiB; ask for fewer frames",
            "too large",
        )
    wanted, order = np.unique(window[chosen], return_inverse=True)
    if is_long:
        check_choice(f"decoder for {clip_name(path)}, too long to be checked for decord,", decoder, ("auto", "av"))
        clip = _read_long(path, pts[wanted], deadline)
    else:
        # decord rounds 10 bit colours in a way of its own, by more than 2 in 255.
        clip = None
        if decoder == "decord" or (decoder == "auto" and seen.bits <= 8):
            clip = _read_by_decord(path, wanted, info, deadline, is_required=decoder == "decord")
        if clip is None:
            clip = _read_by_av(path, wanted, deadline)
    return np.stack([clip[i] for i in order])


def write_clip(path: str | Path, frames: np.ndarray, fps: float, *, crf: int = 18) -> Path:
    """Encode uint8 (T, H, W, 3) RGB as H.264 yuv420p mp4 at a constant rate; equal input gives equal bytes.

    An odd height or width gains one repeated row or column, because yuv420p halves both. The file appears
    under its name only when it is complete.
    """
    with _encoder(path, check_rate(fps), crf) as encode:
        for frame in check_frames(frames):
            encode(frame)
    return Path(path)


def cut_clip(
    source_path: str | Path, start_s: float, end_s: float, out_path: str | Path, *, crf: int = 18
) -> int:
    """Re-encode what a video shows in [start_s, end_s) as a clip of its own; return its number of frames.

    Seeks, then streams: memory does not grow with the source. A source of variable rate becomes constant at
    its average rate, each frame going to the nearest slot, so the duration is right to one frame.
    """
    start_s, end_s = check_window(start_s, end_s)
    if not math.isfinite(end_s):
        raise VideoError("cut_clip needs an end_s; pass probe(path).duration_s for the end of the video", "bad window")
    with _opened(source_path) as (container, stream):
        rate = check_rate(stream.average_rate or stream.guessed_rate)
        with _encoder(out_path, rate, crf) as encode:
            n_frames, reformatter = 0, VideoReformatter()
            for frame in _slots(source_path, container, stream, start_s, end_s, rate):
                encode(_upright(frame, reformatter))
                n_frames += 1
    return n_frames


def preview(frames_or_path: np.ndarray | str | Path, *, fps: float = 8.0, max_bytes: int = 100_000) -> bytes:
    """Make a looping GIF of a clip, shrunk in size, then colours, then frames until it is at most `max_bytes`."""
    from PIL import Image

    if isinstance(frames_or_path, np.ndarray):
        clip = check_frames(frames_or_path)
    else:
        clip = read_clip(frames_or_path, "centre", min(GIF_STEPS[0][0], probe(frames_or_path).n_frames))
    shown_ms = round(1000 / fps)
    for n_frames, colours, least_side in GIF_STEPS:
        side = GIF_SIDE
        while side >= least_side:
            pictures = []
            for index in sample_indices(len(clip), min(n_frames, len(clip))):
                picture = Image.fromarray(clip[index])
                picture.thumbnail((side, side))
                pictures.append(picture.quantize(colours, dither=Image.Dither.NONE))
            gif = io.BytesIO()
            pictures[0].save(gif, "GIF", save_all=True, append_images=pictures[1:], duration=shown_ms, loop=0)
            if gif.tell() <= max_bytes:
                return gif.getvalue()
            side = int(side * min(0.9, math.sqrt(max_bytes / gif.tell())))  # bytes go with the area
    raise VideoError(f"no preview fits {max_bytes} bytes; allow some tens of thousands", "bad request")


@contextmanager
def _opened(path):
    """Yield (container, video stream) of a file; what libav raises, here or in the body, becomes a VideoError."""
    check_file(path)
    limits = {"max_pixels": str(MAX_FRAME_PIXELS)}
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file", **limits}
    try:
        container = av.open(f"file:{os.fspath(path)}", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        is_other_kind = isinstance(error, av.error.ArgumentError)  # how libav says: not in format_whitelist
        cause = "it is of another kind" if is_other_kind else _cause(error)
        raise VideoError(
            f"{clip_name(path)} cannot be opened as a video ({cause}); fetch it again or convert it to mp4",
            "not a video",
        ) from None
    with container:
        stream = container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            raise VideoError(f"{clip_name(path)} has no video stream, only sound or data; drop it", "no video stream")
        if stream.codec_context is None:
            raise VideoError(f"{clip_name(path)} is of an unknown codec; convert it to H.264 mp4", "not a video")
        if not 0 < stream.width * stream.height <= MAX_FRAME_PIXELS:
            raise VideoError(
                f"{clip_name(path)} has no believable frame size ({stream.width}x{stream.height});"
                f" expected 1 to {MAX_FRAME_PIXELS} pixels, so fetch it again",
                "bad frame size",
            )
        stream.codec_context.thread_count = 1  # parallelism is a clip for each worker, not threads in a clip
        stream.codec_context.options = limits
        try:
            yield container, stream
        except av.error.FFmpegError as error:
            raise VideoError(f"{clip_name(path)} is damaged ({_cause(error)}); fetch it again", "damaged") from None


def _cause(error) -> str:
    return getattr(error, "strerror", None) or str(error)


def _packets(path, container, stream, deadline) -> Iterator[av.Packet]:
    try:
        for packet in container.demux(stream):
            if time.monotonic() > deadline:
                raise VideoError(
                    f"{clip_name(path)} was not read in time; raise timeout_s or cut it into shorter clips", "timeout"
                )
            yield packet
    except IndexError:  # from PyAV itself, where a damaged file grows another stream midway
        raise VideoError(f"{clip_name(path)} is damaged (its streams change); fetch it again", "damaged") from None


def _frames(path, container, stream, deadline) -> Iterator[av.VideoFrame]:
    for packet in _packets(path, container, stream, deadline):
        yield from packet.decode()


def _frames_from(path, container, stream, start_s, deadline) -> Iterator[av.VideoFrame]:
    """Decode from a frame shown at or before `start_s` on, going further back where no keyframe is near."""
    step_s = SEEK_MARGIN_S
    while start_s > SEEK_GAP_S and step_s < start_s:
        container.seek((stream.start_time or 0) + round((start_s - step_s) / stream.time_base), stream=stream)
        frames = _frames(path, container, stream, deadline)
        first = next(frames, None)
        if first is not None and first.pts is not None and _shown_s(first, stream) <= start_s:
            yield first
            yield from frames
            return
        step_s *= 8
    if step_s > SEEK_MARGIN_S:
        container.seek((stream.start_time or 0) - round(SEEK_MARGIN_S / stream.time_base), stream=stream)
    yield from _frames(path, container, stream, deadline)


def _shown_s(frame, stream) -> float:
    return float((frame.pts - (stream.start_time or 0)) * stream.time_base)


def _inspect(path, timeout_s) -> _Inspection:
    status = check_file(path)
    return _inspect_version(os.fspath(path), (status.st_ino, status.st_size, status.st_mtime_ns), timeout_s)


@lru_cache(maxsize=16384)
def _inspect_version(path, version, timeout_s) -> _Inspection:
    """Inspect a file; `version` is there for the cache to notice that the file was replaced."""
    deadline = time.monotonic() + timeout_s
    with _opened(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        width, height, declared, fault, bits = stream.width, stream.height, stream.frames, None, 8
        budget = CHECKED_PIXELS // (width * height)
        is_short = not budget < declared < version[1]  # a frame takes a byte at least, so more is a lie
        found = _decode_all(path, container, stream, budget, deadline) if is_short else None
        if found is None:
            pts = None
            duration_s = float((stream.duration or 0) * stream.time_base) or (container.duration or 0) / av.time_base
            n_frames = declared or round(duration_s * rate)
        else:
            pts, end_s, kinds, fault = found
            n_frames = len(pts)
            if None in pts:
                pts = [round(i / rate / stream.time_base) for i in range(n_frames)]
            pts = np.array(pts, dtype=np.int64)
            first_s = float(int(pts.min()) * stream.time_base)
            duration_s = max(end_s - first_s, float(int(np.ptp(pts)) * stream.time_base + 1 / rate))
            *_, bits, turns = kinds.pop()
            if turns % 2:
                width, height = height, width
        info = ClipInfo(n_frames, float(rate), width, height, duration_s, stream.codec_context.name, declared, fault)
        return _Inspection(info, pts, stream.time_base, stream.start_time or 0, bits)


def _decode_all(path, container, stream, budget, deadline):
    """Decode to the end: (pts of each frame, when the last ends, kinds of frame, the first fault or None).

    None where the file holds more than `budget` frames.
    """
    pts, packets, end_pts, kinds, fault = [], 0, 0, set(), None
    for packet in _packets(path, container, stream, deadline):
        packets += packet.size > 0
        end_pts = max(end_pts, (packet.pts or 0) + (packet.duration or 0))
        try:
            frames = packet.decode()
            is_sound = not packet.is_corrupt and not any(frame.is_corrupt for frame in frames)
        except av.error.FFmpegError:
            frames, is_sound = [], False
        if not is_sound and fault is None:
            fault = f"{clip_name(path)} is damaged near frame {len(pts)}; fetch it again or drop it"
        pts += [frame.pts for frame in frames]
        kinds |= {_kind(frame) for frame in frames}
        if len(pts) > budget:
            return None
    if not pts:
        sentence = f"{clip_name(path)} holds no frame that decodes, of {packets} found; fetch it again"
        raise VideoError(sentence, "no frames")
    if stream.frames and packets != stream.frames:
        fault = _miscount(path, stream.frames, packets)
    elif len(kinds) > 1:
        fault = fault or f"{clip_name(path)} changes its frame size or format midway; re-encode it with cut_clip"
    end_s, declared_s = float(end_pts * stream.time_base), (container.duration or 0) / av.time_base
    # Matroska counts no frames, but tells how long its longest stream is.
    if not stream.frames and len(container.streams) == 1 and declared_s - end_s > CUT_SHORT_S:
        fault = fault or f"{clip_name(path)} declares {declared_s:.3f} s and holds {end_s:.3f}; fetch it again"
    return pts, end_s, kinds, fault


def _kind(frame) -> tuple:
    bits = max(component.bits for component in frame.format.components)
    return frame.width, frame.height, frame.format.name, bits, _quarter_turns(frame)


def _miscount(path, declared, found) -> str:
    return (
        f"{clip_name(path)} declares {declared} frames and holds {found};"
        " fetch it again or re-encode what it holds with cut_clip"
    )


def _packet_pts(path, start_s, end_s, deadline) -> np.ndarray:
    """When a long video's frames are shown, ascending ticks, from about `start_s` to past `end_s`; decodes nothing."""
    with _opened(path) as (container, stream):
        zero, packets, found = stream.start_time or 0, 0, []
        if start_s > SEEK_GAP_S:
            container.seek(zero + round((start_s - SEEK_MARGIN_S) / stream.time_base), stream=stream)
        for packet in _packets(path, container, stream, deadline):
            packets += packet.size > 0
            if packet.size and packet.pts is not None and not packet.is_discard:
                found.append(packet.pts)
                if packet.dts is not None and (packet.dts - zero) * stream.time_base > end_s + SEEK_MARGIN_S:
                    break
        if (start_s, end_s) == (0, math.inf) and stream.frames not in (0, packets):
            raise VideoError(_miscount(path, stream.frames, packets), "damaged")
        return np.array(sorted(found), dtype=np.int64)


def _window(path, seconds, start_s, end_s, info) -> np.ndarray:
    """Positions in `seconds`, the times of the frames, that lie in [start_s, end_s)."""
    window = np.flatnonzero((seconds >= start_s - TIME_TOLERANCE_S) & (seconds < end_s - TIME_TOLERANCE_S))
    ends_s = max(info.duration_s, seconds.max(initial=0.0) + 1 / info.fps)
    if not len(window) or (math.isfinite(end_s) and end_s > ends_s + 1 / info.fps):
        raise VideoError(
            f"{clip_name(path)} has {len(window)} frames in [{start_s:g}, {end_s:g}) s and ends at"
            f" {ends_s:.3f} s; correct the window",
            "bad window",
        )
    return window


@lru_cache(maxsize=1)
def _decord():
    """decord, or None where it has no wheel (macOS, ARM) or does not load."""
    try:
        import torch  # noqa: F401  before decord: in the other order the process segfaults where CUDA is present
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _read_by_decord(path, wanted, info, deadline, is_required) -> list[np.ndarray] | None:
    """Frames of a checked file at the ascending numbers `wanted`; None where decord cannot, unless it `is_required`.

    Frames are taken one after the other from the first, for a clip is short: it is in skipping that decord loops
    for ever, and by seeking it lands on wrong frames wherever groups of pictures are open.
    """
    decord = _decord()
    if decord is None:
        if is_required:
            raise VideoError("decord cannot be imported here; use decoder='auto' or 'av'", "bad request")
        return None
    clip, remaining = [], set(wanted.tolist())
    try:
        # fault_tol: by default decord gives a neighbour, in silence, for a frame that it cannot decode.
        reader = decord.VideoReader(f"file:{os.fspath(path)}", num_threads=1, fault_tol=1e-9)
        if len(reader) != info.n_frames:
            raise RuntimeError(f"it counts {len(reader)} frames of {info.n_frames}")
        for index in range(wanted[-1] + 1):
            if time.monotonic() > deadline:
                raise RuntimeError("it took too long")
            frame = reader.next()
            if frame.shape != (info.height, info.width, 3):
                raise RuntimeError(f"it gives frames of shape {frame.shape}")  # it takes padding for channels
            if index in remaining:
                clip.append(frame.asnumpy())
    except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, AssertionError, StopIteration) as error:
        if is_required:
            reason = str(error).splitlines()[0]
            raise VideoError(f"{clip_name(path)} is beyond decord ({reason}); use decoder='auto'", "decord") from None
        return None
    return clip


def _read_by_av(path, wanted, deadline) -> list[np.ndarray]:
    """Frames of a checked file at the ascending numbers `wanted`."""
    clip, remaining, reformatter = [], set(wanted.tolist()), VideoReformatter()
    with _opened(path) as (container, stream):
        for index, frame in enumerate(_frames(path, container, stream, deadline)):
            if index in remaining:
                clip.append(_upright(frame, reformatter))
                if index == wanted[-1]:
                    return clip
    raise VideoError(f"{clip_name(path)} changed while it was read; read it again", "damaged")


def _read_long(path, wanted_pts, deadline) -> list[np.ndarray]:
    """Frames of an unchecked video shown at the ascending ticks `wanted_pts`, seeking over what lies between."""
    clip, reformatter = [], VideoReformatter()
    with _opened(path) as (container, stream):
        zero, frames, reached_s = stream.start_time or 0, _frames(path, container, stream, deadline), 0.0
        for pts in wanted_pts.tolist():
            wanted_s = float((pts - zero) * stream.time_base)
            if wanted_s - reached_s > SEEK_GAP_S:
                frames = _frames_from(path, container, stream, wanted_s, deadline)
            frame = next((frame for frame in frames if frame.pts is not None and frame.pts >= pts), None)
            if frame is None or frame.pts != pts or frame.is_corrupt:
                raise VideoError(f"{clip_name(path)} is damaged near {wanted_s:.3f} s; fetch it again", "damaged")
            clip.append(_upright(frame, reformatter))
            reached_s = wanted_s
    return clip


def _slots(path, container, stream, start_s, end_s, rate) -> Iterator[av.VideoFrame]:
    """What is shown in [start_s, end_s) at a constant rate: repeats a frame held on screen, drops one too many."""
    held, origin_s, n_given, seconds = None, None, 0, 0.0
    for frame in _frames_from(path, container, stream, start_s, deadline=math.inf):
        if frame.pts is None:
            raise VideoError(f"{clip_name(path)} gives its frames no times; convert it to mp4", "damaged")
        seconds = _shown_s(frame, stream)
        if seconds >= end_s - TIME_TOLERANCE_S:
            break
        if seconds >= start_s - TIME_TOLERANCE_S:
            if frame.is_corrupt:
                raise VideoError(f"{clip_name(path)} is damaged at {seconds:.3f} s; fetch it again", "damaged")
            if origin_s is None:
                is_late = held is not None and (seconds - start_s) * rate > 1
                origin_s = start_s if is_late else seconds
            slot = round((seconds - origin_s) * rate)
            for _ in range(n_given, slot):
                yield held
            if slot >= n_given:
                yield frame
                n_given = slot + 1
        held = frame
    else:
        if not n_given or (end_s - seconds) * rate > 2:
            raise VideoError(
                f"{clip_name(path)} ends at {seconds + 1 / rate:.3f} s, before the end of [{start_s:g}, {end_s:g}) s;"
                " correct the window",
                "bad window",
            )
        return
    if held is None:
        raise VideoError(f"{clip_name(path)} starts after [{start_s:g}, {end_s:g}) s; correct the window", "bad window")
    for _ in range(n_given, math.ceil((end_s - (start_s if origin_s is None else origin_s)) * rate - 0.5)):
        yield held


def _quarter_turns(frame) -> int:
    return round(frame.rotation / 90) % 4


def _upright(frame, reformatter) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned by the quarter turns that the metadata asks for, as players and decord do."""
    rgb = reformatter.reformat(frame, format="rgb24", threads=1)  # swscale's own threads cost more than they give
    return np.rot90(rgb.to_ndarray(), _quarter_turns(frame))


@contextmanager
def _encoder(path, rate, crf):
    """Yield a function that encodes one (H, W, 3) uint8 frame; the file takes its name when all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part_path = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        # One thread and bitexact: neither the number of cores nor a version string changes the bytes.
        with av.open(str(part_path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            # No B-frames: frames are stored in the order shown, so no decoder can disagree about it. No mbtree:
            # its AVX2 code reads memory that was never written, and equal input then gives unequal bytes.
            codec_options = {"crf": str(crf), "g": str(KEYFRAME_INTERVAL), "bf": "0", "mbtree": "0"}
            stream = container.add_stream("libx264", rate=rate, options=codec_options)
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            reformatter = VideoReformatter()

            def encode(frame):
                frame = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
                if not stream.codec_context.is_open:
                    stream.height, stream.width = frame.shape[:2]
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                picture = reformatter.reformat(picture, stream.width, stream.height, "yuv420p", threads=1)
                container.mux(stream.encode(picture))

            yield encode
            container.mux(stream.encode())
        os.replace(part_path, path)
    finally:
        part_path.unlink(missing_ok=True)
