"""The CoVR family: BLIP-2, CoVR's BLIP, ECDE, LanguageBind, TF-CVR and BSE-CoVR, without training and with it.

On the rendered benchmark small models of the same classes stand for the published ones; which weights a row read is in its facts.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import torch

from ..encoders.base import without_bars
from ..encoders.tokens import Tokens
from ..machine.tensors import read_weights, write_weights
from ..training.fusion import unit
from ..training.settings import COMPOSED
from ..training.stage2 import fit_fusion
from .base import Fitted, Method, Setting
from .composed import Composed, Way
from .family_features import JOINED, ORACLE, FamilyFeatures, VideoFeatures, describe, load_family, trainable
from .fits import facts_of, fit_mlp, fit_zero_shot, read_inputs

AT_ONCE = 64  # clips that are read together with a text in one pass
WHOLE = {"max_words": None, "max_tokens": 512}  # dense modifications are not cut
MEAN = "target_mean.safetensors"  # beside a trained row's weights
BSE_LOSS = {"loss": "hn_nce", "beta": 0.5}  # of its released code


def fit_composed(
    setting: Setting,
    family: str,
    way: Way,
    *,
    train: bool = False,
    writer: str = "captioner",
    captions: bool = False,
    changes: dict | None = None,
    **options,
) -> Fitted:
    """Read queries by cross-attention, or by one input alone, as `way` says; train that first, or take `setting.checkpoint`.

    writer: of the descriptions, where the way needs some. captions: a gallery clip's score is the mean of its likeness to the query
    and of its description's, read alone: CoVR's si_ti + si_tc, halved. A clip without description has 0 for the latter. changes: of
    the profile's settings. options: of the encoder.
    """
    features = FamilyFeatures(setting, family, **options)
    see = features.pixels if way.part == "vision" else features.tokens

    def read_descriptions(clip_ids: Sequence[str]) -> Tokens | None:
        return features.tokenise(describe(setting, clip_ids, writer)[0]) if way.described else None

    facts = {"written_by": writer} if way.described or captions else {}
    if train and setting.checkpoint is None:
        model, trained = _train(setting, features, way, see, read_descriptions, changes or {})
        facts |= trained
        if setting.folder is not None:
            # Without config.json this is no model; it comes last, so that the weights are never there without their mean.
            (setting.folder / "config.json").unlink(missing_ok=True)
            write_weights({"target_mean": model.target_mean}, setting.folder / MEAN)
            with without_bars():
                model.encoder.save_pretrained(setting.folder)
    else:
        encoder = (
            load_family(replace(setting, weights={family: str(setting.checkpoint)}), family, **options)
            if train
            else features.encoder
        )
        model = Composed(encoder.to(features.device), way).eval()
        if train and (setting.checkpoint / MEAN).exists():
            model.target_mean = read_weights(setting.checkpoint / MEAN)["target_mean"].to(features.device)

    @torch.no_grad()
    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        texts, descriptions = features.tokenise(queries["text"]), read_descriptions(queries["query_clip"])
        seen = see(queries["query_clip"]).to(features.device)
        read = in_parts(model.embed, seen, texts, descriptions)
        return beside(
            read.masked_fill(features.clips(queries["query_clip"]).isnan().any(1, keepdim=True), torch.nan)
        )

    @torch.no_grad()
    def embed_text_only(queries: pd.DataFrame) -> torch.Tensor:
        texts = queries["text"].tolist()
        parts = [
            model.encoder.encode_texts(texts[start : start + AT_ONCE])
            for start in range(0, len(texts), AT_ONCE)
        ]
        return beside(unit(torch.cat(parts)).cpu())

    def beside(query_emb: torch.Tensor) -> torch.Tensor:
        return torch.cat([query_emb, query_emb], 1) / 2**0.5 if captions else query_emb

    def embed_gallery(clip_ids: Sequence[str]) -> torch.Tensor:
        clips = model.embed_target(features.clips(clip_ids).to(features.device)).cpu()
        if not captions:
            return clips
        told, _ = describe(setting, clip_ids, writer)
        untold = torch.tensor([text == "" for text in told])[:, None]
        return torch.cat([clips, unit(features.texts(told)).masked_fill(untold, 0)], 1) / 2**0.5

    return Fitted(
        embed_queries,
        embed_gallery,
        features.facts | facts,
        None if way.part == "vision" else embed_text_only,
    )


def _train(
    setting: Setting,
    features: FamilyFeatures,
    way: Way,
    see: Callable,
    read_descriptions: Callable,
    changes: dict,
) -> tuple[Composed, dict]:
    def read_target(clip_ids: Sequence[str]) -> torch.Tensor:
        plain = features.clips(clip_ids)
        if way.described != "averaged":
            return plain
        # ECDE's second target: all frames read together with the description, by the model as it was before training.
        before, together = Composed(features.encoder, Way("composed")).eval(), read_descriptions(clip_ids)
        return torch.cat(
            [
                plain,
                in_parts(before.embed, features.all_tokens(clip_ids).to(features.device), together, None),
            ],
            1,
        )

    inputs, validate = read_inputs(features, read_target, read_target, setting, read_texts=features.tokenise)
    seen, descriptions = see(inputs.clip_ids).to(features.device), read_descriptions(inputs.clip_ids)
    model = Composed(trainable(features.encoder), way, seen, descriptions).to(features.device)
    model.train_part()
    settings = replace(setting.stage2 or COMPOSED[setting.profile.name], **changes)
    if settings.centre:
        model.set_mean(inputs.target[inputs.triplets()[:, 2].unique()])
    inputs.query_video = torch.arange(len(inputs.clip_ids), device=features.device)
    model, history = fit_fusion(
        inputs.query_video,
        inputs.texts,
        inputs.target,
        inputs.triplets(),
        settings,
        setting.seed,
        validate,
        model=model,
        target_labels=inputs.target_labels(),
    )
    return model, facts_of("stage2", settings, inputs, history)


@torch.no_grad()
def in_parts(embed: Callable, seen: torch.Tensor, texts: Tokens, descriptions: Tokens | None) -> torch.Tensor:
    """`embed` over any number of rows, (N, E) on the CPU."""
    parts = [
        torch.arange(start, min(start + AT_ONCE, len(texts)), device=seen.device)
        for start in range(0, len(texts), AT_ONCE)
    ]
    return torch.cat(
        [
            embed(seen[rows], texts[rows], descriptions[rows] if descriptions is not None else None).cpu()
            for rows in parts
        ]
    )


def fit_rewritten(setting: Setting, writer: str = "captioner") -> Fitted:
    """TF-CVR: the query clip's description and the modification become one text, which finds clips by itself."""
    features = FamilyFeatures(setting, "blip", **WHOLE)

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        descriptions, _ = describe(setting, queries["query_clip"], writer)
        return unit(
            features.texts(
                [
                    JOINED.format(description=one, text=text)
                    for one, text in zip(descriptions, queries["text"])
                ]
            )
        )

    return Fitted(
        embed_queries,
        lambda clip_ids: unit(features.clips(clip_ids)),
        features.facts | {"written_by": writer},
    )


