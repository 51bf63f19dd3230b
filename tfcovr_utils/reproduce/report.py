"""A run as one page that opens anywhere: tables with their intervals, figures, times, versions; and the same numbers as JSON and CSV."""

import base64
import json
import os
import platform
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from ..evaluation.results import HEADLINES, summarise
from ..machine.files import replacing, write_json
from ..machine.hashing import versions
from ..profiles import code_revision

PAGE = jinja2.Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tfcovr: {{ name }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums } th, td { padding: .2em .6em; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child, .words * { text-align: left } thead th { border-bottom: 2px solid #888; position: sticky; top: 0; background: #fff }
figure { margin: 1.5em 0 } img { max-width: 100% } figcaption, .small { color: #555; font-size: 13px } .wide { overflow-x: auto }
</style></head><body>
<h1>tfcovr: {{ name }}</h1>
<p>{% for what, value in facts.items() %}{{ what }} <b>{{ value }}</b>{{ "; " if not loop.last }}{% endfor %}</p>
{% for protocol, table in tables.items() %}<h2>Protocol {{ protocol }}</h2>
<p class="small">mAP in per cent, means over seeds; in brackets the 95 % interval over queries of mAP@50, then the spread over seeds.</p><div class="wide">{{ table }}</div>{% endfor %}
{% if not_run|length %}<h2>Not run</h2><div class="wide words">{{ not_run }}</div>{% endif %}
<h2>Notebooks</h2>{{ notebooks }}
<h2>Figures</h2>{% for figure, png in figures.items() %}<figure><img alt="{{ figure }}" src="data:image/png;base64,{{ png }}"><figcaption>{{ figure }}</figcaption></figure>
{% endfor %}</body></html>
""",
    autoescape=True,
)


def write_report(folder: Path) -> Path:
    """Write report.html, results.json and results.csv of a run's folder from what lies in it; return the page's path."""
    summary = (
        summarise(folder / "results")
        if any((folder / "results").glob("*/seed-*.parquet"))
        else pd.DataFrame(columns=["status", "protocol"])
    )
    notebooks = read_times(folder)
    facts = {
        "revision": code_revision(),
        "Python": platform.python_version(),
        **versions(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
    }
    with replacing(folder / "results.csv") as temporary:
        summary.to_csv(temporary, index=False, float_format="%.4f")
    write_json(
        {
            "facts": facts,
            "notebooks": notebooks.to_dict("records"),
            "results": json.loads(summary.to_json(orient="records")),
        },
        folder / "results.json",
    )
    ran = summary[summary["status"] == "run"]
    page = PAGE.render(
        name=folder.name,
        facts=facts,
        notebooks=_html(notebooks),
        tables={
            protocol: _html(_with_intervals(part)) for protocol, part in ran.groupby("protocol", sort=False)
        },
        not_run=_html(summary.loc[summary["status"] != "run", ["method", "status"]])
        if len(summary) > len(ran)
        else "",
        figures={
            path.stem: base64.b64encode(path.read_bytes()).decode()
            for path in sorted((folder / "figures").rglob("*.png"))
        },
    )
    with replacing(folder / "report.html") as temporary:
        temporary.write_text(page, "utf-8")
    return folder / "report.html"


def read_times(folder: Path) -> pd.DataFrame:
    """The notebooks that ran to their end: notebook, seconds, parameters."""
    rows = []
    for path in sorted([*folder.glob("[0-9][0-9]_*.json"), *folder.glob("seed-*/[0-9][0-9]_*.json")]):
        record = json.loads(path.read_text("utf-8"))
        parameters = ", ".join(f"{name} {value}" for name, value in record["parameters"].items())
        rows.append([path.relative_to(folder).with_suffix("").as_posix(), record["seconds"], parameters])
    return pd.DataFrame(rows, columns=["notebook", "seconds", "parameters"])


def _with_intervals(part: pd.DataFrame) -> pd.DataFrame:
    """Numbers of one protocol as a page shows them."""
    shown = part[["method", "group", "n_seeds", "n_queries"]].copy()
    shown["coverage"] = part["coverage"].map("{:.2%}".format)
    for name in HEADLINES:
        shown[name] = part[name].map("{:.2f}".format)
    shown["interval"] = [
        f"[{low:.2f}, {high:.2f}]" for low, high in zip(part["mAP@50 low"], part["mAP@50 high"])
    ]
    shown["s.d."] = part["mAP@50 sd"].map("{:.2f}".format).replace("nan", "")
    return shown


def _html(table: pd.DataFrame) -> Markup:
    return Markup(table.to_html(index=False, border=0, na_rep=""))
