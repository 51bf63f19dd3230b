"""A benchmark's clips and texts as the rows of tensors that stage 2 trains on and is judged by."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..benchmark.benchmark import Benchmark
from ..benchmark.protocols import Task, make_task
from ..embedding.embed import embed_clips, embed_texts
from ..encoders import Encoder
from ..encoders.tokens import Tokens, official_text, tokenise
from ..metrics.official import average_precision_official, rank_official
from ..metrics.ranking import RANKS, average_precision_at
from .fusion import Fusion
from .towers import TextTower, load_text_tower, load_tokenizer, read_tokens


class Inputs:
    """What one run of stage 2 reads, N clips and M distinct texts; triplets and queries are rows of them.

    clip_ids: N ids; query_video, target: (N, D) raw vectors of these clips, as queries and as targets, or (N, T, D)
    their frames for a model that reads these in a fusion's place. Triplets and queries of other clips are left out:
    `coverage` says what share stayed. `texts` of the benchmark are distinct strings; `read` turns a list of them into
    features (M, Dt) or Tokens.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        clip_ids: list[str],
        query_video: torch.Tensor,
        target: torch.Tensor,
        read: Callable[[list[str]], torch.Tensor | Tokens],
        tower: TextTower | None = None,
    ):
        self.benchmark = benchmark.restrict(set(clip_ids))
        self.coverage = self.benchmark.coverage(benchmark)
        self.clip_ids, self.query_video, self.target, self.tower = clip_ids, query_video, target, tower
        if self.benchmark.triplets.empty:
            raise ValueError(
                f"none of {len(benchmark.triplets)} triplets has embeddings of both its clips among {len(clip_ids)}, such as "
                f"{clip_ids[0]!r}; give the embeddings of this benchmark's clips."
            )
        self._text_of = self.benchmark.modifications.set_index("modification_id")["text"]
        used = pd.concat(
            [self.benchmark.triplets["modification_id"], self.benchmark.queries["modification_id"]]
        )
        self._texts = sorted(set(self._text_of[used.unique()]))
        self.texts = read(self._texts).to(query_video.device)

    def triplets(self) -> torch.Tensor:
        """Rows of (query clip, text, target clip): (R, 3) int64."""
        table = self.benchmark.triplets
        columns = [
            self._clips(table["query_clip"]),
            self._text_rows(table["modification_id"]),
            self._clips(table["target_clip"]),
        ]
        return torch.stack(columns, 1)

    def target_labels(self) -> torch.Tensor:
        """The label of each clip as a number, (N,) int64, as the triplets tell it; -1 where no triplet ends."""
        table = self.benchmark.triplets
        labels = torch.full((len(self.clip_ids),), -1, device=self.target.device)
        labels[self._clips(table["target_clip"])] = torch.from_numpy(
            pd.factorize(table["target_label"])[0]
        ).to(labels)
        return labels

    def task(self, protocol: str, split: str) -> Task:
        """A protocol's queries among the clips that have an embedding."""
        task = make_task(self.benchmark, protocol, split)
        here = set(
            self.clip_ids
        )  # the official gallery names one clip a query, whether it has an embedding or not
        return replace(task, gallery=[clip_id for clip_id in task.gallery if clip_id in here])

    @torch.no_grad()
    def scores(self, fusion: Fusion, task: Task) -> torch.Tensor:
        """Similarities of composed queries and gallery: (Q, G)."""
        query_emb = fusion(
            self.query_video[self._clips(task.queries["query_clip"])],
            self.texts,
            self._text_rows(task.queries["modification_id"]),
        )
        return query_emb @ fusion.embed_target(self.target[self._clips(task.gallery)]).T

    def average_precision(self, fusion: Fusion, task: Task, ks=RANKS) -> np.ndarray:
        """AP@K of each query, (Q, len(ks)) as fractions, by the formula of the task's protocol."""
        scores = self.scores(fusion, task)
        if task.protocol == "official":
            return average_precision_official(
                rank_official(scores, task.gallery, task.queries["query_clip"]), task.answers, ks
            )
        return average_precision_at(task.narrow(scores), task.answers_idx(), ks, task.own_idx())

    def validator(self, protocol: str) -> Callable[[Fusion], float]:
        """Make a `validate` for `fit_fusion`: mAP@50 on val, as the official code selects."""
        task = self.task(protocol, "val")
        return lambda fusion: float(np.nanmean(self.average_precision(fusion, task, RANKS[-1:])))

    def _clips(self, names) -> torch.Tensor:
        return self._rows(self.clip_ids, names)

    def _text_rows(self, modification_ids) -> torch.Tensor:
        return self._rows(self._texts, self._text_of.loc[modification_ids])

    def _rows(self, known, wanted) -> torch.Tensor:
        rows = pd.Index(known).get_indexer(pd.Index(wanted))
        assert (rows >= 0).all()  # -1 would be the last row, silently
        return torch.from_numpy(rows).to(self.query_video.device)


def from_encoder(
    benchmark: Benchmark, encoder: Encoder, clips_dir: Path, frames: int, read=None, tower=None
) -> Inputs:
    """Embed train and val by an encoder, and the texts too unless `read` does that."""
    clips = benchmark.clips[benchmark.clips["split"] != "test"]
    # Frames are what other rows of the tables read from the same store.
    mean_of_frames = type(encoder).encode_clips is Encoder.encode_clips
    embedded = embed_clips(encoder, clips, clips_dir, frames=frames, readout="frames" if mean_of_frames else "clips")
    video = (embedded.values.mean(1) if mean_of_frames else embedded.values).to(encoder.device)
    return Inputs(
        benchmark, embedded.clip_ids, video, video, read or (lambda texts: embed_texts(encoder, texts)), tower
    )


def token_reader(weights: str) -> Callable[[list[str]], Tokens]:
    """Make a `read` that prepares texts as officially and gives the tokens of BERT, from the hub or a folder."""
    tokenizer = load_tokenizer(weights)
    return lambda texts: tokenise([official_text(text) for text in texts], tokenizer)


def feature_reader(weights: str, device: torch.device | str) -> Callable[[list[str]], torch.Tensor]:
    """Make a `read` that gives the frozen tower's features, each text read once."""
    read, tower = token_reader(weights), load_text_tower(weights).to(device)

    @torch.no_grad()
    def features(texts: list[str]) -> torch.Tensor:
        return read_tokens(tower, read(texts).to(device))

    return features
