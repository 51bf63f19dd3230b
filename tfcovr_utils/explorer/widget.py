"""The explorer as widgets: choose a clip, say what should be different, look at what is found, go on from there.

What is asked and answered is `Session`'s; here it is shown. Nothing shown is kept: cards are filled anew.
"""

import time
import traceback
from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from IPython.display import Javascript, display

from ..methods import NotRun
from ..profiles import ROOT, runs_dir
from . import export
from .cards import Card, draw_all
from .page import KEYBOARD, STYLE, download, error, said
from .previews import Previews
from .session import FIRST_METHOD, Answer, Session

CARDS = 12   # previews in the grid: with more, a page is slow to load
THUMBS = 7   # clips offered as the query at a time
CHIPS = 5    # modifications offered as buttons
ANY, NONE = "any", "none"


def guarded(method: Callable) -> Callable:
    """What goes wrong in a callback is said in the widget: one sentence, and for what nobody foresaw the details too."""
    @wraps(method)
    def wrapped(self, *args):
        try:
            return method(self, *args)
        except (ValueError, OSError, NotRun) as expected:
            self._said.value, self._error.value = "", error(str(expected))
        except Exception as unforeseen:  # shown, not swallowed: a front end hides what a callback raises
            self._error.value = error(f"The explorer has a fault: {type(unforeseen).__name__}: {unforeseen}", traceback.format_exc())
    return wrapped


