"""The rendered benchmark: which clips there are, what each is made from, and the pixels of one clip.

`build.py` writes them to files.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache

import numpy as np
import pandas as pd

from ..labels import label_text, parse_label
from ..profiles import SPLITS, Profile
from ..sources.source import label_row
from ..video import sample_indices
from .camera import camera_path
from .motion import Motion, draw_window, perform
from .paint import render
from .scene import Scene
from .skills import SKILLS, Skill

DATASETS = {"gym": "mini-gym", "dive": "mini-dive"}
CLIPS = ["clip_id", "dataset", "source_video", "label_id", "split", "start_s", "end_s", "path"]
FRAMES_RANGE = (22, 27)  # frames of a clip at its source's rate: about a second


def label_id(skill: Skill) -> str:
    """Return a dive's code, or a readable slug of a gymnastics label.

    >>> label_id(Skill("FX", "turn", "tuck stand", twists=2))
    'fx-2-turn-in-tuck-stand-on-one-leg-free-leg-optional'
    """
    if skill.family == "dive":
        return skill.text
    return re.sub(r"[^a-z0-9.]+", "-", skill.text.lower()).strip("-")


def label_table(skills: Iterable[Skill]) -> pd.DataFrame:
    """List labels in the form all sources share; attributes are read from the text, as for real labels."""
    rows = []
    for skill in skills:
        text = label_text(skill.text) if skill.family == "dive" else skill.text
        attributes = parse_label(skill.text)
        rows.append(label_row(label_id(skill), text, DATASETS[_kind(skill)], attributes, skill.family))
    return pd.DataFrame(rows)


def plan(profile: Profile) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lay out the benchmark without rendering it: clips, as all sources give them, and their factors."""
    skills, seed = SKILLS[profile.labels], profile.render_seed
    rng = np.random.default_rng([seed, 306])
    # FineGym's labels hold from a handful to over a thousand clips: close to log-normal.
    share = np.exp(rng.normal(0, 1.1, len(skills))) if profile.long_tail else np.ones(len(skills))
    share /= share.mean()
    labels = [(label_id(skill), _kind(skill), asdict(skill).values()) for skill in skills]
    rows = []
    for split, per_label, n_sources in zip(SPLITS, profile.clips_per_label, profile.sources_per_split):
        for (name, kind, factors), weight in zip(labels, share):
            count = max(2, round(per_label * weight))
            for take, number in enumerate(np.resize(rng.permutation(n_sources), count)):
                source = f"{kind}-{split}-{number:03d}"
                clip_id = f"{source}_{name}_{take // n_sources}"
                rows.append((clip_id, DATASETS[kind], source, name, split, *factors))
    columns = [*CLIPS[:5], *asdict(skills[0])]
    table = pd.DataFrame(rows, columns=columns).sort_values("clip_id", ignore_index=True)
    table["n_frames"] = [_n_frames(seed, clip_id) for clip_id in table.clip_id]
    table["fps"] = [scene_of(seed, source).fps for source in table.source_video]
    table["start_s"], table["end_s"] = 0.0, table.n_frames / table.fps
    table["path"] = "clips/" + table.clip_id + ".mp4"
    return table[CLIPS], table[["clip_id", *asdict(skills[0]), "n_frames", "fps"]]


def render_clip(skill: Skill, clip_id: str, source_video: str, seed: int = 0, size: int = 64) -> np.ndarray:
    """Render one clip as uint8 (T, size, size, 3)."""
    scene, path, motion = perform_clip(skill, clip_id, source_video, seed)
    return render(scene, skill.apparatus, motion, path, size, random_stream(seed, clip_id, "picture"))


def render_hall(
    apparatus: str, clip_id: str, source_video: str, seed: int = 0, size: int = 64, frames: int = 4
) -> np.ndarray:
    """Render evenly spaced frames of the same clip without its athlete: uint8 (frames, size, size, 3)."""
    scene, _, path = _film(apparatus, clip_id, source_video, seed)
    rng = random_stream(seed, clip_id, "picture")
    return render(scene, apparatus, None, path, size, rng, sample_indices(len(path), frames))


def perform_clip(
    skill: Skill, clip_id: str, source_video: str, seed: int = 0
) -> tuple[Scene, np.ndarray, Motion]:
    """Return the scene, the camera's path (T, 2) and the motion of a clip."""
    scene, window, path = _film(skill.apparatus, clip_id, source_video, seed)
    motion = perform(skill, scene.body, path[:, 0], window, random_stream(seed, clip_id, "motion"))
    return scene, path, motion


@lru_cache(maxsize=256)
def scene_of(seed: int, source_video: str) -> Scene:
    """Draw the scene of a source video."""
    return Scene.draw(random_stream(seed, source_video))


def random_stream(seed: int, *names: str) -> np.random.Generator:
    """Return a random stream of its own for each named thing, the same on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _kind(skill: Skill) -> str:
    return "dive" if skill.family == "dive" else "gym"


def _n_frames(seed: int, clip_id: str) -> int:
    return int(random_stream(seed, clip_id, "length").integers(*FRAMES_RANGE))


def _film(apparatus: str, clip_id: str, source_video: str, seed: int) -> tuple:
    """Scene, flight window and camera path (T, 2) of a clip: all that does not depend on the skill."""
    scene = scene_of(seed, source_video)
    window = draw_window(apparatus, random_stream(seed, clip_id, "window"))
    rng = random_stream(seed, clip_id, "camera")
    return scene, window, camera_path(scene, apparatus, window, _n_frames(seed, clip_id), rng)
