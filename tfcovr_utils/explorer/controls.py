"""What the explorer's parts are made of: lists, buttons, pagers, and callbacks that say in the page what went wrong."""

import traceback
from collections.abc import Callable
from functools import wraps

import ipywidgets as widgets

from ..methods import NotRun
from .page import error, said

WRAP = {"flex_flow": "row wrap"}


class Notes:
    """Where the explorer speaks: one line for what went wrong, some for what is going on."""

    def __init__(self):
        self.wrong, self.going_on = widgets.HTML(), widgets.HTML()

    def tell(self, sentences: str) -> None:
        self.wrong.value, self.going_on.value = "", "".join(said(line) for line in sentences.splitlines())

    def complain(self, sentence: str, details: str = "") -> None:
        self.going_on.value, self.wrong.value = "", error(sentence, details)


def guarded(method: Callable) -> Callable:
    """Of an object with `notes`: what goes wrong in a callback is said there, and for what nobody foresaw the details too."""

    @wraps(method)
    def wrapped(self, *args):
        try:
            return method(self, *args)
        except (ValueError, OSError, NotRun) as expected:
            self.notes.complain(str(expected))
        except Exception as unforeseen:  # shown, not swallowed: a front end hides what a callback raises
            self.notes.complain(
                f"The explorer has a fault: {type(unforeseen).__name__}: {unforeseen}", traceback.format_exc()
            )

    return wrapped


class Listed:
    """A list to choose from that calls `changed` when a person chooses, and not when it is filled or set."""

    def __init__(self, name: str, options: list[str], changed: Callable[[], None], width: str = "245px"):
        self.widget = widgets.Dropdown(options=options, description=name, layout=widgets.Layout(width=width))
        self._quiet = False
        self.widget.observe(lambda _: None if self._quiet else changed(), "value")

    @property
    def value(self) -> str | None:
        return self.widget.value

    @value.setter
    def value(self, chosen: str) -> None:
        self.widget.value = chosen

    def fill(self, options: list[str], chosen: str | None = None) -> None:
        """Set the options; `chosen` is taken if it is one, else what was chosen before, else the first."""
        self._quiet, wanted = True, [chosen, self.widget.value, *options]
        self.widget.options = options
        self.widget.value = next((option for option in wanted if option in options), None)
        self._quiet = False


def make_button(name: str, act: Callable[[], None]) -> widgets.Button:
    button = widgets.Button(description=name, layout=widgets.Layout(width="auto"))
    button.on_click(lambda _: act())
    return button


def make_pager(turn: Callable[[int], None], of: str) -> list[widgets.Button]:
    return [make_button(f"‹ earlier {of}", lambda: turn(-1)), make_button(f"more {of} ›", lambda: turn(1))]


def in_row(*parts: widgets.Widget) -> widgets.HBox:
    return widgets.HBox(parts, layout=widgets.Layout(**WRAP))
