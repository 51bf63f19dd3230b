"""Cards of clips: widgets made once and filled anew for each result, so that neither kernel nor browser grows."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ipywidgets as widgets

from ..video import VideoError
from .page import card_text
from .previews import Previews

DRAWN_AT_ONCE = 2  # previews that are made beside each other
# A single grey pixel: what stands while a preview is made, and where none can be.
BLANK = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xd4\xd4\xd4\x00\x00\x00!\xf9\x04\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
MARKS = {True: "✓", False: "✗", None: ""}


class Card:
    """A moving preview, some words, and a button for each of `actions`, which is called with the clip's id."""

    def __init__(self, actions: dict[str, Callable[[str], None]], small: bool = False):
        self.clip_id = ""
        self._image, self._text = widgets.Image(value=BLANK, format="gif"), widgets.HTML()
        buttons = [widgets.Button(description=name) for name in actions]
        buttons[0].add_class("tfcovr-main")
        for button, action in zip(buttons, actions.values()):
            button.on_click(lambda _, action=action: action(self.clip_id))
        self.buttons = dict(zip(actions, buttons))
        self.widget = widgets.VBox([self._image, self._text, widgets.HBox(buttons)])
        self.widget.add_class("tfcovr-card")
        if small:
            self.widget.add_class("tfcovr-thumb")
        self.clear()

    def clear(self) -> None:
        self.widget.layout.display = "none"
        self.clip_id, self._image.value, self._path = "", BLANK, ""

    def fill(self, clip_id: str, path: str, label: str, source: str, rank: str = "", share: float = 0.0, right: bool | None = None) -> None:
        """Show a clip's words; its preview comes with `draw`."""
        self.clip_id, self._path = clip_id, path
        self._text.value = card_text(rank, MARKS[right], share, label, source)
        for name, here in (("tfcovr-right", right is True), ("tfcovr-wrong", right is False)):
            (self.widget.add_class if here else self.widget.remove_class)(name)
        self._image.value = BLANK
        self.widget.layout.display = ""

    def draw(self, preview: bytes) -> None:
        self._image.value = preview

    @property
    def path(self) -> str:
        return self._path


def draw_all(cards: list[Card], previews: Previews) -> Iterator[str]:
    """Fill in the previews of cards, some being made beside each other; yield a sentence for each that cannot be."""

    def make(card: Card) -> bytes | VideoError:
        try:
            return previews.get(Path(card.path))
        except VideoError as error:
            return error

    shown = [card for card in cards if card.clip_id]
    with ThreadPoolExecutor(DRAWN_AT_ONCE) as pool:
        for card, made in zip(shown, pool.map(make, shown)):
            if isinstance(made, bytes):
                card.draw(made)
            else:
                yield str(made)
