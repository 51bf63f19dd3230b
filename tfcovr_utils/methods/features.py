"""What methods read: features of clips and texts by CLIP or another encoder, by AIM, or after stage 1."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError

from ..embedding.embed import Embedded, embed_clips, embed_texts
from ..embedding.given import read_given
from ..encoders import Encoder, load_encoder
from ..machine import processes
from ..machine.hashing import digest_file
from ..training.fusion import unit
from ..training.recipes import RECIPES, embed_frames
from ..training.teaching import Learned, TrainingClips, learn, read_learned
from ..video.hashes import clip_exists
from .base import NotRun, Setting, look_up

STAGE1_FOLDER = "stage1"  # beside the methods' folders, since methods share trained encoders
POSTERIOR_WEIGHT = (
    1.0  # of the label posterior beside the unit clip feature: both weigh the same, nothing is tuned
)


@contextmanager
def not_run_on(*errors: type[Exception]) -> Iterator[None]:
    """Turn errors about missing weights, which say what to do, into a method that is not run."""
    try:
        yield
    except errors as error:
        raise NotRun(str(error)) from error


def load_weights(setting: Setting, encoder_name: str, **options) -> Encoder:
    """Load an encoder with the weights of the setting or its profile; unusable weights raise NotRun."""
    with not_run_on(FileNotFoundError, ValueError, MemoryError, SafetensorError):
        return load_encoder(encoder_name, setting.weights_of(encoder_name), **options)


class Features:
    """Raw features of a benchmark's clips and of texts; each is computed once and kept in the store.

    given_as: the name by which the setting may have embeddings of the clips; they are read in their place.
    """

    def __init__(self, setting: Setting, encoder_name: str = "clip", given_as: str = "", **options):
        self.setting, self.encoder_name, profile = setting, encoder_name, setting.profile
        self.given = setting.embeddings.get(given_as or encoder_name)
        paths = setting.benchmark.clips["path"]
        if self.given is None and not any(clip_exists(setting.clips_dir / path) for path in paths):
            raise NotRun(
                f"{setting.clips_dir} holds none of {len(paths)} clips, such as {paths.iloc[0]}.",
                f"tfcovr score --clips DIR --profile {profile.name} --benchmark DIR --out DIR",
            )
        self.device, self.storing = processes.device(), {"store_dir": setting.store_dir, "progress": False}
        self.encoder = load_weights(setting, encoder_name, **options).to(self.device)
        self.text_encoder = self.encoder
        self.clips_table = setting.benchmark.clips.set_index("clip_id", drop=False)
        self.facts = {"encoder": self.encoder.identity, "frames": profile.frames}
        if self.given is not None:
            self.facts["encoder"] = {"embeddings": self.given.name, "sha256": digest_file(self.given)}

    def embed(self, rows: pd.DataFrame, **sampling) -> Embedded:
        """Embed rows of a table of clips, by default the profile's number of frames."""
        if self.given is not None:
            if sampling:
                raise NotRun(f"{self.given.name} has whole clips, and this row needs {sampling}.")
            return read_given(self.given, rows)
        given = {"frames": self.setting.profile.frames, **sampling, **self.storing}
        return embed_clips(self.encoder, rows, self.setting.clips_dir, **given)

    def frames(self, clip_ids: Sequence[str], **sampling) -> torch.Tensor:
        """Return the frames of clips (N, T, D), NaN for an unreadable clip; arguments as of `embed`."""
        embedded = self.embed(self.clips_table.loc[list(dict.fromkeys(clip_ids))], **sampling)
        return look_up(embedded.clip_ids, embedded.values, clip_ids)

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return the means over frames (N, D)."""
        return self.frames(clip_ids).mean(1)

    def middle(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return the middle one of the sampled frames (N, D), as the official loader does."""
        frames = self.frames(clip_ids)
        return frames[:, frames.shape[1] // 2]

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return texts (M, D)."""
        with not_run_on(FileNotFoundError):  # a tokenizer may be fetched at the first text
            return embed_texts(self.text_encoder, list(texts), store_dir=self.setting.store_dir)


class AimFeatures(Features):
    """Frames by AIM with `setting.weights["aim"]`, else untrained, which is the frozen CLIP by frames."""

    def __init__(self, setting: Setting, given_as: str = ""):
        super().__init__(setting, given_as=given_as, read_out="pooled")
        if "aim" in setting.weights and self.given is None:
            self.encoder = load_weights(setting, "aim").to(self.device)
            self.facts["encoder"] = self.encoder.identity

    def joint(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return means over frames through CLIP's visual projection (N, D), comparable with texts."""
        return self.text_encoder.project(self.clips(clip_ids))


class LearnedFeatures(AimFeatures):
    """Clips by a recipe of stage 1, trained unless its folder holds it; texts are the frozen CLIP's.

    Given AIM weights or embeddings replace the recipe `aim`, and no other. With a checkpoint, the encoder is
    read from beside it. shuffled: each clip's frames are put in random order first. posteriors: the square
    root of the label posterior, a unit vector, is appended to the unit clip feature, so that the product of
    two clips includes their overlap.
    """

    def __init__(self, setting: Setting, recipe: str, shuffled: bool = False, posteriors: bool = False):
        super().__init__(setting, given_as="pose" if RECIPES[recipe].poses else recipe)
        self.recipe, self.posteriors = RECIPES[recipe], posteriors
        replaced = "aim" in setting.weights or (self.given is not None and not RECIPES[recipe].poses)
        self.learned = None if replaced else self._learn(recipe)
        if self.learned is not None:
            self.encoder = self.learned.encoder.to(self.device)
            self.facts["stage1"] = self.learned.facts
        elif recipe != "aim":
            raise NotRun(
                f"this method needs the stage-1 recipe {recipe}, and given AIM weights or embeddings replace "
                "the recipe aim only; evaluate it without them."
            )
        # A frozen encoder sees each frame by itself, so its features can be shuffled in place of the frames.
        self.shuffle_features = shuffled and not self.recipe.adapters
        if shuffled and self.recipe.adapters:
            self.encoder = ShuffledFrames(self.encoder)
        if self.given is None:
            self.facts["encoder"] = self.encoder.identity

    def _learn(self, recipe: str) -> Learned:
        setting = self.setting
        if setting.checkpoint is not None:
            folder = Path(setting.checkpoint).parent / STAGE1_FOLDER / recipe
            if not (folder / "recipe.json").exists():
                raise NotRun(
                    f"{folder} holds no encoder, and {setting.checkpoint} was trained on one; "
                    "keep the two folders beside each other."
                )
            return read_learned(folder, self.encoder)
        if setting.benchmark.labels.empty:
            raise NotRun(
                "this benchmark has no labels to train an encoder on; give trained AIM weights.",
                "tfcovr score --weights aim=FILE --checkpoint DIR --method NAME --benchmark DIR --out DIR",
            )
        clips = setting.benchmark, setting.clips_dir, setting.profile
        given = TrainingClips(*clips, setting.weights_of("clip"), setting.store_dir, self.given)
        folder = setting.folder.parent / STAGE1_FOLDER / recipe if setting.folder else None
        return learn(recipe, given, setting.seed, folder, setting.stage1)

    def embed(self, rows: pd.DataFrame, **sampling) -> Embedded:
        """Embed rows of a table of clips as the recipe samples them."""
        if self.learned is None:
            return super().embed(rows, **sampling)
        given = (self.encoder, rows, self.setting.clips_dir, self.setting.profile)
        embedded = embed_frames(self.recipe, *given, self.given, **self.storing)
        if not self.shuffle_features:
            return embedded
        return replace(embedded, values=torch.from_numpy(shuffle_each(embedded.values.numpy())))

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return clips (N, D) as the recipe's reader makes them of frames."""
        if self.learned is None:
            return super().clips(clip_ids)
        frames = self.frames(clip_ids)
        clips = self.learned.clip_features(frames)
        if not self.posteriors:
            return clips
        return torch.cat([unit(clips), POSTERIOR_WEIGHT * self.learned.logits(frames).softmax(1).sqrt()], 1)


class AttributeFeatures(LearnedFeatures):
    """Clips by what stage 1's heads say of each attribute of their label."""

    def __init__(self, setting: Setting, recipe: str = "frozen-attributes"):
        super().__init__(setting, recipe)
        self.reader = self.learned.model.reader.eval()
        self.values = dict(sorted(self.reader.factors.items()))  # in the order of a file
        if not self.values:
            raise NotRun("these labels have no attributes that differ, such as the number of twists.")

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return log posteriors of the attributes, side by side (N, C)."""
        logits = self.reader.classify(super().clips(clip_ids).to(self.device))
        return torch.cat([logits[name].log_softmax(1) for name in self.values], 1).detach().cpu()


class PoseFeatures(LearnedFeatures):
    """Clips by their keypoints, as a recipe of stage 1 reads them; rgb: a recipe of frames beside it."""

    def __init__(self, setting: Setting, rgb: str | None = None):
        if "pose" not in setting.embeddings:
            raise NotRun("this source has no keypoints; `tfcovr fetch poses` says how to get FineGym's.")
        super().__init__(setting, "pose-ordered")
        self.rgb = LearnedFeatures(setting, rgb) if rgb else None

    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        """Return clips (N, D); both views are unit vectors, side by side."""
        poses = super().clips(clip_ids)
        return poses if self.rgb is None else torch.cat([unit(poses), unit(self.rgb.clips(clip_ids))], 1)


class ShuffledFrames(Encoder):
    """A control: an encoder that is shown each clip's frames in a random order, fixed by their pixels."""

    name = "shuffled"

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        self.identity = {"encoder": self.name, "of": encoder.identity}
        self.eval()

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Encode frames uint8 (N, T, H, W, 3), shuffled, to (N, T, D)."""
        return self.encoder.encode_frames(shuffle_each(np.asarray(frames)))


def shuffle_each(clips: np.ndarray) -> np.ndarray:
    """Put the frames of each clip of (N, T, ...) in a random order, fixed by that clip's values."""
    orders = [np.random.default_rng(zlib.crc32(clip.tobytes())).permutation(len(clip)) for clip in clips]
    return np.stack([clip[order] for clip, order in zip(clips, orders)])
