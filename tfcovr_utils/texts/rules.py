"""The rule writer: the instruction that says what differs between two labels.

It says the target's values and never the source's, in one clause for each change. More than three changes
become a whole new skill. Nothing here reads or checks a text.
"""

from ..labels import Attributes, comes_along, difference
from . import words

MOST_CLAUSES = 3


def changes(source: Attributes, target: Attributes) -> tuple[str, ...]:
    """Name the attributes that a text has to change, in the order in which it says them.

    The family follows from the base, and "or more" is said with the count.
    """
    differing = {change.attribute for change in difference(source, target)}
    differing -= {"family", *comes_along(source, target)}
    if "or_more" in differing or "or less" in set(source.modifiers) ^ set(target.modifiers):
        differing |= {"rotation"}
    if said_modifiers(source) == said_modifiers(target):
        differing -= {"modifiers"}
    return tuple(name for name in _PHRASES if name in differing)


def write_rules(source: Attributes, target: Attributes) -> str:
    """Write the short modification that leads from source to target; "" where nothing differs.

    >>> from tfcovr_utils.labels import parse_label
    >>> write_rules(parse_label("(FX) salto backward tucked"), parse_label("(BB) salto backward piked"))
    'show on Balance Beam, piked'
    """
    changed = changes(source, target)
    if not changed:
        return ""
    # Also a new skill: no count of saltos on one side, or a base whose word other phrases use.
    new_skill = "saltos" in changed and None in (source.saltos, target.saltos)
    new_skill |= "base" in changed and ("saltos" in changed or target.base in words.GENERIC_BASES)
    if len(changed) > MOST_CLAUSES or new_skill:
        place = f" on {words.apparatus_name(target)}" if "apparatus" in changed else ""
        return f"instead show {_skill(target)}{place}"
    if changed == ("direction",) and target.direction:
        return f"change direction to {target.direction}"
    if changed == ("shape",) and target.shape:
        return f"show in {words.say_shape(target)}"
    if changed == ("finish",):
        return f"finish {words.FINISHES[target.finish]}"
    phrases = {name: _PHRASES[name](source, target) for name in changed}
    if {"entry_turn", "rotation"} <= set(changed):
        phrases["rotation"] += " off"  # of a vault's two turns
    return _join_clauses(phrases, source, target) if len(phrases) == 3 else _join_phrases(phrases)


def describe(attributes: Attributes) -> str:
    """Describe a clip by its label's attributes alone; nobody looked at the clip."""
    if not attributes.apparatus:  # a label in free words describes itself
        return attributes.base
    place = "" if attributes.family == "dive" else f" on {words.apparatus_name(attributes)}"
    return _skill(attributes) + place


def said_modifiers(attributes: Attributes) -> list[str]:
    """List the modifiers that a text says by themselves; "or less" goes with the count."""
    return [modifier for modifier in attributes.modifiers if modifier != "or less"]


def changed_modifiers(source: Attributes, target: Attributes) -> list[str]:
    """Say the modifiers that go, then those that come."""
    before, after = said_modifiers(source), said_modifiers(target)
    gone = [f"no {words.MODIFIERS[modifier]}" for modifier in before if modifier not in after]
    return gone + [_article(words.MODIFIERS[modifier]) for modifier in after if modifier not in before]


def _start(attributes: Attributes) -> str:
    entry = words.ENTRIES[attributes.entry]
    return f"{'from' if 'swing' in entry or entry.endswith(' bar') else 'with'} {entry}"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


# Each change from source s to target t as it follows the word "show": the whole skill, then in order of time.
_PHRASES = {
    "base": lambda s, t: _article(t.base) if t.apparatus else t.base,
    "apparatus": lambda s, t: f"on {words.apparatus_name(t)}",
    "armstand": lambda s, t: "from an arm-stand" if t.armstand else "without an arm-stand",
    "entry": lambda s, t: _start(t),
    "entry_turn": lambda s, t: f"with {words.say_count(t.entry_turn, 'turn')} on entry",
    "direction": lambda s, t: t.direction or "with no direction",
    "rotation": lambda s, t: f"with {words.say_rotation(t)}",
    "saltos": lambda s, t: f"with {words.say_saltos(t)}",
    "shape": lambda s, t: words.say_shape(t).removesuffix(" position") if t.shape else "with no set shape",
    "ring": lambda s, t: "in ring position" if t.ring else "with no ring",
    "legs": lambda s, t: f"with {words.LEGS[t.legs]}",
    "modifiers": lambda s, t: f"with {' and '.join(changed_modifiers(s, t))}",
    "finish": lambda s, t: f"finishing {words.FINISHES[t.finish]}",
}


def _join_phrases(phrases: dict[str, str]) -> str:
    """Join one or two changes, e.g. "show backward with 2 twists", "show with 2 twists, tucked"."""
    text = "show"
    for name, phrase in phrases.items():
        if " with " in text and phrase.startswith("with "):
            text += " and" + phrase.removeprefix("with")
        elif text != "show" and name == "direction":
            text += f", going {phrase}"
        elif text != "show" and name in ("shape", "finish"):
            text += f", {phrase}"
        else:
            text += f" {phrase}"
    return text


def _join_clauses(phrases: dict[str, str], source: Attributes, target: Attributes) -> str:
    """Join three changes as the paper does: "change direction to ..., increase to ..., and show ..."."""
    clauses: list[str] = []
    for name, phrase in phrases.items():
        if name == "direction" and target.direction:
            clauses.append(f"change direction to {phrase}")
        elif name == "rotation" and target.rotation and target.rotation != source.rotation:
            verb = "increase" if target.rotation > source.rotation else "reduce"
            clauses.append(f"{verb} to{phrase.removeprefix('with')}")
        else:
            has_verb = clauses and not clauses[-1].startswith(("change", "increase", "reduce"))
            clauses.append(phrase if has_verb else f"show {phrase}")
    return f"{clauses[0]}, {clauses[1]}, and {clauses[2]}"


def _skill(a: Attributes) -> str:
    """Say a whole skill as one noun phrase."""
    shape = words.say_shape(a).removesuffix(" position") if a.shape else ""
    adjectives = [a.direction, shape, "ring-position" if a.ring else ""]
    names = ["armstand", "entry", "entry_turn", "rotation", "saltos", "legs", "modifiers", "finish"]
    given = {name: getattr(a, name) for name in names}
    given |= {"saltos": a.family == "dive", "modifiers": said_modifiers(a)}
    text = _article(" ".join(filter(None, [*adjectives, _noun(a)])))
    for name in filter(given.get, names):
        phrase = _PHRASES[name](Attributes("", "", ""), a)
        joined = phrase.startswith("with ") and " with " in text
        text += f" and {phrase.removeprefix('with ')}" if joined else f" {phrase}"
    return text


def _noun(a: Attributes) -> str:
    """Return the base skill with its count of saltos, e.g. "double salto", "handspring with no salto"."""
    if a.saltos is None or a.family == "dive" or a.base == "whip salto":
        return a.base
    count = words.say_saltos(a).removeprefix("a ")
    return count if a.base == "salto" else f"{a.base} with {count}"
