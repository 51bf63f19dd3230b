"""A run as one page that opens anywhere, and its numbers as JSON and CSV."""

import base64
import json
import os
import platform
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from ..evaluation.results import HEADLINES, summarise
from ..machine.files import read_json, replacing, write_json
from ..machine.hashing import versions
from ..profiles import code_revision
from .steps import NUMBERED

TEMPLATE = Path(__file__).parent / "report.html"  # of jinja2


def write_report(folder: Path) -> Path:
    """Write report.html, results.json and results.csv into a run's folder; return the page's path."""
    summary = pd.DataFrame(columns=["status", "protocol"])
    if any((folder / "results").glob("*/seed-*.parquet")):
        summary = summarise(folder / "results")
    notebooks = _read_times(folder)
    facts = {"revision": code_revision(), "Python": platform.python_version(), **versions()}
    facts["machine"] = f"{os.cpu_count()} cores, {platform.machine()}"
    with replacing(folder / "results.csv") as temporary:
        summary.to_csv(temporary, index=False, float_format="%.4f")
    results = json.loads(summary.to_json(orient="records"))
    numbers = {"facts": facts, "notebooks": notebooks.to_dict("records"), "results": results}
    write_json(numbers, folder / "results.json")
    ran = summary["status"] == "run"
    by_protocol = summary[ran].groupby("protocol", sort=False)
    pictures = sorted((folder / "figures").rglob("*.png"))
    page = jinja2.Template(TEMPLATE.read_text("utf-8"), autoescape=True).render(
        name=folder.name,
        facts=facts,
        notebooks=_html(notebooks),
        tables={protocol: _html(_with_intervals(part)) for protocol, part in by_protocol},
        not_run="" if ran.all() else _html(summary.loc[~ran, ["method", "status"]]),
        figures={path.stem: base64.b64encode(path.read_bytes()).decode() for path in pictures},
    )
    with replacing(folder / "report.html") as temporary:
        temporary.write_text(page, "utf-8")
    return folder / "report.html"


def _read_times(folder: Path) -> pd.DataFrame:
    """List the notebooks that ran to their end: notebook, seconds, parameters."""
    rows = []
    for path in sorted([*folder.glob(f"{NUMBERED}.json"), *folder.glob(f"seed-*/{NUMBERED}.json")]):
        record = read_json(path)
        parameters = ", ".join(f"{name} {value}" for name, value in record["parameters"].items())
        rows.append([path.relative_to(folder).with_suffix("").as_posix(), record["seconds"], parameters])
    return pd.DataFrame(rows, columns=["notebook", "seconds", "parameters"])


def format_intervals(summary: pd.DataFrame) -> list[str]:
    """Write the intervals of mAP@50 in brackets.

    >>> format_intervals(pd.DataFrame({"mAP@50 low": [20.125], "mAP@50 high": [22.5]}))
    ['[20.12, 22.50]']
    """
    bounds = zip(summary["mAP@50 low"], summary["mAP@50 high"])
    return [f"[{low:.2f}, {high:.2f}]" for low, high in bounds]


def _with_intervals(part: pd.DataFrame) -> pd.DataFrame:
    """Format the numbers of one protocol."""
    shown = part[["method", "group", "n_seeds", "n_queries", "n_sets"]].copy()
    shown["coverage"] = part["coverage"].map("{:.2%}".format)
    for name in HEADLINES:
        shown[name] = part[name].map("{:.2f}".format)
    shown["interval"] = format_intervals(part)
    shown["s.d."] = part["mAP@50 sd"].map("{:.2f}".format).replace("nan", "")
    return shown


def _html(table: pd.DataFrame) -> Markup:
    return Markup(table.to_html(index=False, border=0, na_rep=""))
