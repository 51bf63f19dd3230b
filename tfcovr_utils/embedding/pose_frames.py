"""Poses of clips as frame features, which the readers of stage 1 take in place of an encoder's."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..sources.keypoint_files import read_poses
from ..video import sample_indices
from ..video.hashes import version_if_any
from .embed import Embedded

POSE_FRAMES = 24  # of a clip, evenly spread: a twist takes a few of them
# COCO's joints: nose, eyes, ears; shoulders, elbows, wrists; hips, knees, ankles; left before right.
BONES = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))
BONES += ((5, 6), (11, 12), (5, 11), (6, 12), (0, 5), (0, 6), (3, 4), (1, 2))
SHOULDERS, HIPS = (5, 6), (11, 12)
POSE_WIDTH = 17 * 2 + 16 * 2 + 17 * 2 + 4 + 17
LEAST_SCORE = 0.2  # a joint below it counts as not seen


def pose_features(pose: np.ndarray, frames: int = POSE_FRAMES) -> np.ndarray:
    """Describe a pose (T, 17, 3) by `frames` rows (F, D): joints, bones, velocities, the body's way, scores.

    Joints are relative to the hips and in units of the clip's median torso, so that neither the camera's
    distance nor the athlete's place matters; the way is where the hips are and how fast. A joint that is not
    seen is where it would be between the frames that show it.
    """
    places, scores = _fill_gaps(pose.astype(np.float32))
    rows = sample_indices(len(places), frames)
    places, scores = places[rows], scores[rows]
    hips, shoulders = (places[:, list(pair)].mean(1) for pair in (HIPS, SHOULDERS))
    torso = max(float(np.median(np.linalg.norm(shoulders - hips, axis=1))), 1e-3)
    joints = (places - hips[:, None]) / torso  # (F, 17, 2)
    bones = np.stack([joints[:, end] - joints[:, start] for start, end in BONES], 1)
    way = (hips - hips.mean(0)) / torso
    speed = [np.diff(values, axis=0, prepend=values[:1]) for values in (joints, way)]
    flat = [values.reshape(frames, -1) for values in (joints, bones, speed[0], way, speed[1], scores)]
    return np.concatenate(flat, 1).clip(-10, 10)


def embed_poses(path: Path, clips: pd.DataFrame) -> Embedded:
    """Read the features (N, F, D) of clips from a file of poses; clips that it lacks are named."""
    found = _read(Path(path), tuple(version_if_any(path) or ()))
    clip_ids = [clip_id for clip_id in clips["clip_id"] if clip_id in found]
    if not clip_ids:
        raise ValueError(f"{path} holds none of {len(clips)} clips, such as {clips['clip_id'].iloc[0]!r}.")
    missing = {clip_id: f"not in {Path(path).name}" for clip_id in clips["clip_id"] if clip_id not in found}
    return Embedded(clip_ids, torch.from_numpy(np.stack([found[clip_id] for clip_id in clip_ids])), missing)


@lru_cache(maxsize=1)
def _read(path: Path, version: tuple) -> dict[str, np.ndarray]:
    """Features by clip; `version` changes when the file does."""
    return {clip_id: pose_features(pose) for clip_id, pose in read_poses(path).items() if len(pose)}


def _fill_gaps(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a pose into places (T, 17, 2) and scores (T, 17); joints not seen are interpolated over time."""
    places, scores = pose[..., :2].copy(), np.nan_to_num(pose[..., 2])
    seen, time = (scores >= LEAST_SCORE) & np.isfinite(places).all(-1), np.arange(len(pose))
    for joint in range(places.shape[1]):
        known = seen[:, joint]
        if known.all():
            continue
        for axis in range(2):
            values = places[:, joint, axis]
            places[:, joint, axis] = np.interp(time, time[known], values[known]) if known.any() else 0.0
    return places, scores
