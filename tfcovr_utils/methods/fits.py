"""How rows are fitted on features: unit averages without training, and the paper's MLP."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import pandas as pd
import torch

from ..fusion import Fusion, unit, unit_average
from ..sources.released import GALLERY
from ..training.inputs import Inputs
from ..training.stage2 import STAGE2, fit_fusion
from .base import Fitted, Setting
from .features import Features


def fit_zero_shot(setting: Setting, make: Callable[[Setting], Features], *, video: str | None, text: bool) -> Fitted:
    """`video` names what of the features the query shows of its clip; without it, or without the text, the other alone."""
    features = make(setting)
    read_target = getattr(features, video if video == "joint" else "clips")

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        video_emb = getattr(features, video)(queries["query_clip"]) if video else None
        text_emb = features.texts(queries["text"]) if text else None
        if video_emb is None or text_emb is None:
            return unit(text_emb if video_emb is None else video_emb)
        return unit_average(video_emb, text_emb)

    return Fitted(embed_queries, lambda clip_ids: unit(read_target(clip_ids)), features.facts)


def fit_mlp(setting: Setting, make: Callable[[Setting], Features], *, video: str = "clips", use_video: bool = True,
            make_at_test: Callable[[Setting], Features] | None = None) -> Fitted:
    """Train stage 2, or take `setting.checkpoint`; `video` is what the query shows of its clip.

    `make_at_test` are other features that queries and gallery are then read by: a control.
    """
    features = make(setting)
    read_video = getattr(features, video)
    if setting.checkpoint is None:
        fusion, facts = _train(features, read_video, setting, use_video)
        if setting.folder is not None:
            fusion.save_pretrained(setting.folder)
    else:
        fusion, facts = Fusion.load(setting.checkpoint), {"checkpoint": str(setting.checkpoint)}
    if make_at_test is not None:
        features = make_at_test(setting)
        read_video = getattr(features, video)

    @torch.inference_mode()
    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        return fusion(read_video(queries["query_clip"]), features.texts(queries["text"]))

    @torch.inference_mode()
    def embed_gallery(clip_ids: Sequence[str]) -> torch.Tensor:
        return fusion.embed_target(features.clips(clip_ids))

    return Fitted(embed_queries, embed_gallery, features.facts | facts)


def _train(features: Features, read_video, setting: Setting, use_video: bool) -> tuple[Fusion, dict]:
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
