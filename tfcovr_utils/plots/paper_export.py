"""Every figure and table of the paper that a run can make, and ours, drawn and exported. What is missing is named, and the rest is made."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from .base import save_figure
from .paper_figures import FIGURES
from .paper_tables import TABLES
from .run_results import Run
from .tables import save_table, show_table


class Missing(str):
    """Why something could not be made; a notebook shows it as a line of text."""

    def _repr_markdown_(self) -> str:
        return f"Not made: {self}"


class Drawn(NamedTuple):
    """What a notebook shows: a figure, a styled table, or why there is neither; and its table, with what is bold in it."""

    title: str
    shown: object
    table: pd.DataFrame | None = None
    best: dict[str, pd.Series] | None = None


def draw(run: Run) -> dict[str, Drawn]:
    """All of FIGURES and TABLES by name."""
    drawn = {}
    for name, (title, make) in {**FIGURES, **TABLES}.items():
        try:
            first, second = make(run)
        except FileNotFoundError as missing:
            drawn[name] = Drawn(title, Missing(missing))
            continue
        drawn[name] = (
            Drawn(title, first, second)
            if isinstance(first, Figure)
            else Drawn(title, show_table(first, second), first, second)
        )
    return drawn


def export(drawn: dict[str, Drawn], folder: Path) -> pd.DataFrame:
    """Write everything, and an index of it: columns name, title, files (or why there are none)."""
    rows = []
    for name, item in drawn.items():
        if isinstance(item.shown, Missing):
            said = f"missing: {item.shown}"
        elif isinstance(item.shown, Figure):
            said = ", ".join(path.suffix[1:] for path in save_figure(item.shown, name, item.table, folder))
        else:
            said = ", ".join(path.suffix[1:] for path in save_table(item.table, name, folder, item.best))
        rows.append([name, item.title, said])
    index = pd.DataFrame(rows, columns=["name", "title", "files"])
    save_table(index, "index", folder)
    return index
