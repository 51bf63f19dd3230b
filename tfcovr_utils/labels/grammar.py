"""The grammar of labels: a FineGym text or a FineDiving dive code becomes attributes.

Each row of `grammar.csv` that matches sets one attribute and takes its words out of the text. The words
that no row takes become the `residue`, so an unknown word is never lost.
"""

import re
from functools import cache
from pathlib import Path

from .attributes import APPARATUS, FAMILY_OF, Attributes
from .numbers import NUMBER
from .word_tables import read_rows, read_value

_TAG = re.compile(r"\(\s*([^)]*?)\s*\)\s*")
_TAGS = {name.lower(): tag for tag, full in APPARATUS.items() for name in (tag, full) if tag != "DV"}
_CODE = re.compile(r"(?:[1-4]0\d|5[1-4]\d\d|6[1-4]\d\d?)[a-d]")
# Digit or letter of a dive code -> value, and FineDiving's word for it.
_DIVE_DIRECTIONS = {"1": "forward", "2": "backward", "3": "reverse", "4": "inward"}
# Position d leaves the body free; FineDiving's procedures call it a pike.
_DIVE_SHAPES = {"a": "straight", "b": "piked", "c": "tucked", "d": "piked"}
_DIVE_WORDS = {"backward": "Back", "piked": "Pike", "tucked": "Tuck"}


@cache
def parse_label(text: str) -> Attributes:
    """Parse a FineGym text or a FineDiving dive code.

    >>> dive = parse_label("5152b")
    >>> dive.direction, dive.shape, dive.saltos, dive.rotation
    ('forward', 'piked', 2.5, 1.0)
    """
    cleaned = " ".join(text.lower().split())
    if _CODE.fullmatch(cleaned):
        return _parse_dive(cleaned)
    tag = _TAG.match(cleaned)
    if not tag or tag[1] not in _TAGS:
        raise ValueError(
            f"label {text!r} is neither a dive code nor a FineGym text; write it like '5152b' or "
            f"'(FX) salto backward tucked', with one of VT, FX, BB, UB in front."
        )
    if tag.end() == len(cleaned):
        raise ValueError(f"label {text!r} names no skill after its apparatus; add one.")
    return _parse_skill(_TAGS[tag[1]], cleaned[tag.end() :])


def label_text(code: str) -> str:
    """Spell a dive code as FineDiving spells a procedure.

    >>> label_text("5152b")
    'Forward, 1 Twist, 2.5 Soms.Pike, Entry'
    """
    dive = parse_label(code)
    if dive.apparatus != "DV":
        raise ValueError(f"{code!r} is a FineGym text, not a dive code such as '5152b'.")
    direction, shape = (_DIVE_WORDS.get(word, word.capitalize()) for word in (dive.direction, dive.shape))
    steps = [("Arm." if dive.armstand else "") + direction]
    if dive.rotation:
        steps.append(f"{dive.rotation:g} Twist{'s' * (dive.rotation > 1)}")
    return ", ".join([*steps, f"{dive.saltos:g} Som{'s' * (dive.saltos > 1)}.{shape}", "Entry"])


def _parse_dive(code: str) -> Attributes:
    """Read `[1-4]0s`, `5dst`, `6ds` or `6dst` and a position: s and t are half turns."""
    twisting = code[0] == "5" or len(code) == 5
    return Attributes(
        apparatus="DV",
        family="dive",
        base="dive",
        saltos=int(code[2]) / 2,
        direction=_DIVE_DIRECTIONS[code[1 if code[0] in "56" else 0]],
        shape=_DIVE_SHAPES[code[-1]],
        rotation=int(code[3]) / 2 if twisting else 0.0,
        armstand=code[0] == "6",
    )


# Rows of (part, attribute, value, pattern), tried from the top. A row that matches takes its words out of the
# text. An attribute keeps its first value, modifiers collect, and rows without an attribute remove words
# that say nothing. A row without a value takes the words or the number that its pattern has in brackets.
_N = rf"({NUMBER.pattern})"
_GRAMMAR = [
    (attribute, value, pattern.replace("<number>", _N))
    for _, attribute, value, pattern in read_rows(Path(__file__).with_suffix(".csv"))
]
_FILLER = re.compile(r"\b(?:with|to|and|in|off)\b|,")
_SWING_TURN = re.compile(rf" with {_N} turn$")


def _parse_skill(apparatus: str, skill: str) -> Attributes:
    text, found, modifiers = skill, {}, []
    # On the bars a bracket in front says how the skill begins; any other bracket is a remark.
    if swing := _TAG.match(text):
        entry, text = swing[1], text[swing.end() :]
        if turn := _SWING_TURN.search(entry):
            entry, found["entry_turn"] = entry[: turn.start()], float(turn[1])
        found["entry"] = entry
    text = _squeeze(_TAG.sub(" ", text))
    for attribute, value, pattern in _GRAMMAR:
        if attribute in found:
            continue
        if not attribute:
            text = _squeeze(re.sub(pattern, " ", text))
        elif match := re.search(pattern, text):
            text = _squeeze(f"{text[: match.start()]} {text[match.end() :]}")
            if attribute == "modifiers":
                modifiers.append(value)
            else:
                found[attribute] = read_value(attribute, value or match[1])
    base = found.pop("base", "salto" if "saltos" in found else "turn" if "rotation" in found else "")
    family = FAMILY_OF.get(base, "leap" if base else "")
    if apparatus == "VT":
        found.setdefault("saltos", 1.0 if "shape" in found else 0.0)
        family = "vault"
    if found.get("entry") == "arabian":
        found.setdefault("direction", "forward")
    if found.get("entry") == "gainer" and base == "salto":
        found.setdefault("direction", "backward")
    # A label without a base skill was not understood, whatever else was recognised.
    residue = _squeeze(_FILLER.sub(" ", text)) if base else skill
    return Attributes(apparatus, family, base, modifiers=tuple(sorted(modifiers)), residue=residue, **found)


def _squeeze(text: str) -> str:
    return " ".join(text.split()).replace(" ,", ",")
