"""What rows read: embeddings of a benchmark's clips and texts by frozen CLIP, by AIM, or by a recipe of stage 1."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..embedding.embed import Embedded, embed_clips, embed_texts
from ..encoders import Encoder, load_encoder
from ..machine import processes
from ..training.fusion import unit
from ..training.recipes import RECIPES, embed_frames, learn, read_learned
from ..video.hashes import clip_exists
from .base import NotRun, Setting, look_up

STAGE1_FOLDER = "stage1"  # beside the folders of the methods: rows share encoders
POSTERIOR_WEIGHT = 1.0  # of the posterior beside the clip's unit feature: neither view outweighs the other, and nothing is tuned


class Features:
    """Raw CLIP features of a benchmark's clips and of texts, each made once and kept in the store."""

    def __init__(self, setting: Setting, read_out: str = "projected"):
        self.setting, profile = setting, setting.profile
        paths = setting.benchmark.clips["path"]
        if not any(clip_exists(setting.clips_dir / path) for path in paths):
            raise NotRun(
                f"{setting.clips_dir} holds none of {len(paths)} clips, such as {paths.iloc[0]}.",
                f"tfcovr score --clips DIR --profile {profile.name} --benchmark DIR --out DIR",
            )
        self.device = processes.device()
        with weights_wanted():
            self.encoder = self.load(read_out).to(self.device)
        self.text_encoder = self.encoder
        self.clips_table = setting.benchmark.clips.set_index("clip_id", drop=False)
        self.facts = {"encoder": self.encoder.identity, "frames": profile.frames}

    def load(self, read_out: str) -> Encoder:
        return load_encoder(
            "clip", self.setting.clip_weights or self.setting.profile.clip_weights, read_out=read_out
        )

    def frames(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Frames of clips (N, T, D), NaN for a clip that could not be read."""
        rows = self.clips_table.loc[list(dict.fromkeys(clip_ids))]
        embedded = self.embed(rows, store_dir=self.setting.store_dir, progress=False)
        return look_up(embedded.clip_ids, embedded.values, clip_ids)

    def embed(self, rows: pd.DataFrame, **options) -> Embedded:
        """Frames of some rows of the table of clips, sampled as the profile says."""
        return embed_clips(
            self.encoder, rows, self.setting.clips_dir, frames=self.setting.profile.frames, **options
        )

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Means over frames (N, D)."""
        return self.frames(clip_ids).mean(1)

    def middle(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """The frame in the middle (N, D): of those sampled, as the official loader takes it."""
        frames = self.frames(clip_ids)
        return frames[:, frames.shape[1] // 2]

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts (M, D)."""
        with weights_wanted():  # a tokenizer may have to be fetched, too
            return embed_texts(self.text_encoder, list(texts), store_dir=self.setting.store_dir)


class AimFeatures(Features):
    """Means over AIM's frames: of `setting.aim_weights` where given, else of AIM as it begins, which is the frozen CLIP frame by frame."""

    def __init__(self, setting: Setting):
        super().__init__(setting, read_out="pooled")
        if setting.aim_weights:
            with weights_wanted():
                self.encoder = load_encoder("aim", setting.aim_weights).to(self.device)
            self.facts["encoder"] = self.encoder.identity

    def joint(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Means over frames in the joint space of clips and texts (N, D), by the projection of the CLIP that AIM was made from."""
        return self.text_encoder.project(self.clips(clip_ids))


class LearnedFeatures(AimFeatures):
    """What a recipe of stage 1 makes of a clip; texts stay the frozen CLIP's. Trained where it is not in its folder yet.

    AIM weights that are given take the place of the recipe `aim`, and of no other. With a checkpoint of the row the encoder is read
    beside it. shuffled: each clip's frames come in an order of its own before anything sees them. posteriors: beside the unit clip
    feature stands the square root of the label posterior, unit too, so that a product of two holds their overlap.
    """

    def __init__(self, setting: Setting, recipe: str, shuffled: bool = False, posteriors: bool = False):
        super().__init__(setting)
        self.recipe, self.posteriors = RECIPES[recipe], posteriors
        if setting.aim_weights:
            if recipe != "aim":
                raise NotRun(
                    f"this row is of stage 1's recipe {recipe}, and AIM weights are given in place of the recipe aim; evaluate it without them."
                )
            self.encoder = ShuffledFrames(self.encoder) if shuffled else self.encoder
            self.facts["encoder"] = self.encoder.identity
            return
        if setting.checkpoint is not None:
            folder = Path(setting.checkpoint).parent / STAGE1_FOLDER / recipe
            if not (folder / "recipe.json").exists():
                raise NotRun(
                    f"{folder} holds no encoder, and {setting.checkpoint} was trained on one; keep the two folders beside each other."
                )
            self.learned = read_learned(folder, self.encoder)
        elif setting.benchmark.labels.empty:
            raise NotRun(
                "this benchmark has no labels to teach an encoder; give AIM weights that were taught elsewhere.",
                "tfcovr score --aim WEIGHTS --checkpoint DIR --method METHOD --benchmark DIR --out DIR",
            )
        else:
            folder = setting.folder.parent / STAGE1_FOLDER / recipe if setting.folder else None
            self.learned = learn(
                recipe,
                setting.benchmark,
                setting.clips_dir,
                setting.profile,
                setting.seed,
                folder,
                settings=setting.stage1,
                clip_weights=setting.clip_weights,
                store_dir=setting.store_dir,
            )
        self.encoder = self.learned.encoder.to(self.device)
        if shuffled and self.recipe.adapters:
            self.encoder = ShuffledFrames(self.encoder)
        self.shuffles = (
            shuffled and not self.recipe.adapters
        )  # a frozen tower sees each frame by itself: their features may change places
        self.facts |= {"encoder": self.encoder.identity, "stage1": self.learned.facts}

    def embed(self, rows: pd.DataFrame, **options) -> Embedded:
        if self.setting.aim_weights:
            return super().embed(rows, **options)
        embedded = embed_frames(
            self.recipe, self.encoder, rows, self.setting.clips_dir, self.setting.profile, **options
        )
        return (
            replace(embedded, values=torch.from_numpy(shuffle_each(embedded.values.numpy())))
            if self.shuffles
            else embedded
        )

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        if self.setting.aim_weights:
            return super().clips(clip_ids)
        frames = self.frames(clip_ids)
        clips = self.learned.clip_features(frames)
        if not self.posteriors:
            return clips
        return torch.cat([unit(clips), POSTERIOR_WEIGHT * self.learned.logits(frames).softmax(1).sqrt()], 1)


class ShuffledFrames(Encoder):
    """A control: another encoder that sees the frames of each clip in a random order, the same for the same pixels."""

    name = "shuffled"

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        self.identity = {"family": self.name, "of": encoder.identity}
        self.eval()

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        return self.encoder.encode_frames(shuffle_each(np.asarray(frames)))


def shuffle_each(clips: np.ndarray) -> np.ndarray:
    """Put the frames of each clip, (N, T, ...), in an order of its own that follows from what they are."""
    orders = [np.random.default_rng(zlib.crc32(clip.tobytes())).permutation(len(clip)) for clip in clips]
    return np.stack([clip[order] for clip, order in zip(clips, orders)])


@contextmanager
def weights_wanted() -> Iterator[None]:
    """Make of weights that are not to be had, which say themselves how to get them, a row that is not run."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotRun(str(error)) from error
