"""The skills of the rendered benchmark, which `skills.csv` lists, and their labels.

Labels are written as FineGym and FineDiving write theirs, so `labels.parse_label` reads them like real
ones. `motion.py` says how a skill moves.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path

from ..labels.word_tables import read_rows

SHAPES = {"tucked": "c", "piked": "b", "stretched": "a"}  # shape -> dive position
DIVE_DIRECTIONS = {"forward": 1, "backward": 2, "reverse": 3, "inward": 4}
# Free-leg position -> how FineGym says it after "<count> turn ".
TURN_LEGS = {
    "below horizontal": "on one leg, free leg optional below horizontal",
    "held up in split": "with free leg held upward in 180 split position throughout turn",
    "heel forward at horizontal": "with heel of free leg forward at horizontal throughout turn",
    "tuck stand": "in tuck stand on one leg, free leg optional",
    "back attitude": "in back attitude, knee of free leg at horizontal throughout turn",
}
_SALTO = "{many}salto {direction} {shape}"
FAMILIES = {  # family -> its label
    "salto": f"{_SALTO}{{twists}}",
    "dismount": f"(swing forward) {_SALTO}{{turns}}",
    "leap": "{base}{turns}",
    "turn": "{count:g} turn {legs}",
    "vault": "{base} on, {shape} salto {direction}{turns} off",
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
        text = FAMILIES[self.family]
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


def _read_skills() -> dict[str, list[Skill]]:
    """Read the lists of skills; a row is a family and the values of its factors, in all combinations."""
    lists: dict[str, list[Skill]] = {}
    for name, family, *cells in read_rows(Path(__file__).with_suffix(".csv")):
        for apparatus, base, direction, shape, saltos, twists, armstand in product(
            *(cell.split(" | ") for cell in cells)
        ):
            named = (apparatus, family, base or family, direction, shape)
            skill = Skill(*named, float(saltos or 0), float(twists or 0), armstand == "yes")
            lists.setdefault(name, []).append(skill)
    return lists


def _plainest(skills: list[Skill], n: int) -> list[Skill]:
    return sorted(skills, key=lambda skill: (skill.saltos + skill.twists, skill.text))[:n]


_LISTS = _read_skills()
# `smoke` gives every notebook a few pairs of both kinds. In `mini`, the default, several labels share every
# count, and every apparatus has its own skills. `sim` has the paper's shape: 259 gymnastics labels, 47 dives.
SKILLS = {name: _LISTS[name] for name in ("smoke", "mini")}
SKILLS["sim"] = _plainest(_LISTS["gymnastics"], 259) + _plainest(_LISTS["dives"], 47)
