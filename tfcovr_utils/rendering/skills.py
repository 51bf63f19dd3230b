"""The skills of the rendered benchmark, as tables, and their labels.

Labels are written as FineGym and FineDiving write theirs, so `labels.parse_label` reads them like real
ones. `motion.py` says how a skill moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product

SHAPES = {"tucked": "c", "piked": "b", "stretched": "a"}  # shape -> dive position
DIVE_DIRECTIONS = {"forward": 1, "backward": 2, "reverse": 3, "inward": 4}
VAULT_ENTRIES = {"handspring forward": "forward", "round-off, flic-flac": "backward", "tsukahara": ""}
# Free-leg position -> how FineGym says it after "<count> turn ".
TURN_LEGS = {
    "below horizontal": "on one leg, free leg optional below horizontal",
    "held up in split": "with free leg held upward in 180 split position throughout turn",
    "heel forward at horizontal": "with heel of free leg forward at horizontal throughout turn",
    "tuck stand": "in tuck stand on one leg, free leg optional",
    "back attitude": "in back attitude, knee of free leg at horizontal throughout turn",
}
# Family -> its label, and the factors that a row of a list of skills gives.
_SALTO = "{many}salto {direction} {shape}"
FAMILIES = {
    "salto": (f"{_SALTO}{{twists}}", "apparatus direction shape saltos twists"),
    "dismount": (f"(swing forward) {_SALTO}{{turns}}", "apparatus direction shape saltos twists"),
    "leap": ("{base}{turns}", "apparatus base twists"),
    "turn": ("{count:g} turn {legs}", "apparatus base twists"),
    "vault": ("{base} on, {shape} salto {direction}{turns} off", "apparatus base shape saltos twists"),
    "dive": ("", "apparatus direction shape saltos twists armstand"),
}
# Bases with a label of their own: with turns, and without.
BASE_TEXTS = {
    "split leap": ("{base}{turns}", "split leap forward"),
    "straddle pike jump": ("{base}{turns}", "straddle pike jump or side split jump"),
    "tsukahara": ("tsukahara {shape}{turns}", "tsukahara {shape} salto"),
}


@dataclass(frozen=True)
class Skill:
    """One label, as the factors that make it. Only the order of frames shows `saltos` and `twists`."""

    apparatus: str  # FX, BB, UB, VT or DV
    family: str  # salto, leap, turn, vault, dismount, dive
    base: str  # the leap, the free leg of a turn, the vault entry; else the family
    direction: str = ""  # of the saltos: forward, backward; dives also reverse, inward
    shape: str = ""  # tucked, piked, stretched
    saltos: float = 0.0  # somersaults, in half steps for dives
    twists: float = 0.0  # twists or turns about the long axis, in half steps
    armstand: bool = False

    @classmethod
    def from_row(cls, row: Mapping) -> "Skill":
        """Take the skill from a row of a table of factors."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})

    @property
    def text(self) -> str:
        """The label as its source dataset prints it; the label of a dive is its code.

        >>> Skill("FX", "salto", "salto", "backward", "tucked", 2, 1).text
        '(FX) double salto backward tucked with 1 twist'
        >>> Skill("DV", "dive", "dive", "forward", "piked", 2.5, 1).text
        '5152b'
        """
        if self.family == "dive":
            return self._code()
        text = FAMILIES[self.family][0]
        if self.base in BASE_TEXTS:
            text = BASE_TEXTS[self.base][not self.twists]
        many = {2: "double ", 3: "triple "}.get(self.saltos, "")
        twists, turns = (f" with {self.twists:g} {word}" * bool(self.twists) for word in ("twist", "turn"))
        words = {"many": many, "count": self.twists, "legs": TURN_LEGS.get(self.base), "turns": turns}
        return f"({self.apparatus}) {text.format(**{**asdict(self), **words, 'twists': twists})}"

    def _code(self) -> str:
        direction, halves = DIVE_DIRECTIONS[self.direction], f"{2 * self.saltos:g}"
        twists = f"{2 * self.twists:g}" if self.twists else ""
        if self.armstand or self.twists:
            return f"{'6' if self.armstand else '5'}{direction}{halves}{twists}{SHAPES[self.shape]}"
        return f"{direction}0{halves}{SHAPES[self.shape]}"


def _skills(*rows: tuple) -> list[Skill]:
    """Make the skills of some rows: a row is a family and the values of its factors, in all combinations."""
    skills = []
    for family, *values in rows:
        for chosen in product(*map(_choices, values)):
            factors = {"base": family, **dict(zip(FAMILIES[family][1].split(), chosen))}
            if family == "vault":
                factors["direction"] = VAULT_ENTRIES[factors["base"]]
            skills.append(Skill(family=family, **factors))
    return skills


