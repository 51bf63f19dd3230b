"""What rows read of BLIP, BLIP-2 and LanguageBind: features of clips and texts, image tokens, and descriptions."""

import time
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError

from ..embedding.descriptions import describe_clips
from ..embedding.embed import Embedded, embed_clips
from ..encoders import Encoder, load_encoder
from ..encoders.tokens import Tokens
from ..video.frames import read_clips, square
from .base import NotRun, Setting, look_up
from .features import Features

FAMILIES = ("clip", "blip", "blip2", "languagebind", "captioner")
ORACLE = "attributes"  # writer of descriptions made from the true label: an oracle
OWNERS = "owners"  # of the benchmark, whose files describe its clips
JOINED = "{description}, {text}"  # what stands for a language model that rewrites a description, where there is none


class FamilyFeatures(Features):
    """Features of a family of encoders; a gallery clip is the mean of its frames' features."""

    def __init__(self, setting: Setting, family: str, **options):
        self.family, self.options = family, options
        super().__init__(setting)

    def load(self, read_out: str) -> Encoder:
        return load_family(self.setting, self.family, **self.options)

    def tokens(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Image tokens of the middle frame (N, L, Dv), NaN for a clip that could not be read."""
        return self._of(ImageTokens(self.encoder), clip_ids, frames=1, policy="middle")[:, 0]

    def all_tokens(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Image tokens of all frames behind each other (N, T * L, Dv)."""
        return self._of(ImageTokens(self.encoder), clip_ids, frames=self.setting.profile.frames).flatten(1, 2)

    def pixels(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """The middle frame itself, squared to what the encoder takes: uint8 (N, 1, S, S, 3)."""
        return self._of(Pixels(self.encoder), clip_ids, frames=1, policy="middle").to(torch.uint8)

    def tokenise(self, texts: Sequence[str]) -> Tokens:
        """Texts that are read together with an image."""
        options = {"enc": True} if self.family == "blip" else {}
        return self.encoder.tokenise(list(texts), **options).to(self.device)

    def _of(self, encoder: Encoder, clip_ids: Sequence[str], **sampling) -> torch.Tensor:
        rows = self.clips_table.loc[list(dict.fromkeys(clip_ids))]
        embedded = embed_clips(
            encoder,
            rows,
            self.setting.clips_dir,
            store_dir=self.setting.store_dir,
            progress=False,
            **sampling,
        )
        return look_up(embedded.clip_ids, embedded.values, clip_ids)


class VideoFeatures(FamilyFeatures):
    """Features of whole clips, sampled as the encoder says: LanguageBind."""

    def embed(self, rows: pd.DataFrame, **options) -> Embedded:
        return embed_clips(
            self.encoder,
            rows,
            self.setting.clips_dir,
            frames=self.encoder.num_frames,
            policy=self.encoder.policy,
            per_frame=False,
            **options,
        )

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        return self.frames(clip_ids)

    def scaled(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Clips as EgoCVR's wrapper has them in a query: unit, times the learnt scale."""
        return self.encoder.scaled(self.clips(clip_ids))


class _View(Encoder):
    """Another reading of an encoder's frames, for the store."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        self.identity = {"family": self.name, "of": encoder.identity}
        self.eval()


class ImageTokens(_View):
    """The tokens of each frame (N, T, L, Dv)."""

    name = "tokens"

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        return self.encoder.encode_tokens(frames)


class Pixels(_View):
    """The frames themselves, squared: (N, T, S, S, 3), whole numbers."""

    name = "pixels"

    def __init__(self, encoder: Encoder):
        super().__init__(encoder)
        self.identity = {"family": self.name, "size": encoder.image_size}

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        pixels = torch.as_tensor(frames)
        small = square(pixels.flatten(0, 1).permute(0, 3, 1, 2), self.encoder.image_size).permute(0, 2, 3, 1)
        return small.float().unflatten(0, pixels.shape[:2])


def load_family(setting: Setting, family: str, **options) -> Encoder:
    """Load a family's weights as the setting or its profile names them; what is wrong with them makes a row that is not run."""
    weights = setting.weights.get(family) or getattr(setting.profile, f"{family}_weights")
    try:
        return load_encoder(family, weights, **options)
    except (FileNotFoundError, ValueError, MemoryError, SafetensorError) as error:
        raise NotRun(str(error)) from error


def describe(setting: Setting, clip_ids: Sequence[str], writer: str) -> tuple[list[str], str]:
    """A description of each clip, "" where there is none, and who wrote them: "captioner", "attributes", the oracle, or "owners"."""
    table = setting.benchmark.clips.set_index("clip_id", drop=False).loc[list(clip_ids)]
    if writer in (ORACLE, OWNERS):
        key = "label_id" if writer == ORACLE else "clip_id"
        told = setting.benchmark.descriptions
        told = told[told[key] != ""].set_index(key)["text"]
        if told.empty:
            raise NotRun(
                f"this benchmark describes no {key.removesuffix('_id')}, which the descriptions of {writer!r} are of."
            )
        return told.reindex(table[key]).fillna("").tolist(), writer
    captioner = load_family(setting, "captioner")
    written = describe_clips(
        captioner, table.drop_duplicates("clip_id"), setting.clips_dir, setting.store_dir
    )
    return written.set_index("clip_id")["text"].reindex(table["clip_id"]).fillna(
        ""
    ).tolist(), captioner.source


def encoder_costs(setting: Setting, families: Sequence[str] = FAMILIES, clips: int = 32) -> pd.DataFrame:
    """What encoders take, by family: parameters, ms a clip (of frames in memory; the median of three passes over `clips` of
    the test split, on this machine), status. The captioner's is the time for one description."""
    paths = setting.benchmark.clips.query("split == 'test'")["path"].head(clips)
    rows = {}
    for family in families:
        try:
            encoder = load_family(setting, family)
        except NotRun as missing:
            rows[family] = {"status": f"not run: {missing}"}
            continue
        describes = family == "captioner"
        frames = read_clips(
            [setting.clips_dir / path for path in paths],
            1 if describes else getattr(encoder, "num_frames", setting.profile.frames),
        )
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            with torch.no_grad():
                encoder.describe(frames[:, 0]) if describes else encoder.encode_clips(frames)
            seconds.append(time.perf_counter() - started)
        rows[family] = {
            "parameters": sum(p.numel() for p in encoder.parameters()),
            "ms a clip": 1000 * np.median(seconds) / len(paths),
            "status": "run",
        }
    return pd.DataFrame(rows).T.reindex(columns=["parameters", "ms a clip", "status"]).infer_objects()


def trainable(encoder: Encoder) -> Encoder:
    """A copy that may be trained without touching features that others read."""
    return deepcopy(encoder)
