"""Rows of benchmarks that write a text for each triplet, not each pair of labels, as a Benchmark's tables.

Labels stay empty; the owners say which clips answer a query.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from ..labels.pairing import PAIR_COLUMNS
from ..machine.hashing import digest
from .schema import COLUMNS
from .source import CLIP_COLUMNS, DESCRIPTION_COLUMNS, LABEL_COLUMNS, MODIFICATION_COLUMNS

STYLE = "given"  # of texts and descriptions that others wrote; our limits of length do not apply
KEEPS_QUERY = ("global", "local")  # EgoCVR's galleries: the query clip is ranked where its owners list it


@dataclass
class Annotations:
    """Rows of one benchmark, collected file by file: train, then val, then test.

    `queries` are dicts of query_id, split, query_clip, text and further columns; `triplets` are (query clip,
    target clip, text) of training; `targets` are (query id, gallery, clip id).
    """

    source: str
    files: dict[str, str] = field(default_factory=dict)  # split -> file name
    clips: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    queries: list[dict] = field(default_factory=list)
    triplets: list[tuple[str, str, str]] = field(default_factory=list)
    gallery: dict[tuple[str, str, str, str], None] = field(default_factory=dict)
    targets: list[tuple[str, str, str]] = field(default_factory=list)

    def add_clip(self, clip_id: str, split: str, path: str, source_video: str = "") -> None:
        """Add a clip; a clip of several splits belongs to the last."""
        self.clips[clip_id] = (split, path, source_video or clip_id)

    def add_query(self, query_id: str, split: str, query_clip: str, text: str, **columns: str) -> dict:
        """Add a query, with further columns, and return its row."""
        row = {"query_id": query_id, "split": split, "query_clip": query_clip, "text": text, **columns}
        self.queries.append(row)
        return row

    def add_gallery(self, name: str, split: str, clip_ids: Iterable[str], group: str = "") -> None:
        """Add clips to a gallery; a query searches the rows of its own group."""
        self.gallery |= dict.fromkeys((name, split, clip_id, group) for clip_id in clip_ids)

    def add_group(self, name: str, split: str, clip_ids: Iterable[str]) -> str:
        """Add the clips that one query searches; return the group's name, which equal groups share."""
        members = sorted(set(clip_ids))
        group = digest("\n".join(members))[:12]
        self.add_gallery(name, split, members, group)
        return group

    def tables(self, notes: dict[str, int] | None = None, **choices) -> dict:
        """Return every field of a Benchmark; drop triplets without a text.

        Targets that are the query clip are dropped too, except in galleries that may list it.
        """
        queries = pd.DataFrame(self.queries, dtype=str)
        triplets = _table(self.triplets, ["query_clip", "target_clip", "text"])
        n_triplets, triplets = len(triplets), triplets[triplets["text"] != ""]
        ids = {text: "text:" + digest(text)[:12] for text in sorted({*queries["text"], *triplets["text"]})}
        gallery = _table(self.gallery, ["gallery", "split", "clip_id", "group"])
        targets = _table(self.targets, ["query_id", "gallery", "clip_id"])
        query_clip = targets["query_id"].map(dict(zip(queries["query_id"], queries["query_clip"])))
        is_query = (targets["clip_id"] == query_clip) & ~targets["gallery"].isin(KEEPS_QUERY)
        clips = [(clip_id, *self.clips[clip_id]) for clip_id in sorted(self.clips)]
        clips = _table(clips, ["clip_id", "split", "path", "source_video"])
        clips = clips.assign(dataset=self.source, label_id="", start_s=float("nan"), end_s=float("nan"))
        texts = [(id, STYLE, text, "", "", self.source, "", "", "") for text, id in ids.items()]
        described = [(clip, "", STYLE, text, self.source) for clip, text in self.descriptions.items()]
        more = [name for name in queries if name not in (*COLUMNS["queries"], "text")]
        queries = queries.assign(
            modification_id=queries["text"].map(ids), target_labels=[[] for _ in range(len(queries))]
        )
        triplets = triplets.assign(
            modification_id=triplets["text"].map(ids), source_label="", target_label=""
        )
        tables = {
            "clips": clips[CLIP_COLUMNS],
            "labels": _table([], LABEL_COLUMNS),
            "pairs": _table([], PAIR_COLUMNS),
            "modifications": _table(texts, MODIFICATION_COLUMNS),
            "triplets": triplets.drop(columns="text"),
            "queries": queries[[*COLUMNS["queries"], *more]],
            "gallery": gallery if gallery["group"].any() else gallery.drop(columns="group"),
            "targets": targets[~is_query].drop_duplicates(),
            "descriptions": _table(described, DESCRIPTION_COLUMNS),
        }
        notes = (notes or {}) | {
            "queries_without_text": int((queries["text"] == "").sum()),
            "triplets_without_text": n_triplets - len(triplets),
            "targets_that_are_the_query": int(is_query.sum()),
        }
        choices = {"source": self.source, "annotations": self.files, **choices, "notes": notes}
        return {name: table.reset_index(drop=True) for name, table in tables.items()} | {"choices": choices}


def _table(rows: Iterable[tuple], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns, dtype=str)
