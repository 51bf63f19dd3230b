"""The words of modification texts; `phrases.csv` holds how each value of an attribute is said.

The rule writer and the reader share these tables, so the reader understands what the writer writes.
"""

from pathlib import Path

from ..labels import APPARATUS, Attributes
from ..labels.numbers import spell_numbers
from ..labels.word_tables import read_rows

# How each value of four attributes is said.
_PHRASES: dict[str, dict[str, str]] = {}
for _attribute, _value, _phrase in read_rows(Path(__file__).with_name("phrases.csv")):
    _PHRASES.setdefault(_attribute, {})[_value] = _phrase
ENTRIES, LEGS, FINISHES, MODIFIERS = (_PHRASES[name] for name in ("entry", "legs", "finish", "modifiers"))
SALTOS = {0.0: "no salto", 1.0: "a single salto", 2.0: "a double salto", 3.0: "a triple salto"}
DIVE_SHAPES = {"straight": "straight", "piked": "pike", "tucked": "tuck"}
# Other phrases use these words too: as a new base they are said with the whole skill.
GENERIC_BASES = {"salto", "turn", "jump", "hop", "dive"}


def count_words(text: str) -> int:
    """Count the words of a text whose counts are spelled out.

    >>> count_words("show with 2.5 twists")
    7
    """
    return len(spell_numbers(text).split())


def apparatus_name(attributes: Attributes) -> str:
    """Return the apparatus in full."""
    if attributes.apparatus not in APPARATUS:
        raise ValueError(
            f"label {attributes.base!r} names no apparatus, which a dense text must say; use --style short."
        )
    return APPARATUS[attributes.apparatus]


def say_count(count: float, noun: str) -> str:
    """Say a count and its noun, e.g. "2.5 twists", "0.5 turn", "no turn"."""
    return f"{count:g} {noun}{'s' * (count > 1)}" if count else f"no {noun}"


def say_rotation(attributes: Attributes) -> str:
    """Say the twists, or turns where the sport calls them so, with "or more" where the label has it."""
    twisting = attributes.family in ("salto", "handspring", "dive") and attributes.apparatus != "UB"
    count = say_count(attributes.rotation, "twist" if twisting else "turn")
    return count + " or more" * attributes.or_more + " or less" * ("or less" in attributes.modifiers)


def say_saltos(attributes: Attributes) -> str:
    """Say how many saltos; half steps exist in diving only, where they are somersaults."""
    is_dive = attributes.family == "dive"
    return say_count(attributes.saltos, "somersault") if is_dive else SALTOS[attributes.saltos]


def say_shape(attributes: Attributes) -> str:
    """Say the shape of the body in the words of its sport."""
    if not attributes.shape:
        return "no set shape"
    shape = DIVE_SHAPES[attributes.shape] if attributes.family == "dive" else attributes.shape
    return f"{shape} position"
