"""Read clips: decord by default, PyAV wherever decord cannot.

decord 0.6 loops for ever where more than 128 packets give no frame (a cut without re-encoding is enough),
repeats frames in silence where fewer do, and aborts the process on an absurd frame count. So it sees only a
file that PyAV has just decoded to its end without a fault; that check takes about as long as the read at
most. A video too long for the check is read by PyAV, which seeks.
"""

import math
import os
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from . import request
from .container import SEEK_GAP_S, SEEK_MARGIN_S, open_video
from .inspection import TIMEOUT_S, ClipInfo, Inspection, inspect, miscount
from .request import TIME_TOLERANCE_S, VideoError, clip_error, clip_name
from .stills import is_picture, read_picture

DECODERS = ("auto", "decord", "av")
MAX_CLIP_BYTES = 2**31


def read_clip(
    path: str | Path,
    indices: Sequence[int] | str = "centre",
    frames: int = 12,
    start_s: float | None = None,
    end_s: float | None = None,
    *,
    decoder: str = "auto",
    timeout_s: float = TIMEOUT_S,
) -> np.ndarray:
    """Decode frames of a clip: uint8 (T, H, W, 3), RGB, upright, in the order asked.

    `indices` is a policy of `sample_indices`, which then gives T = `frames` ("middle": 1), or frame numbers
    in any order, repeats allowed. Both count within the file or, where `start_s` or `end_s` is given, within
    the frames shown from `start_s` up to but not including `end_s`, in seconds from the start of the video. A
    file or a request that will not do raises VideoError, also a file that takes longer than `timeout_s`; a
    clip is never returned with frames missing or repeated. A picture is a clip of one frame.
    """
    request.check_choice("decoder", decoder, DECODERS)
    start_s, end_s = request.check_window(start_s, end_s)
    if decoder != "av":
        _decord()  # its first import takes seconds that are not the file's
    deadline = time.monotonic() + timeout_s
    seen = inspect(path, timeout_s)
    info = seen.info
    if info.fault:
        raise VideoError(info.fault)
    pts = _packet_pts(path, start_s, end_s, deadline) if seen.pts is None else seen.pts
    window = _window(path, (pts - seen.start_pts) * float(seen.time_base), start_s, end_s, info)
    if isinstance(indices, str):
        chosen = request.sample_indices(len(window), frames, indices)
    else:
        chosen = request.check_indices(path, indices, len(window))
    if len(chosen) * info.width * info.height * 3 > MAX_CLIP_BYTES:
        asked = f"{len(chosen)} frames of {info.width}x{info.height} exceed {MAX_CLIP_BYTES >> 30} GiB"
        raise VideoError(f"{clip_name(path)}: {asked}; ask for fewer frames")
    if is_picture(path):
        return np.repeat(read_picture(path)[None], len(chosen), axis=0)
    wanted, order = np.unique(window[chosen], return_inverse=True)
    if seen.pts is None:
        unchecked = f"decoder for {clip_name(path)}, too long to be checked for decord,"
        request.check_choice(unchecked, decoder, ("auto", "av"))
        clip = _read_long(path, pts[wanted], deadline)
    else:
        clip = _read_checked(path, wanted, seen, deadline, decoder)
    return np.stack([clip[i] for i in order])


def _packet_pts(path, start_s, end_s, deadline) -> np.ndarray:
    """Ascending ticks of a long video's frames from about `start_s` to past `end_s`, without decoding."""
    with open_video(path, deadline) as video:
        packets, found = 0, []
        if start_s > SEEK_GAP_S:
            video.seek(start_s - SEEK_MARGIN_S)
        for packet in video.packets():
            packets += packet.size > 0
            if packet.size and packet.pts is not None and not packet.is_discard:
                found.append(packet.pts)
                dts = video.start_pts if packet.dts is None else packet.dts
                if (dts - video.start_pts) * video.stream.time_base > end_s + SEEK_MARGIN_S:
                    break
        if (start_s, end_s) == (0, math.inf) and video.stream.frames not in (0, packets):
            raise clip_error(path, miscount(video.stream.frames, packets))
        return np.array(sorted(found), dtype=np.int64)


