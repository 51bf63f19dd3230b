"""Rows of general multimodal embedders: two features averaged, or a frame and a text read in one prompt.

Nothing small stands for their weights on a rendered benchmark: there a row runs only where its weights are named.
"""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import torch

from ..embedding.embed import embed_clips
from ..encoders import Encoder
from ..encoders.catalogue import said_of
from ..training.fusion import unit
from .base import Fitted, Method, NotRun, Setting, look_up
from .family_features import FamilyFeatures
from .fits import fit_zero_shot


class PromptedFeatures(FamilyFeatures):
    """Unit features of frames, texts and pairs of both. joint: a clip's frames go into one prompt, in the gallery and in queries."""

    def __init__(self, setting: Setting, family: str, joint: bool = False, **options):
        self.joint = joint
        super().__init__(setting, family, **options)

    def load(self, read_out: str) -> Encoder:
        profile = self.setting.profile
        if profile.clips_per_label is not None and self.family not in self.setting.weights:
            weights = getattr(profile, f"{self.family}_weights")
            raise NotRun(
                f"The profile {profile.name} has no small weights in place of {said_of(weights)}.",
                "tfcovr score --benchmark DIR --clips DIR --method NAME --profile paper --out DIR",
            )
        return super().load(read_out)

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Means over frames' unit features (N, D), or features of whole clips."""
        if not self.joint:
            return super().clips(clip_ids)
        return self._of(self.encoder, clip_ids, frames=self.setting.profile.frames, per_frame=False)

    def composed(self, clip_ids: Sequence[str], texts: Sequence[str]) -> torch.Tensor:
        """Pairs of a clip's middle frame, or of all of its frames, and a text (N, D); NaN where a clip could not be read."""
        pairs = pd.DataFrame(
            {"path": self.clips_table.loc[list(clip_ids), "path"].to_numpy(), "text": list(texts)}
        )
        pairs["clip_id"] = pairs.index.astype(str)
        sampling = (
            {"frames": self.setting.profile.frames} if self.joint else {"frames": 1, "policy": "middle"}
        )
        embedded = embed_clips(
            self.encoder,
            pairs,
            self.setting.clips_dir,
            composed=True,
            store_dir=self.setting.store_dir,
            progress=False,
            **sampling,
        )
        return look_up(embedded.clip_ids, embedded.values, pairs["clip_id"])


def fit_prompted(setting: Setting, family: str, **options) -> Fitted:
    """Read each query in one prompt. options: of PromptedFeatures and of the encoder, such as the instruction."""
    features = PromptedFeatures(setting, family, **options)
    return Fitted(
        lambda queries: unit(features.composed(queries["query_clip"], queries["text"])),
        lambda clip_ids: unit(features.clips(clip_ids)),
        features.facts,
    )


_ZS, _BEYOND = "zero-shot", "beyond the paper"
_TARGET = "a gallery clip is the unit mean of its frames' features"
_TOGETHER = "A query is {}'s feature of its middle frame and its text in one prompt; " + _TARGET + "."
_AVERAGE = (
    "A query is the average of two unit {} features, of its text and its middle frame; " + _TARGET + "."
)
MLLM_ROWS = (
    Method("gme-zs", _ZS, _TOGETHER.format("GME"), partial(fit_prompted, family="gme"), seeded=False),
    Method(
        "mm-embed-zs",
        _ZS,
        _TOGETHER.format("MM-Embed"),
        partial(fit_prompted, family="mm_embed"),
        seeded=False,
    ),
    Method(
        "e5-v-zs",
        _ZS,
        _AVERAGE.format("E5-V"),
        partial(fit_zero_shot, make=partial(PromptedFeatures, family="e5_v"), video="middle", text=True),
        seeded=False,
    ),
    Method(
        "e5-v-joint-zs",
        _BEYOND,
        f"A query is E5-V's word for its middle frame modified by its text, as its own code composes; {_TARGET}.",
        partial(fit_prompted, family="e5_v", asked="modify"),
        seeded=False,
    ),
    Method(
        "qwen3-vl-embedding-zs",
        _BEYOND,
        _TOGETHER.format("Qwen3-VL-Embedding"),
        partial(fit_prompted, family="qwen3_vl_embedding"),
        seeded=False,
    ),
    Method(
        "qwen3-vl-embedding-video-zs",
        _BEYOND,
        "A query is Qwen3-VL-Embedding's feature of its clip as a video and its text in one prompt; a gallery clip is the former alone.",
        partial(fit_prompted, family="qwen3_vl_embedding", joint=True),
        seeded=False,
    ),
    Method(
        "siglip2-zs",
        _BEYOND,
        _AVERAGE.format("SigLIP 2"),
        partial(fit_zero_shot, make=partial(PromptedFeatures, family="siglip2"), video="middle", text=True),
        seeded=False,
    ),
)
