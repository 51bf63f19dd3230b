"""Choosing the query clip by origin, apparatus, label, source or words, from moving thumbnails."""

from collections.abc import Callable

import ipywidgets as widgets
import pandas as pd

from .cards import Card, draw_all
from .controls import Choice, Notes, guarded, in_row, make_field, make_pager
from .page import sentence
from .previews import Previews
from .session import Session

ANY = "any"
THUMBS = 7  # clips offered at a time
FILTERS = {"event": "apparatus", "label": "label", "source_video": "source"}  # column -> name in the page


class ClipChooser:
    """The first part of the explorer; `choose` is called with the id of the clip that a person takes."""

    def __init__(self, session: Session, previews: Previews, notes: Notes, choose: Callable[[str], None]):
        self.session, self.previews, self.notes = session, previews, notes
        self.found, self._remark, self._page = pd.DataFrame(), "", 0
        self.of = Choice("clips of", [], self.show_place)
        self.filters = {column: Choice(name, [ANY], self.show) for column, name in FILTERS.items()}
        self.words = make_field(widgets.Text, "words of a label, or any text; then enter", 380, "search")
        self.words.observe(lambda _: self.show(), "value")
        self.cards = [Card({"choose": choose}, small=True) for _ in range(THUMBS)]
        self._counted = widgets.HTML()
        self.choices = in_row(self.of.widget, *(choice.widget for choice in self.filters.values()))
        pager = widgets.HBox([*make_pager(self.turn, "clips"), self._counted])
        self.thumbnails = widgets.VBox([in_row(*(card.widget for card in self.cards)), pager])

    def fill(self, place: str | None = None) -> None:
        """Take up what the session has by now; `place` is the split or folder to show."""
        places = self.session.clips["of"].unique().tolist()
        self.of.fill(sorted(places, key=lambda name: (name in ("train", "val"), name != "test")), place)
        self.show_place()

    def show_place(self) -> None:
        """Show another split or folder, with filters of its own."""
        clips = self.session.clips[self.session.clips["of"] == self.of.value]
        for column, choice in self.filters.items():
            choice.fill([ANY, *sorted(set(clips[column]) - {""})], ANY)
        if self.words.value:
            self.words.value = ""  # which shows the clips, too
        else:
            self.show()

    @guarded
    def show(self) -> None:
        """Show the clips that the filters and words leave."""
        self.notes.tell("")
        wanted = {name: "" if choice.value == ANY else choice.value for name, choice in self.filters.items()}
        self._page = 0
        if self.of.value is not None:
            self.found, self._remark = self.session.find(self.words.value, of=self.of.value, **wanted)
        self._show_page()

    @guarded
    def turn(self, step: int) -> None:
        """Go to other clips."""
        self._page = min(max(0, self._page + step), max(0, (len(self.found) - 1) // THUMBS))
        self._show_page()

    def _show_page(self) -> None:
        start = self._page * THUMBS
        clips = [*self.found.iloc[start : start + THUMBS].itertuples()]
        for card, clip in zip(self.cards, clips):
            card.fill(clip, clip.label or clip.clip_id)
        for card in self.cards[len(clips) :]:
            card.clear()
        remark = f"; {self._remark}" if self._remark else ""
        places = f"{start + bool(clips)} to {start + len(clips)}"
        self._counted.value = sentence(f"{places} of {len(self.found):,} clips{remark}")
        draw_all(self.cards, self.previews, self.notes)
