"""The values of a label: its attributes, and what changes between two labels."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from .word_tables import read_rows

APPARATUS = {"VT": "Vault", "FX": "Floor Exercise", "BB": "Balance Beam", "UB": "Uneven Bars", "DV": "Diving"}
# Every base skill and its family. One without a family is a leap; on the vault every skill is a vault.
BASES = {base: family for family, base in read_rows(Path(__file__).with_name("bases.csv"))}
FAMILY_OF = {base: family for base, family in BASES.items() if family}
NEUTRAL_LANDINGS = {"", "step-out", "feet together", "cross position", "side position"}


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
    values = ((name, getattr(source, name), getattr(target, name)) for name in Attributes.__annotations__)
    return tuple(Change(name, before, after) for name, before, after in values if before != after)


def comes_along(source: Attributes, target: Attributes) -> set[str]:
    """Name what another apparatus changes by itself, unsaid: the first swing on the bars, and the landing."""
    if source.apparatus == target.apparatus:
        return set()
    swings = all(not one.entry or "swing" in one.entry for one in (source, target))
    landings = {source.finish, target.finish} <= NEUTRAL_LANDINGS
    return {name for name, free in [("entry", swings), ("finish", landings)] if free}
