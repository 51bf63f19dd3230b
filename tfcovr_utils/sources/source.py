"""The two tables that every source gives: clips and labels."""

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from ..labels import Attributes
from ..labels.pairing import ENDS

CLIP_COLUMNS = ["clip_id", "dataset", "source_video", "label_id", "split", "start_s", "end_s", "path"]
# `set` is FineGym's element set: two sets (routine and dismount) may list the same skill.
LABEL_COLUMNS = ["label_id", "text", "dataset", "event", "attributes", "set"]
MODIFICATION_COLUMNS = ["modification_id", "style", "text", *ENDS, "writer", "model", "prompt_sha", "created"]
DESCRIPTION_COLUMNS = ["clip_id", "label_id", "style", "text", "writer"]


@dataclass(frozen=True)
class Source:
    """Tables of one source. `split` is "" where the benchmark draws the splits itself.

    Clips of one `source_video` share a split. `path` is relative to the folder of clips. `notes` counts by
    name what was dropped or is unknown.
    """

    clips: pd.DataFrame
    labels: pd.DataFrame
    notes: dict[str, int] = field(default_factory=dict)


def label_row(label_id: str, text: str, dataset: str, attributes: Attributes, group: str) -> dict:
    """Return one row of the labels table.

    >>> label_row("0", "(VT) x", "finegym", Attributes("VT", "vault", "x"), "1")["event"]
    'VT'
    """
    values = [label_id, text, dataset, attributes.apparatus, attributes.to_json(), group]
    return dict(zip(LABEL_COLUMNS, values))


def combine(*sources: Source) -> Source:
    """Stack the tables of several sources and add up their notes."""
    notes: Counter[str] = Counter()
    for source in sources:
        notes.update(source.notes)
    clips = pd.concat([source.clips for source in sources], ignore_index=True)
    labels = pd.concat([source.labels for source in sources], ignore_index=True)
    return Source(clips, labels, dict(notes))
