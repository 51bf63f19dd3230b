"""How methods are fitted: unit averages without training, the paper's MLP, or both stages at once."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import pandas as pd
import torch

from ..labels import Attributes, comes_along
from ..sources.release.released import GALLERY
from ..texts.reading.reader import apply_text
from ..training.composer import Composer
from ..training.fusion import Fusion, unit, unit_average
from ..training.loop import seeded
from ..training.settings import SINGLE_STAGE, STAGE2
from ..training.single_stage import SingleStage, fit_single_stage
from ..training.stage2 import fit_fusion
from ..training.stage2_inputs import Inputs
from .base import Fitted, NotRun, Setting
from .features import AimFeatures, AttributeFeatures, Features

Make = Callable[[Setting], Features]


def fit_zero_shot(
    setting: Setting, make: Make, *, video: str | None, text: bool = True, average: bool = True
) -> Fitted:
    """Embed a query as its text, as its clip, or as their average; nothing is trained.

    video: the method of the features that embeds the query's clip; None leaves the clip out, as `text=False`
    the text. average: of unit vectors; otherwise the clip's vector keeps its length and is added to the unit
    text.
    """
    features = make(setting)
    read_target = getattr(features, video if video == "joint" else "clips")

    def embed_text_only(queries: pd.DataFrame) -> torch.Tensor:
        return unit(features.texts(queries["text"]))

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        if video is None:
            return embed_text_only(queries)
        video_emb = getattr(features, video)(queries["query_clip"])
        if not text:
            return unit(video_emb)
        text_emb = features.texts(queries["text"])
        return unit_average(video_emb, text_emb) if average else unit(video_emb + unit(text_emb))

    def embed_gallery(clip_ids: Sequence[str]) -> torch.Tensor:
        return unit(read_target(clip_ids))

    return Fitted(embed_queries, embed_gallery, features.facts, embed_text_only if text else None)


def fit_mlp(
    setting: Setting,
    make: Make,
    *,
    video: str = "clips",
    use_video: bool = True,
    make_at_test: Make | None = None,
) -> Fitted:
    """Train stage 2, or load `setting.checkpoint`. video: as in `fit_zero_shot`.

    make_at_test: other features that queries and gallery are then read by, as a control.
    """
    features = make(setting)

    def train() -> tuple[Fusion, dict]:
        inputs, validate = read_inputs(features, getattr(features, video), features.clips, setting)
        settings = replace(setting.stage2 or STAGE2[setting.profile.name], use_video=use_video)
        fusion, curve = fit_fusion(inputs.training_data(), settings, setting.seed, validate)
        return fusion, facts_of("stage2", settings, inputs, curve)

    fusion, facts = _train_or_load(setting, train, Fusion)
    if make_at_test is not None:
        features = make_at_test(setting)
    return _answer(fusion, features, getattr(features, video), features.clips, facts)


def fit_jointly(setting: Setting, *, pooling: str = "mean") -> Fitted:
    """Train reader and fusion together on the frozen CLIP's or given AIM's frames; or load a checkpoint."""
    features = AimFeatures(setting)

    def train() -> tuple[SingleStage, dict]:
        inputs, validate = read_inputs(features, features.frames, features.frames, setting)
        settings = replace(setting.single_stage or SINGLE_STAGE[setting.profile.name], pooling=pooling)
        labels = setting.benchmark.labels["label_id"].tolist()
        label_idx = pd.Index(labels).get_indexer(features.clips_table.loc[inputs.clip_ids, "label_id"])
        label_idx = torch.from_numpy(label_idx).to(features.device)
        given = (inputs.target, inputs.texts, inputs.training_data().triplets, label_idx, labels)
        model, curve = fit_single_stage(*given, settings, setting.seed, validate)
        return model, facts_of("single_stage", settings, inputs, curve)

    model, facts = _train_or_load(setting, train, SingleStage)
    return _answer(model, features, features.frames, features.frames, facts)


def fit_composed_attributes(setting: Setting) -> Fitted:
    """Train a composer on what stage 1's heads say of the clips' attributes; or load a checkpoint."""
    features = AttributeFeatures(setting)

    def train() -> tuple[Composer, dict]:
        inputs, validate = read_inputs(features, features.clips, features.clips, setting)
        settings = setting.stage2 or STAGE2[setting.profile.name]
        sizes = [len(values) for values in features.values.values()]
        with seeded(setting.seed, features.device):
            model = Composer(sizes, inputs.texts.shape[1]).to(features.device)
        model.set_texts(inputs.texts)
        model, curve = fit_fusion(inputs.training_data(), settings, setting.seed, validate, model)
        return model, facts_of("stage2", settings, inputs, curve)

    model, facts = _train_or_load(setting, train, Composer)
    return _answer(model, features, features.clips, features.clips, facts)


def fit_symbolic(setting: Setting) -> Fitted:
    """Name the query clip's attributes, let the reader of texts change them, and rank by the posterior."""
    features = AttributeFeatures(setting)
    known = [Attributes.from_json(text) for text in setting.benchmark.labels["attributes"]]
    as_typed = {(name, str(getattr(of, name))): getattr(of, name) for of in known for name in features.values}
    sizes = [len(values) for values in features.values.values()]

    def read(clip: torch.Tensor, text: str) -> torch.Tensor:
        parts = zip(features.values.items(), clip.split(sizes))
        seen = {name: as_typed[name, values[part.argmax()]] for (name, values), part in parts}
        source = replace(known[0], **seen)
        try:
            wanted = apply_text(source, text)
        except ValueError:  # no change that can be read
            wanted = source
        unsaid = comes_along(source, wanted)
        asked = [
            name not in unsaid and value == str(getattr(wanted, name))
            for name, values in features.values.items()
            for value in values
        ]
        return torch.tensor(asked).float()

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        clips = features.clips(queries["query_clip"])
        read_all = torch.stack([read(clip, text) for clip, text in zip(clips, queries["text"])])
        return read_all.masked_fill(clips.isnan(), torch.nan)

    return Fitted(embed_queries, features.clips, features.facts)


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


