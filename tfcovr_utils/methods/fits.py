"""How rows are fitted on features: unit averages without training, the paper's MLP, and both stages at once."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import pandas as pd
import torch

from ..sources.release.released import GALLERY
from ..training.fusion import Fusion, unit, unit_average
from ..training.single_stage import SINGLE_STAGE, SingleStage, SingleStageSettings, fit_single_stage
from ..training.stage2 import STAGE2, Stage2Settings, fit_fusion
from ..training.stage2_inputs import Inputs
from .base import Fitted, NotRun, Setting
from .features import AimFeatures, Features


def fit_zero_shot(
    setting: Setting,
    make: Callable[[Setting], Features],
    *,
    video: str | None,
    text: bool,
    average: bool = True,
) -> Fitted:
    """`video` names what of the features the query shows of its clip; without it, or without the text, the other alone.

    average: of unit vectors; otherwise the clip's vector is added as it is to the unit text.
    """
    features = make(setting)
    read_target = getattr(features, video if video == "joint" else "clips")

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        video_emb = getattr(features, video)(queries["query_clip"]) if video else None
        text_emb = features.texts(queries["text"]) if text else None
        if video_emb is None or text_emb is None:
            return unit(text_emb if video_emb is None else video_emb)
        return unit_average(video_emb, text_emb) if average else unit(video_emb + unit(text_emb))

    text_only = (lambda queries: unit(features.texts(queries["text"]))) if text else None
    return Fitted(embed_queries, lambda clip_ids: unit(read_target(clip_ids)), features.facts, text_only)


def fit_mlp(
    setting: Setting,
    make: Callable[[Setting], Features],
    *,
    video: str = "clips",
    use_video: bool = True,
    make_at_test: Callable[[Setting], Features] | None = None,
) -> Fitted:
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
    return _answer(fusion, features, read_video, features.clips, facts)


def fit_jointly(setting: Setting, *, pooling: str = "mean") -> Fitted:
    """Train reader and fusion together on frames of the frozen CLIP, or of AIM weights given, or take `setting.checkpoint`."""
    features = AimFeatures(setting)
    if setting.checkpoint is None:
        inputs, validate = read_inputs(features, features.frames, features.frames, setting)
        settings = replace(setting.single_stage or SINGLE_STAGE[setting.profile.name], pooling=pooling)
        labels = setting.benchmark.labels["label_id"].tolist()
        label_idx = pd.Index(labels).get_indexer(features.clips_table.loc[inputs.clip_ids, "label_id"])
        model, curve = fit_single_stage(
            inputs.target,
            inputs.texts,
            inputs.triplets(),
            torch.from_numpy(label_idx).to(features.device),
            labels,
            settings,
            setting.seed,
            validate,
        )
        model, facts = model.cpu(), facts_of("single_stage", settings, inputs, curve)
        if setting.folder is not None:
            model.save_pretrained(setting.folder)
    else:
        model, facts = SingleStage.load(setting.checkpoint), {"checkpoint": str(setting.checkpoint)}
    return _answer(model, features, features.frames, features.frames, facts)


def _answer(
    model: Fusion | SingleStage, features: Features, read_video: Callable, read_target: Callable, facts: dict
) -> Fitted:
    @torch.inference_mode()
    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        return model(read_video(queries["query_clip"]), features.texts(queries["text"]))

    @torch.inference_mode()
    def embed_gallery(clip_ids: Sequence[str]) -> torch.Tensor:
        return model.embed_target(read_target(clip_ids))

    return Fitted(embed_queries, embed_gallery, features.facts | facts)


def _train(features: Features, read_video, setting: Setting, use_video: bool) -> tuple[Fusion, dict]:
    """Fit stage 2 on a benchmark without its test clips; the step is chosen on `val`."""
    inputs, validate = read_inputs(features, read_video, features.clips, setting)
    settings = replace(setting.stage2 or STAGE2[setting.profile.name], use_video=use_video)
    fusion, history = fit_fusion(
        inputs.query_video,
        inputs.texts,
        inputs.target,
        inputs.triplets(),
        settings,
        setting.seed,
        validate,
        target_labels=inputs.target_labels(),
    )
    return fusion.cpu(), facts_of("stage2", settings, inputs, history)


def read_inputs(
    features: Features,
    read_video: Callable,
    read_target: Callable,
    setting: Setting,
    read_texts: Callable | None = None,
) -> tuple[Inputs, Callable]:
    """What is trained on, which is never a test clip, and how a model is scored on `val`."""
    clips = setting.benchmark.clips
    if setting.benchmark.triplets.empty:
        raise NotRun(
            "this benchmark has no training triplets; train on another, and give that run's folder.",
            "tfcovr score --checkpoint RUN/seed-0/METHOD --method METHOD --benchmark DIR --out DIR",
        )
    seen = clips.loc[clips["split"] != "test", "clip_id"].to_numpy()
    target = read_target(seen).to(features.device)  # (N, D), or (N, T, D)
    video = target if read_video == read_target else read_video(seen).to(features.device)
    kept = video.flatten(1).isfinite().all(1)
    inputs = Inputs(
        setting.benchmark,
        seen[kept.cpu().numpy()].tolist(),
        video[kept],
        target[kept],
        read_texts or features.texts,
    )
    protocol = "full" if "full" in set(setting.benchmark.gallery["gallery"]) else GALLERY
    return inputs, inputs.validator(protocol)


def facts_of(
    stage: str, settings: Stage2Settings | SingleStageSettings, inputs: Inputs, curve: pd.DataFrame
) -> dict:
    return {
        stage: asdict(settings),
        "triplets_used": inputs.coverage["triplets"],
        "history": curve.to_dict("records"),
    }
