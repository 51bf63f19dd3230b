"""Label text -> attributes -> differences, for FineGym texts and FineDiving dive codes.

A label is read by consuming it: each row of `_RULES` that matches sets one attribute and takes
its words away, and what no row takes is the `residue`, so an unknown word is never lost silently.
Nothing here knows about clips, tables or sentences.
"""

import json
import re
from dataclasses import asdict, dataclass
from functools import cache
from typing import NamedTuple

APPARATUS = {"VT": "Vault", "FX": "Floor Exercise", "BB": "Balance Beam", "UB": "Uneven Bars", "DV": "Diving"}
_TAG = re.compile(r"\(\s*([^)]*?)\s*\)\s*")
_TAGS = {name.lower(): tag for tag, full in APPARATUS.items() for name in (tag, full)}
_CODE = re.compile(r"(?:[1-4]0\d|5[1-4]\d\d|6[1-4]\d\d?)[a-d]")

_DIVE_DIRECTIONS = {"1": "forward", "2": "backward", "3": "reverse", "4": "inward"}
# Position d leaves the body free; FineDiving's procedures call it a pike.
_DIVE_SHAPES = {"a": "straight", "b": "piked", "c": "tucked", "d": "piked"}
_DIVE_WORDS = {
    "forward": "Forward",
    "backward": "Back",
    "reverse": "Reverse",
    "inward": "Inward",
    "straight": "Straight",
    "piked": "Pike",
    "tucked": "Tuck",
}


