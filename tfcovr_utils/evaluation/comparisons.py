"""Tables that compare rows: several pairs at once, and options of one row."""

from collections.abc import Iterable

import pandas as pd

from .results import compare

GAP = ["mean", "low", "high"]  # of the difference in mAP@50, with its interval
REACHED = ["n_seeds", "mAP@50", "mAP@50 sd", "mAP@50 low", "mAP@50 high", "status"]


def compare_all(results: pd.DataFrame, questions: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """The paired difference for each (row, against, what it tells) whose rows have run: one line each."""
    found, lines = dict(list(results.groupby("method"))), []
    for row, against, tells in questions:
        if row in found and against in found:
            gap = compare(found[row], found[against])
            lines.append([tells, row, against, *(getattr(gap, name) for name in GAP)])
    return pd.DataFrame(lines, columns=["what it buys", "row", "against", *GAP])


def compare_options(
    cost: pd.DataFrame, table: pd.DataFrame, results: pd.DataFrame, against: str
) -> pd.DataFrame:
    """Options of one row by their score on val: seconds of training, mAP@50, and the gap to `against`."""
    gaps = compare_all(results, [(row, against, "") for row in table.index]).set_index("row")[GAP]
    gaps.columns = [f"over {against}", f"over {against} low", f"over {against} high"]
    return cost.join([table[REACHED], gaps], how="outer").sort_values("val", ascending=False)