_BLIP2, _BIND = partial(FamilyFeatures, family="blip2"), partial(VideoFeatures, family="languagebind")
_TARGET = "a gallery clip is the unit mean of its frames' features"
_CROSS = "A query is its middle frame and its text read together by {}'s cross-attention; " + _TARGET
_DESCRIBED = "a captioner's description of that frame"
_ZS, _FT = "zero-shot", "fine-tuned"
COVR_ROWS = (
    Method(
        "blip2-text-zs",
        _ZS,
        f"A query is BLIP-2's feature of its text alone; {_TARGET}.",
        partial(fit_zero_shot, make=_BLIP2, video=None, text=True),
        seeded=False,
    ),
    Method(
        "blip2-vision-zs",
        _ZS,
        f"A query is BLIP-2's feature of its middle frame alone; {_TARGET}.",
        partial(fit_zero_shot, make=_BLIP2, video="middle", text=False),
        seeded=False,
    ),
    Method(
        "blip-covr-zs",
        _ZS,
        _CROSS.format("CoVR's BLIP") + ".",
        partial(fit_composed, family="blip", way=Way("composed")),
        seeded=False,
    ),
    Method(
        "blip-covr-ecde-zs",
        _ZS,
        _CROSS.format("CoVR's BLIP") + f", averaged .8 to .2 with the same of {_DESCRIBED}.",
        partial(fit_composed, family="blip", way=Way("composed", "averaged")),
        seeded=False,
    ),
    Method(
        "blip-covr-captions-zs",
        "beyond the paper",
        "blip-covr-zs, a gallery clip scored by what a captioner says of it as well.",
        partial(fit_composed, family="blip", way=Way("composed"), captions=True),
        seeded=False,
    ),
    Method(
        "languagebind-zs",
        _ZS,
        "A query is the average of two unit LanguageBind features, of its text and its clip; a gallery clip is the latter.",
        partial(fit_zero_shot, make=_BIND, video="clips", text=True),
        seeded=False,
    ),
    Method(
        "languagebind-scaled-zs",
        "beyond the paper",
        "languagebind-zs as EgoCVR's wrapper averages, the clip's feature times the learnt scale: "
        "all but the clip alone.",
        partial(
            fit_zero_shot,
            make=partial(VideoFeatures, family="languagebind", video_scale="official"),
            video="scaled",
            text=True,
            average=False,
        ),
        seeded=False,
    ),
    Method(
        "tf-cvr-zs",
        _ZS,
        f"A query is BLIP's feature of {_DESCRIBED} joined with its text, where TF-CVR has a language model rewrite it; {_TARGET}.",
        fit_rewritten,
        seeded=False,
    ),
    Method(
        "tf-cvr-oracle-zs",
        "control",
        "tf-cvr-zs, the description written from the true label: an oracle.",
        partial(fit_rewritten, writer=ORACLE),
        seeded=False,
    ),
    Method(
        "blip2-text-ft",
        _FT,
        f"blip2-text-zs, the Q-Former's text branch trained; {_TARGET}.",
        partial(fit_composed, family="blip2", way=Way("text"), train=True),
        seeded=True,
    ),
    Method(
        "blip2-vision-ft",
        _FT,
        f"blip2-vision-zs, the ViT and its projection trained; {_TARGET}, as before training.",
        partial(fit_composed, family="blip2", way=Way("vision"), train=True),
        seeded=True,
    ),
    Method(
        "blip2-mlp-1",
        _FT,
        f"A query is the stage-2 MLP of BLIP-2's features of its text and its middle frame; {_TARGET}.",
        partial(fit_mlp, make=_BLIP2, video="middle"),
        seeded=True,
    ),
    Method(
        "blip2-mlp-15",
        _FT,
        f"A query is the stage-2 MLP of BLIP-2's features of its text and its mean frame; {_TARGET}.",
        partial(fit_mlp, make=_BLIP2),
        seeded=True,
    ),
    Method(
        "blip-covr-ft",
        _FT,
        "blip-covr-zs, the text encoder with its cross-attention trained.",
        partial(fit_composed, family="blip", way=Way("composed"), train=True),
        seeded=True,
    ),
    Method(
        "blip2-covr-ft",
        "beyond the paper",
        _CROSS.format("BLIP-2's Q-Former") + ", which is trained, as the released code has it.",
        partial(fit_composed, family="blip2", way=Way("composed"), train=True),
        seeded=True,
    ),
    Method(
        "blip-covr-ecde-ft",
        _FT,
        "blip-covr-ecde-zs, trained towards the clips and towards clips read together with their descriptions.",
        partial(fit_composed, family="blip", way=Way("composed", "averaged"), train=True),
        seeded=True,
    ),
    Method(
        "bse-covr",
        _FT,
        f"blip-covr-ft with texts never cut and hard negatives, {_DESCRIBED} added to every image token before.",
        partial(
            fit_composed,
            family="blip",
            way=Way("composed", "grounded"),
            train=True,
            changes=BSE_LOSS,
            **WHOLE,
        ),
        seeded=True,
    ),
    Method(
        "bse-covr-oracle",
        "control",
        "bse-covr, the description written from the true label: an oracle.",
        partial(
            fit_composed,
            family="blip",
            way=Way("composed", "grounded"),
            train=True,
            changes=BSE_LOSS,
            writer=ORACLE,
            **WHOLE,
        ),
        seeded=True,
    ),
    Method(
        "bse-covr-undescribed",
        "control",
        "bse-covr without its descriptions: texts never cut, and hard negatives.",
        partial(fit_composed, family="blip", way=Way("composed"), train=True, changes=BSE_LOSS, **WHOLE),
        seeded=True,
    ),
)
