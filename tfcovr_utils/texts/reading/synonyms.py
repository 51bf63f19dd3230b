"""What a person types for each change: patterns for the reader, beside the writer's own phrases.

All are matched against lower-case text without hyphens, its counts written as digits.
"""

from pathlib import Path

from ...labels import BASES as ALL_BASES
from ...labels.word_tables import read_rows, read_value
from ..words import GENERIC_BASES
from .counting import TURN

BASES = sorted(ALL_BASES, key=len, reverse=True)
# What a text may call a base; the generic ones only as a whole new skill.
BASE_NAMES = {base.replace("-", " "): base for base in BASES if base not in GENERIC_BASES} | {
    "back handspring": "flic-flac",
    "giant": "giant circle",
    "straddle pike jump": "side split jump",
    "straddle jump": "side split jump",
}
OPPOSITE = {"forward": "backward", "backward": "forward", "reverse": "inward", "inward": "reverse"}
OFF = (
    r"(?:no|not|without|lose|drop|remove|skip|omit|leave out|take out|take away|cut out|get rid of|minus)"
    r"(?: any| the| all| an?| from)*"
)
# Rows of (attribute, value, pattern) by kind. An "aside" contrasts with the wish, or says that things stay.
# A "name" is one of an apparatus, direction or shape. A "rule" is what else a person would type, beside the
# writer's own phrases in `words`.
_ROWS: dict[str, list[tuple[str, object, str]]] = {"aside": [], "name": [], "rule": []}
for _kind, _attribute, _value, _pattern in read_rows(Path(__file__).with_suffix(".csv")):
    _pattern = _pattern.replace("<off>", OFF).replace("<turn>", TURN)
    _ROWS[_kind].append((_attribute, read_value(_attribute, _value), _pattern))
ASIDES = [pattern for *_, pattern in _ROWS["aside"]]
PLACES, DIRECTIONS, SHAPES = (
    {value: pattern for attribute, value, pattern in _ROWS["name"] if attribute == name}
    for name in ("apparatus", "direction", "shape")
)
RULES = _ROWS["rule"]
