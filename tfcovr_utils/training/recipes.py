"""Named ways to learn an encoder of clips from the labels: the paper's stage 1, and those that go past it.

`teaching.learn` trains a recipe; this file says what each one is.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..embedding.embed import Embedded, embed_clips
from ..embedding.pose_frames import POSE_FRAMES, embed_poses
from ..encoders import Encoder
from ..profiles import Profile
from .settings import STAGE1, STAGE1_READERS, Stage1Settings


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what."""

    about: str
    readout: str  # one of READOUTS
    adapters: bool = False  # train AIM's adapters, from pixels; otherwise read features of the frozen CLIP
    start: str = ""  # recipe whose reader this one starts from
    factors: bool = False  # heads for the labels' attributes beside the labels
    changes: tuple = ()  # (setting, value) that differ from the profile's
    frames: float = 1.0  # of the profile's, how many a policy takes; of frozen features only, as policies
    policies: tuple = ("centre",)  # of video.sample_indices; the frames of several follow each other
    thin: int = 0  # keep so many of the frames, evenly spread; 0 keeps all
    poses: bool = False  # read keypoints in place of frames


_aim = partial(Recipe, readout="mean", adapters=True)
_ordered = partial(Recipe, readout="ordered")
_SHUFFLED = (("shuffle_frames", True),)
_BRIEF = (("epochs", 2), ("lr", 1e-3))
_FEW = {f"ordered-{n}": _ordered(f"frozen-ordered on {n} of the frames", thin=n) for n in (1, 4, 8)}
RECIPES = {
    "pose-ordered": _ordered("keypoints in place of frames, through a transformer over time", poses=True),
    "aim": _aim("the paper's: AIM's adapters, the mean over frames"),
    "aim-brief": _aim("aim for one epoch", changes=(("epochs", 1),)),
    "aim-long": _aim("aim for four times its epochs", changes=(("epochs", 12),)),
    "frozen-mlp": Recipe("frozen frames, their mean through an MLP: what the labels alone give", "mlp"),
    "frozen-set": Recipe("frozen frames through a transformer that does not know their order", "set"),
    "frozen-ordered": _ordered("frozen frames through a transformer over time"),
    "frozen-factors": _ordered(
        "frozen-ordered, and the labels' attributes as heads beside",
        factors=True,
        changes=(("factor_weight", 0.5),),
    ),
    "frozen-attributes": _ordered(
        "frozen-factors, taught by the attributes far more than by the labels: each combines with others",
        factors=True,
        changes=(("factor_weight", 20.0),),
    ),
    "frozen-supcon": _ordered(
        "frozen-ordered, and supervised contrast between clips", changes=(("contrast_weight", 0.3),)
    ),
    "frozen-ordered-16": _ordered("frozen-ordered on a third more frames, 16 in place of 12", frames=4 / 3),
    "frozen-two-rates": _ordered(
        "frozen-ordered on the frames, then as many of the clip's middle half",
        policies=("centre", "centre-half"),
    ),
    **_FEW,
    "aim-ordered": _ordered(
        "frozen-ordered, then AIM's adapters below it", adapters=True, start="frozen-ordered", changes=_BRIEF
    ),
    "aim-shuffled": _aim("a control: aim, on frames in random order", changes=_SHUFFLED),
    "ordered-shuffled": _ordered("a control: frozen-ordered, on frames in random order", changes=_SHUFFLED),
}


def default_settings(recipe: Recipe, profile: Profile) -> Stage1Settings:
    """Get the profile's settings, for adapters trained from pixels or for a reader of features in memory."""
    return (STAGE1 if recipe.adapters else STAGE1_READERS)[profile.name]


def recipe_frames(recipe: Recipe, profile: Profile) -> int:
    """Count the frames that a recipe takes by each of its policies."""
    return POSE_FRAMES if recipe.poses else recipe.thin or round(recipe.frames * profile.frames)


def embed_frames(
    recipe: Recipe,
    encoder: Encoder,
    clips: pd.DataFrame,
    clips_dir: Path,
    profile: Profile,
    poses: Path | None = None,
    **options,
) -> Embedded:
    """Embed frames (N, T, D) as a recipe samples them; a clip that a policy cannot read is missing.

    poses: the file that a recipe of poses reads.
    """
    if recipe.poses:
        return embed_poses(poses, clips)
    frames = round(recipe.frames * profile.frames)
    options["frames"] = frames
    parts = [embed_clips(encoder, clips, clips_dir, policy=policy, **options) for policy in recipe.policies]
    missing = {clip_id: reason for part in parts for clip_id, reason in part.missing.items()}
    rows = [[clip_id not in missing for clip_id in part.clip_ids] for part in parts]
    values = torch.cat([part.values[kept] for part, kept in zip(parts, rows)], 1)
    if recipe.thin:  # the middles of as many equal parts
        middles = (np.arange(recipe.thin) + 0.5) * frames / recipe.thin
        values = values[:, torch.from_numpy(middles.astype(int))]
    return Embedded([clip_id for clip_id in clips["clip_id"] if clip_id not in missing], values, missing)
