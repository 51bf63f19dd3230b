"""What may be asked of a clip, and the sentence that says why not: plain checks, no decoder."""

import math
import os
import stat
from fractions import Fraction

import numpy as np

POLICIES = ("centre", "centre-half", "ends", "middle")
TIME_TOLERANCE_S = 1e-3  # Matroska stores times in whole milliseconds


class VideoError(ValueError):
    """A clip that cannot be read, written or cut as asked."""


def sample_indices(n_frames: int, frames: int, policy: str = "centre") -> np.ndarray:
    """Choose frames out of a clip of `n_frames`: (T,) int64, ascending; a short clip repeats frames.

    "centre" takes the middle of each of `frames` equal segments, as AIM's loader does; "centre-half" does so
    within the middle half of the clip, at twice the rate; "ends" spreads them evenly from the first frame to
    the last, rounded down, as LanguageBind's loader does; "middle" takes frame n // 2, whatever `frames`
    says.

    >>> sample_indices(24, 4).tolist(), sample_indices(24, 4, "ends").tolist()
    ([3, 9, 15, 21], [0, 7, 15, 23])
    """
    check_choice("policy", policy, POLICIES)
    if n_frames < 1 or frames < 1:
        raise VideoError(f"cannot sample {frames} frames out of {n_frames}; both must be at least 1")
    segment = np.arange(frames, dtype=np.int64)
    if policy == "centre":
        return (2 * segment + 1) * n_frames // (2 * frames)
    if policy == "centre-half":
        return (frames + 2 * segment + 1) * n_frames // (4 * frames)
    if policy == "ends":
        return np.linspace(0, n_frames - 1, frames).astype(np.int64)
    return np.array([n_frames // 2], dtype=np.int64)


def clip_name(path) -> str:
    """Name a clip in an error message."""
    return f"clip {os.fspath(path)!r}"


def clip_error(path, problem: str) -> VideoError:
    """Make the error of a clip: its name, then what is wrong and what to do."""
    return VideoError(f"{clip_name(path)} {problem}")


def check_choice(what, value, valid) -> None:
    """Refuse a value that is not one of `valid`."""
    if value not in valid:
        raise VideoError(f"unknown {what} {value!r}; choose one of {', '.join(valid)}")


def check_window(start_s, end_s) -> tuple[float, float]:
    """Return a window in seconds, with None for either end of the video."""
    start_s, end_s = 0.0 if start_s is None else float(start_s), math.inf if end_s is None else float(end_s)
    if not 0 <= start_s < end_s:
        window = f"[{start_s:g}, {end_s:g}) s"
        raise VideoError(f"{window} is not a window; expected 0 <= start_s < end_s, in seconds")
    return start_s, end_s


def check_indices(path, indices, n_frames) -> np.ndarray:
    """Return frame numbers as an array, all within a window of `n_frames`."""
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
        raise VideoError(f"{clip_name(path)}: indices {indices!r} are not a non-empty list of frame numbers")
    outside = chosen[(chosen < 0) | (chosen >= n_frames)]
    if len(outside):
        expected = f"expected 0 to {n_frames - 1}"
        raise clip_error(path, f"has no frame {outside[0]} in the window read; {expected}")
    return chosen


def check_frames(frames) -> np.ndarray:
    """Return the frames of a clip, uint8 (T, H, W, 3)."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        found = f"an array of {frames.dtype} {frames.shape} is not a clip"
        raise VideoError(f"{found}; expected uint8 (T, H, W, 3), at least one frame")
    return frames


def check_rate(fps) -> Fraction:
    """Return a frame rate as an exact fraction."""
    if fps is None or not 0 < fps <= 1000:
        expected = "expected above 0, at most 1000 frames a second"
        raise VideoError(f"frame rate {fps!r} is not possible; {expected}")
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)  # 29.97 and 23.976 are names for n * 1000 / 1001
    return ntsc if ntsc and abs(fps - ntsc) < 0.005 else Fraction(fps).limit_denominator(1001)


def check_file(path) -> os.stat_result:
    """Return the status of a file that can be read and is not empty."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        advice = "check the path or run the notebook that makes the clips"
        raise clip_error(path, f"does not exist; {advice}") from None
    except (OSError, ValueError) as error:
        raise clip_error(path, f"cannot be reached ({error}); check the path") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise clip_error(path, f"is {kind}; expected a video file")
    if not os.access(path, os.R_OK):
        raise clip_error(path, "may not be read by this user; correct its permissions")
    if status.st_size == 0:
        raise clip_error(path, "is empty (0 bytes); fetch or render it again")
    return status