def _window(path, seconds: np.ndarray, start_s: float, end_s: float, info: ClipInfo) -> np.ndarray:
    """Positions in `seconds`, the times of the frames, that lie in [start_s, end_s)."""
    window = np.flatnonzero((seconds >= start_s - TIME_TOLERANCE_S) & (seconds < end_s - TIME_TOLERANCE_S))
    ends_s = max(info.duration_s, seconds.max(initial=0.0) + 1 / info.fps)
    if not len(window) or (math.isfinite(end_s) and end_s > ends_s + 1 / info.fps):
        found = f"{len(window)} frames in [{start_s:g}, {end_s:g}) s and ends at {ends_s:.3f} s"
        raise clip_error(path, f"has {found}; correct the window")
    return window


@lru_cache(maxsize=1)
def _decord():
    """decord, or None where it has no wheel (macOS, ARM) or does not load."""
    try:
        import decord
        import torch  # noqa: F401  before decord: in the other order the process segfaults where CUDA is present
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _read_checked(path, wanted, seen: Inspection, deadline, decoder: str) -> list[np.ndarray]:
    """Frames of a checked file at the ascending numbers `wanted`, by decord if it can."""
    # decord rounds 10 bit colours in a way of its own, by more than 2 in 255.
    if decoder == "decord" or (decoder == "auto" and seen.bits <= 8):
        try:
            return _read_by_decord(path, wanted, seen.info, deadline)
        except VideoError:
            if decoder == "decord":
                raise
    return _read_by_av(path, wanted, deadline)


def _read_by_decord(path, wanted, info: ClipInfo, deadline) -> list[np.ndarray]:
    """Frames of a checked file at the ascending numbers `wanted`; VideoError where decord cannot.

    Frames are taken one after the other from the first, for a clip is short: it is in skipping that decord
    loops for ever, and by seeking it lands on wrong frames wherever groups of pictures are open.
    """
    decord = _decord()
    if decord is None:
        raise VideoError("decord cannot be imported here; use decoder='auto' or 'av'")
    clip, remaining = [], set(wanted.tolist())
    of_decord = (decord.DECORDError, decord.DECORDLimitReachedError)
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
    except (*of_decord, RuntimeError, AssertionError, StopIteration) as error:
        raise clip_error(path, f"is beyond decord ({error!r:.80}); use decoder='auto'") from None
    return clip


def _read_by_av(path, wanted, deadline) -> list[np.ndarray]:
    """Frames of a checked file at the ascending numbers `wanted`."""
    clip, remaining = [], set(wanted.tolist())
    with open_video(path, deadline) as video:
        for index, frame in enumerate(video.frames()):
            if index in remaining:
                clip.append(video.upright(frame))
                if index == wanted[-1]:
                    return clip
    raise clip_error(path, "changed while it was read; read it again")


def _read_long(path, wanted_pts, deadline) -> list[np.ndarray]:
    """Frames of an unchecked video at the ascending ticks `wanted_pts`, seeking over what lies between."""
    clip, reached_s = [], 0.0
    with open_video(path, deadline) as video:
        frames = video.frames()
        for pts in wanted_pts.tolist():
            wanted_s = float((pts - video.start_pts) * video.stream.time_base)
            if wanted_s - reached_s > SEEK_GAP_S:
                frames = video.frames_from(wanted_s)
            frame = next((frame for frame in frames if frame.pts is not None and frame.pts >= pts), None)
            if frame is None or frame.pts != pts or frame.is_corrupt:
                raise clip_error(path, f"is damaged near {wanted_s:.3f} s; fetch it again")
            clip.append(video.upright(frame))
            reached_s = wanted_s
    return clip