class Explorer:
    """The widget of a session; end a cell with it. Exports go to `out`, by default below the run's folder."""

    def __init__(self, session: Session, out: Path | None = None):
        self.session, self.previews = session, Previews()
        self.out = Path(out or runs_dir(session.setting.profile) / "explorer")
        self.query_clip: str | None = None
        self.answers: list[Answer] = []
        self._asked, self._page, self._thumb_page, self._found, self._quiet = "", 0, 0, pd.DataFrame(), False
        self.widget = self._lay_out()
        self._list_clips()

    def _ipython_display_(self) -> None:
        display(self.widget, Javascript(KEYBOARD))

    # ---- what is there

    def _lay_out(self) -> widgets.Widget:
        session = self.session
        self._error, self._said = widgets.HTML(), widgets.HTML()
        self._of = self._dropdown("clips of", [], self._reset_filters)
        self._event, self._label, self._source = (self._dropdown(name, [ANY], self._list_first) for name in ("apparatus", "label", "source"))
        self._words = self._line("search", "words of a label, or any text; then enter", self._list_first)
        self._path = widgets.Text(description="your own", placeholder="path of a clip or of a folder of clips", continuous_update=False,
                                  layout=widgets.Layout(width="520px"))
        self._thumbs = [Card({"choose": self.choose}, small=True) for _ in range(THUMBS)]
        self._thumbs_said = widgets.HTML()
        self._query_card = Card({"more like this": self.more_like}, small=True)
        self._text = widgets.Combobox(placeholder="type what should be different, such as: show with 2 twists", continuous_update=False,
                                      layout=widgets.Layout(width="520px"))
        self._text.add_class("tfcovr-ask")
        self._text.observe(lambda change: None if self._quiet else self.search(), "value")
        self._chips = [widgets.Button(layout=widgets.Layout(display="none", width="auto")) for _ in range(CHIPS)]
        for chip in self._chips:
            chip.add_class("tfcovr-chip")
            chip.on_click(lambda button: self.ask_for(button.description))
        self._method = self._dropdown("method", session.methods, self._again)
        self._beside = self._dropdown("beside it", [NONE, *session.methods], self._again)
        self._gallery = self._dropdown("gallery", session.galleries, self._again)
        self._k = widgets.IntSlider(value=CARDS, min=1, max=50, description="K", continuous_update=False, layout=widgets.Layout(width="260px"))
        self._hide = widgets.Checkbox(description="hide clips of the query's source", indent=False)
        self._show = widgets.Checkbox(value=True, description="show labels", indent=False)
        for control in (self._k, self._hide):
            control.observe(self._again, "value")
        self._show.observe(lambda _: self._show_page(), "value")
        self._cards = [Card({"next query": self.choose, "more like": self.more_like}) for _ in range(CARDS)]
        self._heads = [widgets.HTML(), widgets.HTML()]
        self._grids = [widgets.Box(layout=widgets.Layout(flex_flow="row wrap")) for _ in self._heads]
        self._exported, self._video = widgets.HTML(), widgets.Video(autoplay=False, loop=True, width=480, layout=widgets.Layout(display="none"))
        self._fill_choices()
        columns = [widgets.VBox([head, grid]) for head, grid in zip(self._heads, self._grids)]
        self._columns = columns
        turn_thumbs, turn_pages = self._pager(self._turn_thumbs, "clips"), self._pager(self._turn_page, "results")
        exports = [self._button(name, act) for name, act in (("grid as figure", self.save_figure), ("ranking as CSV", self.save_csv),
                   ("session as a cell", self.save_cell), ("highlight reel", self.save_reel))]
        page = widgets.VBox([
            widgets.HTML(STYLE + "<h3>1 Query clip</h3>"),
            widgets.HBox([self._of, self._event, self._label, self._source], layout=widgets.Layout(flex_flow="row wrap")),
            widgets.HBox([self._words, self._path, self._button("open", self.open)], layout=widgets.Layout(flex_flow="row wrap")),
            widgets.HBox([thumb.widget for thumb in self._thumbs], layout=widgets.Layout(flex_flow="row wrap")),
            widgets.HBox([*turn_thumbs, self._thumbs_said]),
            widgets.HTML("<h3>2 Modification</h3>"),
            widgets.HBox([self._query_card.widget, widgets.VBox([
                widgets.HBox([self._text, self._button("search", self.search)]),
                widgets.HBox(self._chips, layout=widgets.Layout(flex_flow="row wrap")),
                widgets.HBox([self._method, self._beside, self._gallery], layout=widgets.Layout(flex_flow="row wrap")),
                widgets.HBox([self._k, self._hide, self._show], layout=widgets.Layout(flex_flow="row wrap")),
                widgets.HTML('<div class="tfcovr-hint">Keys: / types a modification, arrows go from card to card, enter takes a card as the '
                             "next query, escape leaves a field.</div>"),
            ])]),
            self._error, self._said,
            widgets.HTML("<h3>3 What is found</h3>"),
            widgets.HBox(columns), widgets.HBox(turn_pages), widgets.HBox(exports), self._exported, self._video,
        ])
        return page.add_class("tfcovr") or page

    def _dropdown(self, name: str, options: list[str], changed: Callable) -> widgets.Dropdown:
        control = widgets.Dropdown(options=options, description=name, layout=widgets.Layout(width="270px"))
        control.observe(lambda _: None if self._quiet else changed(), "value")
        return control

    def _line(self, name: str, placeholder: str, changed: Callable) -> widgets.Text:
        control = widgets.Text(description=name, placeholder=placeholder, continuous_update=False, layout=widgets.Layout(width="380px"))
        control.observe(lambda _: None if self._quiet else changed(), "value")
        return control

    def _button(self, name: str, act: Callable) -> widgets.Button:
        button = widgets.Button(description=name, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: act())
        return button

    def _pager(self, turn: Callable, of: str) -> list[widgets.Button]:
        return [self._button(name, lambda step=step: turn(step)) for name, step in ((f"‹ earlier {of}", -1), (f"more {of} ›", 1))]

    def _fill_choices(self) -> None:
        """Fill the lists of splits, folders and galleries, and of what the filters can be; what was chosen stays where it can."""
        clips = self.session.clips
        places = clips["of"].unique().tolist()
        self._choose(self._of, sorted(places, key=lambda name: (name in ("train", "val"), name != "test")))
        self._choose(self._gallery, self.session.galleries)
        self._choose(self._method, self.session.methods, FIRST_METHOD)
        self._reset_choices()

    def _choose(self, control: widgets.Dropdown, options: list[str], usual: str | None = None) -> None:
        self._quiet, before = True, control.value
        control.options = options
        control.value = before if before in options and usual is None else usual if usual in options else next(iter(options), None)
        self._quiet = False

    def _reset_choices(self) -> None:
        clips = self.session.clips[self.session.clips["of"] == self._of.value]
        for control, column in ((self._event, "event"), (self._label, "label"), (self._source, "source_video")):
            self._choose(control, [ANY, *sorted(set(clips[column]) - {""})], ANY)

    # ---- what a person does

    @guarded
    def open(self) -> None:
        """Take in the clip or folder whose path is typed."""
        self._tell("looking at the files …")
        name, indexed = self.session.open_path(self._path.value, self._tell)
        self._fill_choices()
        self._quiet = True
        self._of.value = name
        if indexed is not None:
            self._gallery.value = name
        self._quiet = False
        self._reset_choices()
        self._list_clips()
        self._tell(str(indexed) if indexed is not None else f"{name}: the clip is there to choose.")
        if indexed is None:
            self._choose_clip(self._found["clip_id"].iloc[-1])

    @guarded
    def choose(self, clip_id: str) -> None:
        """Make a clip the query, and ask again if there is a modification that may be asked of it."""
        self._choose_clip(clip_id)
        self._again()

    @guarded
    def search(self) -> None:
        """Ask what is typed of the chosen clip."""
        self._ask(self._text.value)

    def ask_for(self, text: str) -> None:
        """Ask a suggestion."""
        self._quiet = True
        self._text.value = text
        self._quiet = False
        self.search()

    @guarded
    def more_like(self, clip_id: str) -> None:
        """Rank by likeness to a clip, without a modification."""
        self._choose_clip(clip_id)
        self._ask("")

    @guarded
    def save_figure(self) -> None:
        paths = [path for answer in self._answered() for path in export.write_figure(self.session, answer, f"{_stamp()}_{answer.method}", self.out)]
        self._exported.value = said("written: " + ", ".join(_short(path) for path in paths))

    @guarded
    def save_csv(self) -> None:
        path = export.write_csv(self._answered(), self.out / f"{_stamp()}_ranking.csv")
        self._exported.value = said(f"written: {_short(path)}, and to download: ") + download(path.read_bytes(), path.name, "text/csv")

    @guarded
    def save_cell(self) -> None:
        self._answered()
        cell = export.write_cell(self.session, self.answers)
        self._exported.value = said("a cell that asks the same again:") + f"<pre class='tfcovr-cell'>{escape(cell)}</pre>"

    @guarded
    def save_reel(self) -> None:
        answer = self._answered()[0]
        self._exported.value = said("cutting the reel …")
        path = self.out / f"{_stamp()}_reel.mp4"
        broken = export.write_highlights(self.session, answer, path)
        self._video.value = path.read_bytes()
        self._video.layout.display = ""
        self._exported.value = said(f"written: {_short(path)}") + "".join(said(f"left out: {why}") for why in broken.values())

    # ---- how it is shown

    def _answered(self) -> list[Answer]:
        if not self.answers:
            raise ValueError("nothing has been asked yet; choose a clip and a modification first.")
        self._error.value = ""
        return self.answers

    def _tell(self, sentence: str) -> None:
        self._error.value = ""
        self._said.value = "".join(said(line) for line in sentence.splitlines())

    def _choose_clip(self, clip_id: str) -> None:
        clip = self.session.clips.loc[clip_id]
        self.query_clip = clip_id
        self._query_card.fill(clip_id, clip["path"], clip["label"] or clip_id, clip["source_video"])
        texts = self.session.suggest(clip_id)
        self._text.options = texts
        for place, chip in enumerate(self._chips):
            chip.description = texts[place] if place < len(texts) else ""
            chip.layout.display = "" if place < len(texts) else "none"
        self._draw([self._query_card])

    @guarded
    def _again(self, _=None) -> None:
        """Ask the same after a control has changed."""
        if not self._quiet and self.query_clip is not None and (self._text.value.strip() or self.answers):
            self._ask(self._text.value if self._text.value.strip() else "")

    def _ask(self, text: str) -> None:
        methods = [self._method.value] + ([self._beside.value] if self._beside.value not in (NONE, self._method.value) else [])
        self._tell("searching …")
        self.answers = [self.session.ask(self.query_clip, text, method=method, gallery=self._gallery.value, k=self._k.value,
                                         hide_source=self._hide.value) for method in methods]
        self._page = 0
        seconds = sum(answer.seconds for answer in self.answers)
        asked = f"“{text}”" if text.strip() else "more like this"
        self._show_page()
        self._tell(f"{asked} of {self.query_clip or 'any clip'}, {len(self.session.members(self._gallery.value)):,} clips searched in {1000 * seconds:.0f} ms")

    @guarded
    def _show_page(self) -> None:
        room = CARDS // max(1, len(self.answers))
        for card in self._cards:
            card.clear()
        for place, (head, grid, column) in enumerate(zip(self._heads, self._grids, self._columns)):
            answer = self.answers[place] if place < len(self.answers) else None
            cards = self._cards[place * room:(place + 1) * room] if answer else []
            grid.children = [card.widget for card in cards]
            column.layout.width = f"{100 // max(1, len(self.answers))}%" if answer else "0px"
            head.value = self._head(answer) if answer else ""
            shown = answer.ranking.iloc[self._page * room:(self._page + 1) * room] if answer else ()
            for card, row in zip(cards, shown.itertuples() if answer else ()):
                low, high = min(0.0, answer.ranking["score"].min()), max(answer.ranking["score"].max(), 1e-9)
                label = (row.label or row.clip_id) if self._show.value else ""
                card.fill(row.clip_id, self.session.clips.at[row.clip_id, "path"], label, row.source_video, f"{row.rank}   {row.score:.3f}",
                          (row.score - low) / (high - low), row.right)
        self._draw(self._cards)

    def _head(self, answer: Answer) -> str:
        precision = ", ".join(f"AP@{k} {100 * value:.2f}" for k, value in answer.precision.items())
        known = "right answers not known" if answer.n_right is None else f"{answer.n_right} right answers in this gallery"
        return said(f"{answer.method}: {known}{', ' + precision if precision else ''}")

    def _draw(self, cards: list[Card]) -> None:
        broken = list(draw_all(cards, self.previews))
        if broken:
            self._error.value = error(f"{len(broken)} previews could not be made; the first: {broken[0]}.")

    def _turn_page(self, step: int) -> None:
        room = CARDS // max(1, len(self.answers))
        last = max([(len(answer.ranking) - 1) // room for answer in self.answers], default=0)
        self._page = min(max(0, self._page + step), max(0, last))
        self._show_page()

    def _turn_thumbs(self, step: int) -> None:
        self._thumb_page = min(max(0, self._thumb_page + step), max(0, (len(self._found) - 1) // THUMBS))
        self._show_thumbs()

    def _reset_filters(self) -> None:
        self._reset_choices()
        self._list_first()

    @guarded
    def _list_first(self) -> None:
        self._error.value = ""
        self._list_clips()

    def _list_clips(self) -> None:
        wanted = {column: "" if control.value in (ANY, None) else control.value
                  for column, control in (("event", self._event), ("label", self._label), ("source_video", self._source))}
        self._thumb_page, how = 0, ""
        if self._of.value is not None:
            self._found, how = self.session.find(self._words.value, of=self._of.value, **wanted)
        self._how = how
        self._show_thumbs()

    @guarded
    def _show_thumbs(self) -> None:
        for card in self._thumbs:
            card.clear()
        start = self._thumb_page * THUMBS
        for card, clip in zip(self._thumbs, self._found.iloc[start:start + THUMBS].itertuples()):
            card.fill(clip.clip_id, clip.path, clip.label or clip.clip_id, clip.source_video)
        last = min(start + THUMBS, len(self._found))
        self._thumbs_said.value = said(f"{start + 1 if len(self._found) else 0} to {last} of {len(self._found):,} clips{'; ' + self._how if self._how else ''}")
        self._draw(self._thumbs)


def _stamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
