"""Rows on frozen CLIP features: one input alone, unit averages, and the paper's MLP trained on top.

A gallery clip is the mean of its frames under every row; "1" means that the query shows one frame.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial

import pandas as pd
import torch

from ..doctor import clip_exists
from ..embedding import embed_clips, embed_texts
from ..encoders import load_encoder
from ..fusion import Fusion, unit, unit_average
from ..sources.released import GALLERY
from ..training.inputs import Inputs
from ..training.stage2 import STAGE2, fit_fusion
from .base import Fitted, Method, NotRun, Setting, look_up


class _Features:
    """Raw CLIP features of a benchmark's clips and of texts, each made once and kept in the store."""

    def __init__(self, setting: Setting):
        self.setting, profile = setting, setting.profile
        paths = setting.benchmark.clips["path"]
        if not any(clip_exists(setting.clips_dir / path) for path in paths):
            raise NotRun(
                f"{setting.clips_dir} holds none of {len(paths)} clips, such as {paths.iloc[0]}.",
                f"python -m tfcovr_utils.evaluation --clips DIR --profile {profile.name} --benchmark DIR --out DIR",
            )
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with _weights_wanted():
            self.encoder = load_encoder("clip", setting.clip_weights or profile.clip_weights).to(self.device)
        self.clips_table = setting.benchmark.clips.set_index("clip_id", drop=False)
        self.facts = {"encoder": self.encoder.identity, "frames": profile.frames}

    def frames(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Frames of clips (N, T, D), NaN for a clip that could not be read."""
        rows = self.clips_table.loc[list(dict.fromkeys(clip_ids))]
        embedded = embed_clips(
            self.encoder, rows, self.setting.clips_dir, frames=self.setting.profile.frames, store_dir=self.setting.store_dir
        )
        return look_up(embedded.clip_ids, embedded.values, clip_ids)

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Means over frames (N, D)."""
        return self.frames(clip_ids).mean(1)

    def middle(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """The frame in the middle (N, D): of those sampled, as the official loader takes it."""
        frames = self.frames(clip_ids)
        return frames[:, frames.shape[1] // 2]

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts (M, D)."""
        with _weights_wanted():  # a tokenizer may have to be fetched, too
            return embed_texts(self.encoder, list(texts), store_dir=self.setting.store_dir)


@contextmanager
def _weights_wanted() -> Iterator[None]:
    """Make of weights that are not to be had, which say themselves how to get them, a row that is not run."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotRun(str(error)) from error


def _fit_zero_shot(setting: Setting, *, video: str | None, text: bool) -> Fitted:
    """`video` names what of `_Features` the query shows of its clip; without it, or without the text, the other alone."""
    features = _Features(setting)

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        video_emb = getattr(features, video)(queries["query_clip"]) if video else None
        text_emb = features.texts(queries["text"]) if text else None
        if video_emb is None or text_emb is None:
            return unit(text_emb if video_emb is None else video_emb)
        return unit_average(video_emb, text_emb)

    return Fitted(embed_queries, lambda clip_ids: unit(features.clips(clip_ids)), features.facts)


def _fit_mlp(setting: Setting, *, video: str, use_video: bool = True) -> Fitted:
    """Train stage 2, or take `setting.checkpoint`; `video` is what the query shows of its clip."""
    features = _Features(setting)
    read_video = getattr(features, video)
    if setting.checkpoint is None:
        fusion, facts = _train(features, read_video, setting, use_video)
        if setting.folder is not None:
            fusion.save_pretrained(setting.folder)
    else:
        fusion, facts = Fusion.load(setting.checkpoint), {"checkpoint": str(setting.checkpoint)}

    @torch.inference_mode()
    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        return fusion(read_video(queries["query_clip"]), features.texts(queries["text"]))

    @torch.inference_mode()
    def embed_gallery(clip_ids: Sequence[str]) -> torch.Tensor:
        return fusion.embed_target(features.clips(clip_ids))

    return Fitted(embed_queries, embed_gallery, features.facts | facts)


def _train(features: _Features, read_video, setting: Setting, use_video: bool) -> tuple[Fusion, dict]:
    """Fit stage 2 on a benchmark without its test clips; the step is chosen on `val`."""
    clips = setting.benchmark.clips
    seen = clips.loc[clips["split"] != "test", "clip_id"].to_numpy()
    video, target = (read(seen).to(features.device) for read in (read_video, features.clips))  # (N, D) each
    kept = video.isfinite().all(1)
    inputs = Inputs(setting.benchmark, seen[kept.cpu().numpy()].tolist(), video[kept], target[kept], features.texts)
    settings = replace(setting.stage2 or STAGE2[setting.profile.name], use_video=use_video)
    protocol = "full" if "full" in set(setting.benchmark.gallery["gallery"]) else GALLERY
    fusion, history = fit_fusion(
        inputs.query_video, inputs.texts, inputs.target, inputs.triplets(), settings, setting.seed, inputs.validator(protocol),
        target_labels=inputs.target_labels(),
    )  # fmt: skip
    return fusion.cpu(), {"stage2": asdict(settings), "triplets_used": inputs.coverage["triplets"], "history": history.to_dict("records")}


_TARGET = "a gallery clip is the unit mean of its frames' CLIP features"
_AVERAGE = "A query is the average of two unit CLIP features, of its text and its clip's {}; " + _TARGET + "."
_MLP = "A query is the stage-2 MLP of its text and its clip's {}, on frozen CLIP features; " + _TARGET + "."
CLIP_ROWS = (
    Method("video-only", "control", f"A query is its clip alone, as {_TARGET}.",
           partial(_fit_zero_shot, video="clips", text=False), seeded=False),
    Method("text-only-zs", "control", f"A query is the CLIP text feature of its modification alone; {_TARGET}.",
           partial(_fit_zero_shot, video=None, text=True), seeded=False),
    Method("text-only", "control", "As clip-mlp-15, trained alike, with zeros in place of the query clip.",
           partial(_fit_mlp, video="clips", use_video=False), seeded=True),
    Method("clip-avg-1-zs", "zero-shot", _AVERAGE.format("middle frame"),
           partial(_fit_zero_shot, video="middle", text=True), seeded=False),
    Method("clip-avg-zs", "zero-shot", _AVERAGE.format("mean frame"), partial(_fit_zero_shot, video="clips", text=True), seeded=False),
    Method("clip-mlp-1", "fine-tuned", _MLP.format("middle frame"), partial(_fit_mlp, video="middle"), seeded=True),
    Method("clip-mlp-15", "fine-tuned", _MLP.format("mean frame"), partial(_fit_mlp, video="clips"), seeded=True),
)  # fmt: skip
