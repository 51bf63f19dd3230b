"""Draw and export every figure and table of the paper that a run can make, and ours; name what is missing."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from .base import save_figure
from .paper_figures import FIGURES
from .paper_tables import TABLES
from .run_results import Run
from .tables import Best, save_table, show_table


class Missing(str):
    """Why something could not be made; a notebook shows it as a line of text."""

    def _repr_markdown_(self) -> str:
        return f"Not made: {self}"


class Drawn(NamedTuple):
    """A figure, a styled table, or why there is neither; its table, and what is bold in the table."""

    title: str
    shown: object
    table: pd.DataFrame | None = None
    best: Best | None = None


def draw(run: Run) -> dict[str, Drawn]:
    """Make all of FIGURES and TABLES, by name."""
    drawn = {}
    for name, (title, make) in {**FIGURES, **TABLES}.items():
        try:
            first, second = make(run)
        except FileNotFoundError as missing:
            drawn[name] = Drawn(title, Missing(missing))
            continue
        if isinstance(first, Figure):
            drawn[name] = Drawn(title, first, second)
        else:
            drawn[name] = Drawn(title, show_table(first, second), first, second)
    return drawn


def export(drawn: dict[str, Drawn], folder: Path) -> pd.DataFrame:
    """Write everything, and an index of it: columns name, title, files (or why there are none)."""
    rows = []
    for name, item in drawn.items():
        if isinstance(item.shown, Missing):
            rows.append([name, item.title, f"missing: {item.shown}"])
            continue
        if isinstance(item.shown, Figure):
            paths = save_figure(item.shown, name, item.table, folder)
        else:
            paths = save_table(item.table, name, folder, item.best)
        rows.append([name, item.title, ", ".join(path.suffix[1:] for path in paths)])
    index = pd.DataFrame(rows, columns=["name", "title", "files"])
    save_table(index, "index", folder)
    return index
