"""Real labels as performances: what FineGym's labels say beyond the skills of the rendered benchmark.

An `Element` is a skill with its entry, landing and details; `elements.csv` says which moves make it. The bars
come with it: circles about a bar, and flights that end in a hang.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..labels import Attributes
from ..labels.word_tables import read_rows
from .hall import LOW_BAR
from .motion import (
    BAR_HEIGHT,
    MIDDLE_TILT,
    Motion,
    draw_window,
    faces_back,
    height,
    joint_angles,
    phases,
    somersault_angle,
    swing,
    twist_angle,
)
from .poses import HOLD_FROM, Keys, arrange
from .skeleton import ANGLES, AT, Body, forward_kinematics, rotation
from .skills import Skill

# Element -> family, moves before it, pose or moves during it, moves after it.
ELEMENTS = {name: moves for name, *moves in read_rows(Path(__file__).with_suffix(".csv"))}
ON_BAR = ("circle", "release", "flight")  # families that stay at the bars, and the camera with them
MAT = -0.32  # height of the mat beside the beam
HIGH, LOW = np.array([0.0, 0.0, BAR_HEIGHT]), np.array([LOW_BAR[0], 0.0, LOW_BAR[1]])
HIPS = [ANGLES.index("hip_l"), ANGLES.index("hip_r")]


@dataclass(frozen=True)
class Element(Skill):
    """One real label, as the factors that make it."""

    name: str = ""  # its row of `elements.csv`
    entry: str = ""
    entry_turn: float = 0.0  # turns before the salto, or onto the table of the vault
    ring: bool = False
    finish: str = ""
    details: str = ""  # modifiers, joined by " + "

    @property
    def stage(self) -> str:
        """What is painted: the apparatus, with both bars for flights between them."""
        return "both bars" if self.base == "transition flight" else self.apparatus


def element_of(said: Attributes) -> Element:
    """Choose the performance of a label.

    >>> from tfcovr_utils.labels import parse_label
    >>> element_of(parse_label("(UB) stalder backward with 0.5 turn to handstand")).family
    'circle'
    """
    shape = {"straight": "stretched"}.get(said.shape, said.shape)
    name = said.base
    if said.apparatus == "UB" and said.base == "salto":
        starts = [start for start in ("swing forward", "swing backward") if said.entry.startswith(start)]
        name = (starts or ["under-swing"])[0]
    elif said.base in ("turn", "tuck stand turn", "jump"):
        name = f"{said.base} {shape if said.base == 'jump' else said.legs}".strip()
    if name not in ELEMENTS:
        raise ValueError(f"the twin has no motion for {name!r} ({said}); add a row to elements.csv.")
    family = "release" if said.finish == "hang" and said.base == "salto" else ELEMENTS[name][0]
    once = said.base in ("aerial cartwheel", "aerial walkover", "flic-flac")
    return Element(
        *(said.apparatus, family, said.base, said.direction, shape),
        *(1.0 if once else said.saltos or 0.0, said.rotation, said.armstand),
        *(name, said.entry, said.entry_turn, said.ring, said.finish, " + ".join(said.modifiers)),
    )


def element_window(element: Element, rng: np.random.Generator) -> tuple[float, float]:
    """Draw start and end of the flight or turn, as shares of the clip; a vault's entry takes time too."""
    if element.family != "vault":
        return draw_window(element.apparatus, rng)
    start = rng.uniform(0.33, 0.36)
    return start, start + rng.uniform(0.52, 0.56)


