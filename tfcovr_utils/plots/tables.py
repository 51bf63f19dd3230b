"""Tables as LaTeX, Markdown and CSV, the best of each column in bold."""

from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from ..machine.files import replacing

Best = dict[str, pd.Series]  # column -> mask of the rows among which its largest number is set in bold


def save_table(
    table: pd.DataFrame,
    name: str,
    folder: Path,
    best: Best | None = None,
    decimals: int = 2,
    forms: tuple[str, ...] = ("tex", "md", "csv"),
) -> list[Path]:
    """Write `name`.tex (booktabs), .md and .csv (unrounded) of a table, without its index; return the paths.

    A number that is missing shows as "-".
    """
    table = table.reset_index(drop=True)
    shown, bold = _in_words(table, decimals), _bold(table, best)
    texts = {
        "tex": _latex(table, shown, bold),
        "md": _lines(shown, bold),
        "csv": table.to_csv(index=False, lineterminator="\n"),
    }
    paths = [Path(folder) / f"{name}.{form}" for form in forms]
    for path, form in zip(paths, forms):
        with replacing(path) as temporary:
            temporary.write_text(texts[form], "utf-8")
    return paths


def show_table(table: pd.DataFrame, best: Best | None = None, decimals: int = 2) -> Styler:
    """The same table for a notebook."""
    table = table.reset_index(drop=True)
    return (
        _in_words(table, decimals)
        .style.hide(axis=0)
        .apply(lambda _: _bold(table, best).replace({True: "font-weight: bold", False: ""}), axis=None)
    )


def to_markdown(table: pd.DataFrame, decimals: int = 2) -> str:
    """The same table as Markdown, nothing in bold."""
    table = table.reset_index(drop=True)
    return _lines(_in_words(table, decimals), _bold(table, None))


def _in_words(table: pd.DataFrame, decimals: int) -> pd.DataFrame:
    return table.apply(lambda column: column.map(lambda value: _say(value, decimals))).astype(object)


def _say(value, decimals: int) -> str:
    if pd.isna(value):
        return "-"
    return (
        f"{value:.{decimals}f}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def _bold(table: pd.DataFrame, best: Best | None) -> pd.DataFrame:
    bold = pd.DataFrame(False, index=table.index, columns=table.columns)
    for column, among in (best or {}).items():
        values = table[column].where(among.to_numpy())
        bold[column] = values.notna() & (values == values.max())
    return bold


def _latex(table: pd.DataFrame, shown: pd.DataFrame, bold: pd.DataFrame) -> str:
    marks = bold.replace({True: "textbf:--rwrap", False: ""})
    styler = (
        shown.style.format(escape="latex")
        .format_index(escape="latex", axis=1)
        .hide(axis=0)
        .apply(lambda _: marks, axis=None)
    )
    return styler.to_latex(
        hrules=True,
        column_format="".join("r" if pd.api.types.is_numeric_dtype(kind) else "l" for kind in table.dtypes),
    )


def _lines(shown: pd.DataFrame, bold: pd.DataFrame) -> str:
    lines = [[str(name) for name in shown.columns], ["---"] * shown.shape[1]]
    for place, row in shown.iterrows():
        texts = {column: text.replace("|", "\\|").replace("\n", " ") for column, text in row.items()}
        lines.append([f"**{text}**" if bold.loc[place, column] else text for column, text in texts.items()])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
