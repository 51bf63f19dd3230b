"""Tables 1 to 5 of the paper, its numbers beside this run's, and ours. A view of results: nothing is scored here."""

import pandas as pd

from ..evaluation.paper import PAPER, ROWS
from ..evaluation.results import HEADLINES, by_kind
from ..profiles import ROOT
from .run_results import Run

BETAS = (0.7, 0.5, 0.3, 0.0)  # Table 5's weights of hard negatives
SHORTCUTS = [
    "random",
    "video-only",
    "text-only",
    "source-label-only",
    "clip-mlp-1",
    "clip-mlp-15",
    "tfcovr-base",
    "label-oracle",
]
SEVERAL_ANSWERS = ("CIRCO", "TF-CoVR")  # the check marks of Table 1 are told in data/paper/README.md

Table = tuple[
    pd.DataFrame, dict[str, pd.Series]
]  # a table, and by column the rows among which the best is in bold


def table_1(run: Run) -> Table:
    """Datasets, and this benchmark's row last."""
    table = pd.read_csv(ROOT / "data" / "paper" / "table_1.csv", keep_default_na=False, dtype=str)
    ours = run.csv("01_counts").set_index("count")["here"]
    row = [
        f"{run.folder.name} (here)",
        "video",
        f"{ours['training triplets']:,.0f}",
        "mAP@K",
        f"{ours['labels']:.0f}",
    ]
    table = pd.concat([table, pd.DataFrame([row], columns=table.columns)], ignore_index=True)
    several = table["dataset"].isin([*SEVERAL_ANSWERS, row[0]]).map({True: "yes", False: "no"})
    return table.assign(**{"several answers": several}), {}


def _beside(run: Run, numbers: tuple[str, ...]) -> Table:
    """The paper's rows of a table in its order, then what the same rows reach here."""
    published = pd.read_csv(PAPER, dtype=str, keep_default_na=False)
    published = published[published["table"].isin(numbers)]
    method_of = {row: method for method, row in ROWS.items()}
    rows = []
    for row in published.to_dict("records"):
        method = method_of.get((row["table"], row["row"], row["query_frames"]))
        ours = run.summary.loc[method] if method in run.summary.index else None
        ran = ours is not None and ours["status"] == "run"
        rows.append(
            {
                "model": row["row"],
                "fusion": row["fusion"] or "-",
                "query": row["query_frames"] or "-",
                "target": row["target_frames"] or "-",
                **{
                    f"paper {name}": pd.to_numeric(row[name]) if row[name] else float("nan")
                    for name in HEADLINES
                },
                "row here": method,
                **{f"here {name}": ours[name] if ran else float("nan") for name in HEADLINES},
                "seeds": int(ours["n_seeds"]) if ran else 0,
            }
        )
    table = pd.DataFrame(rows)
    return table, _best(table, [column for column in table if "mAP" in column])


def table_2(run: Run) -> Table:
    return _beside(run, ("2", "text"))


def table_3(run: Run) -> Table:
    return _beside(run, ("3",))


def table_4(run: Run) -> Table:
    """The paper's alone: it took these from other papers, and the images are not here."""
    table = pd.read_csv(ROOT / "data" / "paper" / "table_4.csv")
    return table, {}


def table_5(run: Run) -> Table:
    published = pd.read_csv(PAPER, dtype={"table": str})
    published = published[published["table"] == "5"].reset_index(drop=True)
    ours = run.summary.reindex([f"tfcovr-base-hn-{beta:g}" for beta in BETAS])
    if ours["mAP@50"].isna().all():
        raise FileNotFoundError("there are no results of tfcovr-base-hn-*; run notebook 05.")
    table = pd.DataFrame(
        {
            "HN weighting": [f"{beta:g}" for beta in BETAS],
            **{f"paper {name}": published[name] for name in HEADLINES},
            **{f"here {name}": ours[name].to_numpy() for name in HEADLINES},
            "low": ours["mAP@50 low"].to_numpy(),
            "high": ours["mAP@50 high"].to_numpy(),
        }
    )
    return table, _best(table, [column for column in table if "mAP" in column])


def beyond(run: Run) -> Table:
    """The paper's method and what goes past it, with the cost of training."""
    names = [
        name
        for name in run.summary["method"]
        if name == "tfcovr-base" or run.summary.loc[name, "group"] == "beyond the paper"
    ]
    table = run.rows(names)
    table = table.assign(**{"training s": table["method"].map(run.seconds)})[
        ["method", *HEADLINES, "mAP@50 sd", "mAP@50 low", "mAP@50 high", "n_seeds", "training s"]
    ]
    return table, _best(table, HEADLINES)


def shortcuts(run: Run) -> Table:
    """What each input is worth; the oracle is no method."""
    table = run.rows(SHORTCUTS)[["method", *HEADLINES, "mAP@50 low", "mAP@50 high"]]
    return table, _best(table, HEADLINES, table["method"] != "label-oracle")


def kinds(run: Run) -> Table:
    """mAP@50 by kind of change, of every row of a table."""
    table = (
        by_kind(run.results)
        .pivot(index="method", columns="kind", values="mAP@50")
        .drop(columns="", errors="ignore")
    )
    names = [
        name for name in run.summary["method"] if run.summary.loc[name, "group"] and name in table.index
    ]
    table = table.loc[names].rename_axis(columns=None).reset_index()
    return table, _best(
        table, [column for column in table if column != "method"], table["method"] != "label-oracle"
    )


def _best(table: pd.DataFrame, columns: list[str], among: pd.Series | None = None) -> dict[str, pd.Series]:
    return {column: among if among is not None else pd.Series(True, index=table.index) for column in columns}


TABLES = {
    "table_1": ("Table 1: datasets of composed retrieval", table_1),
    "table_2": ("Table 2: zero-shot, paper and here", table_2),
    "table_3": ("Table 3: trained, paper and here", table_3),
    "table_4": ("Table 4: embedding models on image benchmarks (the paper's numbers)", table_4),
    "table_5": ("Table 5: the weight of hard negatives, paper and here", table_5),
    "table_beyond": ("Past the paper", beyond),
    "table_shortcuts": ("What each input is worth", shortcuts),
    "table_kinds": ("mAP@50 by kind of change", kinds),
}
