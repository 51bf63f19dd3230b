"""What is performed: the skills of the rendered benchmark and their labels.

Labels are written as FineGym and FineDiving write theirs, so that `labels.parse_label` reads them
like real ones. How a skill moves is in `motion.py`.
"""

from dataclasses import dataclass
from itertools import product

SHAPES = {"tucked": "c", "piked": "b", "stretched": "a"}  # shape -> dive position
SALTOS = {1: "", 2: "double ", 3: "triple "}
DIVE_DIRECTIONS = {"forward": 1, "backward": 2, "reverse": 3, "inward": 4}
LEAPS = (
    "split leap",
    "switch leap",
    "straddle pike jump",
    "wolf hop or jump",
    "ring jump",
    "pike jump",
    "tuck hop or jump",
    "sheep jump",
    "cat leap",
    "stretched hop or jump",
)
# Free-leg position -> how FineGym says it after "<count> turn ".
TURN_LEGS = {
    "below horizontal": "on one leg, free leg optional below horizontal",
    "held up in split": "with free leg held upward in 180 split position throughout turn",
    "heel forward at horizontal": "with heel of free leg forward at horizontal throughout turn",
    "tuck stand": "in tuck stand on one leg, free leg optional",
    "back attitude": "in back attitude, knee of free leg at horizontal throughout turn",
}
VAULT_ENTRIES = {"handspring forward": "forward", "round-off, flic-flac": "backward", "tsukahara": ""}


@dataclass(frozen=True)
class Skill:
    """One label, as the factors that make it. `saltos` and `twists` are the counts that order decides."""

    apparatus: str  # FX, BB, UB, VT or DV
    family: str  # salto, leap, turn, vault, dismount, dive
    base: str  # the leap, the free leg of a turn, the vault entry; else the family
    direction: str = ""  # of the saltos: forward, backward; dives also reverse, inward
    shape: str = ""  # tucked, piked, stretched
    saltos: float = 0.0  # somersaults, in half steps for dives
    twists: float = 0.0  # twists or turns about the long axis, in half steps
    armstand: bool = False

    @property
    def text(self) -> str:
        """The label as its source dataset would print it; a dive's is its code."""
        by_family = {
            "salto": self._salto,
            "leap": self._leap,
            "turn": self._turn,
            "vault": self._vault,
            "dismount": self._dismount,
            "dive": self._dive,
        }
        text = by_family[self.family]()
        return text if self.family == "dive" else f"({self.apparatus}) {text}"

    def _salto(self) -> str:
        twists = f" with {self.twists:g} twist" if self.twists else ""
        return f"{SALTOS[self.saltos]}salto {self.direction} {self.shape}{twists}"

    def _leap(self) -> str:
        if self.twists:
            return f"{self.base} with {self.twists:g} turn"
        return {
            "split leap": "split leap forward",
            "straddle pike jump": "straddle pike jump or side split jump",
        }.get(self.base, self.base)

    def _turn(self) -> str:
        return f"{self.twists:g} turn {TURN_LEGS[self.base]}"

    def _vault(self) -> str:
        turns = f" with {self.twists:g} turn" if self.twists else ""
        if self.base == "tsukahara":
            return f"tsukahara {self.shape}{turns or ' salto'}"
        return f"{self.base} on, {self.shape} salto {self.direction}{turns} off"

    def _dismount(self) -> str:
        turns = f" with {self.twists:g} turn" if self.twists else ""
        return f"(swing forward) {SALTOS[self.saltos]}salto {self.direction} {self.shape}{turns}"

    def _dive(self) -> str:
        direction, halves, position = (
            DIVE_DIRECTIONS[self.direction],
            round(2 * self.saltos),
            SHAPES[self.shape],
        )
        twists = f"{round(2 * self.twists)}" if self.twists else ""
        if self.armstand:
            return f"6{direction}{halves}{twists}{position}"
        return f"5{direction}{halves}{twists}{position}" if twists else f"{direction}0{halves}{position}"


def _grid(*axes, make) -> list[Skill]:
    return [make(*values) for values in product(*axes)]


def _salto(apparatus, direction, shape, saltos, twists):
    return Skill(apparatus, "salto", "salto", direction, shape, saltos, twists)


def _dismount(shape, saltos, twists):
    return Skill("UB", "dismount", "dismount", "backward", shape, saltos, twists)


def _leap(apparatus, base, twists):
    return Skill(apparatus, "leap", base, twists=twists)


def _turn(apparatus, base, twists):
    return Skill(apparatus, "turn", base, twists=twists)


def _vault(base, shape, twists):
    return Skill("VT", "vault", base, VAULT_ENTRIES[base], shape, 1, twists)


def _dive(direction, shape, saltos, twists=0.0, armstand=False):
    return Skill("DV", "dive", "dive", direction, shape, saltos, twists, armstand)


