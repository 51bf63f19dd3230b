"""The rule writer: what differs between two labels, said as an instruction.

It says the target's values and never the source's, one clause a change. What does not fit three clauses is
said as a whole new skill. Nothing here reads or checks a text.
"""

from ..labels import Attributes, difference
from ..labels.pairing import NEUTRAL_LANDINGS
from .words import (
    ENTRIES,
    FINISHES,
    GENERIC_BASES,
    LEGS,
    MODIFIERS,
    apparatus_name,
    say_count,
    say_rotation,
    say_saltos,
    say_shape,
)

MOST_CLAUSES = 3
# The order of time, after what is changed about the whole.
_ORDER = (
    "base",
    "apparatus",
    "armstand",
    "entry",
    "entry_turn",
    "direction",
    "rotation",
    "saltos",
    "shape",
    "ring",
    "legs",
    "modifiers",
    "finish",
)


def comes_along(source: Attributes, target: Attributes) -> set[str]:
    """Name what another apparatus changes by itself, so that nobody says it: the swing that begins
    every skill on the bars, and the landing."""
    if source.apparatus == target.apparatus:
        return set()
    swings = all(not a.entry or "swing" in a.entry for a in (source, target))
    landings = {source.finish, target.finish} <= NEUTRAL_LANDINGS
    return {name for name, free in [("entry", swings), ("finish", landings)] if free}


def changes(source: Attributes, target: Attributes) -> tuple[str, ...]:
    """Name the attributes that a text has to change, in the order it says them.

    The family follows from the base, and "or more" is said with the count.
    """
    differing = {change.attribute for change in difference(source, target)}
    differing -= {"family", *comes_along(source, target)}
    if "or_more" in differing or "or less" in set(source.modifiers) ^ set(target.modifiers):
        differing |= {"rotation"}
    if said_modifiers(source) == said_modifiers(target):
        differing -= {"modifiers"}
    return tuple(name for name in _ORDER if name in differing)


def write_rules(source: Attributes, target: Attributes) -> str:
    """Write the short modification that leads from source to target; "" where nothing differs."""
    changed = changes(source, target)
    if not changed:
        return ""
    # Without a count of saltos on both sides, or by a word other phrases use, it is another skill.
    new_skill = "saltos" in changed and None in (source.saltos, target.saltos)
    new_skill |= "base" in changed and ("saltos" in changed or target.base in GENERIC_BASES)
    if len(changed) > MOST_CLAUSES or new_skill:
        place = f" on {apparatus_name(target)}" if "apparatus" in changed else ""
        return f"instead show {_skill(target)}{place}"
    if changed == ("direction",) and target.direction:
        return f"change direction to {target.direction}"
    if changed == ("shape",) and target.shape:
        return f"show in {say_shape(target)}"
    if changed == ("finish",):
        return f"finish {FINISHES[target.finish]}"
    parts = {name: _part(name, source, target, changed) for name in changed}
    return _join_clauses(parts, source, target) if len(parts) == 3 else _join_parts(parts)


def describe(attributes: Attributes) -> str:
    """Describe a clip by its label's attributes alone; nobody looked at the clip."""
    if not attributes.apparatus:  # a label in free words says itself
        return attributes.base
    place = "" if attributes.family == "dive" else f" on {apparatus_name(attributes)}"
    return _skill(attributes) + place


