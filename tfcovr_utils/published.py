"""The paper's numbers beside ours: which row of its tables each of our methods is, and both in one table."""
from pathlib import Path

import pandas as pd

from .profiles import ROOT
from .results import HEADLINES

PAPER = ROOT / "data" / "paper" / "tables_2_3_5.csv"
# Method here -> table, row and frames of the query there.
ROWS = {
    "gme-zs": ("2", "GME-Qwen2-VL-2B", "1"), "mm-embed-zs": ("2", "MM-Embed", "1"), "e5-v-zs": ("2", "E5-V", "1"),
    "blip2-text-zs": ("2", "BLIP2 (text)", ""), "blip2-vision-zs": ("2", "BLIP2 (video)", "1"), "blip-covr-zs": ("2", "BLIP-CoVR", "1"),
    "blip-covr-ecde-zs": ("2", "BLIP-CoVR-ECDE", "1"), "tf-cvr-zs": ("2", "TF-CVR", ""), "languagebind-zs": ("2", "LanguageBind", "8"),
    "tfcovr-base-zs": ("text", "TF-CoVR-Base", ""), "blip2-text-ft": ("3", "BLIP2 (text)", ""), "blip2-vision-ft": ("3", "BLIP2 (video)", "1"),
    "clip-mlp-1": ("3", "CLIP + MLP", "1"), "blip2-mlp-1": ("3", "BLIP2 + MLP", "1"), "clip-mlp-15": ("3", "CLIP + MLP", "15"),
    "blip2-mlp-15": ("3", "BLIP2 + MLP", "15"), "blip-covr-ft": ("3", "BLIP-CoVR", "1"), "blip-covr-ecde-ft": ("3", "BLIP-CoVR-ECDE", "1"),
    "tfcovr-stage2-only": ("3", "TF-CoVR-Base (stage 2 only)", "8"), "tfcovr-base": ("3", "TF-CoVR-Base", "12"),
}


def read_published(path: Path = PAPER) -> pd.DataFrame:
    """The paper's row of each method: index method, columns mAP@5/10/25/50; NaN where the paper gives none."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False).set_index(["table", "row", "query_frames"])
    return pd.DataFrame({name: table.loc[row, HEADLINES] for name, row in ROWS.items()}).T.apply(pd.to_numeric).rename_axis("method")


def beside_paper(summary: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Rows of `results.summarise` in the order of `methods`, with the paper's mAP@50 before ours; a row that is not run says why."""
    ours = summary.set_index("method").loc[methods]
    return pd.DataFrame({"paper mAP@50": read_published()["mAP@50"].reindex(methods), **{name: ours[name] for name in (
        *HEADLINES, "mAP@50 low", "mAP@50 high", "mAP@50 sd", "n_seeds", "status")}})
