"""TF-CoVR-Base, what it is made of, and what goes past it: stage-2 rows on encoders that stage 1 has taught."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from ..embedding import embed_clips, embed_texts
from ..encoders import load_encoder
from ..encoders.aim import AimEncoder
from ..fusion import unit, unit_average
from ..training.recipes import RECIPES, learn
from .base import Fitted, Method, Setting
from .features import Features, weights_wanted
from .fits import fit_mlp

STAGE1_FOLDER = "stage1"  # beside the folders of the methods: encoders are shared by rows


class LearnedFeatures(Features):
    """Clip features of a stage-1 recipe; texts stay those of the frozen CLIP.

    `setting.checkpoint` of an official AIM or stage 1 takes the place of training. `shuffled` puts the frames of
    every clip in an order of their own before the encoder sees them.
    """

    def __init__(self, setting: Setting, recipe: str, shuffled: bool = False):
        super().__init__(setting, read_out="pooled")
        self.recipe, self.shuffled = recipe, shuffled
        folder = setting.folder.parent / STAGE1_FOLDER / recipe if setting.folder else None
        self.learned = learn(recipe, setting.benchmark, setting.clips_dir, setting.profile, setting.seed, folder,
                             clip_weights=setting.clip_weights, store_dir=setting.store_dir)
        self.text_encoder, self.encoder = self.encoder, self.learned.encoder.to(self.device)
        self.facts |= {"encoder": self.encoder.identity, "stage1": self.learned.facts}
    
    def clips(self, clip_ids: Sequence[str]) -> torch.Tensor:
        return self.learned.clip_features(self.frames(clip_ids))
