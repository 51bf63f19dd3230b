"""The values of a label: its attributes, and what changes between two labels."""

import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

APPARATUS = {"VT": "Vault", "FX": "Floor Exercise", "BB": "Balance Beam", "UB": "Uneven Bars", "DV": "Diving"}
_FAMILIES = {
    "turn": "turn, illusion, tuck stand turn, back spin, prone turn",
    "salto": "salto, whip salto, aerial cartwheel, aerial walkover, aerial round-off",
    "handspring": "flic-flac, round-off, handspring",
    "circle": "pike sole circle, straddle sole circle, giant circle, clear rear pike circle, "
    "clear hip circle, hip circle, clear pike circle, clear straddle circle, seat circle, stalder",
    "flight": "straddle flight, stoop straddle vault, stoop pike vault, pike vault, counter, "
    "counter straddle, counter piked, counter stretched, transition flight",
    "dismount": "hecht, turn to stand",
}
# A base skill that is not here is a leap; on the vault every skill is a vault.
FAMILY_OF = {base: family for family, bases in _FAMILIES.items() for base in bases.split(", ")}


@dataclass(frozen=True)
class Attributes:
    """What a label says; "" or False where it does not say.

    `rotation` and `entry_turn` count full turns or twists, which are one attribute under two names; 0.0
    means none, or that the skill cannot twist. `saltos` is None for skills that are no salto and 0.0 for a
    vault without one. `entry` is how the skill begins (bar swing, arabian or gainer take-off), `base` the
    skill itself, and `residue` the words that the grammar does not know.
    """

    apparatus: str
    family: str
    base: str
    entry: str = ""
    entry_turn: float = 0.0
    saltos: float | None = None
    direction: str = ""
    shape: str = ""
    rotation: float = 0.0
    or_more: bool = False
    ring: bool = False
    legs: str = ""
    finish: str = ""
    modifiers: tuple[str, ...] = ()
    armstand: bool = False
    residue: str = ""

    def to_json(self) -> str:
        """Write the attributes for the `attributes` column of a labels table."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Attributes":
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "modifiers": tuple(values["modifiers"])})


class Change(NamedTuple):
    """One attribute that differs, with both values."""

    attribute: str
    source: object
    target: object


def difference(source: Attributes, target: Attributes) -> tuple[Change, ...]:
    """Return the attributes that change from source to target, in the order of the dataclass.

    The residue counts too: labels that differ in unknown words differ.

    >>> difference(Attributes("FX", "leap", "jump"), Attributes("BB", "leap", "jump"))
    (Change(attribute='apparatus', source='FX', target='BB'),)
    """
    before, after = asdict(source), asdict(target)
    return tuple(Change(name, before[name], after[name]) for name in before if before[name] != after[name])
