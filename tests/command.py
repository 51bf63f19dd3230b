"""Run the command `tfcovr` inside a test."""

import contextlib
import io
import sys
from collections.abc import Callable

from tfcovr_utils.cli.main import main


def status_of(verb: str) -> Callable[[list], int]:
    """A function that runs a verb with some arguments and returns its exit status."""
    return lambda arguments=(): main([*verb.split(), *map(str, arguments)])


def command(verb: str) -> Callable[[list], None]:
    """A function that runs a verb; a command that fails raises SystemExit with what it printed to stderr."""

    def run(arguments: list) -> None:
        with contextlib.redirect_stderr(io.StringIO()) as heard:
            status = status_of(verb)(arguments)
        print(heard.getvalue(), end="", file=sys.stderr)
        if status:
            raise SystemExit(heard.getvalue().strip())

    return run
