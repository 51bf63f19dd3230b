"""Captions of single frames: what one picture shows, and nothing that only time tells.

A caption names the apparatus, the body's shape, which way head and chest point, the arms and whether
the athlete is in the air. It is read from the joints of that frame alone, never from the skill, so it
cannot hold a count, a direction of travel or a label.
"""

from dataclasses import fields

import numpy as np
import pandas as pd

from .dataset import _filming, _generator
from .motion import perform
from .scene import Camera
from .skeleton import JOINTS
from .skills import Skill

PLACES = {
    "FX": "on the floor",
    "BB": "on the beam",
    "VT": "at the vault table",
    "UB": "at the bars",
    "DV": "over the pool",
}
HEAD = (("head right", "head left"), ("head far", "head near"), ("head up", "head down"))
CHEST = (
    ("chest rightward", "chest leftward"),
    ("chest rearward", "chest frontal"),
    ("chest skyward", "chest groundward"),
)
CLEARLY = 0.42  # component of a unit vector from which a direction is named: two names for a slant, one for a straight one
_AT = {name: i for i, name in enumerate(JOINTS)}


def frame_facts(skill: Skill, clip_id: str, source_video: str, seed: int = 0) -> list[dict[str, str]]:
    """What each frame of the clip that `render_clip` makes shows: a dict a frame with place, shape, head, chest, arms, phase."""
    scene, window, path = _filming(skill.apparatus, clip_id, source_video, seed)
    motion = perform(skill, scene.body, path[:, 0], window, _generator(seed, clip_id, "motion"))
    side = _generator(seed, clip_id, "picture").choice([-1.0, 1.0])  # the first thing that `render` draws
    camera = Camera(scene, path, side, 1)
    view = np.stack(
        [camera.right, camera.away / np.linalg.norm(camera.away), [0.0, 0.0, 1.0]]
    )  # (3, 3) right, away, up
    flying = (motion.phase >= 0) & (motion.phase <= 1) & (skill.family != "turn")
    return [
        {
            "place": PLACES[skill.apparatus],
            **_describe(motion.joints[frame], view),
            "phase": "in the air" if flying[frame] else "with support",
        }
        for frame in range(len(path))
    ]


def caption(facts: dict[str, str]) -> str:
    return "an athlete " + ", ".join(facts.values())


def middle_frames(clips: pd.DataFrame, factors: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Facts of the middle frame of each clip, a row a clip; `factors` is what `build` wrote beside the clips."""
    made_from = factors.set_index("clip_id").loc[clips["clip_id"]]
    skills = made_from[[field.name for field in fields(Skill)]].to_dict("records")
    return pd.DataFrame(
        [
            frame_facts(Skill(**skill), clip_id, source, seed)[n_frames // 2]
            for skill, clip_id, source, n_frames in zip(
                skills, clips["clip_id"], clips["source_video"], made_from["n_frames"]
            )
        ]
    )


def _describe(joints: np.ndarray, view: np.ndarray) -> dict[str, str]:
    """Put the joints (15, 3) of one frame into words; the rows of `view` point right, away from the camera and up."""
    torso = _unit(joints[_AT["chest"]] - joints[_AT["pelvis"]])
    left = _unit(joints[_AT["shoulder_l"]] - joints[_AT["shoulder_r"]])
    thighs = [_unit(joints[_AT[f"knee_{side}"]] - joints[_AT[f"hip_{side}"]]) for side in "lr"]
    shins = [_unit(joints[_AT[f"foot_{side}"]] - joints[_AT[f"knee_{side}"]]) for side in "lr"]
    arms = [_unit(joints[_AT[f"hand_{side}"]] - joints[_AT[f"shoulder_{side}"]]) for side in "lr"]
    hips = [_angle(thigh, -torso) for thigh in thighs]
    knees = [_angle(shin, thigh) for shin, thigh in zip(shins, thighs)]
    return {
        "shape": _shape(hips, knees, _angle(*thighs)),
        "head": _names(view @ torso, HEAD),
        "chest": _names(view @ np.cross(left, torso), CHEST),
        "arms": _arms([_angle(arm, torso) for arm in arms]),
    }


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def _names(direction: np.ndarray, names: tuple) -> str:
    """Name each axis along which a unit vector clearly points; `direction` is right, away, up."""
    return " ".join(
        names[axis][int(value < 0)] for axis, value in enumerate(direction) if abs(value) > CLEARLY
    )


def _shape(hips: list[float], knees: list[float], apart: float) -> str:
    """Angles in degrees: between each thigh and the torso's line, of each knee, between the thighs."""
    if apart > 60:
        return "legs split" if max(knees) < 60 else "one knee bent"
    if min(hips) > 65:
        return "tucked" if min(knees) > 60 else "piked" if max(knees) < 40 else "folded"
    if max(hips) < 35:
        return "straight" if max(knees) < 35 else "knees bent"
    return "hunched"


def _arms(angles: list[float]) -> str:
    """Angles of the arms from the torso's upward line."""
    mean = sum(angles) / 2
    return "arms overhead" if mean < 50 else "arms out" if mean < 120 else "arms low"
