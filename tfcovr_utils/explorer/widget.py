"""The explorer as widgets: choose a clip, say what should be different, look at what is found, go on.

`Session` asks and answers; here it is shown. Nothing shown is kept: cards are filled anew.
"""

import time
from collections.abc import Iterable
from html import escape
from pathlib import Path

import ipywidgets as widgets
from IPython.display import display

from ..profiles import ROOT, runs_dir
from . import downloads as export
from .cards import Card, draw_all
from .chooser import ClipChooser
from .controls import Choice, Notes, guarded, in_row, make_button, make_field, make_pager
from .page import KEYS_HINT, download, keyboard, sentence, style
from .paths import allowed_folders, typed_path, within
from .previews import Previews
from .session import FIRST_METHOD, Answer, Session

CARDS = 12  # previews in the grid: with more, a page is slow to load
MOST = 50  # clips that are ranked
CHIPS = 5  # modifications offered as buttons
NONE = "none"


class Explorer:
    """The widget of a session; end a cell with it. Exports go to `out`, by default below the run's folder.

    The path box opens only the benchmark's clips, and what is in `folders` and in $TFCOVR_FOLDERS.
    """

    def __init__(self, session: Session, out: Path | None = None, folders: Iterable[str | Path] = ()):
        self.session, self.previews, self.notes = session, Previews(), Notes()
        self.out = Path(out or runs_dir(session.setting.profile) / "explorer")
        self.allowed = allowed_folders(None if session.clips.empty else session.setting.clips_dir, folders)
        self.query_clip: str | None = None
        self.answers: list[Answer] = []
        self._page, self._typing, self._n_asked = 0, True, 0
        self._make_controls()
        self.cards = [Card({"next query": self.choose, "more like": self.more_like}) for _ in range(CARDS)]
        self._query_card = Card({"more like this": self.more_like}, small=True)
        self.heads, self._grids = [widgets.HTML(), widgets.HTML()], [in_row(), in_row()]
        self._columns = [widgets.VBox(parts) for parts in zip(self.heads, self._grids)]
        self.exported, self._asked = widgets.HTML(), widgets.HTML()
        self.reel = widgets.Video(autoplay=False, loop=True, width=480, layout=widgets.Layout(display="none"))
        self.widget = self._lay_out()
        self._fill()

    def _ipython_display_(self) -> None:
        display(self.widget, keyboard())

    def _make_controls(self) -> None:
        self.chooser = ClipChooser(self.session, self.previews, self.notes, self.choose)
        self.path = make_field(widgets.Text, "path of a clip or of a folder of clips", 520, "your own")
        hint = "type what should be different, such as: show with 2 twists"
        self.text = make_field(widgets.Combobox, hint, 520)
        self.text.add_class("tfcovr-ask")
        self.text.observe(lambda _: self.search() if self._typing else None, "value")
        self.chips = [
            make_button("", lambda n=n: self.ask_for(self.chips[n].description)) for n in range(CHIPS)
        ]
        for chip in self.chips:
            chip.add_class("tfcovr-chip")
        names = ("method", "beside it", "gallery")
        self.method, self.second_method, self.gallery = (Choice(name, [], self._again) for name in names)
        self.k = widgets.IntSlider(value=CARDS, min=1, max=MOST, description="K", continuous_update=False)
        self.hide = widgets.Checkbox(description="hide clips of the query's source", indent=False)
        self.show_labels = widgets.Checkbox(value=True, description="show labels", indent=False)
        for control in (self.k, self.hide):
            control.observe(lambda _: self._again(), "value")
        self.show_labels.observe(lambda _: self.show_page(), "value")

    def _lay_out(self) -> widgets.Widget:
        search = make_button("search", self.search)
        search.add_class("tfcovr-search")
        asking = [
            in_row(self.text, search),
            in_row(*self.chips),
            in_row(self.method.widget, self.second_method.widget, self.gallery.widget),
            in_row(self.k, self.hide, self.show_labels),
            widgets.HTML(KEYS_HINT),
        ]
        exports = {
            "grid as figure": self.save_figure,
            "ranking as CSV": self.save_csv,
            "session as a cell": self.save_cell,
            "highlight reel": self.save_reel,
        }
        parts = [
            widgets.HTML(style() + "<h3>1 Query clip</h3>"),
            self.chooser.choices,
            in_row(self.chooser.words, self.path, make_button("open", self.open)),
            self.chooser.thumbnails,
            widgets.HTML("<h3>2 Modification</h3>"),
            widgets.HBox([self._query_card.widget, widgets.VBox(asking)]),
            self.notes.wrong,
            self.notes.going_on,
            widgets.HTML("<h3>3 What is found</h3>"),
            widgets.HBox(self._columns),
            in_row(*make_pager(self.turn, "results"), self._asked),
            in_row(*(make_button(name, act) for name, act in exports.items())),
            self.exported,
            self.reel,
        ]
        page = widgets.VBox(parts)
        page.add_class("tfcovr")
        return page

    def _fill(self, place: str | None = None) -> None:
        """Take up what the session has by now; `place` is the folder that was opened."""
        self.gallery.fill(self.session.galleries, place)
        self.method.fill(self.session.methods, self.method.value or FIRST_METHOD)
        self.second_method.fill([NONE, *self.session.methods])
        self.chooser.fill(place)

    # ---- what a person does

    @guarded
    def open(self) -> None:
        """Take in the clip or folder whose path is typed."""
        self.notes.tell("looking at the files …")
        path = within(typed_path(self.path.value), self.allowed)
        name, indexed = self.session.open_path(str(path), self.notes.tell)
        self._forget()
        self._fill(name)
        if indexed is None:
            self._take(self.chooser.found["clip_id"].iloc[-1])
        self.notes.tell(str(indexed) if indexed is not None else f"{self.query_clip} is the query clip.")

    @guarded
    def choose(self, clip_id: str) -> None:
        """Make a clip the query, and ask the same of it."""
        self._take(clip_id)
        self._again()

    @guarded
    def search(self) -> None:
        """Ask what is typed of the chosen clip."""
        self._ask(self.text.value)

    def ask_for(self, text: str) -> None:
        """Ask a suggestion."""
        self._set_text(text)
        self.search()

    @guarded
    def more_like(self, clip_id: str) -> None:
        """Rank by likeness to a clip, without a modification."""
        self._take(clip_id)
        self._set_text("")
        self._ask("")

    @guarded
    def turn(self, step: int) -> None:
        """Go to other ranks."""
        last = max([(len(answer.ranking) - 1) // self._room for answer in self.answers], default=0)
        self._page = min(max(0, self._page + step), max(0, last))
        self.show_page()

    @guarded
    def save_figure(self) -> None:
        """Write the grid of each method as a figure."""
        paths: list[Path] = []
        for answer in self._answered():
            paths += export.write_figure(self.session, answer, f"{_stamp()}_{answer.method}", self.out)
        self.exported.value = sentence("written: " + ", ".join(map(_short, paths)))

    @guarded
    def save_csv(self) -> None:
        """Write the rankings, and offer them to download."""
        path = export.write_csv(self.session, self._answered(), self.out / f"{_stamp()}_ranking.csv")
        link = download(path.read_bytes(), path.name, "text/csv")
        self.exported.value = sentence(f"written: {_short(path)}, and to download:") + link

    @guarded
    def save_cell(self) -> None:
        """Show Python that asks the same again."""
        cell = escape(export.write_cell(self.session, self._answered()))
        heading = sentence("a cell that asks the same again:")
        self.exported.value = heading + f"<pre class='tfcovr-cell'>{cell}</pre>"

    @guarded
    def save_reel(self) -> None:
        """Write the first method's clips as one mp4, and show it."""
        answer, path = self._answered()[0], self.out / f"{_stamp()}_reel.mp4"
        self.exported.value = sentence("cutting the reel …")
        broken = export.write_highlights(self.session, answer, path)
        self.reel.value = path.read_bytes()
        self.reel.layout.display = ""
        lines = [f"written: {_short(path)}", *(f"left out: {why}" for why in broken.values())]
        self.exported.value = "".join(map(sentence, lines))

    # ---- how it is shown

    @property
    def _room(self) -> int:
        """Cards that one method has."""
        return CARDS // max(1, len(self.answers))

    def _set_text(self, text: str) -> None:
        """Set the text without asking it."""
        self._typing = False
        self.text.value = text
        self._typing = True

    def _answered(self) -> list[Answer]:
        if not self.answers:
            raise ValueError("nothing has been asked yet; choose a clip and a modification first.")
        self.notes.wrong.value = ""
        return self.answers

    def _forget(self) -> None:
        """Drop what was found before a folder was read anew, and a query clip that is gone."""
        self.answers = []
        for card in self.cards:
            card.clear()
        self.show_page()
        if self.query_clip not in self.session.clips.index:
            self.query_clip = None
            self._query_card.clear()
            self._suggest([])

    def _suggest(self, texts: list[str]) -> None:
        self.text.options = texts
        for chip, text in zip(self.chips, [*texts, *[""] * CHIPS]):
            chip.description, chip.layout.display = text, "" if text else "none"

    def _take(self, clip_id: str) -> None:
        clip, self.query_clip = self.session.clips.loc[clip_id], clip_id
        self._query_card.fill(clip, clip["label"] or clip_id)
        self._suggest(self.session.suggest(clip_id))
        draw_all([self._query_card], self.previews, self.notes)

    @guarded
    def _again(self) -> None:
        """Repeat the question for another clip or control, if there was one."""
        if self.answers or self.text.value.strip():
            self._ask(self.text.value)

    def _ask(self, text: str) -> None:
        methods = dict.fromkeys((self.method.value, self.second_method.value))
        self.notes.tell("searching …")
        options = {"gallery": self.gallery.value, "k": self.k.value, "hide_source": self.hide.value}
        self.answers = [
            self.session.ask(self.query_clip, text, method=name, **options)
            for name in methods
            if name != NONE
        ]
        self._page, ms = 0, 1000 * sum(answer.seconds for answer in self.answers)
        asked = f"more like {self.query_clip}"
        if text.strip():
            asked = f"“{text.strip()}” of {self.query_clip or 'any clip'}"
        size = len(self.session.members(self.gallery.value))
        self.notes.tell(f"{asked}: {size:,} clips searched in {ms:.0f} ms")
        self.show_page()
        self._n_asked += 1
        self._asked.value = sentence(f"question {self._n_asked} of this session")

    @guarded
    def show_page(self) -> None:
        """Show the current ranks of what was answered."""
        for place, (head, grid, column) in enumerate(zip(self.heads, self._grids, self._columns)):
            answer = self.answers[place] if place < len(self.answers) else None
            cards = self.cards[place * self._room : (place + 1) * self._room] if answer else []
            grid.children = [card.widget for card in cards]
            column.layout.width = f"{100 // len(self.answers)}%" if answer else "0px"
            head.value = _head(answer) if answer else ""
            if answer:
                self._fill_cards(cards, answer)
        draw_all(self.cards, self.previews, self.notes)

    def _fill_cards(self, cards: list[Card], answer: Answer) -> None:
        scores = answer.ranking["score"]
        low, high = min(0.0, scores.min()), max(scores.max(), 1e-9)
        rows = [*answer.ranking.iloc[self._page * len(cards) : (self._page + 1) * len(cards)].itertuples()]
        for card, row in zip(cards, rows):
            label = (row.label or row.clip_id) if self.show_labels.value else ""
            clip, share = self.session.clips.loc[row.clip_id], (row.score - low) / (high - low)
            card.fill(clip, label, f"{row.rank}   {row.score:.3f}", share, row.right)
        for card in cards[len(rows) :]:
            card.clear()


def _head(answer: Answer) -> str:
    precision = "".join(f", AP@{k} {100 * value:.2f}" for k, value in answer.precision.items())
    unknown, known = "right answers not known", f"{answer.n_right} right answers in this gallery"
    known = unknown if answer.n_right is None else known
    return sentence(f"{answer.method}: {known}{precision}")


def _stamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
