"""Tell what a file holds by decoding it to its end; a video too long for that is believed.

The result is cached while the file is unchanged. A picture is one frame, shown for a second.
"""

import os
import time
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from .container import Video, open_video, quarter_turns
from .request import check_file, clip_error, clip_name
from .stills import is_picture, picture_size

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
    fault: str | None = None  # the sentence with which read_clip refuses the file


@dataclass(frozen=True)
class Inspection:
    """A ClipInfo, and what reading frames by their number needs."""

    info: ClipInfo
    pts: np.ndarray | None  # (n_frames,) ticks, in the order shown; None in a video too long to be checked
    time_base: Fraction
    start_pts: int
    bits: int = 8  # of a colour


def probe(path: str | Path) -> ClipInfo:
    """Tell what a video file holds; damage is its `fault`, a file without frames raises VideoError."""
    return inspect(path, TIMEOUT_S).info


def inspect(path, timeout_s: float) -> Inspection:
    """Inspect a file, or return what was found before if it is unchanged."""
    status = check_file(path)
    return _inspect_version(os.fspath(path), (status.st_ino, status.st_size, status.st_mtime_ns), timeout_s)


@lru_cache(maxsize=16384)
def _inspect_version(path, version, timeout_s) -> Inspection:
    """Inspect a file; `version` is there for the cache to notice that the file was replaced."""
    if is_picture(path):
        info = ClipInfo(1, 1.0, *picture_size(path), 1.0)
        return Inspection(info, np.zeros(1, np.int64), Fraction(1), 0)
    with open_video(path, time.monotonic() + timeout_s) as video:
        stream, rate = video.stream, video.rate or Fraction(25)
        size = (stream.width, stream.height)
        budget = CHECKED_PIXELS // (stream.width * stream.height)
        is_short = not budget < stream.frames < version[1]  # a frame takes a byte at least, so more is a lie
        found = _decode_all(video, budget) if is_short else None
        if found is None:
            duration_s = float((stream.duration or 0) * stream.time_base) or video.declared_s
            info = ClipInfo(stream.frames or round(duration_s * rate), float(rate), *size, duration_s)
            return Inspection(info, None, stream.time_base, video.start_pts)
        pts, end_s, (*_, bits, turns), fault = found
        if None in pts:
            pts = [round(i / rate / stream.time_base) for i in range(len(pts))]
        pts = np.array(pts, dtype=np.int64)
        first_s, shown_s = int(pts.min()) * stream.time_base, int(np.ptp(pts)) * stream.time_base
        duration_s = max(end_s - float(first_s), float(shown_s + 1 / rate))
        size = size[::-1] if turns % 2 else size
        info = ClipInfo(len(pts), float(rate), *size, duration_s, fault)
        return Inspection(info, pts, stream.time_base, video.start_pts, bits)


def _decode_all(video: Video, budget: int) -> tuple | None:
    """Decode to the end: (ticks of each frame, when the last ends, kind of a frame, the first fault or None).

    None where the file holds more than `budget` frames.
    """
    stream, pts, packets, end_pts, kinds, faults = video.stream, [], 0, 0, set(), []
    for packet in video.packets():
        packets += packet.size > 0
        end_pts = max(end_pts, (packet.pts or 0) + (packet.duration or 0))
        try:
            frames = packet.decode()
            is_sound = not packet.is_corrupt and not any(frame.is_corrupt for frame in frames)
        except av.error.FFmpegError:
            frames, is_sound = [], False
        if not is_sound and not faults:
            faults.append(f"is damaged near frame {len(pts)}; fetch it again or drop it")
        pts += [frame.pts for frame in frames]
        kinds |= {_kind(frame) for frame in frames}
        if len(pts) > budget:
            return None
    if not pts:
        raise clip_error(video.path, f"holds no frame that decodes, of {packets} found; fetch it again")
    if len(kinds) > 1:
        faults.append("changes its frame size or format midway; re-encode it with cut_clip")
    end_s = float(end_pts * stream.time_base)
    if stream.frames and packets != stream.frames:
        faults.insert(0, miscount(stream.frames, packets))
    # Matroska counts no frames, but tells how long its longest stream is.
    elif not stream.frames and len(video.container.streams) == 1 and video.declared_s - end_s > CUT_SHORT_S:
        faults.append(f"declares {video.declared_s:.3f} s and holds {end_s:.3f}; fetch it again")
    return pts, end_s, kinds.pop(), f"{clip_name(video.path)} {faults[0]}" if faults else None


def _kind(frame) -> tuple:
    bits = max(component.bits for component in frame.format.components)
    return frame.width, frame.height, frame.format.name, bits, quarter_turns(frame)


def miscount(declared: int, found: int) -> str:
    """Say that a file's count of frames is wrong."""
    return f"declares {declared} frames and holds {found}; fetch it again or re-encode it with cut_clip"
