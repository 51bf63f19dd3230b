"""Tables as LaTeX, Markdown and CSV, the best number of each column in bold."""

import re
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype
from pandas.io.formats.style import Styler

from ..machine.files import replacing

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins with these is run by spreadsheets
_TAG = re.compile("<(?=[A-Za-z/!?])")  # what begins HTML inside Markdown
Best = dict[str, pd.Series]  # column -> mask of the rows whose largest number is set in bold


def save_table(
    table: pd.DataFrame,
    name: str,
    folder: Path,
    best: Best | None = None,
    forms: tuple[str, ...] = ("tex", "md", "csv"),
) -> list[Path]:
    """Write a table without its index as .tex (booktabs), .md and .csv (unrounded); return the paths."""
    writers = {
        "tex": lambda: _to_latex(table, best),
        "md": lambda: to_markdown(table, best),
        "csv": lambda: plain_cells(table).to_csv(index=False, lineterminator="\n"),
    }
    paths = [Path(folder) / f"{name}.{form}" for form in forms]
    for path, form in zip(paths, forms):
        with replacing(path) as temporary:
            temporary.write_text(writers[form](), "utf-8")
    return paths


def plain_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Put ' before texts that a spreadsheet would take for a formula; numbers stay.

    >>> plain_cells(pd.DataFrame({"label": ["=1+1", "-5", -5]}))["label"].tolist()
    ["'=1+1", "'-5", -5]
    """
    return table.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA else cell)


def show_table(table: pd.DataFrame, best: Best | None = None) -> Styler:
    """Style a table for a notebook."""
    return _escape(_styler(table, best, "font-weight: bold"))


def to_markdown(table: pd.DataFrame, best: Best | None = None) -> str:
    """Write a table as Markdown, the best numbers in bold."""
    shown, bold = _format(table), _bold(table, best)
    lines = [[*map(_plain, map(str, shown.columns))], ["---"] * shown.shape[1]]
    for row, is_bold in zip(shown.to_numpy(), bold.to_numpy()):
        lines.append([f"**{_plain(text)}**" if best else _plain(text) for text, best in zip(row, is_bold)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plain(text: str) -> str:
    """Keep a text inside its Markdown cell, and from being HTML."""
    return _TAG.sub("&lt;", text).replace("|", "\\|").replace("\n", " ")


def _to_latex(table: pd.DataFrame, best: Best | None) -> str:
    styler = _styler(table, best, "textbf:--rwrap").format(escape="latex")
    styler = styler.format_index(escape="latex", axis=1)
    columns = "".join("r" if is_numeric_dtype(kind) else "l" for kind in table.dtypes)
    return styler.to_latex(hrules=True, column_format=columns)


def _styler(table: pd.DataFrame, best: Best | None, mark: str) -> Styler:
    marks = _bold(table, best).replace({True: mark, False: ""})
    return _format(table).style.hide(axis=0).apply(lambda _: marks, axis=None)


def _format(table: pd.DataFrame) -> pd.DataFrame:
    """Turn values into texts: two decimals, thousands with commas, "-" for a missing number."""
    return table.reset_index(drop=True).map(_format_value).astype(object)


def _format_value(value) -> str:
    if pd.isna(value):
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bold(table: pd.DataFrame, best: Best | None) -> pd.DataFrame:
    table = table.reset_index(drop=True)
    bold = pd.DataFrame(False, index=table.index, columns=table.columns)
    for column, among in (best or {}).items():
        values = table[column].where(among.to_numpy())
        bold[column] = values.notna() & (values == values.max())
    return bold


def as_text(table: pd.DataFrame) -> Styler:
    """A table whose cells are sentences, aligned to the left."""
    return _escape(table.style.set_properties(**{"text-align": "left"}))


def _escape(styler: Styler) -> Styler:
    """Show HTML in cells and headings as text: pandas leaves it alone, and a browser would run it."""
    return styler.format(escape="html").format_index(escape="html").format_index(escape="html", axis=1)
