"""`tfcovr VERB ...`: parse, run the verb, turn any error into one sentence and an exit status."""

import argparse
import os
import sys
import traceback
import warnings

from . import data_verbs, model_verbs, result_verbs, workshop_verbs
from .verb import VERBS, Verb

ROOMS = (data_verbs, model_verbs, result_verbs, workshop_verbs)  # importing them registers their verbs
OBJECTS = {  # verbs that take an object
    "fetch": "download what others publish",
    "pretrain": "train the small models that the rendered benchmark uses in place of published ones",
    "export": "write a benchmark or results in other projects' formats",
}
WRONG_INPUT, FAILED, STOPPED = 2, 1, 130  # exit statuses


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, 2 for a wrong input, 1 for what failed, 130 for Ctrl-C."""
    options = make_parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.formatwarning = lambda message, *_, **__: f"{message}\n"  # a person needs no line of code
        try:
            return options.run(options) or 0
        except KeyboardInterrupt:
            print("stopped; the same command resumes from here.", file=sys.stderr)
            return STOPPED
        except Exception as error:
            if os.environ.get("TFCOVR_TRACEBACK"):
                traceback.print_exc()
            sentence, status = explain(error)
            print(sentence, file=sys.stderr)
            return status


def explain(error: Exception) -> tuple[str, int]:
    """Return one sentence for an error, and the exit status.

    >>> explain(ValueError("profile 'tiny' is not known"))
    ("profile 'tiny' is not known", 2)
    """
    from ..methods import NotRun

    if isinstance(error, (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError, NotRun)):
        return str(error), WRONG_INPUT
    if isinstance(error, (OSError, RuntimeError, MemoryError, ImportError, NotImplementedError)):
        return str(error) or type(error).__name__, FAILED
    kind = type(error).__name__
    return (
        f"this failed with {kind}: {error}. That is a fault of tfcovr: set TFCOVR_TRACEBACK=1 to see where, "
        "and please report it with the command.",
        FAILED,
    )


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="tfcovr",
        description="Composed video retrieval: find the clips that a query clip and an instruction ask for.",
        epilog="`tfcovr VERB --help` explains a verb and its options.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    groups = {}
    for one in VERBS.values():
        name, _, what = one.name.partition(" ")
        if what and name not in groups:
            group = verbs.add_parser(name, help=OBJECTS[name], description=_sentence(OBJECTS[name]))
            groups[name] = group.add_subparsers(title="objects", metavar="OBJECT", required=True)
        _add(groups[name] if what else verbs, what or name, one)
    return parser


def _add(parsers, name: str, one: Verb) -> None:
    parser = parsers.add_parser(name, help=one.about, description=_sentence(one.about))
    for names, settings in one.options:
        parser.add_argument(*names, **settings)
    parser.set_defaults(run=one.run)


def _sentence(about: str) -> str:
    return about[0].upper() + about[1:] + "."
