"""Train a recipe of stage 1 on a benchmark, or read what was trained before.

`learn` leaves a folder: `reader.*` (readout and heads), `aim/` where adapters were trained, `curve.parquet`,
and `recipe.json`, which says what it was made of. Called again with the same ingredients, it reads the
folder.
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
from ..embedding.pose_frames import POSE_WIDTH
from ..encoders import Encoder, load_encoder
from ..encoders.aim import AimEncoder, load_pretrained, save_pretrained
from ..encoders.aim_model import Aim
from ..machine import processes
from ..machine.files import load_table, read_json, write_json, write_table
from ..machine.hashing import hash_rooms, hash_text
from ..profiles import Profile, data_dir
from ..video.hashes import hash_contents
from .label_accuracy import attribute_classes
from .loop import Run, seeded
from .readers import ClipReader, Readout
from .recipes import RECIPES, Recipe, default_settings, embed_frames, recipe_frames
from .settings import Stage1Settings
from .stage1 import Stage1, Stage1Data, fit_stage1, read_clips
from .stage1_clips import FeatureClips, PixelClips, load_pixels, may_flip

MADE_BY = ("video", "encoders", "embedding", "training")  # rooms whose code decides what is learned


@dataclass(frozen=True)
class TrainingClips:
    """The benchmark whose clips of train and val a recipe learns from, and the CLIP below it."""

    benchmark: Benchmark
    clips_dir: Path
    profile: Profile
    clip_weights: str | None = None  # default: the profile's
    store_dir: Path | None = None  # of embeddings; default: below the data folder
    poses: Path | None = None  # file of keypoints, for recipes that read them

    def __post_init__(self):
        object.__setattr__(self, "clip_weights", self.clip_weights or self.profile.clip_weights)
        object.__setattr__(self, "store_dir", self.store_dir or data_dir() / "embeddings")

    @property
    def clips(self) -> pd.DataFrame:
        """The clips that are not of test."""
        return self.benchmark.clips[self.benchmark.clips["split"] != "test"]


@dataclass(frozen=True)
class Learned:
    """What a recipe gives: an encoder of frames, and a model whose reader turns these into clips."""

    encoder: Encoder
    model: Stage1
    curve: pd.DataFrame
    facts: dict

    def clip_features(self, frames: torch.Tensor) -> torch.Tensor:
        """Read frame features (N, T, D) of `encoder` as clip features (N, W)."""
        return self._read(frames)[0]

    def logits(self, frames: torch.Tensor) -> torch.Tensor:
        """Classify frame features (N, T, D) of `encoder`: (N, C) in the order of `model.reader.labels`."""
        return self._read(frames)[1]

    def _read(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return read_clips(Stage1(self.model.reader), FeatureClips(frames), np.arange(len(frames)))


def learn(
    name: str,
    given: TrainingClips,
    seed: int = 0,
    folder: Path | None = None,
    settings: Stage1Settings | None = None,
    *,
    resume: bool = True,
    progress: bool = False,
) -> Learned:
    """Train a recipe, choosing the epoch on val; or read it from `folder` if it was trained there already.

    settings: in place of the profile's; what the recipe itself changes stays changed. The recipe that this
    one starts from has the profile's settings, and the folder beside `folder`, or one within it where
    settings are given.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is not known; choose one of {', '.join(RECIPES)}.")
    recipe, folder = RECIPES[name], folder and Path(folder)
    chosen = replace(settings or default_settings(recipe, given.profile), **dict(recipe.changes))
    clip = load_encoder("clip", given.clip_weights, read_out="pooled").to(processes.device())
    made_of, code = ingredients(name, given, chosen, seed, clip), hash_rooms(*MADE_BY)
    trained_before = folder and processes.broadcast_from_main((folder / "recipe.json").exists())
    if trained_before and is_current(folder, made_of, code):
        return read_learned(folder, clip)
    start = None
    if recipe.start:
        below = folder and (folder / "start" if settings else folder.with_name(recipe.start))
        start = learn(recipe.start, given, seed, below, progress=progress)
    model = build_model(recipe, given, chosen, clip, seed)
    if start is not None:
        model.reader.load_state_dict(start.model.reader.state_dict())
    data = read_training_data(recipe, given, chosen, clip, model.reader, progress)
    run = Run(folder and folder / "checkpoint.pt", resume, progress)
    curve = fit_stage1(model.to(processes.device()), data, chosen, seed, run, made_of)
    seconds = float(curve["seconds"].sum()) + (start.facts["seconds"] if start else 0)
    facts = {"made_of": made_of, "code": code, "seconds": seconds}
    facts["coverage"] = (len(data.train) + len(data.val)) / len(given.clips)
    facts["trained"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    encoder = clip if model.backbone is None else AimEncoder(model.backbone).eval()
    learned = Learned(encoder, model, curve, facts)
    if folder and processes.is_main():
        save_learned(learned, folder)
    processes.barrier()
    return learned


def ingredients(name: str, given: TrainingClips, settings: Stage1Settings, seed: int, clip: Encoder) -> dict:
    """Collect all that decides what a recipe gives, as plain JSON."""
    recipe, clips = RECIPES[name], given.clips
    made_of = {
        "recipe": name,
        **asdict(replace(recipe, about="")),
        "settings": asdict(settings),
        "seed": seed,
        "clip": clip.identity,
        "frames": recipe_frames(recipe, given.profile),
        "clips": hash_text("\n".join(clips["clip_id"] + clips["label_id"] + clips["split"])),
        "files": hash_contents(clips["path"], given.clips_dir, given.store_dir),
    }
    return json.loads(json.dumps(made_of))


def is_current(folder: Path, made_of: dict, code: str) -> bool:
    """Say whether a folder was made of the same; warn of what has changed since."""
    facts, missing = read_facts(folder), object()
    changed = [name for name, value in made_of.items() if facts["made_of"].get(name, missing) != value]
    if changed:
        said = f"{folder} was trained with other {', '.join(changed)}; it is trained anew."
        warnings.warn(said, stacklevel=3)
    elif facts["code"] != code:  # the training may have taken days, so the reader decides
        said = (
            f"{folder} was trained before the code changed, and is used as it is; remove it to train it anew."
        )
        warnings.warn(said, stacklevel=3)
    return not changed


def build_model(
    recipe: Recipe, given: TrainingClips, settings: Stage1Settings, clip: Encoder, seed: int
) -> Stage1:
    """Make a recipe's untrained reader, and AIM below it where adapters train."""
    profile, labels = given.profile, given.benchmark.labels
    with seeded(seed, processes.device()):
        width = POSE_WIDTH if recipe.poses else clip.model.config.vision_config.hidden_size
        num_frames = recipe_frames(recipe, profile) * len(recipe.policies)
        readout = Readout(recipe.readout, width, num_frames=num_frames)
        factors = attribute_classes(labels)[0] if recipe.factors else None
        reader = ClipReader(readout, labels["label_id"].tolist(), factors, settings.head_dropout)
        if not recipe.adapters:
            return Stage1(reader)
        options = {"num_frames": profile.frames, "mean": clip.mean, "std": clip.std}
        adapters = ("num_tadapter", "scale", "adapter_ratio", "drop_path")
        options |= {name: getattr(settings, name) for name in adapters}
        tower = deepcopy(clip.model.vision_model)
        return Stage1(reader, Aim(tower, source=given.clip_weights, **options))


def read_training_data(
    recipe: Recipe, given: TrainingClips, settings: Stage1Settings, clip, reader: ClipReader, progress: bool
) -> Stage1Data:
    """Decode the clips, or embed their frames by the frozen CLIP, which also sets the reader's statistics."""
    clips, labels, profile = given.clips, given.benchmark.labels, given.profile
    if recipe.adapters:
        paths = [Path(given.clips_dir) / path for path in clips["path"]]
        shown = progress and processes.is_main()
        frames, broken = load_pixels(paths, profile.frames, profile.image_size, shown)
        flip = may_flip(labels["text"])
        inputs = PixelClips(frames, clip.mean, clip.std, settings.augment, flip, processes.device())
        # Broken clips keep their rows, as the frames may be a file larger than memory; no split names them.
        readable = ~np.isin(np.arange(len(clips)), list(broken))
    else:
        store = {"store_dir": given.store_dir, "progress": progress}
        embedded = embed_frames(recipe, clip, clips, given.clips_dir, profile, given.poses, **store)
        clips, inputs = clips[clips["clip_id"].isin(embedded.clip_ids)], FeatureClips(embedded.values)
        readable = np.ones(len(clips), bool)
        reader.readout.set_statistics(embedded.values[np.flatnonzero(clips["split"] == "train")])
    label_idx = pd.Index(reader.labels).get_indexer(clips["label_id"])
    train, val = (np.flatnonzero((clips["split"] == split) & readable) for split in ("train", "val"))
    of_label = attribute_classes(labels)[1] if recipe.factors else {}
    factor_idx = {name: classes[label_idx] for name, classes in of_label.items()}
    return Stage1Data(inputs, label_idx, train, val, factor_idx)


def save_learned(learned: Learned, folder: Path) -> None:
    """Write what `read_learned` reads; `recipe.json` comes last, so the rest is whole where it exists."""
    (folder / "recipe.json").unlink(missing_ok=True)
    learned.model.reader.save(folder)
    if learned.model.backbone is not None:
        save_pretrained(learned.model.backbone, folder / "aim")
    write_table(learned.curve, folder / "curve.parquet")
    write_json(learned.facts, folder / "recipe.json")
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def read_facts(folder: Path) -> dict:
    """Read what a folder's recipe was made of."""
    facts = read_json(folder / "recipe.json")
    kinds = {"made_of": dict, "code": str, "seconds": float}
    if not isinstance(facts, dict) or any(not isinstance(facts.get(name), of) for name, of in kinds.items()):
        raise ValueError(f"{folder / 'recipe.json'} is not of `tfcovr teach`; give a folder that it wrote.")
    return facts


def read_learned(folder: Path, clip: Encoder) -> Learned:
    """Read what `learn` left in a folder; `clip` is the frozen CLIP below it, read out "pooled"."""
    folder = Path(folder)
    facts, encoder, backbone = read_facts(folder), clip, None
    if facts["made_of"].get("clip") != json.loads(json.dumps(clip.identity)):
        raise ValueError(f"{folder} was taught on another CLIP; give that CLIP's weights, or train it anew.")
    if facts["made_of"].get("adapters"):
        backbone = load_pretrained(folder / "aim").requires_grad_(False).to(clip.device)
        encoder = AimEncoder(backbone).eval()
    model = Stage1(ClipReader.load(folder), backbone).to(clip.device).eval()
    return Learned(encoder, model, load_table(folder / "curve.parquet"), facts)
