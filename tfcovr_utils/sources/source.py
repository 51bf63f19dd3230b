"""What every source gives: a table of clips, a table of labels, and how to name a missing file."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..labels import Attributes

CLIP_COLUMNS = ["clip_id", "dataset", "source_video", "label_id", "split", "start_s", "end_s", "path"]
# `set` is FineGym's element set: the same skill stands in two of them (routine and dismount).
LABEL_COLUMNS = ["label_id", "text", "dataset", "event", "attributes", "set"]


@dataclass(frozen=True)
class Source:
    """Tables of one source. `split` is "" where the benchmark has still to draw it.

    `source_video` is what must never stand in two splits; `path` is relative to the folder of
    clips; `notes` counts what was dropped or could not be known, by name.
    """

    clips: pd.DataFrame
    labels: pd.DataFrame
    notes: dict[str, int] = field(default_factory=dict)


def label_row(label_id: str, text: str, dataset: str, attributes: Attributes, group: str) -> dict:
    """One row of the labels table."""
    values = [label_id, text, dataset, attributes.apparatus, attributes.to_json(), group]
    return dict(zip(LABEL_COLUMNS, values))


def restrict(source: Source, label_ids: set[str]) -> Source:
    """Keep these labels and their clips."""
    clips = source.clips[source.clips["label_id"].isin(label_ids)].reset_index(drop=True)
    labels = source.labels[source.labels["label_id"].isin(label_ids)].reset_index(drop=True)
    return Source(clips, labels, source.notes)


def combine(*sources: Source) -> Source:
    """Stack the tables of several sources; notes of the same name add up."""
    notes: dict[str, int] = {}
    for source in sources:
        for name, count in source.notes.items():
            notes[name] = notes.get(name, 0) + count
    clips = pd.concat([source.clips for source in sources], ignore_index=True)
    labels = pd.concat([source.labels for source in sources], ignore_index=True)
    return Source(clips, labels, notes)


def first_file(folder: Path, patterns: list[str], origin: str) -> Path:
    """Return the last file, by name, that fits the first pattern that any file fits.

    "Last by name" makes v1.1 win over v1.0. `origin` says who publishes it and under which terms.
    """
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if found:
            return found[-1]
    raise FileNotFoundError(
        f"{' or '.join(patterns)} is not in {folder}; it comes from {origin}, and belongs there."
    )
