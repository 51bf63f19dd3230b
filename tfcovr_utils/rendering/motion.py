"""How a skill moves: joint angles, rotation and flight over the frames of one clip.

One rule makes the benchmark need time: **the middle frame does not tell a count**. The rhythm of each
rotation is drawn so that at the middle frame the somersault angle has the same distribution whatever
the number of somersaults, and the twist stands at a half turn whatever the number of twists. Which way
the athlete travels is not visible in one frame, so half a turn more or less looks the same. Flight
time, height and the moment of take-off are drawn without looking at the skill.
"""

from dataclasses import dataclass

import numpy as np

from .skeleton import ANGLES, Body, forward_kinematics, pose, rotation
from .skills import Skill

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
# Free leg of a turn (the right one), the standing leg straight or, in tuck stand, bent.
TURN_POSES = {
    "below horizontal": pose(hip_r=35, knee_r=75, shoulder=80, elbow=20, spread=25),
    "held up in split": pose(hip_r=165, knee_r=0, shoulder_r=160, shoulder_l=95, spread=15),
    "heel forward at horizontal": pose(hip_r=88, knee_r=0, shoulder=95, spread=35),
    "tuck stand": pose(spine=18, hip_l=105, knee_l=135, hip_r=82, knee_r=5, shoulder=85),
    "back attitude": pose(spine=-6, hip_r=-78, knee_r=55, shoulder_l=150, shoulder_r=70),
}
_SPLIT_L = pose(hip_l=86, hip_r=-80, shoulder_l=80, shoulder_r=95, spread=50)
_SPLIT_R = pose(hip_r=86, hip_l=-80, shoulder_l=95, shoulder_r=80, spread=50)
# A leap is a few poses over its flight: (phase, pose).
LEAP_POSES = {
    "split leap": [(0.3, _SPLIT_L), (0.7, _SPLIT_L)],
    "switch leap": [
        (0.22, pose(hip_l=58, hip_r=-38, shoulder=70, spread=40)),
        (0.5, pose(shoulder=60, spread=40)),
        (0.6, _SPLIT_R),
        (0.82, _SPLIT_R),
    ],
    "straddle pike jump": [
        (0.3, pose(spine=25, hip=85, abduct=62, shoulder=80, spread=55)),
        (0.7, pose(spine=25, hip=85, abduct=62, shoulder=80, spread=55)),
    ],
    "wolf hop or jump": [
        (0.3, pose(spine=15, hip_l=88, hip_r=92, knee_l=120, shoulder=90)),
        (0.7, pose(spine=15, hip_l=88, hip_r=92, knee_l=120, shoulder=90)),
    ],
    "ring jump": [
        (0.3, pose(spine=-28, neck=-45, hip_l=35, hip_r=-70, knee_r=95, shoulder=150)),
        (0.7, pose(spine=-28, neck=-45, hip_l=35, hip_r=-70, knee_r=95, shoulder=150)),
    ],
    "pike jump": [(0.3, SHAPE_POSES["piked"]), (0.7, SHAPE_POSES["piked"])],
    "tuck hop or jump": [
        (0.3, pose(spine=12, hip=100, knee=105, shoulder=95)),
        (0.7, pose(spine=12, hip=100, knee=105, shoulder=95)),
    ],
    "sheep jump": [
        (0.3, pose(spine=-35, neck=-55, hip=-35, knee=115, shoulder=140)),
        (0.7, pose(spine=-35, neck=-55, hip=-35, knee=115, shoulder=140)),
    ],
    "cat leap": [
        (0.25, pose(hip_l=95, knee_l=105, shoulder=90)),
        (0.5, pose(hip=45, knee=55, shoulder=90)),
        (0.75, pose(hip_r=95, knee_r=105, shoulder=90)),
    ],
    "stretched hop or jump": [(0.3, ARMS_UP), (0.7, ARMS_UP)],
}
DIVE_DROP = 2.6  # body heights that a dive falls
BAR_HEIGHT = 1.35
MIDDLE_TILT = 50.0  # degrees around it in which a somersault may stand at the middle frame


@dataclass(frozen=True)
class Motion:
    """One performance. World: x along the travel, y away from the default camera, z up; z = 0 is the standing surface."""

    joints: np.ndarray  # (T, 15, 3) world positions
    orientation: np.ndarray  # (T, 3, 3) body frame -> world
    phase: np.ndarray  # (T,) progress of the flight or turn: below 0 before it, above 1 after
    somersault: np.ndarray  # (T,) degrees
    twist: np.ndarray  # (T,) degrees


