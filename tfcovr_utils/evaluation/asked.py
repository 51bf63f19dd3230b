"""Scores by what a query asks for: what training taught, or something that it never saw."""

import pandas as pd

from .results import summarise_results

SHOWN = ["n_seeds", "n_queries", "n_sets", "mAP@50", "mAP@50 low", "mAP@50 high"]


def by_what_is_asked(results: pd.DataFrame, asked: pd.Series) -> pd.DataFrame:
    """Summarise results of one protocol by row and by what each query asks for (a name by query_id)."""
    parts = results.groupby(results["query_id"].map(asked), sort=False)
    tables = {name: summarise_results(part).set_index("method")[SHOWN] for name, part in parts}
    return pd.concat(tables, names=["asked"]).reorder_levels(["method", "asked"])


def across(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """mAP@50 of rows by what is asked, side by side for each way of holding out (`by_what_is_asked`)."""
    columns = {way: table["mAP@50"].unstack("asked") for way, table in tables.items()}
    return pd.concat(columns, axis=1, names=["held out", "asked"])
