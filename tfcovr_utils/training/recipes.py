"""Named ways to learn an encoder of clips from the labels: the paper's stage 1, and those that go past it.

A recipe ends in a folder: `reader.*` (readout and heads), `aim/` where adapters were trained, `curve.parquet`, and
`recipe.json`, which says what made it. Asked again with the same ingredients, `learn` reads the folder.
"""

import json
import warnings
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..benchmark.benchmark import Benchmark
from ..embedding.embed import Embedded, embed_clips
from ..encoders import Encoder, load_encoder
from ..encoders.aim import AimEncoder, load_pretrained, save_pretrained
from ..encoders.aim_model import Aim
from ..machine import processes
from ..machine.files import read_json, write_json, write_table
from ..machine.hashing import hash_rooms, hash_text
from ..profiles import Profile, data_dir
from ..video.hashes import hash_contents
from .label_accuracy import attribute_classes
from .readers import ClipReader, Readout
from .stage1 import STAGE1, STAGE1_READERS, Stage1, Stage1Settings, fit_stage1, predict, read_clip_features
from .stage1_clips import FeatureClips, PixelClips, load_pixels, may_flip


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what."""

    about: str
    readout: str  # one of READOUTS
    adapters: bool = (
        False  # AIM's adapters train, from pixels; without them features of the frozen CLIP are read
    )
    start: str = ""  # recipe whose reader this one starts from
    factors: bool = False  # the labels' attributes as heads beside the labels
    changes: tuple = ()  # (setting, value) that differ from the profile's
    frames: float = 1.0  # of the profile's, how many a policy takes; frozen frames only, as are the policies
    policies: tuple = ("centre",)  # of video.sample_indices; the frames of several follow each other
    thin: int = 0  # keep so many of the frames, evenly spread; 0 keeps all


MADE_BY = ("video", "encoders", "embedding", "training")  # rooms whose code decides what is learned
RECIPES = {
    "aim": Recipe("the paper's: AIM's adapters, the mean over frames", "mean", adapters=True),
    "aim-brief": Recipe("aim for one epoch", "mean", adapters=True, changes=(("epochs", 1),)),
    "aim-long": Recipe("aim for four times its epochs", "mean", adapters=True, changes=(("epochs", 12),)),
    "frozen-mlp": Recipe("frozen frames, their mean through an MLP: what the labels alone give", "mlp"),
    "frozen-set": Recipe("frozen frames through a transformer that does not know their order", "set"),
    "frozen-ordered": Recipe("frozen frames through a transformer over time", "ordered"),
    "frozen-factors": Recipe(
        "frozen-ordered, and the labels' attributes as heads beside",
        "ordered",
        factors=True,
        changes=(("factor_weight", 0.5),),
    ),
    "frozen-supcon": Recipe(
        "frozen-ordered, and supervised contrast between clips",
        "ordered",
        changes=(("contrast_weight", 0.3),),
    ),
    "frozen-ordered-16": Recipe(
        "frozen-ordered on a third more frames, 16 in place of 12", "ordered", frames=4 / 3
    ),
    "frozen-two-rates": Recipe(
        "frozen-ordered on the frames, and on as many of the middle half of the clip after them",
        "ordered",
        policies=("centre", "centre-half"),
    ),
    **{f"ordered-{n}": Recipe(f"frozen-ordered on {n} of the frames", "ordered", thin=n) for n in (1, 4, 8)},
    "aim-ordered": Recipe(
        "frozen-ordered, then AIM's adapters below it",
        "ordered",
        adapters=True,
        start="frozen-ordered",
        changes=(("epochs", 2), ("lr", 1e-3)),
    ),
    "aim-shuffled": Recipe(
        "a control: the paper's, on frames in random order",
        "mean",
        adapters=True,
        changes=(("shuffle_frames", True),),
    ),
    "ordered-shuffled": Recipe(
        "a control: frozen-ordered, on frames in random order", "ordered", changes=(("shuffle_frames", True),)
    ),
}


@dataclass(frozen=True)
class Learned:
    """What a recipe gives: an encoder of frames, and a model whose reader makes clips of them."""

    encoder: Encoder
    model: Stage1
    curve: pd.DataFrame
    facts: dict

    def clip_features(self, frames: torch.Tensor) -> torch.Tensor:
        """Frame features (N, T, D) of `encoder` -> clip features (N, W)."""
        return read_clip_features(Stage1(self.model.reader), FeatureClips(frames), np.arange(len(frames)))

    def logits(self, frames: torch.Tensor) -> torch.Tensor:
        """Frame features (N, T, D) of `encoder` -> logits (N, C) in the order of `model.reader.labels`."""
        return predict(Stage1(self.model.reader), FeatureClips(frames), np.arange(len(frames)))


def learn(
    name: str,
    benchmark: Benchmark,
    clips_dir: Path,
    profile: Profile,
    seed: int = 0,
    folder: Path | None = None,
    *,
    settings: Stage1Settings | None = None,
    clip_weights: str | None = None,
    store_dir: Path | None = None,
    resume: bool = True,
    progress: bool = False,
) -> Learned:
    """Train a recipe on the training clips of a benchmark, choosing on val; or read it from `folder` if it is there already.

    settings: in place of the profile's; what the recipe itself changes stays changed. What it starts from has the profile's, and stands
    beside `folder`, or within it where settings are given. Several processes train together; the first writes the folder.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is not known; choose one of {', '.join(RECIPES)}.")
    recipe, clip_weights = RECIPES[name], clip_weights or profile.clip_weights
    given, settings = settings, replace(settings or default_settings(recipe, profile), **dict(recipe.changes))
    clip = load_encoder("clip", clip_weights, read_out="pooled").to(processes.device())
    clips = benchmark.clips[benchmark.clips["split"] != "test"]
    frames_taken = recipe_frames(recipe, profile)
    made_of = {
        "recipe": name,
        **asdict(replace(recipe, about="")),
        "settings": asdict(settings),
        "seed": seed,
        "clip": clip.identity,
        "frames": frames_taken,
        "clips": hash_text("\n".join(clips["clip_id"] + clips["label_id"] + clips["split"])),
        "files": hash_contents(clips["path"], clips_dir, store_dir or data_dir() / "embeddings"),
    }
    made_of, code = json.loads(json.dumps(made_of)), hash_rooms(*MADE_BY)
    if folder is not None and processes.broadcast_from_main((Path(folder) / "recipe.json").exists()):
        facts = read_json(Path(folder) / "recipe.json")
        changed = [
            name
            for name, value in made_of.items()
            if name not in facts["made_of"] or facts["made_of"][name] != value
        ]
        if not changed:
            if facts["code"] != code:  # it may have taken days: told, and left to the reader
                warnings.warn(
                    f"{folder} was trained before the code changed, and is used as it is; remove it to train it anew.",
                    stacklevel=2,
                )
            return read_learned(folder, clip)
        warnings.warn(
            f"{folder} was trained with other {', '.join(changed)}; it is trained anew.", stacklevel=2
        )
    values, classes = attribute_classes(benchmark.labels)
    labels = benchmark.labels["label_id"].tolist()
    start = None
    if recipe.start:
        below = folder and (Path(folder).with_name(recipe.start) if given is None else Path(folder) / "start")
        start = learn(
            recipe.start,
            benchmark,
            clips_dir,
            profile,
            seed,
            below,
            clip_weights=clip_weights,
            store_dir=store_dir,
            progress=progress,
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width = clip.model.config.vision_config.hidden_size
        readout = Readout(recipe.readout, width, num_frames=frames_taken * len(recipe.policies))
        reader = ClipReader(readout, labels, values if recipe.factors else None, settings.head_dropout)
        backbone = None
        if recipe.adapters:
            backbone = Aim(
                deepcopy(clip.model.vision_model),
                num_frames=profile.frames,
                num_tadapter=settings.num_tadapter,
                scale=settings.scale,
                adapter_ratio=settings.adapter_ratio,
                drop_path=settings.drop_path,
                mean=clip.mean,
                std=clip.std,
                source=clip_weights,
            )
    if start is not None:
        reader.load_state_dict(start.model.reader.state_dict())
    if recipe.adapters:
        frames, broken = load_pixels(
            [Path(clips_dir) / path for path in clips["path"]],
            profile.frames,
            profile.image_size,
            progress and processes.is_main(),
        )
        readable = ~np.isin(
            np.arange(len(clips)), list(broken)
        )  # the others stay where they are: the frames may be a file larger than memory
        inputs = PixelClips(
            frames,
            clip.mean,
            clip.std,
            settings.augment,
            may_flip(benchmark.labels["text"]),
            processes.device(),
        )
    else:
        embedded = embed_frames(
            recipe, clip, clips, clips_dir, profile, store_dir=store_dir, progress=progress
        )
        clips, inputs = clips[clips["clip_id"].isin(embedded.clip_ids)], FeatureClips(embedded.values)
        readable = np.ones(len(clips), bool)
        reader.readout.set_statistics(embedded.values[np.flatnonzero(clips["split"] == "train")])
    label_idx = pd.Index(labels).get_indexer(clips["label_id"])
    train, val = (np.flatnonzero((clips["split"] == split) & readable) for split in ("train", "val"))
    model = Stage1(reader, backbone).to(processes.device())
    checkpoint = Path(folder) / "checkpoint.pt" if folder else None
    curve = fit_stage1(
        model,
        inputs,
        label_idx,
        train,
        val,
        settings,
        seed,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
        made_of=made_of,
        factor_idx={name: of_label[label_idx] for name, of_label in classes.items()}
        if recipe.factors
        else None,
    )
    wanted = int((benchmark.clips["split"] != "test").sum())
    seconds = float(curve["seconds"].sum()) + (start.facts["seconds"] if start is not None else 0)
    facts = {
        "made_of": made_of,
        "code": code,
        "seconds": seconds,
        "coverage": int(readable.sum()) / wanted,
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    if folder is not None and processes.is_main():
        (Path(folder) / "recipe.json").unlink(
            missing_ok=True
        )  # of another training: what follows is no longer what it says
        reader.save(folder)
        if backbone is not None:
            save_pretrained(backbone, Path(folder) / "aim")
        write_table(curve, Path(folder) / "curve.parquet")
        write_json(facts, Path(folder) / "recipe.json")  # last: its presence says that the rest is whole
        checkpoint.unlink(missing_ok=True)
    processes.barrier()
    return Learned(AimEncoder(backbone).eval() if backbone is not None else clip, model, curve, facts)


def default_settings(recipe: Recipe, profile: Profile) -> Stage1Settings:
    """The profile's settings for adapters trained from pixels, or for a reader of features in memory."""
    return (STAGE1 if recipe.adapters else STAGE1_READERS)[profile.name]


def recipe_frames(recipe: Recipe, profile: Profile) -> int:
    """How many frames a recipe takes by each of its policies."""
    return recipe.thin or round(recipe.frames * profile.frames)


def embed_frames(
    recipe: Recipe, encoder: Encoder, clips: pd.DataFrame, clips_dir: Path, profile: Profile, **options
) -> Embedded:
    """Frame features of clips (N, T, D) as a recipe samples them; a clip that one of its policies cannot read is missing."""
    frames = round(recipe.frames * profile.frames)
    parts = [
        embed_clips(encoder, clips, clips_dir, frames=frames, policy=policy, **options)
        for policy in recipe.policies
    ]
    missing = {clip_id: reason for part in parts for clip_id, reason in part.missing.items()}
    values = torch.cat(
        [part.values[[clip_id not in missing for clip_id in part.clip_ids]] for part in parts], 1
    )
    if recipe.thin:  # the middles of as many equal parts
        values = values[
            :, torch.from_numpy(((np.arange(recipe.thin) + 0.5) * frames / recipe.thin).astype(int))
        ]
    return Embedded([clip_id for clip_id in clips["clip_id"] if clip_id not in missing], values, missing)


def read_learned(folder: Path, clip: Encoder) -> Learned:
    """What `learn` left in a folder; `clip` is the frozen CLIP below it, read out "pooled"."""
    folder, facts = Path(folder), read_json(Path(folder) / "recipe.json")
    made_of = facts["made_of"]
    if made_of["clip"] != json.loads(json.dumps(clip.identity)):
        raise ValueError(
            f"{folder} was taught on another CLIP than the one given; give the weights that it was taught on, or train it anew."
        )
    backbone = (
        load_pretrained(folder / "aim").requires_grad_(False).to(clip.device) if made_of["adapters"] else None
    )
    return Learned(
        AimEncoder(backbone).eval() if made_of["adapters"] else clip,
        Stage1(ClipReader.load(folder), backbone).to(clip.device).eval(),
        pd.read_parquet(folder / "curve.parquet"),
        facts,
    )
