"""The reader: a source's attributes and a text give the attributes the text asks for.

It takes the writer's phrases and what a person would type for them. Like `labels.parse_label` it consumes the
text row by row; words no row takes ("please", "do it") say nothing.
"""

import re
from dataclasses import replace
from functools import lru_cache

from ...labels import FAMILY_OF, Attributes, difference
from ..rules import comes_along
from ..words import ENTRIES, FINISHES, LEGS, MODIFIERS
from .counting import SALTO, TURN, count_after, to_digits
from .synonyms import ASIDES, BASE_NAMES, BASES, DIRECTIONS, MODIFIER_RULES, OFF, PLACES, RULES, SHAPES

_N = r"\d+(?:\.\d+)?"
_BASE = rf"({'|'.join(map(re.escape, sorted(BASE_NAMES, key=len, reverse=True)))})s?\b"
_COUNT_WORDS = {"no": 0.0, "single": 1.0, "double": 2.0, "triple": 3.0}


def apply_text(source: Attributes, text: str) -> Attributes:
    """Return the attributes that the text makes of the source's; what it does not name stays.

    Counts may be relative ("one more twist"). A text that names no change that can be read is an error, one
    that names the source's own value is not.
    """
    reading = _read(source, text)
    if not reading.named:
        raise ValueError(
            f"modification {text!r} names no change that can be read; say one such as 'show with "
            f"2.5 twists', 'show tucked' or 'show on Balance Beam'."
        )
    return reading.finish()


def named_attributes(source: Attributes, text: str) -> set[str]:
    """Name the attributes that the text speaks of, whether it changes them or not."""
    return set(_read(source, text).named)


@lru_cache(maxsize=10_000)
def _read(source: Attributes, text: str) -> "_Reading":
    reading = _Reading(source, normalise(text))
    reading.take_whole_skill()
    reading.drop(ASIDES)
    reading.take_base(r"\b(?:show|into|as) an? ")
    reading.take_phrases()
    reading.take_base(r"\b")
    reading.take_rules()
    reading.take_counts()
    return reading


def satisfies(source: Attributes, text: str, target: Attributes) -> bool:
    """Say whether the text leads from the source to the target, but for what comes along."""
    try:
        reached = apply_text(source, text)
    except ValueError:
        return False
    left = {change.attribute for change in difference(reached, target)}
    return not left - comes_along(source, target)


def normalise(text: str) -> str:
    """Write a text as the patterns want it: lower case, no hyphens, counts as digits."""
    return to_digits(_plain(text))


def _plain(text: str) -> str:
    text = text.lower().replace("-", " ").replace("é", "e")
    return " ".join(re.sub(r"[^\w\s,;.½°]", " ", text).split())


def _phrase(text: str) -> str:
    return re.escape(normalise(text))


def _longest_first(table: dict[str, str]) -> list[tuple[str, str]]:
    return sorted(table.items(), key=lambda row: len(row[1]), reverse=True)


# A whole skill: adjectives first; a salto is named with its count.
_SKILL = (
    r"((?:\w+ )*?)(?:(single|double|triple) salto|"
    rf"({'|'.join(re.escape(_plain(base)) for base in BASES)}))\b"
)
# The writer's own phrases, as rows of (attribute, value, pattern).
_START = r"(?:start(?:ing)? )?(?:from|with|and) "
_PHRASES: list[tuple[str, object, str]] = [
    *(("legs", value, rf"\b{_phrase(said)}\b") for value, said in _longest_first(LEGS)),
    *(
        ("finish", value, rf"\b(?:finish|finishing|land|landing|end|ending) {_phrase(said)}\b")
        for value, said in _longest_first(FINISHES)
    ),
    *(("entry", value, rf"\b{_START}{_phrase(said)}\b") for value, said in _longest_first(ENTRIES)),
]
_MODIFIER_PHRASES = [
    (modifier, rf"(?:an? |1 )?{_phrase(said)}\b")
    for modifier, said in MODIFIERS.items()
    if modifier != "or less"
]


