"""Counts in free text: "two and a half", "a full twist", "one fewer turn" as numbers."""

import re
from collections.abc import Callable
from functools import cache

from ...labels.numbers import NUMBER, WORDS

TURN = r"(?:twist(?:s|ing|ed)?|turn(?:s|ing|ed)?|spin(?:s|ning)?|pirouettes?|rotations?|revolutions?)"
SALTO = r"(?:somersaults?|saltos?|som(?:i|ie)?s?|flips?)"
_N = rf"({NUMBER.pattern})"
_WORDS = {word: n for n, word in enumerate(WORDS)}
_UNIT = rf"(\d+|{'|'.join(_WORDS)})"
_TIMES = {"single": "1", "full": "1", "whole": "1", "double": "2", "triple": "3", "quadruple": "4"}
_LESS = r"(?:take|drop|lose|remove|cut|subtract|shave|leave out|reduce|skip)"


def to_digits(text: str) -> str:
    """Write the counts of a lower-case text as digits: "half a twist" -> "0.5 twist"."""
    text = re.sub(rf"\b{_UNIT} ?(?:and (?:a|one) half|½)", lambda m: f"{_WORDS.get(m[1], m[1])}.5", text)
    text = re.sub(r"\b(?:three quarters?|3/4)(?: of)?(?: an?)?\b", "0.75", text)
    text = text.replace("halfway", "0.5 times").replace("untwisted", "no twist")
    text = re.sub(r"\b(?:an? |one )?(?:half|½)(?: of)?(?: an?)?\b", "0.5", text)
    text = re.sub(r"\b(\d+) ?(?:degrees?|°)", lambda m: f"{int(m[1]) / 360:g}", text)
    text = re.sub(r"\btwice\b", "2 times", text)
    text = re.sub(rf"\b(?:{'|'.join(_WORDS)})\b", lambda m: str(_WORDS[m[0]]), text)
    text = re.sub(rf"\b(\d\S*(?: more| extra| additional)?) (?:full|whole) (?={TURN}\b)", r"\1 ", text)
    text = re.sub(rf"\b(?:an? )?({'|'.join(_TIMES)}) (?={TURN}\b)", lambda m: _TIMES[m[1]] + " ", text)
    text = re.sub(r"\b(?:an? )?(double|triple) full\b", lambda m: _TIMES[m[1]] + " twist", text)
    text = re.sub(r"\b(?:an? )?full\b", "1 twist", text)
    text = re.sub(rf"\ban? (?=(?:(?:more|extra|additional) )?{TURN}\b|{SALTO}\b)", "1 ", text)
    return " ".join(text.split())


def count_after(text: str, noun: str, before: float) -> tuple[float | None, str]:
    """Return the count of a noun that a text asks for, and the text without those words.

    `before` is the count it starts from; None where the text says nothing of this noun.
    """
    for pattern, make in _forms(noun):
        match = re.search(pattern, text)
        if match:
            rest = f"{text[: match.start()]} {text[match.end() :]}"
            return max(0.0, make(match, before)), " ".join(rest.split())
    return None, text


@cache
def _forms(noun: str) -> list[tuple[str, Callable[[re.Match, float], float]]]:
    """The ways of asking for a count, the most telling first."""
    n = _N
    more = r"(?:more|extra|additional|further)"
    fewer = r"(?:fewer|less)"
    away = r"(?: out| off| away)"
    return [
        (rf"\b{noun} from {n} to {n}\b", lambda m, before: float(m[2])),
        (rf"\b{noun} (?:down |up )?to {n}\b", lambda m, before: float(m[1])),
        (
            rf"\b{noun} {n} times as (?:much|many|often)|\b{n} times as (?:much|many) {noun}\b",
            lambda m, before: before * float(m[1] or m[2]),
        ),
        (rf"\bdouble the {noun}\b", lambda m, before: before * 2),
        (rf"\btriple the {noun}\b", lambda m, before: before * 3),
        (rf"\b{n} {fewer} {noun}\b|\b{n} {noun} {fewer}\b", lambda m, before: before - float(m[1] or m[2])),
        (rf"\b{n} {more} {noun}\b|\b{n} {noun} {more}\b", lambda m, before: before + float(m[1] or m[2])),
        (rf"\banother (?:{n} )?{noun}\b", lambda m, before: before + float(m[1] or 1)),
        (rf"\b(?:add|increase by|throw in) {n} {noun}\b", lambda m, before: before + float(m[1])),
        (rf"\b(?:no|without|zero|0)(?: any| the| more| 1)* {noun}\b(?: at all)?", lambda m, before: 0.0),
        (rf"\b{_LESS}{away}? {n} {noun}\b|\bby {n} {noun}\b", lambda m, before: before - float(m[1] or m[2])),
        (
            rf"\b(?:{_LESS}|get rid of|omit){away}?(?: the| all| any| of)* {noun}\b{away}?",
            lambda m, before: 0.0,
        ),
        (rf"\b{n} {noun}\b", lambda m, before: float(m[1])),
        (rf"\b{noun} {n} times\b", lambda m, before: float(m[1])),
    ]