def _train_or_load(setting: Setting, train: Callable, kind: type) -> tuple:
    """Train a model of a kind and keep it in the setting's folder, or load its checkpoint; with the facts."""
    if setting.checkpoint is not None:
        return kind.load(setting.checkpoint), {"checkpoint": str(setting.checkpoint)}
    model, facts = train()
    if setting.folder is not None:
        model.cpu().save_pretrained(setting.folder)
    return model.cpu(), facts


def read_inputs(
    features: Features,
    read_video: Callable,
    read_target: Callable,
    setting: Setting,
    read_texts: Callable | None = None,
) -> tuple[Inputs, Callable]:
    """Read what is trained on, which is never a test clip, and the function that scores a model on `val`."""
    clips = setting.benchmark.clips
    if setting.benchmark.triplets.empty:
        raise NotRun(
            "this benchmark has no training triplets; train on another, and give that run's folder.",
            "tfcovr score --checkpoint RUN/seed-0/METHOD --method METHOD --benchmark DIR --out DIR",
        )
    clip_ids = clips.loc[clips["split"] != "test", "clip_id"].to_numpy()
    target = read_target(clip_ids).to(features.device)  # (N, D), or (N, T, D)
    video = target if read_video == read_target else read_video(clip_ids).to(features.device)
    kept = video.flatten(1).isfinite().all(1)
    clip_ids, read_texts = clip_ids[kept.cpu().numpy()].tolist(), read_texts or features.texts
    inputs = Inputs(setting.benchmark, clip_ids, video[kept], target[kept], read_texts)
    protocol = "full" if "full" in set(setting.benchmark.gallery["gallery"]) else GALLERY
    return inputs, inputs.validator(protocol)


def facts_of(stage: str, settings, inputs: Inputs, curve: pd.DataFrame) -> dict:
    """Return what the record beside the results says of a training."""
    triplets = inputs.coverage["triplets"]
    return {stage: asdict(settings), "triplets_used": triplets, "history": curve.to_dict("records")}
