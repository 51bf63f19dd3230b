"""The rule writer's dense style: what changes and also what stays, in order of time."""

from ..labels import Attributes, comes_along
from . import words
from .rules import changed_modifiers, changes, said_modifiers

_PHASES = {
    "At the start": ("armstand", "entry", "entry_turn"),
    "In the main part": ("direction", "saltos", "shape", "rotation", "legs", "ring", "modifiers"),
    "At the end": ("finish",),
}
# Attributes of the target as noun phrases.
_FEATURES = {
    "armstand": lambda a: "an arm-stand start" if a.armstand else "a standing start",
    "entry": lambda a: words.ENTRIES[a.entry],
    "entry_turn": lambda a: f"{words.say_count(a.entry_turn, 'turn')} on entry",
    "direction": lambda a: f"the {a.direction} direction" if a.direction else "no direction",
    "saltos": words.say_saltos,
    "shape": lambda a: f"the {words.say_shape(a)}" if a.shape else words.say_shape(a),
    "rotation": words.say_rotation,
    "legs": lambda a: words.LEGS[a.legs],
    "ring": lambda a: "the ring position" if a.ring else "no ring",
    "finish": lambda a: f"a finish {words.FINISHES[a.finish]}" if a.finish else "a plain ending",
}
_ALWAYS_SAID = ("armstand", "entry", "rotation", "finish")  # others only where they change or have a value


def write_dense(source: Attributes, target: Attributes) -> str:
    """Write the dense modification (30 to 120 words) that leads from source to target."""
    changed = changes(source, target)
    sentences = [_setting(target, changed)]
    for phase, names in _PHASES.items():
        new, kept = [], []
        for name in names:
            if name not in comes_along(source, target):
                (new if name in changed else kept).extend(_features(name, source, target, name in changed))
        said = ["show " + _list(new) + " now"] if new else []
        said += ["keep " + _list(kept) + " as before"] if kept else []
        if said:
            sentences.append(f"{phase}, {', and '.join(said)}.")
    sentences.append("Leave everything not named here unchanged, from the first moment to the last.")
    return " ".join(sentences)


def _setting(target: Attributes, changed: tuple[str, ...]) -> str:
    verb = "change the skill to" if "base" in changed else "keep the same skill,"
    skill = f"{verb} the {target.base}"
    if target.family == "dive":
        return f"{skill.capitalize()}."
    move = "Move to" if "apparatus" in changed else "Stay on"
    return f"{move} {words.apparatus_name(target)} and {skill}."


def _features(name: str, source: Attributes, target: Attributes, changed: bool) -> list[str]:
    """Say one attribute of the target; what neither label has is not said."""
    is_dive = target.family == "dive"
    if name == "modifiers":
        kept = [f"the {words.MODIFIERS[modifier]}" for modifier in said_modifiers(target)]
        return changed_modifiers(source, target) if changed else kept
    if name == "finish" and is_dive:
        return ["the entry into the water"]
    value = getattr(target, name)
    not_of_sport = is_dive if name == "entry" else name == "armstand" and not is_dive
    if not_of_sport or value is None or not (value or changed or name in _ALWAYS_SAID):
        return []
    return [_FEATURES[name](target)]


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
