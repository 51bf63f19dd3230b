"""Choosing the query clip: by where it is from, apparatus, label, source or words, from a row of moving thumbnails."""

from collections.abc import Callable

import ipywidgets as widgets
import pandas as pd

from .cards import Card, draw_all
from .controls import Listed, Notes, guarded, in_row, make_pager
from .page import said
from .previews import Previews
from .session import Session

ANY = "any"
THUMBS = 7  # clips offered at a time


class ClipChooser:
    """The first part of the explorer; `choose` is called with the id of the clip that a person takes."""

    def __init__(self, session: Session, previews: Previews, notes: Notes, choose: Callable[[str], None]):
        self.session, self.previews, self.notes = session, previews, notes
        self.found, self._how, self._page = pd.DataFrame(), "", 0
        self.of = Listed("clips of", [], self.show_place)
        self.event, self.label, self.source = (
            Listed(name, [ANY], self.show) for name in ("apparatus", "label", "source")
        )
        self.words = widgets.Text(
            description="search",
            placeholder="words of a label, or any text; then enter",
            continuous_update=False,
            layout=widgets.Layout(width="380px"),
        )
        self.words.observe(lambda _: self.show(), "value")
        self.cards = [Card({"choose": choose}, small=True) for _ in range(THUMBS)]
        self._counted = widgets.HTML()
        self.filters = in_row(*(listed.widget for listed in (self.of, self.event, self.label, self.source)))
        self.thumbnails = widgets.VBox(
            [
                in_row(*(card.widget for card in self.cards)),
                widgets.HBox([*make_pager(self.turn, "clips"), self._counted]),
            ]
        )

    def fill(self, place: str | None = None) -> None:
        """Take up what the session has by now; `place` is the split or folder to show."""
        places = self.session.clips["of"].unique().tolist()
        self.of.fill(sorted(places, key=lambda name: (name in ("train", "val"), name != "test")), place)
        self.show_place()

    def show_place(self) -> None:
        """Show another split or folder, with filters of its own."""
        clips = self.session.clips[self.session.clips["of"] == self.of.value]
        for listed, column in ((self.event, "event"), (self.label, "label"), (self.source, "source_video")):
            listed.fill([ANY, *sorted(set(clips[column]) - {""})], ANY)
        if self.words.value:
            self.words.value = ""  # which shows the clips, too
        else:
            self.show()

    @guarded
    def show(self) -> None:
        """Show the clips that the filters and words leave."""
        self.notes.tell("")
        wanted = {
            column: "" if listed.value == ANY else listed.value
            for column, listed in (
                ("event", self.event),
                ("label", self.label),
                ("source_video", self.source),
            )
        }
        self._page = 0
        if self.of.value is not None:
            self.found, self._how = self.session.find(self.words.value, of=self.of.value, **wanted)
        self._show_page()

    @guarded
    def turn(self, step: int) -> None:
        self._page = min(max(0, self._page + step), max(0, (len(self.found) - 1) // THUMBS))
        self._show_page()

    def _show_page(self) -> None:
        start = self._page * THUMBS
        rows = [*self.found.iloc[start : start + THUMBS].itertuples()]
        for place, card in enumerate(self.cards):
            if place < len(rows):
                clip = rows[place]
                card.fill(clip.clip_id, clip.path, clip.label or clip.clip_id, clip.source_video)
            else:
                card.clear()
        how = f"; {self._how}" if self._how else ""
        self._counted.value = said(
            f"{start + bool(rows)} to {start + len(rows)} of {len(self.found):,} clips{how}"
        )
        draw_all(self.cards, self.previews, self.notes)
