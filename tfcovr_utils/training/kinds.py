"""What the value of a setting may be: a settings class checks each of its fields when it is made."""

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints


class Range(NamedTuple):
    """The numbers that a setting takes, in words and as a test; NaN and infinity pass no test."""

    said: str
    holds: Callable[[float], bool]


MOST, HUGE = 10**9, 1e30
Count = Annotated[int, Range(f"a whole number from 1 to {MOST}", lambda value: 1 <= value <= MOST)]
Whole = Annotated[int, Range(f"a whole number from 0 to {MOST}", lambda value: 0 <= value <= MOST)]
Width = Annotated[int, Range("a whole number from 1 to 65536", lambda value: 1 <= value <= 65536)]
Depth = Annotated[int, Range("a whole number from 1 to 100", lambda value: 1 <= value <= 100)]
Positive = Annotated[float, Range("a number above 0", lambda value: 0 < value < HUGE)]
Ratio = Annotated[float, Range("a number from 0.01 to 8", lambda value: 0.01 <= value <= 8)]
Weight = Annotated[float, Range("a number of at least 0", lambda value: 0 <= value < HUGE)]
Share = Annotated[float, Range("a number from 0 to 1", lambda value: 0 <= value <= 1)]
Rate = Annotated[float, Range("a number from 0 to below 1", lambda value: 0 <= value < 1)]


class Settings:
    """Base of frozen dataclasses: each field is a bool, a Literal or one of the ranges above."""

    def __post_init__(self):
        for name, kind in kinds_of(type(self)).items():
            if not is_of(kind, value := getattr(self, name)):
                raise ValueError(f"{name} is {shown(value)}; {advice(type(self), name)}")


@lru_cache
def kinds_of(cls: type[Settings]) -> dict[str, Any]:
    """Get the kind of each field, in order."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def is_of(kind: Any, value: Any) -> bool:
    """Say whether a value is of a kind; a whole number is also a number, and True is neither."""
    if kind is bool:
        return type(value) is bool
    if get_origin(kind) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(kind))
    number, bounds = get_args(kind)
    allowed = (int, float) if number is float else int
    return isinstance(value, allowed) and not isinstance(value, bool) and bounds.holds(value)


def advice(cls: type[Settings], name: str) -> str:
    """Say which values a field takes, with its default as an example."""
    kind, default = kinds_of(cls)[name], cls.__dataclass_fields__[name].default
    if get_origin(kind) is Literal:
        return f"choose one of {', '.join(map(str, get_args(kind)))}."
    said = "True or False" if kind is bool else get_args(kind)[1].said
    return f"give {said}, such as {name}={default}."


def shown(value: Any) -> str:
    """Show a value in a sentence, long or deep ones cut."""
    try:
        return reprlib.repr(value)
    except ValueError:  # a whole number of more digits than Python prints
        return f"a {type(value).__name__}"


def change(settings: Settings, changes: Sequence[str]) -> Settings:
    """Apply `key=value` strings to settings; a value keeps the type of the one it replaces.

    >>> from tfcovr_utils.training.settings import STAGE2
    >>> change(STAGE2["mini"], ["lr=0.01", "centre=False"]).lr
    0.01
    """
    cls, changed = type(settings), {}
    known = kinds_of(cls)
    for text in changes:
        key, _, value = text.partition("=")
        if key not in known:
            close = get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}."
            raise ValueError(f"{shown(key)} is no setting of this stage; {hint}")
        read = type(getattr(settings, key))
        try:
            changed[key] = {"True": True, "False": False}[value] if read is bool else read(value)
        except (ValueError, KeyError):
            raise ValueError(f"{shown(text)} is not a value of {key}; {advice(cls, key)}") from None
    return replace(settings, **changed)
