"""The words of modification texts: how each value of an attribute is said.

The rule writer and the reader share these tables, so the reader understands what the writer writes.
"""

from ..labels import APPARATUS, Attributes
from ..labels.numbers import spell_numbers

ENTRIES = {
    "": "a plain entry",
    "arabian": "an arabian take-off",
    "gainer": "a gainer take-off",
    "take-off forward": "a forward take-off",
    "jump backward": "a backward jump",
    "jump forward": "a forward jump",
    "stretched jump forward": "a stretched forward jump",
    "aerial cartwheel": "an aerial cartwheel entry",
    "handstand": "a handstand entry",
    "rear support": "a rear support entry",
    "high bar": "the high bar",
    "low bar": "the low bar",
    "from high bar": "a release from the high bar",
    "swing forward": "a forward swing",
    "swing backward": "a backward swing",
    "swing backward or front support": "a backward swing or front support",
    "swing forward or hip circle backward": "a forward swing or backward hip circle",
    "swing forward or under-swing with support of feet": "a forward swing or feet-supported under-swing",
    "swing forward or from high bar": "a forward swing or the high bar",
    "swing backward or from high bar": "a backward swing or the high bar",
    "under-swing or clear under-swing": "an under-swing",
    "under-swing on high bar or low bar": "an under-swing on either bar",
    "hip circle backward on low bar or high bar, also clear": "a backward hip circle entry",
    "pike sole circle backward": "a backward pike sole circle entry",
}
LEGS = {
    "": "an optional free leg",
    "held up in split": "the free leg held up in split",
    "heel at horizontal": "the heel of the free leg at horizontal",
    "back attitude": "the free leg in back attitude",
    "thigh at horizontal": "the thigh of the free leg at horizontal",
    "held backward and upward": "the free leg held backward and upward",
    "held backward with both hands": "the free leg held behind with both hands",
    "below horizontal": "the free leg below horizontal",
    "above horizontal": "the free leg above horizontal",
    "free leg straight": "a straight free leg",
    "free leg bent": "a bent free leg",
    "knee arabesque": "the free leg in knee arabesque",
}
FINISHES = {
    "": "with a plain ending",
    "feet together": "with feet together",
    "side of beam": "at the side of the beam",
    "end of beam": "at the end of the beam",
    "straddle sit": "in a cross straddle sit",
    "hip circle backward": "with a backward hip circle",
    "walkover forward": "with a forward walkover",
    "handspring forward": "with a forward handspring",
    "toes on bar": "with toes on the bar",
}
_ALIKE = {
    "in": "side position, cross position, front lying support, arabesque, rear inverted pike support, "
    "clear rear support, rear support, clear support, front support",
    "in a": "split sit, side handstand, handstand, hang",
    "with a": "step-out, tic-toc",
    "on the": "low bar, high bar",
}
FINISHES |= {name: f"{how} {name}" for how, names in _ALIKE.items() for name in names.split(", ")}
MODIFIERS = {
    "turn before salto": "turn before the salto",
    "turn between saltos": "turn between the saltos",
    "or less": "shorter spin",
    "over high bar": "flight over the high bar",
    "side position": "side start",
    "hop": "hop",
    "on one arm": "support on one arm",
    "before hand support": "twist before hand support",
    "after hand support": "twist after hand support",
    "piking of hips": "piking of the hips",
    "high flight": "high flight phase",
    "leg change": "leg change",
    "straddle": "leg straddle",
    "in horizontal plane": "horizontal flight",
}
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
