"""The poses of the rendered skills, as tables of joint angles."""

import numpy as np

from .skeleton import pose
from .skills import Skill

Keys = list[tuple[float, np.ndarray]]  # (phase, pose): 0 is take-off, 1 is landing

STAND = pose(shoulder=10, elbow=15)
ARMS_UP = pose(shoulder=165, elbow=5)
CROUCH = pose(spine=25, hip=75, knee=85, shoulder=40)
LANDING = pose(spine=20, hip=60, knee=65, shoulder=85)
FINISH = pose(shoulder=150, spread=20)
STREAMLINED = pose(shoulder=178, elbow=0)
SHAPE_POSES = {
    "stretched": pose(spine=-4, shoulder=25, elbow=95),
    "tucked": pose(spine=38, neck=15, hip=112, knee=132, shoulder=75, elbow=25),
    "piked": pose(spine=32, neck=10, hip=98, knee=0, shoulder=88, elbow=10),
}
# Free leg of a turn (the right one); the standing leg is straight or, in tuck stand, bent.
TURN_POSES = {
    "below horizontal": pose(hip_r=35, knee_r=75, shoulder=80, elbow=20, spread=25),
    "held up in split": pose(hip_r=165, knee_r=0, shoulder_r=160, shoulder_l=95, spread=15),
    "heel forward at horizontal": pose(hip_r=88, knee_r=0, shoulder=95, spread=35),
    "tuck stand": pose(spine=18, hip_l=105, knee_l=135, hip_r=82, knee_r=5, shoulder=85),
    "back attitude": pose(spine=-6, hip_r=-78, knee_r=55, shoulder_l=150, shoulder_r=70),
}
_SPLIT_R = pose(hip_r=86, hip_l=-80, shoulder_l=95, shoulder_r=80, spread=50)
# Most leaps hold one pose from 0.3 to 0.7 of the flight; two go through several.
HELD_LEAPS = {
    "split leap": pose(hip_l=86, hip_r=-80, shoulder_l=80, shoulder_r=95, spread=50),
    "straddle pike jump": pose(spine=25, hip=85, abduct=62, shoulder=80, spread=55),
    "wolf hop or jump": pose(spine=15, hip_l=88, hip_r=92, knee_l=120, shoulder=90),
    "ring jump": pose(spine=-28, neck=-45, hip_l=35, hip_r=-70, knee_r=95, shoulder=150),
    "pike jump": SHAPE_POSES["piked"],
    "tuck hop or jump": pose(spine=12, hip=100, knee=105, shoulder=95),
    "sheep jump": pose(spine=-35, neck=-55, hip=-35, knee=115, shoulder=140),
    "stretched hop or jump": ARMS_UP,
}
LEAP_KEYS: dict[str, Keys] = {
    "switch leap": [
        (0.22, pose(hip_l=58, hip_r=-38, shoulder=70, spread=40)),
        (0.5, pose(shoulder=60, spread=40)),
        (0.6, _SPLIT_R),
        (0.82, _SPLIT_R),
    ],
    "cat leap": [
        (0.25, pose(hip_l=95, knee_l=105, shoulder=90)),
        (0.5, pose(hip=45, knee=55, shoulder=90)),
        (0.75, pose(hip_r=95, knee_r=105, shoulder=90)),
    ],
}
# What a family does before the flight or turn, and after it.
BEFORE: dict[str, Keys] = {
    "armstand": [(0.0, STREAMLINED)],
    "dismount": [(-0.3, STREAMLINED), (0.0, STREAMLINED)],
    "vault": [(-0.4, STAND), (-0.30, CROUCH), (-0.22, STREAMLINED), (0.0, STREAMLINED)],
    "leap": [(-0.15, STAND), (-0.02, CROUCH), (0.06, STAND)],
    "turn": [(-0.15, STAND)],
    "": [(-0.12, CROUCH), (-0.02, ARMS_UP), (0.0, ARMS_UP)],
}
AFTER: dict[str, Keys] = {
    "dive": [(1.0, STREAMLINED)],
    "leap": [(0.97, STAND), (1.04, LANDING), (1.2, STAND)],
    "turn": [(1.15, STAND)],
    "": [(0.98, STAND), (1.03, LANDING), (1.25, FINISH)],
}


def key_poses(skill: Skill) -> Keys:
    """List the poses that a skill passes through, in order of phase."""
    if skill.family == "leap":
        during = LEAP_KEYS.get(skill.base) or _hold(HELD_LEAPS[skill.base], 0.3)
    elif skill.family == "turn":
        during = _hold(TURN_POSES[skill.base], 0.02)
    else:
        during = _hold(SHAPE_POSES[skill.shape], 0.12)
    before = BEFORE.get("armstand" if skill.armstand else skill.family, BEFORE[""])
    return [*before, *during, *AFTER.get(skill.family, AFTER[""])]


def _hold(held: np.ndarray, start: float) -> Keys:
    return [(start, held), (1 - start, held)]