class _Reading:
    """A text being consumed, and the attributes as far as it was read."""

    def __init__(self, source: Attributes, text: str):
        self.source = self.result = source
        self.text = text
        self.named: set[str] = set()

    def take(self, pattern: str) -> re.Match | None:
        """Find the pattern and cut it out of the text."""
        match = re.search(pattern, self.text)
        if match:
            rest = f"{self.text[: match.start()]} {self.text[match.end() :]}"
            self.text = " ".join(rest.split())
        return match

    def drop(self, patterns: list[str]) -> None:
        for pattern in patterns:
            while self.take(pattern):
                continue

    def put(self, attribute: str, value: object) -> None:
        self.result = replace(self.result, **{attribute: value})
        self.named.add(attribute)

    def finish(self) -> Attributes:
        """Return the attributes; the family follows from a new base and its apparatus."""
        if "base" not in self.named:
            return self.result
        by_apparatus = {"VT": "vault", "DV": "dive"}.get(self.result.apparatus)
        return replace(self.result, family=by_apparatus or FAMILY_OF.get(self.result.base, "leap"))

    def take_whole_skill(self) -> None:
        """Read "instead show a ...": nothing of the source stays but the apparatus."""
        head = self.take(r"^instead show an?\b|^instead show 1\b")
        if not head:
            return
        place = self.take(rf"\bon ({'|'.join(PLACES.values())})$")
        apparatus = next(
            (k for k, p in PLACES.items() if place and re.fullmatch(p, place[1])), self.source.apparatus
        )
        self.source = self.result = Attributes(apparatus, "", "")
        skill = re.match(_SKILL, self.text)
        if not skill:
            return
        base = next((b for b in BASES if _plain(b) == skill[3]), "salto")
        self.text = f"{skill[1]} {self.text[skill.end() :]}".strip()
        self.put("base", base)
        if skill[2]:
            self.put("saltos", _COUNT_WORDS[skill[2]])
        elif base == "whip salto":
            self.put("saltos", 1.0)
        elif base == "dive" or re.search(r"\b(?:no|single|double|triple) salto\b", self.text):
            self.put("saltos", 0.0)  # until the count is read

    def take_phrases(self) -> None:
        for attribute, value, pattern in _PHRASES:
            if self.take(pattern):
                self.put(attribute, value)
        self._take_modifiers(_MODIFIER_PHRASES)

    def take_base(self, before: str) -> None:
        base = self.take(before + _BASE)
        if base:
            self.put("base", BASE_NAMES[base[1]])

    def take_rules(self) -> None:
        if self.source.apparatus == "DV":
            self._take_armstand()
        for attribute, value, pattern in RULES:
            match = self.take(pattern)
            if match:
                self.put(attribute, value(match, self.source) if callable(value) else value)
        self._take_modifiers(MODIFIER_RULES)
        for place, pattern in PLACES.items():
            if self.take(rf"\b{pattern}\b"):
                self.put("apparatus", place)
        for direction, pattern in DIRECTIONS.items():
            if self.take(rf"\b(?:{pattern})\b"):
                self.put("direction", direction)
        self._take_shape()

    def take_counts(self) -> None:
        """Read counts: of turns going in, of saltos, and of turns or twists."""
        onto = r"(?:on|onto|before)\b" if self.source.apparatus == "VT" else "on entry"
        entry = self.take(rf"(no|{_N}) {TURN} (?:on entry|{onto})")
        if entry:
            self.put("entry_turn", 0.0 if entry[1] == "no" else float(entry[1]))
        if self.result.saltos is not None:
            self._take_count("saltos", SALTO)
            word = self.take(r"\b(?:(no) salto|(single|double|triple)(?: salto)?)\b")
            if word and self.source.apparatus != "DV":
                self.put("saltos", _COUNT_WORDS[word[1] or word[2]])
        self._take_count("rotation", TURN)
        if not self.named:
            bare = self.take(rf"\b{_N}\b")
            if bare:
                self._turn(float(bare[0]))

    def _take_count(self, attribute: str, noun: str) -> None:
        before = getattr(self.source, attribute) or 0.0
        value, self.text = count_after(self.text, noun, before)
        if value is None:
            return
        if attribute == "rotation":
            self._turn(value)
        else:
            self.put(attribute, value)

    def _turn(self, count: float) -> None:
        """Put a count of turns; it is exact unless it says "or more" or "or less"."""
        self.put("rotation", count)
        self.put("or_more", bool(self.take(r"or more|at least|minimum")))
        less = bool(self.take(r"or less|at most"))
        if less or "or less" in self.result.modifiers:
            self._modify("or less", less)

    def _take_armstand(self) -> None:
        upright = r"(?:standing|regular|normal)(?: standing)? start"
        if self.take(rf"\b{OFF} (?:arm ?stand|handstand)\b|{upright}"):
            self.put("armstand", False)
        elif self.take(r"\b(?:arm ?stand|handstand)\b"):
            self.put("armstand", True)

    def _take_shape(self) -> None:
        for shape, pattern in SHAPES.items():
            if not self.take(rf"\b(?:{pattern})\b"):
                continue
            counter = f"counter {'straddle' if shape == 'straddled' else shape}"
            if self.source.base.startswith("counter") and counter in FAMILY_OF:
                self.put("base", counter)
            else:
                dive = self.source.apparatus == "DV" and shape == "stretched"
                self.put("shape", "straight" if dive else shape)

    def _take_modifiers(self, rows: list[tuple[str, str]]) -> None:
        for modifier, pattern in rows:
            if self.take(rf"\b{OFF} {pattern}"):
                self._modify(modifier, False)
            elif self.take(pattern):
                self._modify(modifier, True)

    def _modify(self, modifier: str, there: bool) -> None:
        others = {m for m in self.result.modifiers if m != modifier}
        self.put("modifiers", tuple(sorted(others | {modifier} if there else others)))
