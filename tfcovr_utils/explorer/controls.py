"""Parts of the explorer: lists, buttons, pagers, and callbacks that say in the page what went wrong."""

import traceback
from collections.abc import Callable
from functools import wraps

import ipywidgets as widgets

from ..methods import NotRun
from .page import error, sentence


class Notes:
    """Two lines of the page: what went wrong, and what is going on."""

    def __init__(self):
        self.wrong, self.going_on = widgets.HTML(), widgets.HTML()

    def tell(self, sentences: str) -> None:
        """Say what is going on, a sentence a line."""
        self.wrong.value, self.going_on.value = "", "".join(map(sentence, sentences.splitlines()))

    def complain(self, text: str, details: str = "") -> None:
        """Say what went wrong."""
        self.going_on.value, self.wrong.value = "", error(text, details)


def guarded(method: Callable) -> Callable:
    """Decorate a callback of an object with `notes`, which shows errors, unforeseen ones with a traceback."""

    @wraps(method)
    def wrapped(self, *args):
        try:
            return method(self, *args)
        except (ValueError, OSError, NotRun) as expected:
            self.notes.complain(str(expected))
        except Exception as unforeseen:  # shown, not swallowed: a front end hides what a callback raises
            fault = f"The explorer has a fault: {type(unforeseen).__name__}: {unforeseen}"
            self.notes.complain(fault, traceback.format_exc())

    return wrapped


class Choice:
    """A list to choose from that calls `changed` when a person chooses, and not when it is filled."""

    def __init__(self, name: str, options: list[str], changed: Callable[[], None]):
        layout = widgets.Layout(width="245px")
        self.widget = widgets.Dropdown(options=options, description=name, layout=layout)
        self._quiet = False
        self.widget.observe(lambda _: None if self._quiet else changed(), "value")

    @property
    def value(self) -> str | None:
        """What is chosen."""
        return self.widget.value

    @value.setter
    def value(self, chosen: str) -> None:
        self.widget.value = chosen

    def fill(self, options: list[str], chosen: str | None = None) -> None:
        """Set the options; choose `chosen` if it is one, else what was chosen before, else the first."""
        self._quiet, wanted = True, [chosen, self.widget.value, *options]
        self.widget.options = options
        self.widget.value = next((option for option in wanted if option in options), None)
        self._quiet = False


def make_field(kind: type[widgets.Text], placeholder: str, width: int, name: str = "") -> widgets.Text:
    """Make a text field that reports its value on enter."""
    layout = widgets.Layout(width=f"{width}px")
    given = {"placeholder": placeholder, "continuous_update": False, "layout": layout}
    return kind(**given, description=name) if name else kind(**given)


def make_button(name: str, act: Callable[[], None]) -> widgets.Button:
    """Make a button that calls `act`."""
    button = widgets.Button(description=name, layout=widgets.Layout(width="auto"))
    button.on_click(lambda _: act())
    return button


def make_pager(turn: Callable[[int], None], of: str) -> list[widgets.Button]:
    """Make a button back and a button forth."""
    return [make_button(f"‹ earlier {of}", lambda: turn(-1)), make_button(f"more {of} ›", lambda: turn(1))]


def in_row(*parts: widgets.Widget) -> widgets.HBox:
    """Lay widgets out in a row that wraps."""
    return widgets.HBox(parts, layout=widgets.Layout(flex_flow="row wrap"))
