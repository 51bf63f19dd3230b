"""Tables 1 to 5 of the paper, its numbers beside this run's, and ours. Nothing is scored here."""

from functools import partial

import pandas as pd

from ..evaluation.paper import PAPER, ROWS
from ..evaluation.results import HEADLINES, by_kind
from ..profiles import ROOT
from .run_results import Run, missing
from .tables import Best

BETAS = (0.7, 0.5, 0.3, 0.0)  # Table 5's weights of hard negatives
SHORTCUTS = ["random", "video-only", "text-only", "source-label-only"]
SHORTCUTS += ["clip-mlp-1", "clip-mlp-15", "tfcovr-base", "label-oracle"]
SEVERAL_ANSWERS = ("CIRCO", "TF-CoVR")  # data/paper/README.md explains the check marks of Table 1

Table = tuple[pd.DataFrame, Best]


def table_1(run: Run) -> Table:
    """List datasets, and this benchmark last."""
    table = pd.read_csv(ROOT / "data" / "paper" / "table_1.csv", keep_default_na=False, dtype=str)
    ours, name = run.csv("statistics", "counts").set_index("count")["here"], f"{run.folder.name} (here)"
    triplets, labels = f"{ours['training triplets']:,.0f}", f"{ours['labels']:.0f}"
    table.loc[len(table)] = [name, "video", triplets, "mAP@K", labels]
    several = table["dataset"].isin([*SEVERAL_ANSWERS, name]).map({True: "yes", False: "no"})
    return table.assign(**{"several answers": several}), {}


def table_of(numbers: tuple[str, ...], run: Run) -> Table:
    """List the paper's rows of some tables in its order, and what the same rows reach here."""
    published = pd.read_csv(PAPER, dtype=str, keep_default_na=False)
    published = published[published["table"].isin(numbers)].reset_index(drop=True)
    method_of = {row: method for method, row in ROWS.items()}
    keys = published[["table", "row", "query_frames"]].itertuples(index=False, name=None)
    methods = [method_of.get(key) for key in keys]
    ours = run.summary.reindex(methods).reset_index(drop=True)
    ran = ours["status"] == "run"
    columns = {"model": "row", "fusion": "fusion", "query": "query_frames", "target": "target_frames"}
    table = pd.DataFrame({name: published[column].replace("", "-") for name, column in columns.items()})
    table = table.join(published[HEADLINES].apply(pd.to_numeric).add_prefix("paper "))
    table = table.assign(**{"row here": methods}).join(ours[HEADLINES].where(ran).add_prefix("here "))
    table["seeds"] = ours["n_seeds"].where(ran, 0).astype(int)
    return table, _best(table, [column for column in table if "mAP" in column])


def table_4(_: Run) -> Table:
    """List the paper's numbers, which it took from other papers; the images are not here."""
    return pd.read_csv(ROOT / "data" / "paper" / "table_4.csv"), {}


def table_5(run: Run) -> Table:
    """Set the weights of hard negatives beside the paper's."""
    published = pd.read_csv(PAPER, dtype={"table": str})
    published = published[published["table"] == "5"].reset_index(drop=True)
    ours = run.summary.reindex([f"tfcovr-base-hn-{beta:g}" for beta in BETAS]).reset_index(drop=True)
    if ours["mAP@50"].isna().all():
        raise missing("results of tfcovr-base-hn-*", "stage2")
    betas = pd.Series([f"{beta:g}" for beta in BETAS], name="HN weighting")
    numbers = published[HEADLINES].add_prefix("paper "), ours[HEADLINES].add_prefix("here ")
    table = pd.concat([betas, *numbers], axis=1).assign(low=ours["mAP@50 low"], high=ours["mAP@50 high"])
    return table, _best(table, [column for column in table if "mAP" in column])


def table_beyond(run: Run) -> Table:
    """Compare the paper's method with those beyond the paper, with the seconds of training."""
    chosen = ["tfcovr-base", *run.methods_of("beyond the paper")]
    table = run.rows([name for name in run.methods_of() if name in chosen])
    table = table.assign(**{"training s": table["method"].map(run.seconds)})
    interval = ["mAP@50 sd", "mAP@50 low", "mAP@50 high"]
    return table[["method", *HEADLINES, *interval, "n_seeds", "training s"]], _best(table, HEADLINES)


def table_shortcuts(run: Run) -> Table:
    """Show what each input is worth; the oracle cannot be the best, since it is no method."""
    table = run.rows(SHORTCUTS)[["method", *HEADLINES, "mAP@50 low", "mAP@50 high"]]
    return table, _best(table, HEADLINES, table["method"] != "label-oracle")


def table_kinds(run: Run) -> Table:
    """Show mAP@50 by kind of change, of every method that has a group."""
    table = by_kind(run.results).pivot(index="method", columns="kind", values="mAP@50")
    table = table.drop(columns="", errors="ignore")
    table = table.loc[[name for name in run.methods_of() if name in table.index]]
    table = table.rename_axis(columns=None).reset_index()
    return table, _best(table, table.columns[1:], table["method"] != "label-oracle")


def _best(table: pd.DataFrame, columns: list[str], among: pd.Series | None = None) -> Best:
    return dict.fromkeys(columns, pd.Series(True, index=table.index) if among is None else among)


# Name -> title, and how the table is made from a run.
TABLES = {
    "table_1": ("Table 1: datasets of composed retrieval", table_1),
    "table_2": ("Table 2: zero-shot, paper and here", partial(table_of, ("2", "text"))),
    "table_3": ("Table 3: trained, paper and here", partial(table_of, ("3",))),
    "table_4": ("Table 4: embedding models on image benchmarks (the paper's numbers)", table_4),
    "table_5": ("Table 5: the weight of hard negatives, paper and here", table_5),
    "table_beyond": ("Past the paper", table_beyond),
    "table_shortcuts": ("What each input is worth", table_shortcuts),
    "table_kinds": ("mAP@50 by kind of change", table_kinds),
}
