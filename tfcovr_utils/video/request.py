"""What may be asked of a clip, and the sentence that says why not: plain checks, no decoder.

The package calls these at its public boundary; nothing here decodes a file.
"""

from __future__ import annotations

import math
import os
import stat
from fractions import Fraction

import numpy as np

POLICIES = ("centre", "centre-half", "ends", "middle", "random")
TIME_TOLERANCE_S = 1e-3  # Matroska stores times in whole milliseconds


class VideoError(ValueError):
    """A clip that cannot be read, written or cut as asked; `reason` is its kind in a word or two."""

    def __init__(self, message: str, reason: str = "unreadable"):
        super().__init__(message)
        self.reason = reason


def sample_indices(
    n_frames: int, frames: int, policy: str = "centre", rng: np.random.Generator | None = None
) -> np.ndarray:
    """Choose frames out of a clip of `n_frames`: (T,) int64, ascending.

    "centre" takes the middle of each of `frames` equal segments, as AIM's loader does; "centre-half" does so
    within the middle half of the clip, at twice the rate; "ends" spreads them evenly from the first frame to the
    last, rounded down, as LanguageBind's loader does; "random" takes a random frame of each segment; "middle" takes the one frame
    n // 2, whatever `frames` says. A clip shorter than `frames` repeats frames.
    """
    if n_frames < 1 or frames < 1:
        raise VideoError(
            f"cannot sample {frames} frames out of {n_frames}; both must be at least 1", "bad request"
        )
    segment = np.arange(frames, dtype=np.int64)
    if policy == "centre":
        return (2 * segment + 1) * n_frames // (2 * frames)
    if policy == "centre-half":
        return (frames + 2 * segment + 1) * n_frames // (4 * frames)
    if policy == "ends":
        return np.linspace(0, n_frames - 1, frames).astype(np.int64)
    if policy == "middle":
        return np.array([n_frames // 2], dtype=np.int64)
    if policy == "random":
        if rng is None:
            raise VideoError(
                "policy 'random' needs a seed or a Generator; pass seed=0 for instance", "bad request"
            )
        return np.minimum(((segment + rng.random(frames)) * n_frames / frames).astype(np.int64), n_frames - 1)
    raise VideoError(f"unknown policy {policy!r}; choose one of {', '.join(POLICIES)}", "bad request")


def clip_name(path) -> str:
    return f"clip {os.fspath(path)!r}"


def check_choice(what, value, valid):
    if value not in valid:
        raise VideoError(f"unknown {what} {value!r}; choose one of {', '.join(valid)}", "bad request")


def check_window(start_s, end_s) -> tuple[float, float]:
    start_s, end_s = 0.0 if start_s is None else float(start_s), math.inf if end_s is None else float(end_s)
    if not (0 <= start_s < end_s):
        raise VideoError(
            f"window [{start_s:g}, {end_s:g}) s is not one; expected 0 <= start_s < end_s, in seconds",
            "bad window",
        )
    return start_s, end_s


def check_indices(path, indices, n_frames) -> np.ndarray:
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
        raise VideoError(
            f"{clip_name(path)}: indices {indices!r} are not frame numbers; expected a non-empty list of integers",
            "bad index",
        )
    for index in chosen[(chosen < 0) | (chosen >= n_frames)][:1]:
        raise VideoError(
            f"{clip_name(path)} has no frame {index} in the window read; expected 0 to {n_frames - 1}",
            "bad index",
        )
    return chosen


def check_frames(frames) -> np.ndarray:
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise VideoError(
            f"an array of {frames.dtype} {frames.shape} is not a clip; expected uint8 (T, H, W, 3), at least one frame",
            "bad request",
        )
    return frames


def check_rate(fps) -> Fraction:
    if fps is None or not 0 < fps <= 1000:
        raise VideoError(
            f"frame rate {fps!r} is not one; expected more than 0 and at most 1000 frames a second",
            "bad request",
        )
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)  # 29.97 and 23.976 are names for n * 1000 / 1001
    return ntsc if ntsc and abs(fps - ntsc) < 0.005 else Fraction(fps).limit_denominator(1001)


def check_file(path) -> os.stat_result:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise VideoError(
            f"{clip_name(path)} does not exist; check the path or run the notebook that makes the clips",
            "missing",
        ) from None
    except (OSError, ValueError) as error:
        raise VideoError(
            f"{clip_name(path)} cannot be reached ({error}); check the path", "missing"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise VideoError(f"{clip_name(path)} is {kind}; expected a video file", "not a file")
    if not os.access(path, os.R_OK):
        raise VideoError(
            f"{clip_name(path)} may not be read by this user; correct its permissions", "no permission"
        )
    if status.st_size == 0:
        raise VideoError(f"{clip_name(path)} is empty (0 bytes); fetch or render it again", "empty")
    return status
