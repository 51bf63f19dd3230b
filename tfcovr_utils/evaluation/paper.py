"""The paper's numbers beside ours: which row of its tables each of our methods is, and both in one table."""

import os
from pathlib import Path

import pandas as pd

from ..profiles import ROOT
from .recalls import MEASURES, field_table
from .results import HEADLINES, read_results

PAPER = ROOT / "data" / "paper" / "tables_2_3_5.csv"
TABLE_4 = ROOT / "data" / "paper" / "table_4.csv"
# Our method -> the paper's table, row, and frames of the query.
ROWS = {
    "gme-zs": ("2", "GME-Qwen2-VL-2B", "1"),
    "mm-embed-zs": ("2", "MM-Embed", "1"),
    "e5-v-zs": ("2", "E5-V", "1"),
    "blip2-text-zs": ("2", "BLIP2 (text)", ""),
    "blip2-vision-zs": ("2", "BLIP2 (video)", "1"),
    "blip-covr-zs": ("2", "BLIP-CoVR", "1"),
    "blip-covr-ecde-zs": ("2", "BLIP-CoVR-ECDE", "1"),
    "tf-cvr-zs": ("2", "TF-CVR", ""),
    "languagebind-zs": ("2", "LanguageBind", "8"),
    "tfcovr-base-zs": ("text", "TF-CoVR-Base", ""),
    "blip2-text-ft": ("3", "BLIP2 (text)", ""),
    "blip2-vision-ft": ("3", "BLIP2 (video)", "1"),
    "clip-mlp-1": ("3", "CLIP + MLP", "1"),
    "blip2-mlp-1": ("3", "BLIP2 + MLP", "1"),
    "clip-mlp-15": ("3", "CLIP + MLP", "15"),
    "blip2-mlp-15": ("3", "BLIP2 + MLP", "15"),
    "blip-covr-ft": ("3", "BLIP-CoVR", "1"),
    "blip-covr-ecde-ft": ("3", "BLIP-CoVR-ECDE", "1"),
    "tfcovr-stage2-only": ("3", "TF-CoVR-Base (stage 2 only)", "8"),
    "tfcovr-base": ("3", "TF-CoVR-Base", "12"),
}
# Row of Table 4 -> our method; column of Table 4 -> our source.
ROWS_4 = {"E5-V": "e5-v-zs", "GME-2B": "gme-zs", "MM-Embed": "mm-embed-zs"}
SOURCES_4 = {"FashionIQ": "fashioniq", "CIRR": "cirr", "CIRCO": "circo"}
_COMMAND_4 = (
    "tfcovr score --benchmark data/benchmarks/{source} --clips DIR --frames 1 --profile paper --split val "
    "--method {method} --protocol {protocols} --out {out}"
)


def paper_numbers(path: Path = PAPER) -> pd.DataFrame:
    """Return the paper's row of each method: mAP@5/10/25/50 by method, NaN if the paper gives none.

    >>> paper_numbers().loc["tfcovr-base", "mAP@50"].item()
    27.22
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False).set_index(["table", "row", "query_frames"])
    rows = pd.DataFrame({name: table.loc[row, HEADLINES] for name, row in ROWS.items()}).T
    return rows.apply(pd.to_numeric).rename_axis("method")


def beside_paper(summary: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Return rows of `results.summarise` in the order of `methods`, with the paper's mAP@50 first."""
    columns = [*HEADLINES, "mAP@50 low", "mAP@50 high", "mAP@50 sd", "n_seeds", "status"]
    ours = summary.set_index("method").loc[methods, columns]
    ours.insert(0, "paper mAP@50", paper_numbers()["mAP@50"].reindex(methods))
    return ours


def table_4(runs: Path, path: Path = TABLE_4) -> pd.DataFrame:
    """Return the paper's Table 4 with ours from `runs`/<source>/results on val (theirs may be on test)."""
    rows = []
    for row in pd.read_csv(path).itertuples():
        for column, source in SOURCES_4.items():
            if pd.isna(paper := getattr(row, column)):
                continue
            method, out = ROWS_4[row.row], Path(os.path.relpath(Path(runs) / source))
            ours = _ours(out / "results", source, method, row.metric.replace("Recall@", "R@"))
            protocols = " ".join(MEASURES[source])
            command = _COMMAND_4.format(source=source, method=method, protocols=protocols, out=out)
            status = f"not run: it has no result yet. To run it: `{command}`." if ours is None else "run"
            rows.append([column, row.metric, method, paper, ours, status])
    return pd.DataFrame(rows, columns=["benchmark", "metric", "method", "paper", "ours", "status"])


def _ours(results_dir: Path, source: str, method: str, measure: str) -> float | None:
    try:
        results = read_results(results_dir, "val")
    except FileNotFoundError:
        return None
    scores = field_table(results[results["method"] == method], source)
    return float(scores.loc[method, measure]) if method in scores.index and measure in scores else None


def read_table(name: str) -> pd.DataFrame:
    """One of the paper's tables as it prints it: "1", or "2", "3" or "5"."""
    if name == "1":
        return pd.read_csv(PAPER.with_name("table_1.csv"), keep_default_na=False)
    table = pd.read_csv(PAPER)
    return table[table["table"].astype(str) == name]


def rank_agreement(table: pd.DataFrame) -> str:
    """Say how far two orders agree: the paper's mAP@50 and ours, in a table of `beside_paper`."""
    both = table[table["paper mAP@50"].notna() & table["mAP@50"].notna()]
    if len(both) < 3:
        return f"The paper gives {len(both)} of these rows too: too few to compare orders."
    agreement = both["paper mAP@50"].rank().corr(both["mAP@50"].rank())
    theirs, ours = (" < ".join(both.sort_values(name).index) for name in ("paper mAP@50", "mAP@50"))
    return (
        f"Over the {len(both)} rows that the paper gives too, the rank correlation between its mAP@50 and "
        f"ours is {agreement:.2f}. Paper: {theirs}. Ours: {ours}."
    )
