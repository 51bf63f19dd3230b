"""The reader: from a source's attributes and a text to the attributes that the text asks for.

It reads the writer's phrases and what people type for them. Row by row, it consumes the text; words that no
row takes ("please", "do it") mean nothing.
"""

import re
from dataclasses import replace
from functools import lru_cache

from ...labels import FAMILY_OF, Attributes, comes_along, difference
from ..words import ENTRIES, FINISHES, LEGS, MODIFIERS
from . import synonyms
from .counting import SALTO, TURN, count_after, to_digits

_N = r"\d+(?:\.\d+)?"
_BASE = rf"({'|'.join(map(re.escape, sorted(synonyms.BASE_NAMES, key=len, reverse=True)))})s?\b"
_COUNT_WORDS = {"no": 0.0, "single": 1.0, "double": 2.0, "triple": 3.0}
_UPRIGHT = r"(?:standing|regular|normal)(?: standing)? start"


def apply_text(source: Attributes, text: str) -> Attributes:
    """Return the attributes that the text makes of the source's; what it does not name stays.

    Counts may be relative ("one more twist"). A text that names no change is an error; one that names the
    source's own value is not.

    >>> from tfcovr_utils.labels import parse_label
    >>> apply_text(parse_label("(FX) salto backward stretched with 1 twist"), "one more twist").rotation
    2.0
    """
    reading = _read(source, text)
    if not reading.named:
        raise ValueError(
            f"modification {text!r} names no change that can be read; say one such as 'show with 2.5 "
            "twists', 'show tucked' or 'show on Balance Beam'."
        )
    return reading.finish()


def named_attributes(source: Attributes, text: str) -> set[str]:
    """Name the attributes that the text mentions, whether it changes them or not."""
    return set(_read(source, text).named)


def satisfies(source: Attributes, text: str, target: Attributes) -> bool:
    """Return whether the text leads from the source to the target, except for what comes along."""
    try:
        reached = apply_text(source, text)
    except ValueError:
        return False
    return {change.attribute for change in difference(reached, target)} <= comes_along(source, target)


def normalise(text: str) -> str:
    """Write a text as the patterns expect it: lower case, no hyphens, counts as digits."""
    return to_digits(_plain(text))


def _plain(text: str) -> str:
    text = text.lower().replace("-", " ").replace("é", "e")
    return " ".join(re.sub(r"[^\w\s,;.½°]", " ", text).split())


def _rows(attribute: str, table: dict[str, str], before: str) -> list[tuple[str, str, str]]:
    """Make rows of (attribute, value, pattern) from the writer's phrases, the longest first."""
    longest_first = sorted(table.items(), key=lambda row: len(row[1]), reverse=True)
    return [(attribute, value, rf"\b{before}{re.escape(normalise(said))}\b") for value, said in longest_first]


_PHRASES = [
    *_rows("legs", LEGS, ""),
    *_rows("finish", FINISHES, "(?:finish|finishing|land|landing|end|ending) "),
    *_rows("entry", ENTRIES, "(?:start(?:ing)? )?(?:from|with|and) "),
    *(
        ("modifiers", modifier, rf"(?:an? |1 )?{re.escape(normalise(said))}\b")
        for modifier, said in MODIFIERS.items()
        if modifier != "or less"
    ),
]
_NAMES = [
    *(("apparatus", value, rf"\b{pattern}\b") for value, pattern in synonyms.PLACES.items()),
    *(("direction", value, rf"\b(?:{pattern})\b") for value, pattern in synonyms.DIRECTIONS.items()),
]
# A whole skill: adjectives, then the base; a salto is named with its count.
_SKILL = (
    r"((?:\w+ )*?)(?:(single|double|triple) salto|"
    rf"({'|'.join(re.escape(_plain(base)) for base in synonyms.BASES)}))\b"
)


@lru_cache(maxsize=10_000)
def _read(source: Attributes, text: str) -> "_Reading":
    reading = _Reading(source, normalise(text))
    reading.take_whole_skill()
    for pattern in synonyms.ASIDES:
        while reading.take(pattern):
            continue
    reading.take_base(r"\b(?:show|into|as) an? ")
    reading.take_rows(_PHRASES)
    reading.take_base(r"\b")
    if source.apparatus == "DV":
        reading.take_armstand()
    reading.take_rows(synonyms.RULES)
    reading.take_rows(_NAMES)
    reading.take_shape()
    reading.take_counts()
    return reading