def _choices(values: object) -> Sequence:
    if isinstance(values, str):
        return values.split(" | ")
    return values if isinstance(values, tuple) else (values,)


# Twenty labels, which give every notebook a few pairs of both kinds.
_SMOKE = _skills(
    ("salto", "FX", "backward", "stretched", 1, (0, 1, 2)),
    ("salto", "FX | BB", "backward", "tucked | piked", 1, 0),
    ("salto", "FX", "backward", "tucked", 2, 0),
    ("leap", "FX | BB", "switch leap", (0, 1)),
    ("turn", "FX | BB", "below horizontal", (1, 2)),
    ("dive", "DV", "forward | backward", "piked", (1.5, 2.5)),
)
# The default benchmark: several labels share every count, and every apparatus has its own skills.
_MINI = _skills(
    ("salto", "FX", "backward", "stretched", 1, (0, 0.5, 1, 1.5, 2, 2.5)),
    ("salto", "FX", "forward", "stretched", 1, (0, 1, 2)),
    ("salto", "FX", "backward | forward", "tucked | piked", 1, 0),
    ("salto", "FX", "backward", "tucked | piked", 2, 0),
    ("salto", "FX", "backward", "tucked", 2, 1),
    ("salto", "BB", "backward", "tucked | piked | stretched", 1, 0),
    ("salto", "BB", "backward", "stretched", 1, 1),
    ("salto", "BB", "forward", "tucked", 1, 0),
    ("leap", "FX | BB", "split leap | switch leap", (0, 1)),
    ("turn", "FX | BB", "below horizontal", (1, 2)),
    ("turn", "FX", "held up in split", (1, 2)),
    ("dismount", "UB", "backward", "tucked | stretched", 2, (0, 1)),
    ("vault", "VT", "handspring forward", "stretched", 1, (0, 1, 2)),
    ("dive", "DV", "forward | backward", "piked", (1.5, 2.5, 3.5)),
    ("dive", "DV", "forward", "tucked", (2.5, 3.5)),
    ("dive", "DV", "inward | reverse", "piked", (1.5, 2.5)),
    ("dive", "DV", "backward", "piked", 1.5, (0.5, 1.5, 2.5)),
    ("dive", "DV", "forward", "piked", 2.5, (1, 2)),
)
# Larger grids, of which `sim` takes the plainest.
_LEAPS = (
    "split leap | switch leap | straddle pike jump | wolf hop or jump | ring jump | pike jump | "
    "tuck hop or jump | sheep jump | cat leap | stretched hop or jump"
)
_GYMNASTICS = _skills(
    ("salto", "FX | BB", "backward | forward", "tucked | piked | stretched", 1, (0, 0.5, 1, 1.5, 2, 2.5, 3)),
    ("salto", "FX", "backward | forward", "tucked | piked | stretched", 2, (0, 0.5, 1, 1.5, 2)),
    ("salto", "BB", "backward", "tucked | piked", 2, (0, 1)),
    ("salto", "FX", "backward", "tucked", 3, 0),
    ("leap", "FX | BB", _LEAPS, (0, 0.5, 1, 1.5)),
    ("turn", "FX | BB", tuple(TURN_LEGS), (1, 1.5, 2, 3)),
    ("dismount", "UB", "backward", "tucked | piked | stretched", (1, 2), (0, 0.5, 1, 1.5, 2)),
    ("vault", "VT", tuple(VAULT_ENTRIES), "tucked | piked | stretched", 1, (0, 0.5, 1, 1.5, 2, 2.5)),
)
_DIVES = _skills(
    ("dive", "DV", tuple(DIVE_DIRECTIONS), "piked | tucked", (1.5, 2.5, 3.5)),
    ("dive", "DV", "backward | reverse", "piked", 1.5, (0.5, 1.5, 2.5, 3.5)),
    ("dive", "DV", "forward", "piked", 1.5, (1, 2, 3)),
    ("dive", "DV", "forward | backward", "piked", 2.5, (1, 2, 3)),
    ("dive", "DV", "backward", "piked", 2.5, (0.5, 1.5)),
    ("dive", "DV", "forward | backward", "piked | tucked", (1, 2), 0, True),
)


def _plainest(skills: list[Skill], n: int) -> list[Skill]:
    return sorted(skills, key=lambda skill: (skill.saltos + skill.twists, skill.text))[:n]


# `sim` has the paper's shape: 259 gymnastics labels and 47 dives.
SKILLS = {"smoke": _SMOKE, "mini": _MINI, "sim": _plainest(_GYMNASTICS, 259) + _plainest(_DIVES, 47)}
