"""Cards of clips: widgets made once and filled anew for each result, so that memory does not grow."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import ipywidgets as widgets

from ..video import VideoError
from .controls import Notes, make_button
from .page import card_text
from .previews import Previews

PREVIEW_THREADS = 2
# A single grey pixel: shown while a preview is made, and where none can be.
BLANK = bytes.fromhex(
    "47494638396101000100800000d4d4d400000021f90400000000002c00000000010001000002024401003b"
)
MARKS = {True: "✓", False: "✗", None: ""}


class Card:
    """A preview, some words, and a button for each of `actions`, which is called with the clip's id."""

    def __init__(self, actions: dict[str, Callable[[str], None]], small: bool = False):
        self.clip_id, self.path = "", ""
        self.image, self.text = widgets.Image(value=BLANK, format="gif"), widgets.HTML()
        self.buttons = {
            name: make_button(name, lambda act=act: act(self.clip_id)) for name, act in actions.items()
        }
        next(iter(self.buttons.values())).add_class("tfcovr-main")
        self.widget = widgets.VBox([self.image, self.text, widgets.HBox([*self.buttons.values()])])
        self.widget.add_class("tfcovr-card")
        if small:
            self.widget.add_class("tfcovr-thumb")
        self.clear()

    def clear(self) -> None:
        """Hide the card."""
        self.widget.layout.display = "none"
        self.clip_id, self.image.value, self.path = "", BLANK, ""

    def fill(self, clip, label: str, rank: str = "", share: float = 0.0, right: bool | None = None) -> None:
        """Show the words of a clip, a row with clip_id, path and source_video; not yet its preview."""
        if clip.path != self.path:
            self.image.value = BLANK
        self.clip_id, self.path = clip.clip_id, clip.path
        self.text.value = card_text(rank, MARKS[right], share, label, clip.source_video)
        for name, here in (("tfcovr-right", right is True), ("tfcovr-wrong", right is False)):
            (self.widget.add_class if here else self.widget.remove_class)(name)
        self.widget.layout.display = None


def draw_all(cards: list[Card], previews: Previews, notes: Notes) -> None:
    """Show the previews of the cards in use; count those that cannot be made, and name the first."""

    def make(card: Card) -> bytes | VideoError:
        try:
            return previews.get(card.path)
        except VideoError as error:
            return error

    shown, broken = [card for card in cards if card.clip_id], []
    with ThreadPoolExecutor(PREVIEW_THREADS) as pool:
        for card, made in zip(shown, pool.map(make, shown)):
            card.image.value = made if isinstance(made, bytes) else BLANK
            broken += [str(made)] if isinstance(made, VideoError) else []
    if broken:
        notes.complain(f"{len(broken)} previews could not be made; the first: {broken[0]}.")