def perform_element(
    element: Element, body: Body, path_x: np.ndarray, window: tuple[float, float], rng: np.random.Generator
) -> Motion:
    """Perform an element along a horizontal path (T,), or at the bars, see `motion.perform`."""
    phase = phases(len(path_x), window)
    middle = phase[len(path_x) // 2]
    somersault, twist = _somersault(element, phase, middle, rng), _twist(element, phase, middle, rng)
    angles = joint_angles(_keys(element), phase)
    angles = angles + rng.normal(0, 4, (1, len(ANGLES))) * (angles != 0)
    tilt = rng.uniform(-8, 8) * np.clip(4 * phase * (1 - phase), 0, 1)
    turned = rotation("z", _facing(element, phase) + rng.choice([-1.0, 1.0]) * twist)
    orientation = rotation("y", _sense(element) * somersault) @ rotation("x", tilt) @ turned
    joints = np.einsum("tij,tkj->tki", orientation, forward_kinematics(angles, body))
    centre = _place(element, joints, phase, path_x, rng)
    return Motion(joints + centre[:, None], orientation, phase, somersault, twist)


def _keys(element: Element) -> Keys:
    _, before, held, after = ELEMENTS[element.name]
    held = held or element.shape or "stretched"
    if element.family == "release":
        after = "hang"
    if element.finish in ("step-out", "feet together", "cross position", "side position", "straddle sit"):
        after = element.finish
    if element.armstand:
        before = "armstand"
    if "on one arm" in element.details:
        held = "circle on one arm"
    keys = arrange(before, held, held, after, HOLD_FROM.get(element.family, 0.12))
    return _with_ring(keys) if element.ring and element.base != "ring jump" else keys


def _with_ring(keys: Iterable[tuple[float, np.ndarray]]) -> Keys:
    """Bend the rear leg of each split to the head, which drops back."""
    ringed = []
    for phase, pose in keys:
        angles = dict(zip(ANGLES, pose))
        rear = "l" if angles["hip_l"] < angles["hip_r"] else "r"
        if 0 < phase < 1 and angles[f"hip_{rear}"] < -60:
            angles |= {f"knee_{rear}": 105.0, "spine": -26.0, "neck": -45.0}
        ringed.append((phase, np.array(list(angles.values()))))
    return ringed


def _sense(element: Element) -> float:
    """Return which way the body turns, 1 with the travel and -1 against it."""
    if element.family == "circle":
        return 1.0 if element.direction == "forward" else -1.0
    against = element.direction in ("reverse", "inward") or element.entry == "gainer"
    at_bar = element.family in ("dismount", "release", "flight") and element.name != "under-swing"
    return -1.0 if against or at_bar else 1.0


def _facing(element: Element, phase: np.ndarray) -> np.ndarray:
    """Return where the chest points (T,) in degrees: 0 along the travel, 90 across it."""
    facing, (start, end) = 0.0, (-0.08, 0.14)
    turn = 180.0 * 2 * element.entry_turn
    if element.family == "vault":  # turns between the run and the table
        facing, (start, end) = 180.0 * (element.base == "round-off flic-flac"), (-0.48, -0.08)
        turn = 180.0 if element.base == "tsukahara" else turn
    elif element.entry == "arabian":
        facing, turn = 180.0, -180.0
    elif (
        element.name == "swing backward"
        or element.base == "flic-flac"
        or (faces_back(element) and not element.entry)
    ):
        facing = 180.0
    elif element.base == "aerial cartwheel":
        facing, turn, (start, end) = 90.0, 90.0 * (element.finish == "cross position"), (0.8, 1.0)
    elif element.direction == "sideward" or "side position" in element.details:
        facing = 90.0
    elif element.base == "johnson":
        turn, (start, end) = 90.0, (0.3, 0.5)
    if element.finish == "side of beam":
        facing, turn, (start, end) = 0.0, 90.0, (0.8, 1.0)
    return facing + turn * np.clip((phase - start) / (end - start), 0, 1)


def _somersault(element: Element, phase, middle: float, rng) -> np.ndarray:
    """Return the angle (T,) about the axis across the travel, in degrees."""
    spread = rng.uniform(-MIDDLE_TILT, MIDDLE_TILT) / 3
    if element.family == "vault":  # over the table upside down, then the salto
        return np.interp(phase, [-0.42, -0.12, 0, 1], [0, 165, 195, 360 * (1 + element.saltos)])
    if element.family == "circle":  # from handstand to handstand, fast below the bar
        return np.interp(phase, [0, middle, 1], [180.0, 360.0 + spread, 540.0])
    if element.family == "release":
        over = 180.0 + 360.0 * (element.saltos - 1)
        return np.interp(phase, [-0.3, 0, middle, 1, 1.25], [-55, 80, over + spread, over + 215, over + 160])
    if element.base == "transition flight":
        down = element.entry == "high bar"
        return np.interp(phase, [-0.3, 0, 1, 1.25], [-55, 80, 200, 290] if down else [-30, 100, 285, 390])
    if element.family == "flight":  # over the bar backward, turning against the swing
        return np.interp(phase, [-0.3, 0, middle, 1, 1.25], [-70, 105, spread + 10, -60, -10])
    return somersault_angle(element, phase, middle, rng)


def _twist(element: Element, phase, middle: float, rng) -> np.ndarray:
    """Return the angle (T,) about the long axis, in degrees."""
    ends = None
    if element.family == "circle":  # turns rise to the handstand
        ends = (0.55, 0.98)
    elif "turn between saltos" in element.details:
        ends = (0.4, 0.6)
    elif "turn before salto" in element.details:
        ends = (0.0, 0.22)
    if ends:
        return 360.0 * element.twists * np.clip((phase - ends[0]) / (ends[1] - ends[0]), 0, 1)
    return twist_angle(element.twists, phase, middle, rng)


def _place(element: Element, joints, phase, path_x, rng) -> np.ndarray:
    """Return where the centre of mass is, (T, 3)."""
    rise = rng.uniform(0.9, 1.1)
    inside = np.clip(phase, 0, 1)[:, None]
    up = np.array([0.0, 0.0, 1.0])
    hands = joints[:, [AT["hand_l"], AT["hand_r"]]].mean(1)
    if element.family == "circle":
        if "on one arm" in element.details:
            hands = joints[:, AT["hand_l"]]
        hop = "hop" in element.details
        return HIGH - hands + up * hop * 0.5 * np.clip(1 - np.abs(phase - 0.76) / 0.2, 0, 1)[:, None]
    if element.family in ON_BAR:
        bars = {"high bar": (HIGH, LOW), "low bar": (LOW, HIGH)}
        first, last = bars.get(element.entry, (HIGH, HIGH))
        start, end = (
            np.array([np.interp(at, phase, (bar - hands)[:, axis]) for axis in range(3)])
            for at, bar in ((0, first), (1, last))
        )
        lift = 1.5 if element.base.startswith("counter") else 0.9
        flight = start + (end - start) * inside + lift * rise * up * inside * (1 - inside)
        return np.where(phase[:, None] < 0, first - hands, np.where(phase[:, None] > 1, last - hands, flight))
    centre = np.stack([path_x, np.zeros(len(path_x)), height(element, joints, phase, rng)], -1)
    if element.family == "vault":  # from the board to the table
        standing = 0.03 - joints[:, :, 2].min(1)
        climb = np.interp(phase, [-0.42, -0.12], [np.interp(-0.42, phase, standing), 0.95])
        centre[:, 2] = np.where(phase < -0.42, standing, np.where(phase < 0, climb, centre[:, 2]))
    if element.family == "dismount":
        return swing(centre, joints, phase)
    if element.family == "handspring":  # hands or feet carry the body nearly all the way
        centre[:, 2] = 0.03 - joints[:, :, 2].min(1) + 0.05 * np.sin(2 * np.pi * inside[:, 0]) ** 2
    if element.finish == "straddle sit":
        sitting = np.clip((phase - 0.78) / 0.17, 0, 1)
        centre[:, 2] += sitting * (0.07 - joints[:, AT["pelvis"], 2] - centre[:, 2])
    if element.finish in ("end of beam", "side of beam"):
        centre[:, 2] += MAT * inside[:, 0] ** 2
        centre[:, 0] += 0.45 * inside[:, 0] * (element.finish == "end of beam")
    return centre