def smoke_skills() -> list[Skill]:
    """Twenty labels: enough pairs of both kinds for every notebook to have something to show."""
    return (
        _grid(["FX"], ["backward"], ["stretched"], [1], [0, 1, 2], make=_salto)
        + _grid(["FX", "BB"], ["backward"], ["tucked", "piked"], [1], [0], make=_salto)
        + _grid(["FX"], ["backward"], ["tucked"], [2], [0], make=_salto)
        + _grid(["FX", "BB"], ["switch leap"], [0, 1], make=_leap)
        + _grid(["FX", "BB"], ["below horizontal"], [1, 2], make=_turn)
        + _grid(["forward", "backward"], ["piked"], [1.5, 2.5], make=_dive)
    )


def mini_skills() -> list[Skill]:
    """The default benchmark: every count is shared by several labels, every apparatus has its own skills."""
    return (
        _grid(["FX"], ["backward"], ["stretched"], [1], [0, 0.5, 1, 1.5, 2, 2.5], make=_salto)
        + _grid(["FX"], ["forward"], ["stretched"], [1], [0, 1, 2], make=_salto)
        + _grid(["FX"], ["backward", "forward"], ["tucked", "piked"], [1], [0], make=_salto)
        + _grid(["FX"], ["backward"], ["tucked", "piked"], [2], [0], make=_salto)
        + _grid(["FX"], ["backward"], ["tucked"], [2], [1], make=_salto)
        + _grid(["BB"], ["backward"], ["tucked", "piked", "stretched"], [1], [0], make=_salto)
        + _grid(["BB"], ["backward"], ["stretched"], [1], [1], make=_salto)
        + _grid(["BB"], ["forward"], ["tucked"], [1], [0], make=_salto)
        + _grid(["FX", "BB"], ["split leap", "switch leap"], [0, 1], make=_leap)
        + _grid(["FX", "BB"], ["below horizontal"], [1, 2], make=_turn)
        + _grid(["FX"], ["held up in split"], [1, 2], make=_turn)
        + _grid(["tucked", "stretched"], [2], [0, 1], make=_dismount)
        + _grid(["handspring forward"], ["stretched"], [0, 1, 2], make=_vault)
        + _grid(["forward", "backward"], ["piked"], [1.5, 2.5, 3.5], make=_dive)
        + _grid(["forward"], ["tucked"], [2.5, 3.5], make=_dive)
        + _grid(["inward", "reverse"], ["piked"], [1.5, 2.5], make=_dive)
        + _grid(["backward"], ["piked"], [1.5], [0.5, 1.5, 2.5], make=_dive)
        + _grid(["forward"], ["piked"], [2.5], [1, 2], make=_dive)
    )


def sim_skills() -> list[Skill]:
    """The paper's shape: 259 gymnastics labels and 47 dives, the plainest of a larger grid."""
    gym = (
        _grid(
            ["FX", "BB"],
            ["backward", "forward"],
            ["tucked", "piked", "stretched"],
            [1],
            [0, 0.5, 1, 1.5, 2, 2.5, 3],
            make=_salto,
        )
        + _grid(
            ["FX"],
            ["backward", "forward"],
            ["tucked", "piked", "stretched"],
            [2],
            [0, 0.5, 1, 1.5, 2],
            make=_salto,
        )
        + _grid(["BB"], ["backward"], ["tucked", "piked"], [2], [0, 1], make=_salto)
        + _grid(["FX"], ["backward"], ["tucked"], [3], [0], make=_salto)
        + _grid(["FX", "BB"], LEAPS, [0, 0.5, 1, 1.5], make=_leap)
        + _grid(["FX", "BB"], TURN_LEGS, [1, 1.5, 2, 3], make=_turn)
        + _grid(["tucked", "piked", "stretched"], [1, 2], [0, 0.5, 1, 1.5, 2], make=_dismount)
        + _grid(VAULT_ENTRIES, ["tucked", "piked", "stretched"], [0, 0.5, 1, 1.5, 2, 2.5], make=_vault)
    )
    dives = (
        _grid(["forward", "backward", "reverse", "inward"], ["piked", "tucked"], [1.5, 2.5, 3.5], make=_dive)
        + _grid(["backward", "reverse"], ["piked"], [1.5], [0.5, 1.5, 2.5, 3.5], make=_dive)
        + _grid(["forward"], ["piked"], [1.5], [1, 2, 3], make=_dive)
        + _grid(["forward", "backward"], ["piked"], [2.5], [1, 2, 3], make=_dive)
        + _grid(["backward"], ["piked"], [2.5], [0.5, 1.5], make=_dive)
        + _grid(["forward", "backward"], ["piked", "tucked"], [1, 2], [0], [True], make=_dive)
    )
    plainest = sorted(gym, key=lambda skill: (skill.saltos + skill.twists, skill.text))
    return plainest[:259] + sorted(dives, key=lambda skill: (skill.saltos + skill.twists, skill.text))[:47]


SKILLS = {"smoke": smoke_skills, "mini": mini_skills, "sim": sim_skills}
