"""Captions of single frames: what one picture shows, and nothing that only time reveals.

A caption names the apparatus, the body's shape, which way head and chest point, the arms and whether
the athlete is in the air. It is read from the joints of that frame alone, never from the skill, so it
cannot hold a count, a direction of travel or a label.
"""

import numpy as np
import pandas as pd

from .camera import Camera
from .dataset import perform_clip, random_stream
from .paint import draw_side
from .skeleton import AT
from .skills import Skill

PLACES = dict(
    FX="on the floor", BB="on the beam", VT="at the vault table", UB="at the bars", DV="over the pool"
)
# Names of both ends of each axis of the view: right, away from the camera, up.
HEAD = (("head right", "head left"), ("head far", "head near"), ("head up", "head down"))
CHEST = (
    ("chest rightward", "chest leftward"),
    ("chest rearward", "chest frontal"),
    ("chest skyward", "chest groundward"),
)
CLEARLY = 0.42  # component of a unit vector that names a direction: a slanted vector gets two names


def frame_facts(skill: Skill, clip_id: str, source_video: str, seed: int = 0) -> list[dict[str, str]]:
    """Describe each frame of a clip of `render_clip`: a dict with place, shape, head, chest, arms, phase."""
    scene, path, motion = perform_clip(skill, clip_id, source_video, seed)
    camera = Camera(scene, path, draw_side(random_stream(seed, clip_id, "picture")), 1)
    away = camera.away / np.linalg.norm(camera.away)
    view = np.stack([camera.right, away, [0.0, 0.0, 1.0]])  # (3, 3) right, away, up
    flying = (motion.phase >= 0) & (motion.phase <= 1) & (skill.family != "turn")
    phases, place = np.where(flying, "in the air", "with support").tolist(), PLACES[skill.apparatus]
    described = [_describe(joints, view) for joints in motion.joints]
    return [{"place": place, **facts, "phase": phase} for facts, phase in zip(described, phases)]


def caption(facts: dict[str, str]) -> str:
    """Write the facts of a frame as one caption.

    >>> caption({"place": "on the beam", "shape": "tucked"})
    'an athlete on the beam, tucked'
    """
    return "an athlete " + ", ".join(facts.values())


def middle_frames(clips: pd.DataFrame, factors: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Describe the middle frame of each clip, a row a clip; `build` wrote `factors` beside the clips."""
    facts = []
    for row in clips[["clip_id", "source_video"]].merge(factors, on="clip_id", how="left").to_dict("records"):
        frames = frame_facts(Skill.from_row(row), row["clip_id"], row["source_video"], seed)
        facts.append(frames[row["n_frames"] // 2])
    return pd.DataFrame(facts)


def _describe(joints: np.ndarray, view: np.ndarray) -> dict[str, str]:
    """Put the joints (15, 3) of one frame into words; the rows of `view` point right, away and up."""

    def bone(start: str, end: str) -> np.ndarray:
        vector = joints[AT[end]] - joints[AT[start]]
        return vector / np.linalg.norm(vector)

    torso, left = bone("pelvis", "chest"), bone("shoulder_r", "shoulder_l")
    thighs = [bone(f"hip_{side}", f"knee_{side}") for side in "lr"]
    shins = [bone(f"knee_{side}", f"foot_{side}") for side in "lr"]
    arms = [bone(f"shoulder_{side}", f"hand_{side}") for side in "lr"]
    hips = [_angle(thigh, -torso) for thigh in thighs]
    knees = [_angle(shin, thigh) for shin, thigh in zip(shins, thighs)]
    raised = sum(_angle(arm, torso) for arm in arms) / 2
    return {
        "shape": _shape(hips, knees, _angle(*thighs)),
        "head": _names(view @ torso, HEAD),
        "chest": _names(view @ np.cross(left, torso), CHEST),
        "arms": "arms overhead" if raised < 50 else "arms out" if raised < 120 else "arms low",
    }


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def _names(direction: np.ndarray, names: tuple) -> str:
    """Name each axis along which a unit vector clearly points."""
    clear = [ends[int(value < 0)] for ends, value in zip(names, direction) if abs(value) > CLEARLY]
    return " ".join(clear)


def _shape(hips: list[float], knees: list[float], apart: float) -> str:
    """Angles in degrees: between each thigh and the torso's line, of each knee, between the thighs."""
    if apart > 60:
        return "legs split" if max(knees) < 60 else "one knee bent"
    if min(hips) > 65:
        return "tucked" if min(knees) > 60 else "piked" if max(knees) < 40 else "folded"
    if max(hips) < 35:
        return "straight" if max(knees) < 35 else "knees bent"
    return "hunched"
