"""The rule writer: what differs between two labels, said as an instruction.

It says the target's values and never the source's, one clause a change. What does not fit three
clauses is said as a whole new skill. Nothing here reads or checks a text.
"""

from .labels import Attributes, difference
from .modification_words import (
    ENTRIES,
    FINISHES,
    LEGS,
    MODIFIERS,
    apparatus_name,
    say_count,
    say_rotation,
    say_saltos,
    say_shape,
    turn_noun,
)
from .pairing import NEUTRAL_LANDINGS

MOST_CLAUSES = 3
# The order of time, after what is changed about the whole.
_ORDER = (
    "apparatus", "base", "armstand", "entry", "entry_turn", "direction", "rotation", "saltos", "shape",
    "ring", "legs", "modifiers", "finish",
)  # fmt: skip


def changes(source: Attributes, target: Attributes) -> tuple[str, ...]:
    """Name the attributes that a text has to change, in the order it says them.

    The family follows from the base and "or more" is said with the count. Across apparatus, the
    swing that begins every skill on the bars and the landing come along and are not said.
    """
    differing = {change.attribute for change in difference(source, target)} - {"family"}
    if "or_more" in differing:
        differing = differing - {"or_more"} | {"rotation"}
    if "apparatus" in differing:
        if all(not a.entry or "swing" in a.entry for a in (source, target)):
            differing -= {"entry"}
        if {source.finish, target.finish} <= NEUTRAL_LANDINGS:
            differing -= {"finish"}
    if set(source.modifiers) ^ set(target.modifiers) == {"or less"}:
        differing = differing - {"modifiers"} | {"rotation"}
    return tuple(name for name in _ORDER if name in differing)


def write_rules(source: Attributes, target: Attributes) -> str:
    """Write the short modification that leads from source to target; "" where nothing differs."""
    changed = changes(source, target)
    if len(changed) > MOST_CLAUSES or ("base" in changed and "saltos" in changed):
        place = f" on {apparatus_name(target)}" if "apparatus" in changed else ""
        return f"instead show {_skill(target)}{place}"
    clauses: list[str] = []
    for name in changed:
        clauses += _clauses(name, source, target, alone=len(changed) == 1)
    return _join(clauses)


def describe(attributes: Attributes) -> str:
    """Describe a clip by its label's attributes alone; nobody looked at the clip."""
    place = "" if attributes.family == "dive" else f" on {apparatus_name(attributes)}"
    return _skill(attributes) + place


def _clauses(name: str, source: Attributes, target: Attributes, alone: bool) -> list[str]:
    if name == "apparatus":
        return [f"show on {apparatus_name(target)}"]
    if name == "base":
        return [f"show {_article(target.base)}"]
    if name == "armstand":
        return ["start from an arm-stand" if target.armstand else "start without an arm-stand"]
    if name == "entry":
        return [f"start {_from(target.entry)} {ENTRIES[target.entry]}"]
    if name == "entry_turn":
        return [f"show with {say_count(target.entry_turn, 'turn')} on entry"]
    if name == "direction":
        return [f"change direction to {target.direction}" if target.direction else "show with no direction"]
    if name == "rotation":
        return [_say_turning(source, target, alone)]
    if name == "saltos":
        return [f"show with {say_saltos(target)}" if target.saltos is not None else "show with no salto count"]
    if name == "shape":
        return [f"show {'in' if target.shape else 'with'} {say_shape(target)}"]
    if name == "ring":
        return ["show in ring position" if target.ring else "show with no ring position"]
    if name == "legs":
        return [f"show with {LEGS[target.legs]}"]
    if name == "finish":
        return [f"finish {FINISHES[target.finish]}"]
    gone = [f"show with no {MODIFIERS[m]}" for m in source.modifiers if m not in target.modifiers]
    come = [f"show with {_article(MODIFIERS[m])}" for m in target.modifiers if m not in source.modifiers]
    return gone + come


def _say_turning(source: Attributes, target: Attributes, alone: bool) -> str:
    count = say_rotation(target)
    if alone or not target.rotation or target.rotation == source.rotation:
        return f"show with {count}"
    return f"{'increase' if target.rotation > source.rotation else 'reduce'} to {count}"


def _from(entry: str) -> str:
    return "from" if "bar" in entry or "swing" in entry else "with"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _join(clauses: list[str]) -> str:
    """Join clauses as one imperative; a verb that the clause before had is not repeated."""
    said = clauses[:1]
    for before, clause in zip(clauses, clauses[1:]):
        same = clause.startswith("show ") and before.startswith("show ")
        said.append(clause.removeprefix("show ") if same else clause)
    if len(said) < 3:
        return " and ".join(said)
    return ", ".join(said[:-1]) + f", and {said[-1]}"


def _skill(a: Attributes) -> str:
    """Say a whole skill as one noun phrase."""
    shape = say_shape(a).removesuffix(" position") if a.shape else ""
    words = [a.direction, shape, "ring-position" if a.ring else "", _noun(a)]
    parts = [_article(" ".join(filter(None, words)))]
    if a.armstand:
        parts.append("from an arm-stand")
    if a.entry:
        parts.append(f"{_from(a.entry)} {ENTRIES[a.entry]}")
    if a.entry_turn:
        parts.append(f"with {say_count(a.entry_turn, 'turn')} on entry")
    if a.rotation:
        parts.append(f"with {say_rotation(a)}")
    if a.family == "dive":
        parts.append(f"with {say_saltos(a)}")
    if a.legs:
        parts.append(f"with {LEGS[a.legs]}")
    extras = [m for m in a.modifiers if m != "or less"]
    parts += [f"with {_article(MODIFIERS[m])}" for m in extras]
    if a.finish:
        parts.append(f"finishing {FINISHES[a.finish]}")
    return " ".join(parts)


def _noun(a: Attributes) -> str:
    """The base skill with its count of saltos, e.g. "double salto", "handspring with no salto"."""
    if a.saltos is None or a.family == "dive":
        return a.base
    count = say_saltos(a).removeprefix("a ")
    if a.base == "salto":
        return count
    return a.base if a.base == "whip salto" else f"{a.base} with {count}"