def _part(name: str, source: Attributes, target: Attributes, changed: tuple[str, ...]) -> str:
    """Say one change as it follows the word "show"."""
    if name == "apparatus":
        return f"on {apparatus_name(target)}"
    if name == "base":
        return article(target.base) if target.apparatus else target.base
    if name == "armstand":
        return "from an arm-stand" if target.armstand else "without an arm-stand"
    if name == "entry":
        return _start(target)
    if name == "entry_turn":
        return f"with {say_count(target.entry_turn, 'turn')} on entry"
    if name == "direction":
        return target.direction or "with no direction"
    if name == "rotation":
        # Where a vault's two turns both change, the second is told from the first.
        return f"with {say_rotation(target)}" + " off" * ("entry_turn" in changed)
    if name == "saltos":
        return f"with {say_saltos(target)}"
    if name == "shape":
        return say_shape(target).removesuffix(" position") if target.shape else "with no set shape"
    if name == "ring":
        return "in ring position" if target.ring else "with no ring"
    if name == "legs":
        return f"with {LEGS[target.legs]}"
    if name == "finish":
        return f"finishing {FINISHES[target.finish]}"
    gone = [f"no {MODIFIERS[m]}" for m in said_modifiers(source) if m not in target.modifiers]
    come = [article(MODIFIERS[m]) for m in said_modifiers(target) if m not in source.modifiers]
    return f"with {' and '.join(gone + come)}"


def _join_parts(parts: dict[str, str]) -> str:
    """Join one or two changes, e.g. "show backward with 2 twists", "show with 2 twists, tucked"."""
    text = "show"
    for name, part in parts.items():
        if " with " in text and part.startswith("with "):
            text += " and" + part.removeprefix("with")
        elif text != "show" and name == "direction":
            text += f", going {part}"
        elif text != "show" and name in ("shape", "finish"):
            text += f", {part}"
        else:
            text += f" {part}"
    return text


def _join_clauses(parts: dict[str, str], source: Attributes, target: Attributes) -> str:
    """Join three changes as the paper does: "change direction to ..., increase to ..., and show ..."."""
    clauses = []
    for name, part in parts.items():
        if name == "direction" and target.direction:
            clauses.append(f"change direction to {part}")
        elif name == "rotation" and target.rotation and target.rotation != source.rotation:
            verb = "increase" if target.rotation > source.rotation else "reduce"
            clauses.append(f"{verb} to{part.removeprefix('with')}")
        else:
            told = clauses and not clauses[-1].startswith(("change", "increase", "reduce"))
            clauses.append(part if told else f"show {part}")
    return f"{clauses[0]}, {clauses[1]}, and {clauses[2]}"


def said_modifiers(attributes: Attributes) -> list[str]:
    """List the modifiers that are said by themselves; "or less" goes with the count."""
    return [modifier for modifier in attributes.modifiers if modifier != "or less"]


def _start(attributes: Attributes) -> str:
    entry = ENTRIES[attributes.entry]
    return f"{'from' if 'swing' in entry or entry.endswith(' bar') else 'with'} {entry}"


def article(noun: str) -> str:
    """Put "a" or "an" before a noun."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _skill(a: Attributes) -> str:
    """Say a whole skill as one noun phrase."""
    shape = say_shape(a).removesuffix(" position") if a.shape else ""
    words = [a.direction, shape, "ring-position" if a.ring else "", _noun(a)]
    parts = [article(" ".join(filter(None, words)))]
    if a.armstand:
        parts.append("from an arm-stand")
    if a.entry:
        parts.append(_start(a))
    if a.entry_turn:
        parts.append(f"with {say_count(a.entry_turn, 'turn')} on entry")
    if a.rotation:
        parts.append(f"with {say_rotation(a)}")
    if a.family == "dive":
        parts.append(f"with {say_saltos(a)}")
    if a.legs:
        parts.append(f"with {LEGS[a.legs]}")
    parts += [f"with {article(MODIFIERS[m])}" for m in said_modifiers(a)]
    if a.finish:
        parts.append(f"finishing {FINISHES[a.finish]}")
    text = parts[0]
    for part in parts[1:]:
        told = part.startswith("with ") and " with " in text
        text += f" and {part.removeprefix('with ')}" if told else f" {part}"
    return text


def _noun(a: Attributes) -> str:
    """The base skill with its count of saltos, e.g. "double salto", "handspring with no salto"."""
    if a.saltos is None or a.family == "dive":
        return a.base
    count = say_saltos(a).removeprefix("a ")
    if a.base == "salto":
        return count
    return a.base if a.base == "whip salto" else f"{a.base} with {count}"
