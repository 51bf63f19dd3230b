"""Tell what a file holds by decoding it to its end; a video too long for that is taken at its word.

The result is remembered while the file is unchanged. A picture is one frame, shown for a second.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from .container import open_video, quarter_turns, walk_packets
from .picture import is_picture, picture_size
from .request import VideoError, check_file, clip_name

TIMEOUT_S = 8.0
CHECKED_PIXELS = 2**28  # under a second of decoding: 4096 frames at 256x256, 291 at 1280x720
CUT_SHORT_S = 0.1


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
    return inspect(path, timeout_s).info


def inspect(path, timeout_s) -> _Inspection:
    status = check_file(path)
    return _inspect_version(os.fspath(path), (status.st_ino, status.st_size, status.st_mtime_ns), timeout_s)


@lru_cache(maxsize=16384)
def _inspect_version(path, version, timeout_s) -> _Inspection:
    """Inspect a file; `version` is there for the cache to notice that the file was replaced."""
    if is_picture(path):
        width, height, codec = picture_size(path)
        return _Inspection(
            ClipInfo(1, 1.0, width, height, 1.0, codec, 1), np.zeros(1, np.int64), Fraction(1), 0
        )
    deadline = time.monotonic() + timeout_s
    with open_video(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        width, height, declared, fault, bits = stream.width, stream.height, stream.frames, None, 8
        budget = CHECKED_PIXELS // (width * height)
        is_short = not budget < declared < version[1]  # a frame takes a byte at least, so more is a lie
        found = _decode_all(path, container, stream, budget, deadline) if is_short else None
        if found is None:
            pts = None
            duration_s = (
                float((stream.duration or 0) * stream.time_base) or (container.duration or 0) / av.time_base
            )
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
        info = ClipInfo(
            n_frames, float(rate), width, height, duration_s, stream.codec_context.name, declared, fault
        )
        return _Inspection(info, pts, stream.time_base, stream.start_time or 0, bits)


def _decode_all(path, container, stream, budget, deadline):
    """Decode to the end: (pts of each frame, when the last ends, kinds of frame, the first fault or None).

    None where the file holds more than `budget` frames.
    """
    pts, packets, end_pts, kinds, fault = [], 0, 0, set(), None
    for packet in walk_packets(path, container, stream, deadline):
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
        fault = miscount(path, stream.frames, packets)
    elif len(kinds) > 1:
        fault = (
            fault or f"{clip_name(path)} changes its frame size or format midway; re-encode it with cut_clip"
        )
    end_s, declared_s = float(end_pts * stream.time_base), (container.duration or 0) / av.time_base
    # Matroska counts no frames, but tells how long its longest stream is.
    if not stream.frames and len(container.streams) == 1 and declared_s - end_s > CUT_SHORT_S:
        fault = (
            fault or f"{clip_name(path)} declares {declared_s:.3f} s and holds {end_s:.3f}; fetch it again"
        )
    return pts, end_s, kinds, fault


def _kind(frame) -> tuple:
    bits = max(component.bits for component in frame.format.components)
    return frame.width, frame.height, frame.format.name, bits, quarter_turns(frame)


def miscount(path, declared, found) -> str:
    return (
        f"{clip_name(path)} declares {declared} frames and holds {found};"
        " fetch it again or re-encode what it holds with cut_clip"
    )
