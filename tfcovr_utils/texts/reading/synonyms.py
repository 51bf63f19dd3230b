"""What a person types for each change: patterns for the reader, beside the writer's own phrases.

All are matched against lower-case text without hyphens, its counts written as digits.
"""

import re
from collections.abc import Callable

from ...labels import FAMILY_OF, Attributes
from ..words import GENERIC_BASES
from .counting import TURN

Value = object | Callable[[re.Match, Attributes], object]

# Every base that a label can have; those without a family in `labels` are leaps, vaults and dives.
_OTHER_BASES = (
    "dive, round-off flic-flac, tsukahara, yamashita, jump, hop, split leap, switch leap, "
    "stag split leap, split jump, side split jump, stag jump, sissone, johnson, leap to straddle pike, "
    "tuck jump to split, sheep jump, stride leap, jump with legs separated, cat leap, fouette hop, "
    "ring jump, butterfly, yang-bo, fouette hop with leg change"
)
BASES = sorted([*FAMILY_OF, *_OTHER_BASES.split(", ")], key=len, reverse=True)
# What a text may call a base; the generic ones only as a whole new skill.
BASE_NAMES = {base.replace("-", " "): base for base in BASES if base not in GENERIC_BASES} | {
    "back handspring": "flic-flac",
    "giant": "giant circle",
    "straddle pike jump": "side split jump",
    "straddle jump": "side split jump",
}
SHAPES = {
    "tucked": r"tuck(?:ed|s|ing)?|(?:in|into) a ball",
    "piked": r"pik(?:e|ed|es|ing)",
    "stretched": r"stretch(?:ed|ing)?|straight(?:en)?(?:ed)?|lay ?out|laid out",
    "straddled": r"straddl(?:e|ed|ing)",
    "wolf": r"wolf",
}
DIRECTIONS = {
    "forward": r"forwards?|front",
    "backward": r"backwards?|back",
    "reverse": r"reverse",
    "inward": r"inwards?",
    "sideward": r"sidewards?|sideways",
}
_OPPOSITE = {"forward": "backward", "backward": "forward", "reverse": "inward", "inward": "reverse"}
_TURNED_ROUND = r"(?:opposite|other) (?:direction|way)|(?:reverse|flip|switch) the direction(?: of rotation)?"
PLACES = {
    "BB": r"(?:balance )?beam",
    "FX": r"floor(?: exercise)?",
    "UB": r"(?:(?:uneven|asymmetric) )?bars",
    "VT": r"vault(?:ing table)?",
}
OFF = (
    r"(?:no|not|without|lose|drop|remove|skip|omit|leave out|take out|take away|cut out|get rid of|minus)"
    r"(?: any| the| all| an?| from)*"
)

# What contrasts with the wish, or only says that things stay.
ASIDES = [
    r"\bturn (?:it|this|that|them) (?:into|around|round)\b",
    r"\bback (?:it |this )?(?:off|down)\b",
    r"\b(?:this|that|same|next) one\b",
    r"(?:instead of|rather than|in place of) .*?(?=,|;|\.| but | and |$)",
    r"[,;] not (?!from)[^,;.]*",
    r"[^,;.]* (?:is|are|was) too (?:much|many|few)",
    r"(?:everything|all) else[^,;.]*|the rest[^,;.]*",
]


def _turn_round(match: re.Match, source: Attributes) -> str:
    return _OPPOSITE.get(source.direction, source.direction)


# What else a person would type. A value that is a function gets the match and the source.
RULES: list[tuple[str, Value, str]] = [
    ("legs", "held up in split", r"\bleg\b[^,;]*\bsplits?\b"),
    ("legs", "heel at horizontal", r"heel .*?horizontal|heel forward"),
    ("legs", "thigh at horizontal", r"thigh .*?horizontal"),
    ("legs", "back attitude", r"(?:back )?attitude(?: behind)?"),
    ("legs", "below horizontal", r"below (?:the )?horizontal"),
    ("legs", "above horizontal", r"above (?:the )?horizontal"),
    ("legs", "free leg straight", r"free leg straight"),
    ("legs", "free leg bent", r"free leg bent|bend the free leg"),
    ("entry", "", r"(?:plain|normal|ordinary|regular) (?:entry|take ?off)"),
    ("entry", "", rf"{OFF} (?:gainer|arabian)|take off (?:normally|as usual)"),
    ("entry", "arabian", r"arabian"),
    ("entry", "gainer", r"gainer"),
    ("entry", "low bar", r"(?:start|begin)\w*(?: on| from)?(?: the)? low bar|from (?:the )?low bar"),
    ("entry", "high bar", r"(?:start|begin)\w*(?: on| from)?(?: the)? high bar|from (?:the )?high bar"),
    ("finish", "low bar", r"(?:to|on|onto|catch) (?:the )?low bar"),
    ("finish", "high bar", r"(?:finish|end|to|onto|catch)\w*(?: on)?(?: the)? high bar"),
    ("finish", "end of beam", r"end of (?:the )?beam"),
    ("finish", "side of beam", r"side of (?:the )?beam|off the side"),
    ("finish", "step-out", r"step(?:ping)? out|feet (?:land )?successively|1 foot after the other"),
    ("finish", "feet together", r"(?:feet|legs) together|both feet"),
    ("finish", "cross position", r"cross position|facing along the beam"),
    ("finish", "front lying support", r"lying support"),
    ("finish", "arabesque", r"arabesque"),
    ("ring", False, rf"\b{OFF} ring\b"),
    ("ring", True, r"\bring\b"),
    ("direction", _turn_round, _TURNED_ROUND),
    ("direction", "", r"no direction"),
    ("shape", "", r"no set shape"),
]
_SIDE = (
    r"(?:side start|(?:in|from) (?:the )?side(?: position)?"
    r"|(?:begin|start)\w*(?: it)? (?:sideways|side on|from the side|in side position))"
)
# Modifiers in a person's words; the writer's own phrases stand in MODIFIERS.
MODIFIER_RULES = [
    ("side position", _SIDE),
    ("hop", rf"\bhop\b(?= (?:the|in|into|through|during|{TURN}))|with (?:a )?hop"),
    ("on one arm", r"on 1 arm"),
    ("over high bar", r"over (?:the )?high bar"),
    ("leg change", r"(?:change of legs|swap legs|legs? change)"),
]
