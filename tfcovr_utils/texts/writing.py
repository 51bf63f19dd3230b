"""From label pairs to jobs, and from texts to the modifications table."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..labels import Attributes, parse_label
from ..machine.files import replacing, write_table
from .dense import write_dense
from .llm.dialogue import Job, Progress
from .llm.prompt import prompt_sha
from .rules import describe, write_rules

MODIFICATION_COLUMNS = [
    "modification_id",
    "style",
    "text",
    "source_label",
    "target_label",
    "writer",
    "model",
    "prompt_sha",
    "created",
]
_WRITE = {"short": write_rules, "dense": write_dense}


def make_jobs(pairs: pd.DataFrame, labels: pd.DataFrame, style: str = "short") -> list[Job]:
    """Return one job a directed pair, sorted. Labels without attributes are read from their text."""
    for name, table, wanted in (
        ("pairs", pairs, {"source_label", "target_label"}),
        ("labels", labels, {"label_id", "text"}),
    ):
        if not wanted <= set(table):
            raise ValueError(
                f"the table of {name} has columns {', '.join(table)}; it needs {', '.join(sorted(wanted))}."
            )
    found = {row.label_id: row for row in labels.itertuples()}
    ends = sorted(set(zip(pairs["source_label"], pairs["target_label"])))
    missing = sorted({label for pair in ends for label in pair} - set(found))
    if missing:
        raise ValueError(
            f"labels {', '.join(missing[:5])} of the pairs are not in the labels table; give the "
            f"table that belongs to these pairs by --labels."
        )
    attributes = {
        label: Attributes.from_json(row.attributes) if "attributes" in labels else parse_label(row.text)
        for label, row in found.items()
    }
    return [Job(style, a, b, found[a].text, found[b].text, attributes[a], attributes[b]) for a, b in ends]


def write_by_rule(jobs: list[Job]) -> pd.DataFrame:
    """Write every job by rule. `created` stays empty, so that equal jobs give equal bytes."""
    return tabulate((job, None) for job in jobs)


def describe_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Return a description for each label, from its attributes alone, as the writer's name says."""
    texts = [describe(Attributes.from_json(text)) for text in labels["attributes"]]
    table = labels[["label_id"]].assign(clip_id="", style="short", text=texts, writer="attributes")
    return table[["clip_id", "label_id", "style", "text", "writer"]]


def tabulate(written: Iterable[tuple[Job, Progress | None]]) -> pd.DataFrame:
    """Return the modifications table; what no model wrote, or not well, is written by rule."""
    return pd.DataFrame([_row(job, progress) for job, progress in written], columns=MODIFICATION_COLUMNS)


def count_outcomes(progress: list[Progress]) -> dict[str, int]:
    """Count how the jobs ended, and by which check how many answers were rejected."""
    counts: Counter = Counter()
    for p in progress:
        if p.text:
            counts["accepted after a complaint" if p.rejected else "accepted at once"] += 1
        else:
            counts["by rule, not answered" if p.body else "by rule, rejected twice"] += 1
        counts.update(f"answers rejected for {check}" for check in p.rejected)
    return dict(sorted(counts.items()))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of strings from Parquet or CSV, by the suffix."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there; `tfcovr build` writes pairs.parquet and "
            f"labels.parquet side by side."
        )
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    return pd.read_parquet(path)


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet or CSV, by the suffix."""
    if path.suffix == ".csv":
        with replacing(path) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    else:
        write_table(table, path)


def _row(job: Job, progress: Progress | None) -> dict:
    by_model = progress is not None and bool(progress.text)
    values = [
        f"{job.style}:{job.source_label}>{job.target_label}",
        job.style,
        progress.text if by_model else _WRITE[job.style](job.source, job.target),
        job.source_label,
        job.target_label,
        "openai" if by_model else "rules",
        (progress.answer["model"] or progress.answer["asked_model"]) if by_model else "",
        prompt_sha(job.style) if by_model else "",
        progress.answer["date"] if by_model else "",
    ]
    return dict(zip(MODIFICATION_COLUMNS, values))
