"""The poses of the rendered skills: `poses.csv` has joint angles, `moves.csv` the poses of each skill."""

from pathlib import Path

import numpy as np

from ..labels.word_tables import read_rows
from .skeleton import pose
from .skills import Skill

Keys = list[tuple[float, np.ndarray]]  # (phase, pose): 0 is take-off, 1 is landing

POSES = {
    name: pose(**{angle: float(degrees) for angle, degrees in (word.split("=") for word in angles.split())})
    for name, angles in read_rows(Path(__file__).with_suffix(".csv"))
}
# What comes before the flight or turn, and after it, by family; "" is every other family. During it, two
# leaps go through several poses.
MOVES: dict[tuple[str, str], Keys] = {}
for _part, _skill, _phase, _pose in read_rows(Path(__file__).with_name("moves.csv")):
    MOVES.setdefault((_part, _skill), []).append((float(_phase), POSES[_pose]))
HOLD_FROM = {"leap": 0.3, "turn": 0.02}  # phase from which the pose is held; 0.12 in saltos


def key_poses(skill: Skill) -> Keys:
    """List the poses that a skill passes through, in order of phase."""
    held = skill.base if skill.family in HOLD_FROM else skill.shape
    before = "armstand" if skill.armstand else skill.family
    return arrange(before, skill.base, held, skill.family, HOLD_FROM.get(skill.family, 0.12))


def arrange(before: str, during: str, held: str, after: str, start: float) -> Keys:
    """List poses by the names of `moves.csv`; else one pose is held during the flight, from `start`."""
    return [
        *MOVES.get(("before", before), MOVES["before", ""]),
        *(MOVES.get(("during", during)) or [(phase, POSES[held]) for phase in (start, 1 - start)]),
        *MOVES.get(("after", after), MOVES["after", ""]),
    ]
