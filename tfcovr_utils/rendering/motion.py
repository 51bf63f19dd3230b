"""How a skill moves: joint angles, rotation and flight over the frames of one clip.

One rule makes the benchmark need time: **the middle frame reveals no count**. The rhythm of each
rotation is drawn so that at the middle frame the somersault angle has the same distribution whatever
the number of somersaults, and the twist is at a half turn whatever the number of twists. One frame does
not show which way the athlete travels, so half a turn more or less looks the same. Flight time, height
and the moment of take-off are drawn without looking at the skill.

All quantities are functions of the phase: below 0 before the flight or turn, 0 to 1 during it, above 1 after.
"""

from dataclasses import dataclass

import numpy as np

from .poses import Keys, key_poses
from .skeleton import ANGLES, AT, Body, forward_kinematics, rotation
from .skills import Skill

DIVE_DROP = 2.6  # body heights that a dive falls
BAR_HEIGHT = 1.35
MIDDLE_TILT = 50.0  # degrees to either side of upside-down that a somersault may have at the middle frame
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Motion:
    """One performance. World: x along the travel, y away from the camera, z up from the standing surface."""

    joints: np.ndarray  # (T, 15, 3) world positions
    orientation: np.ndarray  # (T, 3, 3) body frame -> world
    phase: np.ndarray  # (T,)
    somersault: np.ndarray  # (T,) degrees
    twist: np.ndarray  # (T,) degrees


def draw_window(apparatus: str, rng: np.random.Generator) -> tuple[float, float]:
    """Draw start and end of the flight or turn, as shares of the clip, without looking at the skill."""
    share = rng.uniform(0.74, 0.80)
    # The middle frame falls a little before or after half of the flight, never right on it: every count
    # can then pass through the middle frame's pose with a nearly even rhythm.
    middle = 0.5 + rng.choice([-1, 1]) * rng.uniform(0.04, 0.10)
    if apparatus == "VT":  # a vault also needs time for the table
        share, middle = rng.uniform(0.66, 0.70), rng.uniform(0.38, 0.46)
    start = 0.5 - middle * share
    return start, start + share


def phases(n_frames: int, window: tuple[float, float]) -> np.ndarray:
    """Return the phase (T,) of each frame.

    >>> phases(4, (0.25, 0.75)).tolist()
    [-0.5, 0.0, 0.5, 1.0]
    """
    return (np.arange(n_frames) / n_frames - window[0]) / (window[1] - window[0])


