"""Methods of BLIP-2, CoVR's BLIP, ECDE, LanguageBind, TF-CVR and BSE-CoVR, without training and with it.

Rendered benchmarks use small models of the same classes in place of the published ones; a method's facts name
its weights.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial

import pandas as pd
import torch

from ..encoders.base import hide_progress_bars
from ..encoders.tokens import Tokens
from ..machine.tensors import read_weights, write_weights
from ..training.fusion import unit
from ..training.settings import COMPOSED, COVR_LOSS
from ..training.stage2 import fit_fusion
from .base import Fitted, Method, NotRun, Setting
from .composed import Composed, Way
from .encoder_features import JOINED, ORACLE, EncoderFeatures, VideoFeatures, describe
from .features import Features, load_weights
from .fits import facts_of, fit_mlp, fit_zero_shot, read_inputs
from .peers import PEERS, frame_scores, pool_by_scores

BATCH = 64  # clips read together with a text in one pass
WHOLE = {"max_words": None, "max_tokens": 512}  # options that keep dense modifications from being cut
MEAN_FILE = "target_mean.safetensors"  # beside a trained method's weights


class QueryReader(EncoderFeatures):
    """What a way reads of a benchmark's clips: their middle frames and their descriptions."""

    def __init__(self, setting: Setting, encoder_name: str, way: Way, **options):
        super().__init__(setting, encoder_name, **options)
        self.way, self.see = way, self.pixels if way.part == "vision" else self.tokens

    def targets(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return gallery clips (N, D): the means of their frames, or pooled by the owners' scores."""
        if not (self.setting.peer and PEERS[self.setting.peer].scored):
            return self.clips(clip_ids)
        scores = frame_scores(self.setting.benchmark, list(clip_ids))
        return pool_by_scores(self.frames(clip_ids), scores, list(clip_ids))

    def descriptions(self, clip_ids: Sequence[str]) -> Tokens | None:
        """Return the tokens of the clips' descriptions; None if the way uses none."""
        if not self.way.described:
            return None
        options = {"written_as": "as it is"} if self.setting.peer else {}
        return self.tokenise(describe(self.setting, clip_ids, self.way.writer), **options)


def fit_composed(
    setting: Setting,
    encoder_name: str,
    way: Way,
    *,
    train: bool = False,
    captions: bool = False,
    changes: dict | None = None,
    **options,
) -> Fitted:
    """Read queries as `way` says; train that first, or load a checkpoint.

    captions: score a gallery clip by the mean of the query's similarity to the clip and to its description,
    read alone; the second is 0 for a clip without a description. changes: to the profile's settings.
    options: of the encoder.
    """
    peer = PEERS.get(setting.peer)
    if peer is not None:
        if train and setting.checkpoint is None:
            raise NotRun("a peer's test needs a trained row; give --checkpoint.")
        way, options = peer.way(way), options | peer.options
    reader = QueryReader(setting, encoder_name, way, **options)
    facts = reader.facts | ({"written_by": way.writer} if way.described or captions else {})
    if not train:
        model = Composed(reader.encoder, way).eval()
    elif setting.checkpoint is None:
        model, trained = _train(setting, reader, changes or {})
        facts |= trained
        if setting.folder is not None:
            _save(model, setting.folder)
    else:
        model = _load(setting, reader, **options)

    @torch.no_grad()
    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        texts, descriptions = reader.tokenise(queries["text"]), reader.descriptions(queries["query_clip"])
        seen = reader.see(queries["query_clip"]).to(reader.device)
        unread = reader.clips(queries["query_clip"]).isnan().any(1, keepdim=True)
        return repeat(_in_batches(model.embed, seen, texts, descriptions).masked_fill(unread, torch.nan))

    @torch.no_grad()
    def embed_text_only(queries: pd.DataFrame) -> torch.Tensor:
        texts = queries["text"].tolist()
        parts = [model.encoder.encode_texts(texts[row : row + BATCH]) for row in range(0, len(texts), BATCH)]
        return repeat(unit(torch.cat(parts)).cpu())

    def repeat(query_emb: torch.Tensor) -> torch.Tensor:
        return torch.cat([query_emb, query_emb], 1) / 2**0.5 if captions else query_emb

    def embed_gallery(clip_ids: Sequence[str]) -> torch.Tensor:
        clips = model.embed_target(
            reader.targets(clip_ids).to(reader.device), peer is None or peer.unit_targets
        ).cpu()
        if not captions:
            return clips
        written = describe(setting, clip_ids, way.writer)
        missing = torch.tensor([text == "" for text in written])[:, None]
        return torch.cat([clips, unit(reader.texts(written)).masked_fill(missing, 0)], 1) / 2**0.5

    return Fitted(embed_queries, embed_gallery, facts, None if way.part == "vision" else embed_text_only)


def _train(setting: Setting, reader: QueryReader, changes: dict) -> tuple[Composed, dict]:
    def read_target(clip_ids: Sequence[str]) -> torch.Tensor:
        plain = reader.clips(clip_ids)
        if reader.way.described != "averaged":
            return plain
        # ECDE's second target: all frames read together with the description, by the model before training.
        untrained, tokens = Composed(reader.encoder, Way("composed")).eval(), reader.all_tokens(clip_ids)
        described = reader.descriptions(clip_ids)
        return torch.cat([plain, _in_batches(untrained.embed, tokens.to(reader.device), described, None)], 1)

    inputs, validate = read_inputs(reader, read_target, read_target, setting, read_texts=reader.tokenise)
    seen, descriptions = reader.see(inputs.clip_ids).to(reader.device), reader.descriptions(inputs.clip_ids)
    # A copy, since the reader's own encoder goes on embedding the gallery as it is.
    model = Composed(deepcopy(reader.encoder), reader.way, seen, descriptions).to(reader.device)
    model.train_part()
    settings = replace(setting.stage2 or COMPOSED[setting.profile.name], **changes)
    inputs.query_video = torch.arange(len(inputs.clip_ids), device=reader.device)
    data = inputs.training_data()
    if settings.caption_weight:  # a clip without a description is its own
        written = describe(setting, inputs.clip_ids, reader.way.writer)
        missing = torch.tensor([text == "" for text in written])[:, None]
        captions = torch.where(missing, inputs.target[:, : reader.encoder.dim].cpu(), reader.texts(written))
        data = replace(data, target_captions=unit(captions).to(reader.device))
    if settings.centre:
        model.set_mean(inputs.target[data.triplets[:, 2].unique()])
    model, curve = fit_fusion(data, settings, setting.seed, validate, model)
    return model, facts_of("stage2", settings, inputs, curve)


def _save(model: Composed, folder) -> None:
    # config.json makes the folder a model; it is written last, so that weights are never there without their
    # mean.
    (folder / "config.json").unlink(missing_ok=True)
    write_weights({"target_mean": model.target_mean}, folder / MEAN_FILE)
    with hide_progress_bars():
        model.encoder.save_pretrained(folder)


def _load(setting: Setting, reader: QueryReader, **options) -> Composed:
    checkpoint = replace(setting, weights={reader.encoder_name: str(setting.checkpoint)})
    encoder = load_weights(checkpoint, reader.encoder_name, **options).to(reader.device)
    model = Composed(encoder, reader.way).eval()
    if (setting.checkpoint / MEAN_FILE).exists():
        model.target_mean = read_weights(setting.checkpoint / MEAN_FILE)["target_mean"].to(reader.device)
    return model


@torch.no_grad()
def _in_batches(
    embed: Callable, seen: torch.Tensor, texts: Tokens, descriptions: Tokens | None
) -> torch.Tensor:
    """Call `embed` on any number of rows; return (N, E) on the CPU."""
    parts = []
    for rows in torch.arange(len(texts), device=seen.device).split(BATCH):
        described = None if descriptions is None else descriptions[rows]
        parts.append(embed(seen[rows], texts[rows], described).cpu())
    return torch.cat(parts)


def fit_rewritten(setting: Setting, writer: str = "captioner") -> Fitted:
    """Join the query clip's description and the modification into one text, and search by it: TF-CVR."""
    features = Features(setting, "blip", **WHOLE)

    def embed_queries(queries: pd.DataFrame) -> torch.Tensor:
        pairs = zip(describe(setting, queries["query_clip"], writer), queries["text"])
        return unit(features.texts([JOINED.format(description=one, text=text) for one, text in pairs]))

    facts = features.facts | {"written_by": writer}
    return Fitted(embed_queries, lambda clip_ids: unit(features.clips(clip_ids)), facts)


_ZS, _FT, _BEYOND, _CONTROL = "zero-shot", "fine-tuned", "beyond the paper", "control"
_trained = partial(Method, seeded=True)
_BLIP2 = partial(Features, encoder_name="blip2")
_blip2_zs, _blip2_mlp = partial(fit_zero_shot, make=_BLIP2), partial(fit_mlp, make=_BLIP2)
_blip, _blip2 = partial(fit_composed, encoder_name="blip"), partial(fit_composed, encoder_name="blip2")
_bse = partial(_blip, train=True, changes=COVR_LOSS, **WHOLE)
_bind_zs = partial(fit_zero_shot, make=partial(VideoFeatures, encoder_name="languagebind"))
_AS_IS, _ECDE, _BSE = Way("composed"), Way("composed", "averaged"), Way("composed", "grounded")
_BSE_ORACLE = replace(_BSE, writer=ORACLE)
_TARGET = "a gallery clip is the unit mean of its frames' features"
_ALONE = "A query is BLIP-2's feature of its {} alone; " + _TARGET + "."
_MLP = "A query is the stage-2 MLP of BLIP-2's features of its text and its {}; " + _TARGET + "."
_CROSS = "A query is its middle frame and its text read together by {}'s cross-attention{}; " + _TARGET + "."
_BY_BLIP = _CROSS.format("CoVR's BLIP", "")
_BY_ECDE = _CROSS.format("CoVR's BLIP", ", averaged .8 to .2 with that frame and its description")
_BY_Q_FORMER = _CROSS.format("BLIP-2's Q-Former", ", which is trained, as in the released code")
_CAPTIONS = "As blip-covr-zs, with a gallery clip scored by a captioner's description of it as well."
_AVERAGE = (
    "A query is the average of unit LanguageBind features of text and clip; a gallery clip is its feature."
)
_EGO = "As languagebind-zs, with EgoCVR's learnt scale on the clip's feature: nearly the clip alone."
_JOINED = (
    f"A query is BLIP's feature of its frame's description joined with its text (no rewriting); {_TARGET}."
)
_ORACLE = "As {}, with the description written from the true label: an oracle."
_TEXT_FT = "As blip2-text-zs, with the Q-Former's text branch trained."
_VISION_FT = "As blip2-vision-zs, with the ViT and its projection trained; gallery clips stay as they were."
_CROSS_FT = "As blip-covr-zs, with the text encoder and its cross-attention trained."
_CAPTIONS_FT = "As blip-covr-ft, trained half towards clips and half towards their descriptions: si_ti+si_tc."
_ECDE_FT = "As blip-covr-ecde-zs, trained towards clips alone and clips read with their descriptions."
_BSE_ABOUT = (
    "As blip-covr-ft, with uncut texts, hard negatives, and a description added to every image token."
)
_BSE_PLAIN = "As bse-covr without its descriptions: uncut texts and hard negatives."
COVR_ROWS = (
    Method("blip2-text-zs", _ZS, _ALONE.format("text"), partial(_blip2_zs, video=None)),
    Method(
        "blip2-vision-zs", _ZS, _ALONE.format("middle frame"), partial(_blip2_zs, video="middle", text=False)
    ),
    Method("blip-covr-zs", _ZS, _BY_BLIP, partial(_blip, way=_AS_IS)),
    Method("blip-covr-ecde-zs", _ZS, _BY_ECDE, partial(_blip, way=_ECDE)),
    Method("blip-covr-captions-zs", _BEYOND, _CAPTIONS, partial(_blip, way=_AS_IS, captions=True)),
    Method("languagebind-zs", _ZS, _AVERAGE, partial(_bind_zs, video="clips")),
    Method("languagebind-scaled-zs", _BEYOND, _EGO, partial(_bind_zs, video="scaled", average=False)),
    Method("tf-cvr-zs", _ZS, _JOINED, fit_rewritten),
    Method("tf-cvr-oracle-zs", _CONTROL, _ORACLE.format("tf-cvr-zs"), partial(fit_rewritten, writer=ORACLE)),
    _trained("blip2-text-ft", _FT, _TEXT_FT, partial(_blip2, way=Way("text"), train=True)),
    _trained("blip2-vision-ft", _FT, _VISION_FT, partial(_blip2, way=Way("vision"), train=True)),
    _trained("blip2-mlp-1", _FT, _MLP.format("middle frame"), partial(_blip2_mlp, video="middle")),
    _trained("blip2-mlp-15", _FT, _MLP.format("mean frame"), _blip2_mlp),
    _trained("blip-covr-ft", _FT, _CROSS_FT, partial(_blip, way=_AS_IS, train=True)),
    _trained(
        "blip-covr-captions-ft",
        _BEYOND,
        _CAPTIONS_FT,
        partial(_blip, way=_AS_IS, train=True, changes={"caption_weight": 0.5}),
    ),
    _trained("blip2-covr-ft", _BEYOND, _BY_Q_FORMER, partial(_blip2, way=_AS_IS, train=True)),
    _trained("blip-covr-ecde-ft", _FT, _ECDE_FT, partial(_blip, way=_ECDE, train=True)),
    _trained("bse-covr", _FT, _BSE_ABOUT, partial(_bse, way=_BSE)),
    _trained("bse-covr-oracle", _CONTROL, _ORACLE.format("bse-covr"), partial(_bse, way=_BSE_ORACLE)),
    _trained("bse-covr-undescribed", _CONTROL, _BSE_PLAIN, partial(_bse, way=_AS_IS)),
)