def perform(
    skill: Skill, body: Body, path_x: np.ndarray, window: tuple[float, float], rng: np.random.Generator
) -> Motion:
    """Perform a skill along a horizontal path (T,) that the camera also follows; z of a dive falls from its board."""
    n_frames = len(path_x)
    phase = phases(n_frames, window)
    middle = phase[n_frames // 2]
    somersault = _somersault(skill, phase, middle, rng)
    twist = _twist(skill.twists, phase, middle, rng)
    angles = _poses(skill, phase)
    angles = angles + rng.normal(0, 4, (1, len(ANGLES))) * (
        angles != 0
    )  # everybody holds a shape a little differently
    facing = 180.0 if _faces_back(skill) else 0.0
    sense = -1.0 if skill.direction in ("reverse", "inward") or skill.family == "dismount" else 1.0
    tilt = rng.uniform(-8, 8) * np.clip(4 * phase * (1 - phase), 0, 1)
    handed = rng.choice([-1.0, 1.0])
    # A tsukahara turns half round on its way to the table, and goes on backward.
    entry = np.interp(phase, [-0.28, -0.10], [0.0, 180.0]) if skill.base == "tsukahara" else 0.0
    orientation = (
        rotation("y", sense * somersault)
        @ rotation("x", tilt)
        @ rotation("z", facing + entry + handed * twist)
    )
    joints = np.einsum("tij,tkj->tki", orientation, forward_kinematics(angles, body))
    centre = np.stack([path_x, np.zeros(n_frames), _height(skill, joints, phase, rng)], -1)
    if skill.family == "dismount":
        centre = _swing(centre, joints, phase)
    return Motion(joints + centre[:, None], orientation, phase, somersault, twist)


def draw_window(apparatus: str, rng: np.random.Generator) -> tuple[float, float]:
    """Start and end of the flight, or turn, as shares of the clip: drawn alike for all skills of an apparatus."""
    share = rng.uniform(0.74, 0.80)
    # The middle frame falls a little before or a little after half of the flight, never right on it:
    # every count can then pass through the middle frame's pose with a nearly even rhythm.
    middle = 0.5 + rng.choice([-1, 1]) * rng.uniform(0.04, 0.10)
    if apparatus == "VT":  # a vault also needs time for the table
        share, middle = rng.uniform(0.66, 0.70), rng.uniform(0.38, 0.46)
    start = 0.5 - middle * share
    return start, start + share


def phases(n_frames: int, window: tuple[float, float]) -> np.ndarray:
    """Progress (T,) of the flight at each frame: 0 at take-off, 1 at landing."""
    return (np.arange(n_frames) / n_frames - window[0]) / (window[1] - window[0])


def _faces_back(skill: Skill) -> bool:
    """Whether the athlete's back points where the flight goes."""
    if skill.family == "dive":
        return skill.direction in ("backward", "inward")
    return skill.direction == "backward" and skill.family in ("salto", "vault")


def _somersault(skill: Skill, phase, middle: float, rng) -> np.ndarray:
    """Somersault angle (T,) in degrees: at the middle frame upside-down (after an arm-stand upright), give or take `MIDDLE_TILT`."""
    if not skill.saltos:
        return np.zeros_like(phase)
    if skill.family == "vault":  # over the table upside down, then the salto
        return np.interp(phase, [-0.30, -0.08, 0.0, 1.0], [0.0, 165.0, 195.0, 360.0 * (1 + skill.saltos)])
    first = 180.0 if skill.armstand else -55.0 if skill.family == "dismount" else 0.0
    begin = 75.0 if skill.family == "dismount" else first
    last = 360.0 * skill.saltos + (180.0 if skill.armstand else 0.0)
    over = np.arange(first + 180.0 if skill.armstand else 180.0, last, 360.0)  # the head where the feet began
    over = over[(over > begin + 60) & (over < last - 60)]
    progress = (over - begin) / (last - begin)
    through = over[np.abs(progress - middle).argmin()] + rng.uniform(-MIDDLE_TILT, MIDDLE_TILT)
    return np.interp(phase, [-0.3, 0.0, middle, 1.0], [first, begin, through, last])


def _twist(twists: float, phase, middle: float, rng) -> np.ndarray:
    """Twist angle (T,) in degrees, at a multiple of half a turn at the middle frame."""
    if not twists:
        return np.zeros_like(phase)
    halves = np.arange(0 if twists == 0.5 else 1, round(2 * twists) + (twists == 0.5))
    distance = np.abs(halves / (2 * twists) - middle)
    through = rng.choice(halves[distance < distance.min() + 0.05])
    points = [
        (rng.uniform(0.03, 0.10), 0.0),
        (middle, 180.0 * through),
        (rng.uniform(0.90, 0.97), 360.0 * twists),
    ]
    if through == 0:  # a late half twist: nothing before the middle
        points = points[1:]
    elif through == 2 * twists:  # an early one
        points = points[:2]
    return np.interp(phase, *zip(*points))


def _poses(skill: Skill, phase) -> np.ndarray:
    """Joint angles (T, 11) in degrees: smooth steps between a few key poses."""
    if skill.family == "leap":
        keys = [
            (-0.15, STAND),
            (-0.02, CROUCH),
            (0.06, STAND),
            *LEAP_POSES[skill.base],
            (0.97, STAND),
            (1.04, LANDING),
            (1.2, STAND),
        ]
    elif skill.family == "turn":
        keys = [(-0.15, STAND), (0.02, TURN_POSES[skill.base]), (0.98, TURN_POSES[skill.base]), (1.15, STAND)]
    else:
        shape = SHAPE_POSES[skill.shape]
        before = {
            "dismount": [(-0.3, STREAMLINED), (0.0, STREAMLINED)],
            "vault": [(-0.4, STAND), (-0.30, CROUCH), (-0.22, STREAMLINED), (0.0, STREAMLINED)],
        }.get(skill.family, [(-0.12, CROUCH), (-0.02, ARMS_UP), (0.0, ARMS_UP)])
        if skill.armstand:
            before = [(0.0, STREAMLINED)]
        after = (
            [(1.0, STREAMLINED)]
            if skill.family == "dive"
            else [(0.98, STAND), (1.03, LANDING), (1.25, FINISH)]
        )
        keys = [*before, (0.12, shape), (0.88, shape), *after]
    times, values = np.array([t for t, _ in keys]), np.stack([p for _, p in keys])
    right = np.clip(np.searchsorted(times, phase, side="right"), 1, len(times) - 1)
    share = np.clip((phase - times[right - 1]) / (times[right] - times[right - 1]), 0, 1)
    share = share * share * (3 - 2 * share)
    return values[right - 1] + share[:, None] * (values[right] - values[right - 1])


def _height(skill: Skill, joints, phase, rng) -> np.ndarray:
    """Height (T,) of the centre of mass over the standing surface; a dive falls below it."""
    support = -joints[:, :, 2].min(1) + 0.03  # standing: the lowest joint touches the surface
    flying = (phase >= 0) & (phase <= 1)
    inside = np.clip(phase, 0, 1)
    rise = rng.uniform(0.20, 0.30) * 4 * inside * (1 - inside)
    if skill.family == "turn":
        return support
    before, after = np.interp(0, phase, support), np.interp(1, phase, support)
    if skill.family == "dive":
        before = 0.75 if skill.armstand else before
        return np.where(
            phase < 0, support, before + 0.5 * phase - DIVE_DROP * phase**2 * np.where(phase > 1, 1.05, 1.0)
        )
    if skill.family == "vault":
        before = 0.95  # hands leave the table
        support = np.where(phase < 0, np.interp(phase, [-0.30, -0.08, 0], [0.62, 0.95, 0.95]), support)
        return np.where(flying, before + (after - before) * inside + rise, support)
    if skill.family == "dismount":
        return before + (after - before) * inside + rise
    return np.where(flying, before + (after - before) * inside + rise, support)


def _swing(centre, joints, phase) -> np.ndarray:
    """Hang the body from the bar until release, then let it fly into the path given."""
    hands = (joints[:, 11] + joints[:, 14]) / 2
    hanging = np.array([0.0, 0.0, BAR_HEIGHT]) - hands
    release = np.array([np.interp(0, phase, hanging[:, axis]) for axis in range(3)])
    inside = np.clip(phase, 0, 1)[:, None]
    landing = np.array([0.0, 0.0, centre[-1, 2]])
    flight = release + (landing - release) * inside + np.array([0.0, 0.0, 1.0]) * inside * (1 - inside)
    flight[:, 0] = centre[:, 0] + (release[0] - np.interp(0, phase, centre[:, 0])) * np.clip(
        1 - 3 * inside[:, 0], 0, 1
    )
    return np.where(phase[:, None] < 0, hanging, flight)
