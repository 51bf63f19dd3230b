"""Methods of general multimodal embedders: two features averaged, or a frame and a text read in one prompt.

Rendered benchmarks have no small models in place of theirs: these methods run there only with weights that
are named.
"""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import torch

from ..encoders.catalogue import describe_published
from ..training.fusion import unit
from .base import Fitted, Method, NotRun, Setting, look_up
from .encoder_features import MIDDLE
from .features import Features
from .fits import fit_zero_shot


class PromptedFeatures(Features):
    """Features of frames, texts and pairs of both. joint: all frames of a clip share one prompt."""

    def __init__(self, setting: Setting, encoder_name: str, joint: bool = False, **options):
        self.joint, profile = joint, setting.profile
        if profile.clips_per_label is not None and encoder_name not in setting.weights:
            raise NotRun(
                f"The profile {profile.name} has no small weights in place of "
                f"{describe_published(setting.weights_of(encoder_name))}.",
                "tfcovr score --benchmark DIR --clips DIR --method NAME --profile paper --out DIR",
            )
        super().__init__(setting, encoder_name, **options)

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return means over frames (N, D), or features of whole clips."""
        return self.frames(clip_ids, readout="clips") if self.joint else super().clips(clip_ids)

    def composed(self, clip_ids: Sequence[str], texts: Sequence[str]) -> torch.Tensor:
        """Embed pairs of a clip (middle or all frames) and a text (N, D); NaN for an unreadable clip."""
        paths = self.clips_table.loc[list(clip_ids), "path"].to_numpy()
        pairs = pd.DataFrame({"path": paths, "text": list(texts)})
        pairs["clip_id"] = pairs.index.astype(str)
        embedded = self.embed(pairs, readout="composed", **({} if self.joint else MIDDLE))
        return look_up(embedded.clip_ids, embedded.values, pairs["clip_id"])


def fit_prompted(setting: Setting, encoder_name: str, **options) -> Fitted:
    """Read each query in one prompt. options: of PromptedFeatures and of the encoder."""
    features = PromptedFeatures(setting, encoder_name, **options)
    return Fitted(
        lambda queries: unit(features.composed(queries["query_clip"], queries["text"])),
        lambda clip_ids: unit(features.clips(clip_ids)),
        features.facts,
    )


def _average(encoder_name: str) -> partial:
    return partial(fit_zero_shot, make=partial(PromptedFeatures, encoder_name=encoder_name), video="middle")


def _prompted(encoder_name: str, **options) -> partial:
    return partial(fit_prompted, encoder_name=encoder_name, **options)


_ZS, _BEYOND = "zero-shot", "beyond the paper"
_TARGET = "a gallery clip is the unit mean of its frames' features"
_TOGETHER = "A query is {}'s feature of its middle frame and its text in one prompt; " + _TARGET + "."
_TWO = "A query is the average of two unit {} features, of its text and its middle frame; " + _TARGET + "."
_E5_V = (
    f"A query is E5-V's word for its middle frame modified by its text, as its own code composes; {_TARGET}."
)
_VIDEO = (
    "A query is Qwen3-VL-Embedding's feature of its clip as a video and its text in one prompt; a gallery "
    "clip is the feature of that video alone."
)
_QWEN3 = "qwen3_vl_embedding"
EMBEDDER_ROWS = (
    Method("gme-zs", _ZS, _TOGETHER.format("GME"), _prompted("gme")),
    Method("mm-embed-zs", _ZS, _TOGETHER.format("MM-Embed"), _prompted("mm_embed")),
    Method("e5-v-zs", _ZS, _TWO.format("E5-V"), _average("e5_v")),
    Method("e5-v-joint-zs", _BEYOND, _E5_V, _prompted("e5_v", asked="modify")),
    Method("qwen3-vl-embedding-zs", _BEYOND, _TOGETHER.format("Qwen3-VL-Embedding"), _prompted(_QWEN3)),
    Method("qwen3-vl-embedding-video-zs", _BEYOND, _VIDEO, _prompted(_QWEN3, joint=True)),
    Method("siglip2-zs", _BEYOND, _TWO.format("SigLIP 2"), _average("siglip2")),
)