def perform(
    skill: Skill, body: Body, path_x: np.ndarray, window: tuple[float, float], rng: np.random.Generator
) -> Motion:
    """Perform a skill along a horizontal path (T,) that the camera also follows."""
    phase = phases(len(path_x), window)
    middle = phase[len(path_x) // 2]
    somersault = somersault_angle(skill, phase, middle, rng)
    twist = twist_angle(skill.twists, phase, middle, rng)
    angles = joint_angles(key_poses(skill), phase)
    angles = angles + rng.normal(0, 4, (1, len(ANGLES))) * (angles != 0)  # athletes hold a shape differently
    tilt = rng.uniform(-8, 8) * np.clip(4 * phase * (1 - phase), 0, 1)
    handed = rng.choice([-1.0, 1.0])
    sense = -1.0 if skill.direction in ("reverse", "inward") or skill.family == "dismount" else 1.0
    facing = 180.0 if faces_back(skill) else 0.0
    # A tsukahara turns half round on its way to the table and continues backward.
    entry = np.interp(phase, [-0.28, -0.10], [0.0, 180.0]) if skill.base == "tsukahara" else 0.0
    turned = rotation("z", facing + entry + handed * twist)
    orientation = rotation("y", sense * somersault) @ rotation("x", tilt) @ turned
    joints = np.einsum("tij,tkj->tki", orientation, forward_kinematics(angles, body))
    centre = np.stack([path_x, np.zeros(len(path_x)), height(skill, joints, phase, rng)], -1)
    if skill.family == "dismount":
        centre = swing(centre, joints, phase)
    return Motion(joints + centre[:, None], orientation, phase, somersault, twist)


def faces_back(skill: Skill) -> bool:
    """Return whether the athlete's back points where the flight goes."""
    if skill.family == "dive":
        return skill.direction in ("backward", "inward")
    return skill.direction == "backward" and skill.family in ("salto", "vault")


def somersault_angle(skill: Skill, phase, middle: float, rng) -> np.ndarray:
    """Return the somersault angle (T,) in degrees: near upside-down at the middle, if from feet."""
    if skill.family == "vault":  # over the table upside down, then the salto
        return np.interp(phase, [-0.30, -0.08, 0.0, 1.0], [0.0, 165.0, 195.0, 360.0 * (1 + skill.saltos)])
    if not skill.saltos:
        return np.zeros_like(phase)
    first, begin, extra = 0.0, 0.0, 0.0
    if skill.armstand:
        first, begin, extra = 180.0, 180.0, 180.0
    elif skill.family == "dismount":
        first, begin = -55.0, 75.0
    last = 360.0 * skill.saltos + extra
    over = np.arange(180.0 + extra, last, 360.0)  # where head and feet have changed places
    over = over[(over > begin + 60) & (over < last - 60)]
    if not len(over):  # half a somersault, head first into the water
        return np.interp(phase, [-0.3, 0.0, 1.0], [first, begin, last])
    progress = (over - begin) / (last - begin)
    through = over[np.abs(progress - middle).argmin()] + rng.uniform(-MIDDLE_TILT, MIDDLE_TILT)
    return np.interp(phase, [-0.3, 0.0, middle, 1.0], [first, begin, through, last])


def twist_angle(twists: float, phase, middle: float, rng) -> np.ndarray:
    """Return the twist angle (T,) in degrees, at a multiple of half a turn at the middle frame."""
    if not twists:
        return np.zeros_like(phase)
    halves = np.arange(0 if twists == 0.5 else 1, round(2 * twists) + (twists == 0.5))
    distance = np.abs(halves / (2 * twists) - middle)
    through = rng.choice(halves[distance < distance.min() + 0.05])
    start, end = rng.uniform(0.03, 0.10), rng.uniform(0.90, 0.97)
    points = [(start, 0.0), (middle, 180.0 * through), (end, 360.0 * twists)]
    if through == 0:  # a half twist after the middle
        points = points[1:]
    elif through == 2 * twists:  # a half twist before it
        points = points[:2]
    return np.interp(phase, *zip(*points))


def joint_angles(keys: Keys, phase) -> np.ndarray:
    """Return joint angles (T, 11) in degrees: smooth steps between the key poses."""
    times, values = np.array([time for time, _ in keys]), np.stack([pose for _, pose in keys])
    right = np.clip(np.searchsorted(times, phase, side="right"), 1, len(times) - 1)
    share = np.clip((phase - times[right - 1]) / (times[right] - times[right - 1]), 0, 1)
    share = share * share * (3 - 2 * share)
    return values[right - 1] + share[:, None] * (values[right] - values[right - 1])


def height(skill: Skill, joints, phase, rng) -> np.ndarray:
    """Return the height (T,) of the centre of mass over the standing surface; a dive falls below it."""
    support = -joints[:, :, 2].min(1) + 0.03  # standing: the lowest joint touches the surface
    inside = np.clip(phase, 0, 1)
    rise = rng.uniform(0.20, 0.30) * 4 * inside * (1 - inside)
    if skill.family == "turn":
        return support
    before, after = np.interp(0, phase, support), np.interp(1, phase, support)
    if skill.family == "dive":
        before = 0.75 if skill.armstand else before
        fall = DIVE_DROP * phase**2 * np.where(phase > 1, 1.05, 1.0)
        return np.where(phase < 0, support, before + 0.5 * phase - fall)
    if skill.family == "vault":
        before = 0.95  # hands leave the table
        support = np.where(phase < 0, np.interp(phase, [-0.30, -0.08, 0], [0.62, 0.95, 0.95]), support)
    flight = before + (after - before) * inside + rise
    on_support = ((phase < 0) | (phase > 1)) & (skill.family != "dismount")
    return np.where(on_support, support, flight)


def swing(centre, joints, phase) -> np.ndarray:
    """Hang the body from the bar until its release, then let it fly into the given path."""
    hanging = BAR_HEIGHT * _UP - joints[:, [AT["hand_l"], AT["hand_r"]]].mean(1)
    release = np.array([np.interp(0, phase, hanging[:, axis]) for axis in range(3)])
    inside = np.clip(phase, 0, 1)[:, None]
    flight = release + (centre[-1, 2] * _UP - release) * inside + _UP * inside * (1 - inside)
    caught_up = np.clip(1 - 3 * inside[:, 0], 0, 1)  # the path of the camera starts elsewhere
    flight[:, 0] = centre[:, 0] + (release[0] - np.interp(0, phase, centre[:, 0])) * caught_up
    return np.where(phase[:, None] < 0, hanging, flight)
