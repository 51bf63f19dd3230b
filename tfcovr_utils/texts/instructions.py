"""From label pairs to jobs, and from texts to the modifications table."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..labels import Attributes, parse_label
from ..labels.pairing import ENDS
from ..machine.files import load_table, replacing, write_table
from ..sources.schema import TEXT, check_kinds
from ..sources.source import DESCRIPTION_COLUMNS, MODIFICATION_COLUMNS
from .dense import write_dense
from .llm.dialogue import Job, Progress, prompt_sha
from .rules import describe, write_rules

_WRITE = {"short": write_rules, "dense": write_dense}


def make_jobs(pairs: pd.DataFrame, labels: pd.DataFrame, style: str = "short") -> list[Job]:
    """Return one job for each directed pair, sorted. Labels without attributes are parsed from their text."""
    for name, table, needed in (("pairs", pairs, ENDS), ("labels", labels, ["label_id", "text"])):
        if not set(needed) <= set(table):
            raise ValueError(
                f"the table of {name} has columns {', '.join(table)}; expected {', '.join(needed)}; give "
                f"the {name}.parquet that `tfcovr build` writes."
            )
        check_kinds(table, dict.fromkeys(needed, TEXT), f"the table of {name}")
    rows = {row.label_id: row for row in labels.itertuples()}
    ends = sorted(set(zip(pairs["source_label"], pairs["target_label"])))
    if missing := sorted({label for pair in ends for label in pair} - set(rows)):
        raise ValueError(
            f"labels {', '.join(missing[:5])} of the pairs are not in the labels table; give the table that "
            "belongs to these pairs by --labels."
        )
    given = "attributes" in labels
    attributes = {
        label: Attributes.from_json(row.attributes) if given else parse_label(row.text)
        for label, row in rows.items()
    }
    return [Job(style, a, b, rows[a].text, rows[b].text, attributes[a], attributes[b]) for a, b in ends]


def write_by_rule(jobs: list[Job]) -> pd.DataFrame:
    """Write every job by rule. `created` stays empty, so that equal jobs give equal bytes."""
    return tabulate((job, None) for job in jobs)


def describe_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Return a description of each label, from its attributes alone; the writer is named "attributes"."""
    texts = [describe(Attributes.from_json(text)) for text in labels["attributes"]]
    table = labels[["label_id"]].assign(clip_id="", style="short", text=texts, writer="attributes")
    return table[DESCRIPTION_COLUMNS]


def tabulate(written: Iterable[tuple[Job, Progress | None]]) -> pd.DataFrame:
    """Return the modifications table; the rules write each job that has no accepted text of a model."""
    rows = []
    for job, progress in written:
        ends = (job.source_label, job.target_label)
        if progress is not None and progress.text:
            text, answer = progress.text, progress.answer
            model = answer["model"] or answer["asked_model"]
            writer = ("openai", model, prompt_sha(job.style), answer["date"])
        else:
            text, writer = _WRITE[job.style](job.source, job.target), ("rules", "", "", "")
        rows.append((f"{job.style}:{'>'.join(ends)}", job.style, text, *ends, *writer))
    return pd.DataFrame(rows, columns=MODIFICATION_COLUMNS)


def count_outcomes(progress: list[Progress]) -> dict[str, int]:
    """Count how the jobs ended, and how many answers each check rejected."""
    counts: Counter[str] = Counter()
    for p in progress:
        if p.text:
            counts["accepted after a complaint" if p.rejected else "accepted at once"] += 1
        else:
            counts["by rule, not answered" if p.body else "by rule, rejected twice"] += 1
        counts.update(f"answers rejected for {check}" for check in p.rejected)
    return dict(sorted(counts.items()))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of text from Parquet or CSV, by the suffix."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; `tfcovr build` writes pairs.parquet and labels.parquet side by side."
        )
    return pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else load_table(path)


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet or CSV, by the suffix."""
    if path.suffix != ".csv":
        return write_table(table, path)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
