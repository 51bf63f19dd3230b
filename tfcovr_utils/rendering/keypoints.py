"""Keypoints of rendered clips, as a pose estimator gives them: noisy, with gaps, worst upside down."""

from pathlib import Path

import numpy as np

from ..profiles import Profile
from ..sources.keypoint_files import write_poses
from .camera import Camera
from .dataset import perform_clip, plan, random_stream
from .motion import Motion
from .paint import draw_side
from .scene import Scene
from .skeleton import AT
from .skills import Skill

FILE = "keypoints.pkl"
NOISE = 0.012  # of the picture's height, for a body that stands
# Our joint of each of COCO's 17: the face is the head, with eyes and ears beside it.
_COCO = ("head",) * 5 + ("shoulder_l", "shoulder_r", "elbow_l", "elbow_r", "hand_l", "hand_r")
_COCO += ("hip_l", "hip_r", "knee_l", "knee_r", "foot_l", "foot_r")


def clip_keypoints(skill: Skill, clip_id: str, source_video: str, seed: int, size: int) -> np.ndarray:
    """Return the keypoints of a clip of a skill, see `project_keypoints`."""
    return project_keypoints(*perform_clip(skill, clip_id, source_video, seed), clip_id, seed, size)


def project_keypoints(
    scene: Scene, path: np.ndarray, motion: Motion, clip_id: str, seed: int, size: int
) -> np.ndarray:
    """Project a clip's joints: (T, 17, 3), x and y in pixels, and a score; lost joints have score 0."""
    camera = Camera(scene, path, draw_side(random_stream(seed, clip_id, "picture")), size)
    joints = motion.joints[:, [AT[name] for name in _COCO]]
    # Eyes and ears lie across the face, along the body's own left and ahead.
    ahead, left = motion.orientation[:, :, 0], motion.orientation[:, :, 1]
    for joint, (forward, aside) in enumerate([(0.09, 0), (0.08, 0.03), (0.08, -0.03), (0, 0.08), (0, -0.08)]):
        joints[:, joint] += forward * ahead + aside * left
    places = np.stack([camera.project(frame_joints, frame) for frame, frame_joints in enumerate(joints)])
    rng = random_stream(seed, clip_id, "keypoints")
    upside_down = (1 - motion.orientation[:, 2, 2]) / 2  # (T,) 0 standing, 1 on the head
    noise = NOISE * size * (1 + 2 * upside_down)[:, None, None]
    scores = np.clip(0.9 - 0.4 * upside_down[:, None] + rng.normal(0, 0.05, places.shape[:2]), 0.25, 1)
    places += rng.normal(0, 1, places.shape) * noise
    scores[rng.random(scores.shape) < 0.02 + 0.1 * upside_down[:, None]] = 0
    return np.concatenate([places, scores[..., None]], -1).astype(np.float32)


def write_keypoints(profile: Profile, folder: Path) -> Path:
    """Write a rendering's keypoints beside its clips, in the public layout, unless they are there."""
    path = Path(folder) / FILE
    if not path.exists():
        clips, factors = plan(profile)
        seed, size = profile.render_seed, profile.image_size
        rows = clips.merge(factors, on="clip_id").to_dict("records")
        named = {row["clip_id"]: (Skill.from_row(row), row["clip_id"], row["source_video"]) for row in rows}
        poses = {clip_id: clip_keypoints(*what, seed, size) for clip_id, what in named.items()}
        write_poses(poses, path, size)
    return path
