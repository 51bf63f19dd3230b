"""Run the command `tfcovr` inside a test, and wait for the end of one that was killed."""

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

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


def wait_for_end_of_group(group, seconds=10):
    """Fail where a process of the group outlives its leader."""
    for _ in range(seconds * 20):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("workers outlived the run that was killed")
