"""The grammar of labels: a FineGym text or a FineDiving dive code becomes attributes.

Each row of `_GRAMMAR` that matches sets one attribute and takes its words out of the text. The words
that no row takes become the `residue`, so an unknown word is never lost.
"""

import re
from functools import cache

from .attributes import APPARATUS, FAMILY_OF, Attributes
from .numbers import NUMBER

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


def _as_written(attribute: str, values: str, before: str = "") -> list[tuple[str, str, str]]:
    """Make the rows of values that a label writes as we name them."""
    return [(attribute, value, before + value) for value in values.split(", ")]


# Rows of (attribute, value, pattern), tried from the top. A row that matches takes its words out of the
# text. An attribute keeps its first value, modifiers collect, and rows without an attribute remove words
# that say nothing. The values `float` and `str` convert the pattern's group.
_N = rf"({NUMBER.pattern})"
_BEFORE_FLIGHT = r"(?=(?:\w+ )?(?:salto|counter|straddle flight))"
_GRAMMAR = (
    # How it begins.
    *_as_written("entry", "arabian, gainer"),
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
    # Saltos. A double salto written as two takes direction and shape from the second.
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
    *_as_written("finish", "rear inverted pike support, rear support, clear support, front support", "to "),
    ("finish", "clear rear support", r"to finish in clear rear support"),
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
    ("", "", r"from cross position|, also with support on one arm|with flight(?! phase)|over (high bar|hb)"),
    # Extras.
    ("modifiers", "side position", r"(?:in|from) side position|^side(?= yang-bo)"),
    ("modifiers", "hop", r"with hop(?= \d)"),
    *_as_written("modifiers", "on one arm, before hand support, after hand support"),
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
    ("base", "side split jump", r"straddle pike (jump )?or side split jump|(straddle pike|side split) jump"),
    ("base", "split jump", r"split jump"),
    ("base", "sissone", r"sissone(?: jump)?"),
    ("base", "johnson", r"johnson(?: with additional)?"),
    (
        "base",
        "leap to straddle pike",
        r"leap (forward )?with 0.25 turn into straddle pike position( or side split)?",
    ),
    ("base", "stag jump", r"stag jump"),
    ("base", "tuck jump to split", r"tuck jump with separation of legs to cross split .* phase"),
    # Jumps that differ in the shape of the body only.
    ("shape", "tucked", r"tuck(?= hop| jump)"),
    ("shape", "piked", r"pike(?= jump)"),
    ("shape", str, r"(stretched|wolf)(?= hop| jump)"),
    ("base", "sheep jump", r"sheep jump(?:, jump with upper back arch .*)?"),
    ("base", "stride leap", r"stride leap forward with change of legs to wolf position"),
    *_as_written("base", "jump with legs separated, cat leap"),
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
    *_as_written("base", "handspring, tsukahara, pike sole circle, straddle sole circle, giant circle"),
    ("base", "clear rear pike circle", r"clear rear pike support .*, full circle swing"),
    *_as_written("base", "clear hip circle, hip circle"),
    ("", "", r", hips touching bar"),
    *_as_written("base", "clear pike circle, clear straddle circle"),
    ("base", "seat circle", r"seat/pike circle"),
    *_as_written("base", "stalder, straddle flight"),
    ("base", "stoop straddle vault", r"stoop, straddle vault"),
    ("base", "stoop pike vault", r"stoop, pike vault"),
    *_as_written("base", "pike vault, counter straddle, counter piked, counter stretched, counter"),
    *_as_written("base", "hecht, transition flight"),
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
                found[attribute] = value(match[1]) if callable(value) else value
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
