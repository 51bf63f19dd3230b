"""Verbs of the command `tfcovr`: a registry, and the kinds of values that options take."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Option = tuple[tuple, dict]  # what `ArgumentParser.add_argument` takes


@dataclass(frozen=True)
class Verb:
    """One verb, such as `score`, or a verb and its object, such as `export mteb`."""

    name: str
    about: str
    options: tuple[Option, ...]
    run: Callable[[argparse.Namespace], int | None]  # returns an exit status; None is success


VERBS: dict[str, Verb] = {}


def verb(name: str, about: str, *options: Option) -> Callable:
    """Register the function below as a verb of the command."""

    def register(run: Callable[[argparse.Namespace], int | None]) -> Callable:
        VERBS[name] = Verb(name, about, options, run)
        return run

    return register


def option(*names: str, **settings) -> Option:
    """One option, in the words of `ArgumentParser.add_argument`."""
    return names, settings


def whole(least: int, most: int = 10**8) -> Callable[[str], int]:
    """A kind of value: a whole number from `least` to `most`.

    >>> whole(1)("12")
    12
    """

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            shown = text if len(text) < 20 else text[:20] + "..."
            raise argparse.ArgumentTypeError(f"{shown!r} is not a whole number from {least} to {most}")
        return value

    return read


def seconds(text: str) -> float:
    """A kind of value: a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def share(text: str) -> float:
    """A kind of value: a share above 0, at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and at most 1, such as 0.1")
    return value


def shard(text: str) -> tuple[int, int]:
    """A kind of value: which of several shards, `i/n` with i from 0.

    >>> shard("0/8")
    (0, 8)
    """
    i, slash, n = text.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and int(i) < int(n)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a shard; write i/n with i from 0 to n - 1, such as 0/8"
        )
    return int(i), int(n)


def named(text: str) -> str:
    """A kind of value: a name that is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


# Options that several verbs share.
SEED = option("--seed", type=whole(0), default=0, help="seed of the training")
BENCHMARK = option("--benchmark", type=Path, required=True, help="folder of the benchmark's tables")
CLIPS = option("--clips", type=Path, help="folder that the clips' paths start from (default: --benchmark)")
OUT = option("--out", type=Path, required=True, help="folder to write")


def profile(default: str | None = "mini", note: str = "whose frames and weights are used") -> Option:
    """`--profile`, with its default."""
    return option("--profile", default=default, help=f"{note}: smoke, mini, sim, released or paper")
