"""The athlete's body: proportions, joint angles and forward kinematics.

Body frame: x is where the chest faces, y is left, z is up; lengths are in body heights. Nothing here
knows about skills, cameras or colours.
"""

from dataclasses import dataclass, fields

import numpy as np

# The joint angles of a pose, in degrees. Zero is standing straight, arms along the body.
# Flexion brings a limb forward; `abduct` and `spread` move both legs and both arms sideways.
ANGLES = (
    *("spine", "neck", "hip_l", "hip_r", "abduct", "knee_l", "knee_r"),
    *("shoulder_l", "shoulder_r", "spread", "elbow"),
)
JOINTS = (
    *("pelvis", "chest", "head", "hip_l", "knee_l", "foot_l", "hip_r", "knee_r", "foot_r"),
    *("shoulder_l", "elbow_l", "hand_l", "shoulder_r", "elbow_r", "hand_r"),
)
AT = {name: idx for idx, name in enumerate(JOINTS)}
SIDES = (("l", 1.0), ("r", -1.0))
# Share of the body's mass near each joint: the body turns about this centre, so a tuck turns about the lap.
MASS = np.array([0.20, 0.22, 0.10, 0.05, 0.06, 0.04, 0.05, 0.06, 0.04, 0.04, 0.03, 0.02, 0.04, 0.03, 0.02])


@dataclass(frozen=True)
class Body:
    """Proportions of one athlete, in body heights."""

    thigh: float = 0.24
    shin: float = 0.25
    torso: float = 0.30
    neck: float = 0.13
    upper_arm: float = 0.16
    forearm: float = 0.16
    shoulder_width: float = 0.31
    hip_width: float = 0.16
    depth: float = 0.19
    limb_radius: float = 0.055
    head_radius: float = 0.098

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Body":
        """Draw a body near the default one; builds differ by about 8 %."""
        return cls(**{field.name: field.default * rng.uniform(0.92, 1.08) for field in fields(cls)})


def pose(**angles: float) -> np.ndarray:
    """Make a pose (11,) in degrees from named angles; `hip`, `knee` and `shoulder` set both sides.

    >>> dict(zip(ANGLES, pose(hip=90, hip_l=80).tolist()))["hip_r"]
    90.0
    """
    for part in ("hip", "knee", "shoulder"):
        value = angles.pop(part, 0.0)
        angles = {f"{part}_l": value, f"{part}_r": value} | angles
    assert set(angles) <= set(ANGLES), sorted(set(angles) - set(ANGLES))
    return np.array([angles.get(name, 0.0) for name in ANGLES])


def forward_kinematics(angles: np.ndarray, body: Body) -> np.ndarray:
    """Compute joint positions (T, 15, 3) in the body frame, about the centre of mass, from angles (T, 11)."""
    a = dict(zip(ANGLES, np.radians(angles).T))
    zero = np.zeros(len(angles))

    def along(forward, side, sign):
        """Unit vector (T, 3) from a flexion angle and a sideways angle, measured from straight down."""
        ahead, down = np.sin(forward) * np.cos(side), -np.cos(forward) * np.cos(side)
        return np.stack([ahead, np.sin(side) * sign, down], -1)

    def sideways(width):
        return np.stack([zero, zero + width, zero], -1)

    def upward(lean):
        return np.stack([np.sin(lean), zero, np.cos(lean)], -1)

    pelvis, up = np.zeros((len(angles), 3)), upward(a["spine"])
    chest = pelvis + body.torso * up
    joints = [pelvis, chest, chest + body.neck * upward(a["spine"] + a["neck"])]
    for side, sign in SIDES:
        hip = pelvis + sideways(sign * body.hip_width / 2)
        knee = hip + body.thigh * along(a[f"hip_{side}"], a["abduct"], sign)
        foot = knee + body.shin * along(a[f"hip_{side}"] - a[f"knee_{side}"], a["abduct"], sign)
        joints += [hip, knee, foot]
    for side, sign in SIDES:
        shoulder = chest - 0.04 * up + sideways(sign * body.shoulder_width / 2)
        # An arm hangs along the torso, so the torso's lean is taken off its flexion.
        reach = a[f"shoulder_{side}"] - a["spine"]
        elbow = shoulder + body.upper_arm * along(reach, a["spread"], sign)
        hand = elbow + body.forearm * along(reach + a["elbow"], a["spread"] * 0.6, sign)
        joints += [shoulder, elbow, hand]
    positions = np.stack(joints, 1)
    centre = np.einsum("j,tjc->tc", MASS / MASS.sum(), positions)
    return positions - centre[:, None]


def rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    """Make rotation matrices (T, 3, 3); about y a positive turn takes the head (z) towards x."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, zero = np.ones_like(cos), np.zeros_like(cos)
    rows = {
        "x": [one, zero, zero, zero, cos, -sin, zero, sin, cos],
        "y": [cos, zero, sin, zero, one, zero, -sin, zero, cos],
        "z": [cos, -sin, zero, sin, cos, zero, zero, zero, one],
    }[axis]
    return np.stack(rows, -1).reshape(*cos.shape, 3, 3)