@dataclass(frozen=True)
class Attributes:
    """What a label says, one value an attribute; "" or False where the label does not say.

    `rotation` and `entry_turn` count full turns or twists (one attribute under two names) and are
    0.0 where the label names none, so "no twist" and "cannot twist" read alike. `saltos` is None
    for skills that are no salto and 0.0 for a vault without one. `entry` is how the skill begins
    (the bar swing, the arabian or gainer take-off), `base` the skill itself.
    """

    apparatus: str
    family: str
    base: str
    entry: str = ""
    entry_turn: float = 0.0
    saltos: float | None = None
    direction: str = ""
    shape: str = ""
    rotation: float = 0.0
    or_more: bool = False
    ring: bool = False
    legs: str = ""
    finish: str = ""
    modifiers: tuple[str, ...] = ()
    armstand: bool = False
    residue: str = ""

    def to_json(self) -> str:
        """Write the attributes for the `attributes` column of a labels table."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Attributes":
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "modifiers": tuple(values["modifiers"])})


class Change(NamedTuple):
    """One attribute that differs, with both values."""

    attribute: str
    source: object
    target: object


def difference(source: Attributes, target: Attributes) -> tuple[Change, ...]:
    """Return the attributes that change from source to target, in the order of the dataclass.

    The residue counts too: labels that differ only in words nobody understood are not the same.
    """
    before, after = asdict(source), asdict(target)
    return tuple(Change(k, before[k], after[k]) for k in before if before[k] != after[k])


@cache
def parse_label(text: str) -> Attributes:
    """Parse a FineGym text such as "(FX) salto backward piked" or a dive code such as "5152b"."""
    cleaned = " ".join(text.lower().split())
    if _CODE.fullmatch(cleaned):
        return _parse_dive(cleaned)
    tag = _TAG.match(cleaned)
    if not tag or tag[1] not in _TAGS or tag[1] in ("dv", "diving"):
        raise ValueError(
            f"label {text!r} is neither a dive code nor a FineGym text; write it like '5152b' or "
            f"'(FX) salto backward tucked', with one of VT, FX, BB, UB in front."
        )
    if tag.end() == len(cleaned):
        raise ValueError(f"label {text!r} names no skill after its apparatus; add one.")
    return _parse_skill(_TAGS[tag[1]], cleaned[tag.end() :])


def label_text(code: str) -> str:
    """Spell a dive code as FineDiving spells a procedure, e.g. "Inward, 3.5 Soms.Tuck, Entry"."""
    dive = parse_label(code)
    if dive.apparatus != "DV":
        raise ValueError(f"{code!r} is a FineGym text, not a dive code such as '5152b'.")
    steps = [("Arm." if dive.armstand else "") + _DIVE_WORDS[dive.direction]]
    if dive.rotation:
        steps.append(f"{dive.rotation:g} Twist{'s' * (dive.rotation > 1)}")
    steps.append(f"{dive.saltos:g} Som{'s' * (dive.saltos > 1)}.{_DIVE_WORDS[dive.shape]}")
    return ", ".join([*steps, "Entry"])


def _parse_dive(code: str) -> Attributes:
    """Read `[1-4]0s`, `5dst`, `6ds` or `6dst` and a position: s and t are half turns."""
    digits, position = code[:-1], code[-1]
    twisting = digits[0] == "5" or len(digits) == 4
    return Attributes(
        apparatus="DV",
        family="dive",
        base="dive",
        saltos=int(digits[2]) / 2,
        direction=_DIVE_DIRECTIONS[digits[1 if digits[0] in "56" else 0]],
        shape=_DIVE_SHAPES[position],
        rotation=int(digits[3]) / 2 if twisting else 0.0,
        armstand=digits[0] == "6",
    )


# The grammar: rows of (attribute, value, pattern), tried from the top. A row that matches takes its
# words out of the text. A scalar keeps its first value, modifiers collect, and an empty attribute
# takes words that say nothing. The values `float` and `str` mean: what the pattern's group holds.
_N = r"(\d+(?:\.\d+)?)"
_BEFORE_FLIGHT = r"(?=(?:\w+ )?(?:salto|counter|straddle flight))"
_GRAMMAR = (
    # How it begins.
    ("entry", "arabian", r"arabian"),
    ("entry", "gainer", r"gainer"),
    ("entry", "take-off forward", r"take-off forward from one or both legs,"),
    ("", "", r", take[ -]off from (?:one leg|2 feet)"),
    ("entry", "jump backward", r"jump backward,"),
    ("entry", "stretched jump forward", rf"stretched jump forward(?= with {_N} twist and)"),
    ("entry", "jump forward", rf"jump forward(?= with {_N} twist and)"),
    ("entry", "aerial cartwheel", r"aerial cartwheel into(?= salto)"),
    ("entry", "rear support", r"from rear support,"),
    ("entry", "handstand", r"from handstand"),
    ("base", "round-off flic-flac", r"^round-off, flic-flac(?=.* on,)"),
    ("base", "handspring", r"^handspring forward(?=.* on,)"),
    ("entry_turn", float, rf"with {_N} turn(?= on,)"),
    ("modifiers", "turn before salto", rf"(?<=on, )(?={_N} turn to)"),
    ("entry_turn", float, rf"^(?:with )?{_N} (?:turn|twist) (?:to|and) {_BEFORE_FLIGHT}"),
    ("", "", r"\bon,"),
    # Saltos. A double salto told as two takes direction and shape from the second.
    ("base", "whip salto", r"whip(?= salto)"),
    ("saltos", 2.0, rf"salto(?: \w+ward)?(?: \w+ed)?(?= with {_N} turn into)"),
    ("modifiers", "turn between saltos", r"into salto"),
    ("", "", r"in first or second salto"),
    ("base", "yamashita", r"yamashita(?:-piked)?"),
    ("saltos", 0.0, r"(?:to stretched )?without salto"),
    ("saltos", 3.0, r"triple salto"),
    ("saltos", 2.0, r"double salto"),
    ("saltos", 1.0, r"salto"),
    # How it ends.
    ("finish", "front lying support", r"(?:, )?(?:to |and )?land(?:ing)? in front lying support"),
    ("finish", "split sit", r"to land in split sit position"),
    ("finish", "arabesque", r"to land in arabesque"),
    ("finish", "straddle sit", r"(?:, |and )?swing down to cross straddle sit"),
    ("finish", "hip circle backward", r"(?<=n |t )(?:with|to) hip circle backward"),
    ("finish", "tic-toc", r"through handstand to tic-toc"),
    ("finish", "walkover forward", r"through handstand to walkover forward"),
    ("finish", "handspring forward", r"to handspring forward, land on 2 feet"),
    ("finish", "side handstand", r"to side handstand,? (?:keep 2 seconds, )?lower to .* position"),
    ("finish", "handstand", r"to handstand, keep 2 seconds, lower to optional end position"),
    # Circles end in a handstand unless the label says otherwise.
    ("", "", r"to handstand|before handstand phase"),
    ("finish", "toes on bar", r", end with toes-on-bar"),
    ("finish", "rear inverted pike support", r"to rear inverted pike support"),
    ("finish", "clear rear support", r"to finish in clear rear support"),
    ("finish", "rear support", r"to rear support"),
    ("finish", "clear support", r"to clear support"),
    ("finish", "front support", r"to front support"),
    ("entry", "high bar", r"from high bar(?= to low bar)"),
    ("entry", "low bar", r"from low bar(?= to high bar)"),
    ("finish", "low bar", r"to low bar"),
    ("finish", "high bar", r"(?<=flight )to high bar"),
    ("finish", "hang", r"to (?:hang|catch)(?: on)?(?: high bar)?"),
    ("finish", "step-out", r"with step-out|-step out|, feet land successively"),
    ("finish", "side of beam", r"to side of beam"),
    ("finish", "end of beam", r"(?:with legs together )?at end of (?:the )?beam"),
    ("finish", "feet together", r", feet land together|with legs together$|to land on both feet"),
    ("finish", "side position", r"landing in side position|to side stand"),
    ("finish", "cross position", r"landing in cross position|to cross stand"),
    ("modifiers", "over high bar", r"(?<=tucked )over high bar"),
    ("", "", r",? (?:to )?land(?:ing)? on one (?:or both (?:feet|legs)|foot)"),
    ("", "", r"from cross position|, also with support on one arm|with flight(?! phase)"),
    ("", "", r"over (?:high bar|hb)"),
    # Extras.
    ("modifiers", "side position", r"(?:in|from) side position|^side(?= yang-bo)"),
    ("modifiers", "hop", r"with hop(?= \d)"),
    ("modifiers", "on one arm", r"on one arm"),
    ("modifiers", "before hand support", r"before hand support"),
    ("modifiers", "after hand support", r"after hand support"),
    ("modifiers", "piking of hips", r"with piking and stretching of hips in flight phase"),
    ("modifiers", "high flight", r"with high flight phase"),
    ("modifiers", "leg change", r"with leg change(?: in flight phase|$)"),
    ("modifiers", "straddle", r"\bto straddle(?= |$)"),
    ("modifiers", "in horizontal plane", r"in horizontal plane"),
    ("base", "ring jump", r"^(?=ring jump)"),
    ("ring", True, r"to ring position|^ring jump|-?ring(?= leap| jump)"),
    # Position of the legs in turns on one leg and hops.
    ("legs", "held up in split", r"with free leg held upward in 180 split .* turn"),
    ("legs", "heel at horizontal", r"with heel of free leg forward at horizontal throughout turn"),
    ("legs", "back attitude", r"in back attitude, knee of free leg at horizontal throughout turn"),
    ("legs", "thigh at horizontal", r", thigh of free leg at horizontal, backward upward .* turn"),
    ("legs", "held backward and upward", r"with leg held backward and upward"),
    ("legs", "held backward with both hands", r"pirouette with free leg held .* both hands"),
    ("legs", "below horizontal", r", free leg optional below horizontal"),
    ("legs", "free leg straight", r", free leg straight throughout turn"),
    ("legs", "free leg bent", r", free leg bent"),
    ("", "", r", free leg optional"),
    ("legs", "above horizontal", r",? free leg (?:extended )?above horizontal(?: throughout)?"),
    ("legs", "knee arabesque", r"in knee arabesque"),
    # The base skills.
    ("base", "illusion", r"illusion"),
    ("", "", r"through standing split(?:, 180 legs separation)?"),
    ("base", "tuck stand turn", r"in tuck stand on one leg"),
    ("base", "back spin", r"on back in kip position, hip(?:-leg angle| and leg are) closed"),
    ("base", "prone turn", r"in prone position, alternate support of hands permitted"),
    ("base", "turn to stand", r"(?<=turn )to stand"),
    ("", "", r"on one leg"),
    ("base", "switch leap", r"switch leap"),
    ("base", "stag split leap", r"stag split leap(?: forward)?"),
    ("base", "split leap", r"split leap(?: forward)?"),
    ("base", "side split jump", r"straddle pike (?:jump )?or side split jump"),
    ("base", "side split jump", r"(?:straddle pike|side split) jump"),
    ("base", "split jump", r"split jump"),
    ("base", "sissone", r"sissone(?: jump)?"),
    ("base", "johnson", r"johnson(?: with additional)?"),
    (
        "base",
        "leap to straddle pike",
        r"leap (?:forward )?with 0.25 turn into straddle pike position(?: or side split)?",
    ),
    ("base", "stag jump", r"stag jump"),
    ("base", "tuck jump to split", r"tuck jump with separation of legs to cross split .* phase"),
    # Jumps that are one but for the shape of the body.
    ("shape", "tucked", r"tuck(?= hop| jump)"),
    ("shape", "stretched", r"stretched(?= hop| jump)"),
    ("shape", "piked", r"pike(?= jump)"),
    ("shape", "wolf", r"wolf(?= hop| jump)"),
    ("base", "sheep jump", r"sheep jump(?:, jump with upper back arch .*)?"),
    ("base", "stride leap", r"stride leap forward with change of legs to wolf position"),
    ("base", "jump with legs separated", r"jump with legs separated"),
    ("base", "cat leap", r"cat leap"),
    ("base", "fouette hop with leg change", r"fouette hop with leg change to cross split"),
    ("base", "fouette hop", r"fouett[eé][ -]hop"),
    ("base", "butterfly", r"butterfly(?= (?:for|back)ward)"),
    ("", "", r", torso parallel to floor, slightly arched, legs straddled .* during flight"),
    ("base", "yang-bo", r"yang-bo"),
    ("base", "jump", r"hop or jump|jump/hop|jump"),
    ("base", "aerial cartwheel", r"(?:free )?aerial cartwheel"),
    ("base", "aerial walkover", r"(?:free )?aerial walkover"),
    ("base", "aerial round-off", r"(?:free )?aerial round-off"),
    ("base", "flic-flac", r"flic-flac(?: take-off)?"),
    ("base", "round-off", r"round-off"),
    ("", "", r"^handspring forward off"),
    ("base", "handspring", r"handspring"),
    ("base", "tsukahara", r"tsukahara"),
    ("base", "pike sole circle", r"pike sole circle"),
    ("base", "straddle sole circle", r"straddle sole circle"),
    ("base", "giant circle", r"giant circle"),
    ("base", "clear rear pike circle", r"clear rear pike support .*, full circle swing"),
    ("base", "clear hip circle", r"clear hip circle"),
    ("base", "hip circle", r"hip circle"),
    ("", "", r", hips touching bar"),
    ("base", "clear pike circle", r"clear pike circle"),
    ("base", "clear straddle circle", r"clear straddle circle"),
    ("base", "seat circle", r"seat/pike circle"),
    ("base", "stalder", r"stalder"),
    ("base", "straddle flight", r"straddle flight"),
    ("base", "stoop straddle vault", r"stoop, straddle vault"),
    ("base", "stoop pike vault", r"stoop, pike vault"),
    ("base", "pike vault", r"pike vault"),
    ("base", "counter straddle", r"counter straddle"),
    ("base", "counter piked", r"counter piked"),
    ("base", "counter stretched", r"counter stretched"),
    ("base", "counter", r"counter"),
    ("base", "hecht", r"hecht"),
    ("base", "transition flight", r"transition flight"),
    ("base", "hop", r"^hop"),
    # Direction, shape and counts; by now the words can mean nothing else.
    ("direction", str, r"(forward|backward|sideward)"),
    ("", "", r"in (?:layout position|flight)"),
    ("shape", "straddled", r"straddled?"),
    ("shape", str, r"(stretched|piked|tucked)"),
    ("or_more", True, rf"or more|minimum(?= {_N})"),
    ("modifiers", "or less", r"or less"),
    ("", "", r"no turn"),
    ("rotation", float, rf"{_N} (?:turn|twist|spin)s?"),
)
_FILLER = re.compile(r"\b(?:with|to|and|in|off)\b|,")
_FAMILIES = {
    "turn": "turn, illusion, tuck stand turn, back spin, prone turn",
    "salto": "salto, whip salto, aerial cartwheel, aerial walkover, aerial round-off",
    "handspring": "flic-flac, round-off, handspring",
    "circle": "pike sole circle, straddle sole circle, giant circle, clear rear pike circle, "
    "clear hip circle, hip circle, clear pike circle, clear straddle circle, seat circle, stalder",
    "flight": "straddle flight, stoop straddle vault, stoop pike vault, pike vault, counter, "
    "counter straddle, counter piked, counter stretched, transition flight",
    "dismount": "hecht, turn to stand",
}
FAMILY_OF = {base: family for family, bases in _FAMILIES.items() for base in bases.split(", ")}
_SWING_TURN = re.compile(rf" with {_N} turn$")


def _parse_skill(apparatus: str, skill: str) -> Attributes:
    text = skill
    found: dict = {}
    modifiers: list[str] = []
    # On the bars a bracket in front is how the skill begins; any other bracket is a gloss.
    swing = _TAG.match(text)
    if swing:
        entry, text = swing[1], text[swing.end() :]
        turn = _SWING_TURN.search(entry)
        if turn:
            entry, found["entry_turn"] = entry[: turn.start()], float(turn[1])
        found["entry"] = entry
    text = _squeeze(_TAG.sub(" ", text))
    for attribute, value, pattern in _GRAMMAR:
        if attribute in found and attribute != "modifiers":
            continue
        if not attribute:
            text = _squeeze(re.sub(pattern, " ", text))
            continue
        match = re.search(pattern, text)
        if not match:
            continue
        text = _squeeze(f"{text[: match.start()]} {text[match.end() :]}")
        if attribute == "modifiers":
            modifiers.append(value)
        else:
            found[attribute] = value(match[1]) if callable(value) else value
    unnamed = "salto" if "saltos" in found else "turn" if "rotation" in found else ""
    base = found.pop("base", unnamed)
    if apparatus == "VT":
        found.setdefault("saltos", 1.0 if "shape" in found else 0.0)
        family = "vault"
    else:
        family = FAMILY_OF.get(base, "leap" if base else "")
    if found.get("entry") == "arabian":
        found.setdefault("direction", "forward")
    if found.get("entry") == "gainer" and base == "salto":
        found.setdefault("direction", "backward")
    # Without a base skill nothing was understood, whatever else was recognised.
    residue = _squeeze(_FILLER.sub(" ", text)) if base else skill
    return Attributes(apparatus, family, base, modifiers=tuple(sorted(modifiers)), residue=residue, **found)


def _squeeze(text: str) -> str:
    return " ".join(text.split()).replace(" ,", ",")
