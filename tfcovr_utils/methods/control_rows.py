"""Controls that read no pixel: what chance, the labels alone, and perfect knowledge score."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize

from .base import Fitted, Method, NotRun, Setting

RANDOM_DIM = 512  # large enough that the ranking of one query says little about the next


def _fit_random(setting: Setting) -> Fitted:
    def embed(ids: Sequence[str]) -> torch.Tensor:
        # Drawn from a hash of the id, so that a clip's vector does not depend on the other clips.
        drawn = [hashlib.shake_256(f"{setting.seed} {name}".encode()).digest(2 * RANDOM_DIM) for name in ids]
        values = np.frombuffer(b"".join(drawn), "<i2").reshape(-1, RANDOM_DIM).astype(np.float32)
        return normalize(torch.tensor(values), dim=1)

    return Fitted(lambda queries: embed(queries["query_id"]), embed)


class _Labels:
    """True labels as one-hot vectors."""

    def __init__(self, setting: Setting):
        clips = setting.benchmark.clips
        self.label_of = clips.set_index("clip_id")["label_id"]
        self.names = pd.Index(setting.benchmark.labels["label_id"])
        if self.names.empty:
            raise NotRun("this benchmark has no labels: its texts belong to triplets.")
        unlabelled = clips[(clips["label_id"] == "") & (clips["split"] != "train")]
        if len(unlabelled):
            raise NotRun(
                f"{len(unlabelled)} clips of val and test have no label, such as "
                f"{unlabelled['clip_id'].iloc[0]!r}; put the annotation files beside the released CSVs.",
                "tfcovr build --source released --annotations DIR --out DIR",
            )

    def label_idx(self, label_ids: Sequence[str]) -> np.ndarray:
        return self.names.get_indexer(label_ids)

    def embed_gallery(self, clip_ids: Sequence[str]) -> torch.Tensor:
        return torch.eye(len(self.names))[self.label_idx(self.label_of[list(clip_ids)])]


def _fit_label_oracle(setting: Setting) -> Fitted:
    labels = _Labels(setting)

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        right = torch.zeros(len(queries), len(labels.names))
        for row, label_ids in enumerate(queries["target_labels"]):
            right[row, labels.label_idx(label_ids)] = 1
        return normalize(right, dim=1)

    return Fitted(embed_queries, labels.embed_gallery)


def _fit_source_label(setting: Setting) -> Fitted:
    labels = _Labels(setting)
    ends = setting.benchmark.triplets[["source_label", "target_label"]]
    counts = torch.zeros(len(labels.names), len(labels.names))  # training triplets, source by target label
    index = tuple(torch.from_numpy(labels.label_idx(ends[column])) for column in ends)
    counts.index_put_(index, torch.ones(len(ends)), accumulate=True)

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        # Scaling a row changes no ranking, so the counts rank as P(target label | source label) does.
        return normalize(counts[labels.label_idx(labels.label_of[queries["query_clip"]])], dim=1)

    return Fitted(embed_queries, labels.embed_gallery)


_SOURCE_LABEL = (
    "A query is the probability of each target label given its clip's true label, counted on training "
    "triplets without reading the text; a gallery clip is its true label."
)
_ORACLE = "A query is its right labels and a gallery clip its true label: the ceiling of the protocol."
_RANDOM = "Queries and gallery clips are random directions."
CONTROL_ROWS = (
    Method("random", "control", _RANDOM, _fit_random, seeded=True),
    Method("source-label-only", "control", _SOURCE_LABEL, _fit_source_label),
    Method("label-oracle", "control", _ORACLE, _fit_label_oracle),
)
