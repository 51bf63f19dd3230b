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

PAGE = jinja2.Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tfcovr: {{ name }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff }
body { margin: 2em auto; max-width: 1180px; padding: 0 1em }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .2em .6em; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child, .words * { text-align: left }
thead th { border-bottom: 2px solid #888; position: sticky; top: 0; background: #fff }
figure { margin: 1.5em 0 }
img { max-width: 100% }
figcaption, .small { color: #555; font-size: 13px }
.wide { overflow-x: auto }
</style></head><body>
<h1>tfcovr: {{ name }}</h1>
<p>{% for what, value in facts.items() %}{{ what }} <b>{{ value }}</b>{{ "; " if not loop.last }}{% endfor %}</p>
{% for protocol, table in tables.items() %}<h2>Protocol {{ protocol }}</h2>
<p class="small">mAP in per cent, means over seeds; in brackets the 95 % interval over queries of mAP@50, then
the standard deviation over seeds.</p><div class="wide">{{ table }}</div>{% endfor %}
{% if not_run|length %}<h2>Not run</h2><div class="wide words">{{ not_run }}</div>{% endif %}
<h2>Notebooks</h2>{{ notebooks }}
<h2>Figures</h2>{% for figure, png in figures.items() %}<figure>
<img alt="{{ figure }}" src="data:image/png;base64,{{ png }}"><figcaption>{{ figure }}</figcaption></figure>
{% endfor %}</body></html>
""",
    autoescape=True,
)


def write_report(folder: Path) -> Path:
    """Write report.html, results.json and results.csv into a run's folder; return the page's path."""
    summary = pd.DataFrame(columns=["status", "protocol"])
    if any((folder / "results").glob("*/seed-*.parquet")):
        summary = summarise(folder / "results")
    notebooks = read_times(folder)
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
    page = PAGE.render(
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


def read_times(folder: Path) -> pd.DataFrame:
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
    shown = part[["method", "group", "n_seeds", "n_queries"]].copy()
    shown["coverage"] = part["coverage"].map("{:.2%}".format)
    for name in HEADLINES:
        shown[name] = part[name].map("{:.2f}".format)
    shown["interval"] = format_intervals(part)
    shown["s.d."] = part["mAP@50 sd"].map("{:.2f}".format).replace("nan", "")
    return shown


def _html(table: pd.DataFrame) -> Markup:
    return Markup(table.to_html(index=False, border=0, na_rep=""))
