"""Keypoints of one athlete, as FineGym's first author publishes them: a pickle of samples with COCO joints.

A file holds `{"split": ..., "annotations": [sample]}`. A sample has `frame_dir` (the clip's public id),
`keypoint` (1, T, 17, 2) in pixels, `keypoint_score` (1, T, 17) and `img_shape`; so have mmaction2's files.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..machine.files import replacing
from .pickles import read_plain
from .published_files import bad_file

JOINTS = 17
KEYS = ("frame_dir", "keypoint", "keypoint_score")
# A video's id always has 11 characters, and may hold - and _.
_PUBLIC = re.compile(r"^(.{11})_(\d+)_(\d+)_(\d+)_(\d+)$")
_OURS = re.compile(r"^(.{11})_E_(\d+)_(\d+)_A_(\d+)_(\d+)$")


def public_id(clip_id: str) -> str:
    """Write a FineGym clip's id as the public files have it, without its letters; other ids stay.

    >>> public_id("A0xAXXysHUo_E_002184_002237_A_0035_0036")
    'A0xAXXysHUo_002184_002237_0035_0036'
    """
    found = _OURS.match(clip_id)
    return "_".join(found.groups()) if found else clip_id


def own_id(name: str) -> str:
    """Write a public id as FineGym's annotations have it; other names stay.

    >>> own_id("A0xAXXysHUo_002184_002237_0035_0036")
    'A0xAXXysHUo_E_002184_002237_A_0035_0036'
    """
    found = _PUBLIC.match(name)
    return "{}_E_{}_{}_A_{}_{}".format(*found.groups()) if found else name


def read_poses(path: Path) -> dict[str, np.ndarray]:
    """Read each clip's pose (T, 17, 3) float16: x and y as shares of the picture's height, and the score."""
    content = read_plain(path)
    samples = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(samples, list) or not samples:
        raise bad_file(path, "has no list of samples under 'annotations'")
    return dict(_read_sample(sample, path) for sample in samples)


def write_poses(poses: Mapping[str, np.ndarray], path: Path, size: int) -> None:
    """Write poses (T, 17, 3) in pixels, by clip id, in that layout; pictures are `size` pixels squared."""
    samples = [
        {
            "frame_dir": public_id(clip_id),
            "img_shape": (size, size),
            "total_frames": len(pose),
            "keypoint": pose[None, ..., :2].astype(np.float16),
            "keypoint_score": pose[None, ..., 2].astype(np.float16),
        }
        for clip_id, pose in poses.items()
    ]
    with replacing(path) as temporary, open(temporary, "wb") as file:
        pickle.dump({"split": {}, "annotations": samples}, file)


def _read_sample(sample: object, path: Path) -> tuple[str, np.ndarray]:
    if not isinstance(sample, dict) or (missing := [key for key in KEYS if key not in sample]):
        what = missing[0] if isinstance(sample, dict) else type(sample).__name__
        raise bad_file(f"{path}:", f"a sample lacks {what!r}; expected {', '.join(KEYS)}")
    places, scores = (np.asarray(sample[key]) for key in KEYS[1:])
    if places.ndim != 4 or places.shape[2:] != (JOINTS, 2) or scores.shape != places.shape[:3]:
        problem = f"has keypoints {places.shape} and scores {scores.shape}"
        expected = f"expected (1, T, {JOINTS}, 2) and (1, T, {JOINTS})"
        raise bad_file(f"{path}: {sample['frame_dir']!r}", f"{problem}; {expected}")
    height = float(sample.get("img_shape", (1, 1))[0])
    pose = np.concatenate([places[0] / height, scores[0][..., None]], -1).astype(np.float16)
    return own_id(str(sample["frame_dir"])), pose
