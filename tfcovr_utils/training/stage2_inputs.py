"""A benchmark's clips and texts as the rows of tensors that stage 2 trains on and is scored by."""

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
from .stage2 import Stage2Data
from .towers import load_text_tower, load_tokenizer, read_tokens

ReadTexts = Callable[[list[str]], torch.Tensor | Tokens]  # M texts -> features (M, Dt), or tokens for a tower


class Inputs:
    """What one run of stage 2 reads, N clips and M distinct texts; triplets and queries are rows of them.

    clip_ids: N ids; query_video, target: (N, D) raw vectors of these clips, as queries and as targets, or (N,
    T, D) their frames for a model that reads these in a fusion's place. tower: a TextTower that trains.
    Triplets and queries of other clips are left out; `coverage` is the share that stayed.
    """

    def __init__(
        self, benchmark: Benchmark, clip_ids: list[str], query_video, target, read: ReadTexts, tower=None
    ):
        self.benchmark = benchmark.restrict(set(clip_ids))
        self.coverage = self.benchmark.coverage(benchmark)
        self.clip_ids, self.query_video, self.target, self.tower = clip_ids, query_video, target, tower
        if self.benchmark.triplets.empty:
            among = f"both its clips among {len(clip_ids)}, such as {clip_ids[0]!r}"
            advice = "give the embeddings of this benchmark's clips."
            raise ValueError(
                f"none of {len(benchmark.triplets)} triplets has embeddings of {among}; {advice}"
            )
        self._text_of = self.benchmark.modifications.set_index("modification_id")["text"]
        tables = self.benchmark.triplets, self.benchmark.queries
        used = pd.concat([table["modification_id"] for table in tables]).unique()
        self._texts = sorted(set(self._text_of[used]))
        self.texts = read(self._texts).to(query_video.device)

    def training_data(self) -> Stage2Data:
        """Collect what `fit_fusion` trains on; a target's label is a number, -1 where no triplet ends."""
        table = self.benchmark.triplets
        target = self._clips(table["target_clip"])
        triplets = self._clips(table["query_clip"]), self._text_rows(table["modification_id"]), target
        labels = torch.full((len(self.clip_ids),), -1, device=self.target.device)
        labels[target] = torch.from_numpy(pd.factorize(table["target_label"])[0]).to(labels)
        tensors = self.query_video, self.texts, self.target, torch.stack(triplets, 1)
        return Stage2Data(*tensors, target_labels=labels, tower=self.tower)

    def task(self, protocol: str, split: str) -> Task:
        """Make a protocol's queries and its gallery, without the clips that have no embedding."""
        task, embedded = make_task(self.benchmark, protocol, split), set(self.clip_ids)
        return replace(task, gallery=[clip_id for clip_id in task.gallery if clip_id in embedded])

    @torch.no_grad()
    def average_precision(self, fusion: Fusion, task: Task, ks=RANKS) -> np.ndarray:
        """Compute AP@K of each query, (Q, len(ks)) as fractions, by the formula of the task's protocol."""
        query_clips = self._clips(task.queries["query_clip"])
        texts = self._text_rows(task.queries["modification_id"])
        query_emb = fusion(self.query_video[query_clips], self.texts, texts)
        scores = query_emb @ fusion.embed_target(self.target[self._clips(task.gallery)]).T  # (Q, G)
        if task.protocol == "official":
            ranked = rank_official(scores, task.gallery, task.queries["query_clip"])
            return average_precision_official(ranked, task.answers, ks)
        return average_precision_at(task.narrow(scores), task.answers_idx(), ks, task.own_idx())

    def validator(self, protocol: str) -> Callable[[Fusion], float]:
        """Make a `validate` for `fit_fusion`: mAP@50 on val, by which the official code selects too."""
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
    """Embed the clips of train and val by an encoder, and the texts too unless `read` does that."""
    clips = benchmark.clips[benchmark.clips["split"] != "test"]
    # Frames one by one where the encoder averages them: other rows of the tables read these from the same
    # store.
    per_frame = type(encoder).encode_clips is Encoder.encode_clips
    readout = "frames" if per_frame else "clips"
    embedded = embed_clips(encoder, clips, clips_dir, frames=frames, readout=readout)
    video = (embedded.values.mean(1) if per_frame else embedded.values).to(encoder.device)
    read = read or (lambda texts: embed_texts(encoder, texts))
    return Inputs(benchmark, embedded.clip_ids, video, video, read, tower)


def token_reader(weights: str) -> ReadTexts:
    """Make a `read` that prepares texts as officially and gives the tokens of a BERT."""
    tokenizer = load_tokenizer(weights)
    return lambda texts: tokenise([official_text(text) for text in texts], tokenizer)


def feature_reader(weights: str, device: torch.device | str) -> ReadTexts:
    """Make a `read` that gives the frozen tower's features."""
    read, tower = token_reader(weights), load_text_tower(weights).to(device)
    return torch.no_grad()(lambda texts: read_tokens(tower, read(texts).to(device)))
