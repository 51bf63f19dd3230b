"""Rows of benchmarks that write a text for each triplet, not each pair of labels, as a Benchmark's tables.

Labels stay empty; the owners say which clips answer a query.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from ..labels.pairing import PAIR_COLUMNS
from .source import CLIP_COLUMNS, LABEL_COLUMNS

STYLE = "given"  # of texts and descriptions that others wrote; our limits of length do not apply
_QUERY_COLUMNS = ["query_id", "split", "query_clip", "modification_id", "target_labels"]
_NO_LABELS = {"source_label": "", "target_label": ""}


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

    def add_group(self, name: str, split: str, query_clip: str, clip_ids: Iterable[str]) -> str:
        """Add the clips that one query searches; return the group's name.

        The query clip becomes a member, since it is never an answer: queries that search the same clips then
        share a group.
        """
        members = sorted({query_clip, *clip_ids})
        group = _short_hash("\n".join(members))
        self.add_gallery(name, split, members, group)
        return group

    def tables(self, notes: dict[str, int] | None = None, **choices) -> dict:
        """Return every field of a Benchmark; drop rows without a text and targets that are the query clip."""
        queries = pd.DataFrame(self.queries, dtype=str)
        triplets = pd.DataFrame(self.triplets, columns=["query_clip", "target_clip", "text"], dtype=str)
        n_queries, n_triplets = len(queries), len(triplets)
        queries, triplets = queries[queries["text"] != ""], triplets[triplets["text"] != ""]
        texts = (
            pd.concat([queries["text"], triplets["text"]]).drop_duplicates().sort_values(ignore_index=True)
        )
        ids = pd.Series(["text:" + _short_hash(text) for text in texts], index=texts, dtype=str)
        gallery = pd.DataFrame(
            list(self.gallery), columns=["gallery", "split", "clip_id", "group"], dtype=str
        )
        if (gallery["group"] == "").all():
            gallery = gallery.drop(columns="group")
        targets = pd.DataFrame(self.targets, columns=["query_id", "gallery", "clip_id"], dtype=str)
        query_clip = targets["query_id"].map(dict(zip(queries["query_id"], queries["query_clip"])))
        is_query = targets["clip_id"] == query_clip
        rows = [(clip_id, *self.clips[clip_id]) for clip_id in sorted(self.clips)]
        clips = pd.DataFrame(rows, columns=["clip_id", "split", "path", "source_video"], dtype=str)
        described = pd.DataFrame(list(self.descriptions.items()), columns=["clip_id", "text"], dtype=str)
        more = [name for name in queries if name not in (*_QUERY_COLUMNS, "text")]
        tables = {
            "clips": clips.assign(dataset=self.source, label_id="", start_s=float("nan"), end_s=float("nan"))[
                CLIP_COLUMNS
            ],
            "labels": pd.DataFrame(columns=LABEL_COLUMNS, dtype=str),
            "pairs": pd.DataFrame(columns=PAIR_COLUMNS, dtype=str),
            "modifications": pd.DataFrame(
                {"modification_id": ids.to_numpy(), "style": STYLE, "text": texts}
            ).assign(**_NO_LABELS, writer=self.source, model="", prompt_sha="", created=""),
            "triplets": triplets.assign(modification_id=triplets["text"].map(ids), **_NO_LABELS)[
                ["query_clip", "target_clip", "modification_id", *_NO_LABELS]
            ],
            "queries": queries.assign(
                modification_id=queries["text"].map(ids), target_labels=[[] for _ in range(len(queries))]
            )[[*_QUERY_COLUMNS, *more]],
            "gallery": gallery,
            "targets": targets[query_clip.notna() & ~is_query].drop_duplicates(),
            "descriptions": described.assign(label_id="", style=STYLE, writer=self.source)[
                ["clip_id", "label_id", "style", "text", "writer"]
            ],
        }
        notes = (notes or {}) | {
            "queries_without_text": n_queries - len(queries),
            "triplets_without_text": n_triplets - len(triplets),
            "targets_that_are_the_query": int(is_query.sum()),
        }
        choices = {"source": self.source, "annotations": self.files, **choices, "notes": notes}
        return {name: table.reset_index(drop=True) for name, table in tables.items()} | {"choices": choices}


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