class _Reading:
    """A text being consumed, and the attributes that were read so far."""

    def __init__(self, source: Attributes, text: str):
        self.source = self.result = source
        self.text = text
        self.named: set[str] = set()

    def take(self, pattern: str) -> re.Match | None:
        """Find the pattern and cut it out of the text."""
        match = re.search(pattern, self.text)
        if match:
            self.text = " ".join(f"{self.text[: match.start()]} {self.text[match.end() :]}".split())
        return match

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
        """Read "instead show a ...": only the apparatus of the source stays."""
        if not self.take(r"^instead show an?\b|^instead show 1\b"):
            return
        apparatus = self.source.apparatus
        if place := self.take(rf"\bon ({'|'.join(synonyms.PLACES.values())})$"):
            apparatus = next((k for k, p in synonyms.PLACES.items() if re.fullmatch(p, place[1])), apparatus)
        self.source = self.result = Attributes(apparatus, "", "")
        skill = re.match(_SKILL, self.text)
        if not skill:
            return
        base = next((b for b in synonyms.BASES if _plain(b) == skill[3]), "salto")
        self.text = f"{skill[1]} {self.text[skill.end() :]}".strip()
        self.put("base", base)
        if skill[2]:
            self.put("saltos", _COUNT_WORDS[skill[2]])
        elif base == "whip salto":
            self.put("saltos", 1.0)
        elif base == "dive" or re.search(r"\b(?:no|single|double|triple) salto\b", self.text):
            self.put("saltos", 0.0)  # until the count is read

    def take_base(self, before: str) -> None:
        if base := self.take(before + _BASE):
            self.put("base", synonyms.BASE_NAMES[base[1]])

    def take_rows(self, rows: list[tuple]) -> None:
        before = self.source.direction
        for attribute, value, pattern in rows:
            if attribute == "modifiers" and self.take(rf"\b{synonyms.OFF} {pattern}"):
                self._modify(value, False)
            elif not self.take(pattern):
                continue
            elif attribute == "modifiers":
                self._modify(value, True)
            else:
                self.put(attribute, synonyms.OPPOSITE.get(before, before) if value == "opposite" else value)

    def take_armstand(self) -> None:
        if self.take(rf"\b{synonyms.OFF} (?:arm ?stand|handstand)\b|{_UPRIGHT}"):
            self.put("armstand", False)
        elif self.take(r"\b(?:arm ?stand|handstand)\b"):
            self.put("armstand", True)

    def take_shape(self) -> None:
        for shape, pattern in synonyms.SHAPES.items():
            if not self.take(rf"\b(?:{pattern})\b"):
                continue
            counter = f"counter {'straddle' if shape == 'straddled' else shape}"
            if self.source.base.startswith("counter") and counter in FAMILY_OF:
                self.put("base", counter)
            else:
                is_dive = self.source.apparatus == "DV" and shape == "stretched"
                self.put("shape", "straight" if is_dive else shape)

    def take_counts(self) -> None:
        """Read counts: of turns on entry, of saltos, and of turns or twists."""
        onto = r"(?:on|onto|before)\b" if self.source.apparatus == "VT" else "on entry"
        if entry := self.take(rf"(no|{_N}) {TURN} (?:on entry|{onto})"):
            self.put("entry_turn", 0.0 if entry[1] == "no" else float(entry[1]))
        if self.result.saltos is not None:
            saltos = self._take_count(SALTO, self.source.saltos)
            if saltos is not None:
                self.put("saltos", saltos)
            word = self.take(r"\b(?:(no) salto|(single|double|triple)(?: salto)?)\b")
            if word and self.source.apparatus != "DV":
                self.put("saltos", _COUNT_WORDS[word[1] or word[2]])
        turns = self._take_count(TURN, self.source.rotation)
        if turns is None and not self.named and (bare := self.take(rf"\b{_N}\b")):
            turns = float(bare[0])
        if turns is not None:
            self._turn(turns)

    def _take_count(self, noun: str, before: float | None) -> float | None:
        value, self.text = count_after(self.text, noun, before or 0.0)
        return value

    def _turn(self, count: float) -> None:
        """Put a count of turns; it is exact unless the text says "or more" or "or less"."""
        self.put("rotation", count)
        self.put("or_more", bool(self.take(r"or more|at least|minimum")))
        less = bool(self.take(r"or less|at most"))
        if less or "or less" in self.result.modifiers:
            self._modify("or less", less)

    def _modify(self, modifier: str, present: bool) -> None:
        others = {m for m in self.result.modifiers if m != modifier}
        self.put("modifiers", tuple(sorted(others | {modifier} if present else others)))
