"""The rule writer's dense style: what changes and also what stays, in order of time."""

from ..labels import Attributes
from .rules import article, changes, comes_along, said_modifiers
from .words import (
    ENTRIES,
    FINISHES,
    LEGS,
    MODIFIERS,
    apparatus_name,
    say_count,
    say_rotation,
    say_saltos,
    say_shape,
)

_PHASES = {
    "At the start": ("armstand", "entry", "entry_turn"),
    "In the main part": ("direction", "saltos", "shape", "rotation", "legs", "ring", "modifiers"),
    "At the end": ("finish",),
}


def write_dense(source: Attributes, target: Attributes) -> str:
    """Write the dense modification (30 to 120 words) that leads from source to target."""
    changed = changes(source, target)
    silent = comes_along(source, target)
    sentences = [_setting(target, changed)]
    for phase, names in _PHASES.items():
        new: list[str] = []
        kept: list[str] = []
        for name in names:
            if name not in silent:
                (new if name in changed else kept).extend(_features(name, source, target, name in changed))
        said = ["show " + _list(new) + " now"] if new else []
        said += ["keep " + _list(kept) + " as before"] if kept else []
        if said:
            sentences.append(f"{phase}, {', and '.join(said)}.")
    sentences.append("Leave everything not named here unchanged, from the first moment to the last.")
    return " ".join(sentences)


def _setting(target: Attributes, changed: tuple[str, ...]) -> str:
    skill = (
        f"change the skill to the {target.base}"
        if "base" in changed
        else f"keep the same skill, the {target.base}"
    )
    if target.family == "dive":
        return f"{skill.capitalize()}."
    move = "Move to" if "apparatus" in changed else "Stay on"
    return f"{move} {apparatus_name(target)} and {skill}."


def _features(name: str, source: Attributes, target: Attributes, changed: bool) -> list[str]:
    """Say one attribute of the target as noun phrases; what neither label has goes without saying."""
    if name == "modifiers":
        gone = [f"no {MODIFIERS[m]}" for m in said_modifiers(source) if m not in target.modifiers]
        if changed:
            come = [m for m in said_modifiers(target) if m not in source.modifiers]
            return gone + [article(MODIFIERS[m]) for m in come]
        return [f"the {MODIFIERS[m]}" for m in said_modifiers(target)]
    value = getattr(target, name)
    if name == "armstand":
        both = ["an arm-stand start" if value else "a standing start"]
        return both if target.family == "dive" else []
    if name == "rotation":
        return [say_rotation(target)]
    if name == "finish" and target.family == "dive":
        return ["the entry into the water"]
    if name == "finish":
        return [f"a finish {FINISHES[value]}" if value else FINISHES[""].removeprefix("with ")]
    if name == "entry":
        return [ENTRIES[value]] if target.family != "dive" else []
    if not changed and not value:
        return []
    if name == "saltos":
        return [say_saltos(target)] if value is not None else []
    said = {
        "entry_turn": f"{say_count(target.entry_turn, 'turn')} on entry",
        "direction": f"the {value} direction" if value else "no direction",
        "shape": f"the {say_shape(target)}" if value else say_shape(target),
        "legs": LEGS[target.legs],
        "ring": "the ring position" if value else "no ring",
    }
    return [said[name]]


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
