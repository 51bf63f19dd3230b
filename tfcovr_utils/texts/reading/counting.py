"""Counts in free text: "two and a half", "a full twist", "one fewer turn" as numbers."""

import re
from collections.abc import Callable
from functools import cache
from operator import add, mul, sub

from ...labels.numbers import NUMBER, WORDS

TURN = r"(?:twist(?:s|ing|ed)?|turn(?:s|ing|ed)?|spin(?:s|ning)?|pirouettes?|rotations?|revolutions?)"
SALTO = r"(?:somersaults?|saltos?|som(?:i|ie)?s?|flips?)"
_WORDS = {word: n for n, word in enumerate(WORDS)}
_UNIT = rf"(\d+|{'|'.join(_WORDS)})"
_TIMES = {"single": "1", "full": "1", "whole": "1", "double": "2", "triple": "3", "quadruple": "4"}
_TAKE = r"(?:take|drop|lose|remove|cut|subtract|shave|leave out|reduce|skip)"
_MORE, _FEWER, _AWAY = r"(?:more|extra|additional|further)", r"(?:fewer|less)", r"(?: out| off| away)"
# In order: a pattern, and what to write for its match.
_DIGITS: list[tuple[str, str | Callable[[re.Match], str]]] = [
    (rf"\b{_UNIT} ?(?:and (?:a|one) half|½)", lambda m: f"{_WORDS.get(m[1], m[1])}.5"),
    (r"\b(?:three quarters?|3/4)(?: of)?(?: an?)?\b", "0.75"),
    (r"halfway", "0.5 times"),
    (r"untwisted", "no twist"),
    (r"\b(?:an? |one )?(?:half|½)(?: of)?(?: an?)?\b", "0.5"),
    (r"\b(\d+) ?(?:degrees?|°)", lambda m: f"{int(m[1]) / 360:g}"),
    (r"\btwice\b", "2 times"),
    (rf"\b(?:{'|'.join(_WORDS)})\b", lambda m: str(_WORDS[m[0]])),
    (rf"\b(\d\S*(?: more| extra| additional)?) (?:full|whole) (?={TURN}\b)", r"\1 "),
    (rf"\b(?:an? )?({'|'.join(_TIMES)}) (?={TURN}\b)", lambda m: _TIMES[m[1]] + " "),
    (r"\b(?:an? )?(double|triple) full\b", lambda m: _TIMES[m[1]] + " twist"),
    (r"\b(?:an? )?full\b", "1 twist"),
    (rf"\ban? (?=(?:(?:more|extra|additional) )?{TURN}\b|{SALTO}\b)", "1 "),
]


def to_digits(text: str) -> str:
    """Write the counts of a lower-case text as digits.

    >>> to_digits("two and a half twists, then half a turn")
    '2.5 twists, then 0.5 turn'
    """
    for pattern, digits in _DIGITS:
        text = re.sub(pattern, digits, text)
    return " ".join(text.split())


def count_after(text: str, noun: str, before: float) -> tuple[float | None, str]:
    """Return the count of a noun that a text asks for, and the text without those words.

    `before` is the count before the change. The result is None where the text does not count this noun.
    """
    for pattern, change in _forms(noun):
        if match := re.search(pattern, text):
            number = float(next(filter(None, match.groups()[::-1]), 1))
            rest = f"{text[: match.start()]} {text[match.end() :]}"
            return max(0.0, change(before, number)), " ".join(rest.split())
    return None, text


@cache
def _forms(noun: str) -> list[tuple[str, Callable[[float, float], float]]]:
    """List the ways of asking for a count, the most specific first, as pattern -> change(before, number)."""
    n = rf"({NUMBER.pattern})"
    return [
        (rf"\b{noun} from {n} to {n}\b", lambda before, number: number),
        (rf"\b{noun} (?:down |up )?to {n}\b", lambda before, number: number),
        (rf"\b{noun} {n} times as (?:much|many|often)|\b{n} times as (?:much|many) {noun}\b", mul),
        (rf"\bdouble the {noun}\b", lambda before, number: before * 2),
        (rf"\btriple the {noun}\b", lambda before, number: before * 3),
        (rf"\b{n} {_FEWER} {noun}\b|\b{n} {noun} {_FEWER}\b", sub),
        (rf"\b{n} {_MORE} {noun}\b|\b{n} {noun} {_MORE}\b", add),
        (rf"\banother (?:{n} )?{noun}\b", add),
        (rf"\b(?:add|increase by|throw in) {n} {noun}\b", add),
        (rf"\b(?:no|without|zero|0)(?: any| the| more| 1)* {noun}\b(?: at all)?", lambda *_: 0.0),
        (rf"\b{_TAKE}{_AWAY}? {n} {noun}\b|\bby {n} {noun}\b", sub),
        (rf"\b(?:{_TAKE}|get rid of|omit){_AWAY}?(?: the| all| any| of)* {noun}\b{_AWAY}?", lambda *_: 0.0),
        (rf"\b{n} {noun}\b", lambda before, number: number),
        (rf"\b{noun} {n} times\b", lambda before, number: number),
    ]
