"""What methods read beyond plain features: image tokens, pixels, whole videos and descriptions."""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ..embedding.descriptions import describe_clips
from ..encoders.tokens import Tokens
from ..video.frames import decode_clips, read_clips
from .base import NotRun, Setting
from .features import Features, load_weights

ORACLE = "attributes"  # writer of descriptions made from the true label: an oracle
OWNERS = "owners"  # of the benchmark, whose files describe its clips
JOINED = "{description}, {text}"  # replaces the language model that rewrites a description in TF-CVR
MIDDLE = {"frames": 1, "policy": "middle"}
TIMED_ENCODERS, TIMED_CLIPS = ("clip", "blip", "blip2", "languagebind", "captioner"), 32


class EncoderFeatures(Features):
    """Features and image tokens of an encoder that can read an image and a text together."""

    def tokens(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return image tokens of the middle frame (N, L, Dv), NaN for a clip that cannot be read."""
        return self.frames(clip_ids, readout="tokens", **MIDDLE)[:, 0]

    def all_tokens(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return image tokens of all frames, one frame after another (N, T * L, Dv)."""
        return self.frames(clip_ids, readout="tokens").flatten(1, 2)

    def pixels(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return the middle frame itself, resized for the encoder: uint8 (N, 1, S, S, 3); 0 if unreadable."""
        paths = [self.setting.clips_dir / path for path in self.clips_table.loc[list(clip_ids), "path"]]
        return torch.from_numpy(decode_clips(paths, 1, size=self.encoder.image_size, policy="middle")[0])

    def tokenise(self, texts: Sequence[str], **options) -> Tokens:
        """Tokenise texts that are read together with an image."""
        options |= {"enc": True} if self.encoder_name == "blip" else {}
        return self.encoder.tokenise(list(texts), **options).to(self.device)


class VideoFeatures(Features):
    """Features of whole clips, sampled as the encoder requires: LanguageBind."""

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return features of whole clips (N, D)."""
        sampling = {"frames": self.encoder.num_frames, "policy": self.encoder.policy}
        return self.frames(clip_ids, readout="clips", **sampling)

    def scaled(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return clips as EgoCVR's wrapper has them in a query: unit, times the learnt scale."""
        return self.encoder.scaled(self.clips(clip_ids))


def describe(setting: Setting, clip_ids: Sequence[str], writer: str) -> list[str]:
    """Describe clips, "" where there is no description. writer: "captioner", ORACLE or OWNERS."""
    table = setting.benchmark.clips.set_index("clip_id", drop=False).loc[list(clip_ids)]
    if writer in (ORACLE, OWNERS):
        key, written = "label_id" if writer == ORACLE else "clip_id", setting.benchmark.descriptions
        written = written[written[key] != ""]
        if written.empty:
            raise NotRun(f"this benchmark has no description of a {key[:-3]}, as {writer!r} would give.")
    else:
        key, clips = "clip_id", table.drop_duplicates("clip_id")
        captioner = load_weights(setting, "captioner")
        written = describe_clips(captioner, clips, setting.clips_dir, setting.store_dir)
    return written.set_index(key)["text"].reindex(table[key]).fillna("").tolist()


def encoder_costs(setting: Setting) -> pd.DataFrame:
    """Measure encoders: parameters, ms a clip (of frames in memory, the median of three passes), status.

    The captioner's time is that of one description.
    """
    paths = setting.benchmark.clips.query("split == 'test'")["path"].head(TIMED_CLIPS)
    paths = [setting.clips_dir / path for path in paths]
    rows = {}
    for name in TIMED_ENCODERS:
        try:
            encoder = load_weights(setting, name)
        except NotRun as missing:
            rows[name] = {"status": f"not run: {missing}"}
            continue
        describes = name == "captioner"
        count = 1 if describes else getattr(encoder, "num_frames", setting.profile.frames)
        frames, seconds = read_clips(paths, count), []
        for _ in range(3):
            started = time.perf_counter()
            with torch.no_grad():
                encoder.describe(frames[:, 0]) if describes else encoder.encode_clips(frames)
            seconds.append(time.perf_counter() - started)
        parameters = sum(parameter.numel() for parameter in encoder.parameters())
        each = 1000 * np.median(seconds) / len(paths)
        rows[name] = {"parameters": parameters, "ms a clip": each, "status": "run"}
    return pd.DataFrame(rows).T.reindex(columns=["parameters", "ms a clip", "status"]).infer_objects()
