"""Numbers and their words: how the official loaders spell the counts of a text."""

import re

NUMBER = re.compile(r"\d+(?:\.\d+)?")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven")


def spell_numbers(text: str) -> str:
    """Spell the counts 0.5 and 1 to 7 in half steps; other numbers stay digits.

    >>> spell_numbers("2.5 twists and 0.5 turn, not 0.25")
    'two and a half twists and half turn, not 0.25'
    """
    return re.sub(rf"\b{NUMBER.pattern}\b", lambda match: _spell(match[0]), text)


def _spell(number: str) -> str:
    value = float(number)
    if value == 0.5:
        return "half"
    if not 1 <= value <= 7 or value % 0.5:
        return number
    return WORDS[int(value)] + " and a half" * (value % 1 > 0)
