"""Looking through label pairs and deciding which of them stand."""

from html import escape
from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from ..labels.pairing import KINDS, record_decision
from .controls import make_button

KEYS = {"a": "accept", "r": "reject", "k": "change kind", "n": "next", "b": "back"}


class PairReviewer:
    """Shows one label pair at a time; each decision is written to the CSV at once, and later runs obey it.

    `pairs` has a row an undirected pair. Tab reaches the buttons; in the key box one letter is enough.
    """

    def __init__(self, pairs: pd.DataFrame, texts: dict[str, str], path: Path):
        self.pairs, self.texts, self.path, self.position = pairs.reset_index(drop=True), texts, path, 0
        self._kinds = self.pairs.kind.to_dict()
        self._shown = widgets.HTML()
        self._comment = widgets.Text(placeholder="comment (optional)", continuous_update=False)
        self._key = widgets.Text(placeholder=", ".join(f"{key} {verb}" for key, verb in KEYS.items()))
        self._said = widgets.HTML()
        buttons = [make_button(verb, lambda key=key: self.press(key)) for key, verb in KEYS.items()]
        self._key.observe(self._typed, "value")
        self.widget = widgets.VBox([self._shown, widgets.HBox(buttons), self._comment, self._key, self._said])
        self._show()

    def press(self, key: str) -> None:
        """Do what a key or its button says."""
        pair, kind = self.pairs.iloc[self.position], self._kinds[self.position]
        if key == "k":
            self._kinds[self.position] = KINDS[1 - KINDS.index(kind)]
        elif key in ("a", "r"):
            labels = pair.source_label, pair.target_label
            record_decision(self.path, *labels, KEYS[key], kind, self._comment.value)
            self._said.value = escape(f"{KEYS[key]}ed, written to {self.path.name}")
            self._comment.value = ""
        if key in ("a", "r", "n", "b"):
            self.position = (self.position + (-1 if key == "b" else 1)) % len(self.pairs)
        self._show()

    def _typed(self, change) -> None:
        key = change["new"].strip().lower()[-1:]
        if key in KEYS:
            self.press(key)
        if key:
            self._key.value = ""

    def _show(self) -> None:
        pair = self.pairs.iloc[self.position]
        about = f" tier {pair.tier}, {self._kinds[self.position]}, changes {pair.changed}"
        lines = [about, self.texts[pair.source_label], self.texts[pair.target_label]]
        place = f"<b>{self.position + 1} of {len(self.pairs)}</b>"
        self._shown.value = place + "<br>".join(escape(line) for line in lines)
