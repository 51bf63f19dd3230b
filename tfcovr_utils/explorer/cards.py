"""Cards of clips: widgets made once and filled anew for each result, so that neither kernel nor browser grows."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import ipywidgets as widgets

from ..video import VideoError
from .controls import Notes, make_button
from .page import card_text
from .previews import Previews

DRAWN_AT_ONCE = 2  # previews that are made beside each other
# A single grey pixel: what stands while a preview is made, and where none can be.
BLANK = bytes.fromhex(
    "47494638396101000100800000d4d4d400000021f90400000000002c00000000010001000002024401003b"
)
MARKS = {True: "✓", False: "✗", None: ""}


class Card:
    """A moving preview, some words, and a button for each of `actions`, which is called with the clip's id."""

    def __init__(self, actions: dict[str, Callable[[str], None]], small: bool = False):
        self.clip_id, self.path = "", ""
        self.image, self.text = widgets.Image(value=BLANK, format="gif"), widgets.HTML()
        self.buttons = {
            name: make_button(name, lambda action=action: action(self.clip_id))
            for name, action in actions.items()
        }
        next(iter(self.buttons.values())).add_class("tfcovr-main")
        self.widget = widgets.VBox([self.image, self.text, widgets.HBox([*self.buttons.values()])])
        self.widget.add_class("tfcovr-card")
        if small:
            self.widget.add_class("tfcovr-thumb")
        self.clear()

    def clear(self) -> None:
        self.widget.layout.display = "none"
        self.clip_id, self.image.value, self.path = "", BLANK, ""

    def fill(
        self,
        clip_id: str,
        path: str,
        label: str,
        source: str,
        rank: str = "",
        share: float = 0.0,
        right: bool | None = None,
    ) -> None:
        """Show a clip's words; its preview comes with `draw_all`."""
        if path != self.path:
            self.image.value = BLANK
        self.clip_id, self.path = clip_id, path
        self.text.value = card_text(rank, MARKS[right], share, label, source)
        for name, here in (("tfcovr-right", right is True), ("tfcovr-wrong", right is False)):
            (self.widget.add_class if here else self.widget.remove_class)(name)
        self.widget.layout.display = None


def draw_all(cards: list[Card], previews: Previews, notes: Notes) -> None:
    """Fill in the previews of the cards in use; those that cannot be made are counted, and the first named."""

    def make(card: Card) -> bytes | VideoError:
        try:
            return previews.get(card.path)
        except VideoError as error:
            return error

    shown, broken = [card for card in cards if card.clip_id], []
    with ThreadPoolExecutor(DRAWN_AT_ONCE) as pool:
        for card, made in zip(shown, pool.map(make, shown)):
            if isinstance(made, bytes):
                card.image.value = made
            else:
                card.image.value = BLANK
                broken.append(str(made))
    if broken:
        notes.complain(f"{len(broken)} previews could not be made; the first: {broken[0]}.")
