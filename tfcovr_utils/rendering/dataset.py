"""The rendered benchmark: which clips there are, what each is made from, and the pixels of one clip.

Writing them to files is `build.py`'s part.
"""

import re
import zlib
from dataclasses import asdict
from functools import lru_cache

import numpy as np
import pandas as pd

from ..labels import label_text, parse_label
from ..profiles import SPLITS, Profile
from ..sources.source import label_row
from ..video import sample_indices
from .motion import draw_window, perform
from .scene import Scene, camera_path, render
from .skills import SKILLS, Skill

DATASETS = {"gym": "mini-gym", "dive": "mini-dive"}
FRAMES_RANGE = (22, 27)  # frames of a clip at its source's rate: about a second


def label_id(skill: Skill) -> str:
    """A dive's id is its code, a gymnastics label's a readable slug of its text."""
    return (
        skill.text if skill.family == "dive" else re.sub(r"[^a-z0-9.]+", "-", skill.text.lower()).strip("-")
    )


def label_table(skills: list[Skill]) -> pd.DataFrame:
    """Labels in the form all sources share; the attributes are read from the label's text as for real labels."""
    rows = []
    for skill in skills:
        dive = skill.family == "dive"
        rows.append(
            label_row(
                label_id(skill),
                label_text(skill.text) if dive else skill.text,
                DATASETS["dive" if dive else "gym"],
                parse_label(skill.text),
                skill.family,
            )
        )
    return pd.DataFrame(rows)


def plan(profile: Profile) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lay out the benchmark without rendering: clips (as all sources give them) and their factors, a row a clip."""
    skills = SKILLS[profile.labels]()
    rng = np.random.default_rng([profile.render_seed, 306])
    # FineGym's labels hold from a handful to over a thousand clips: close to log-normal.
    share = np.exp(rng.normal(0, 1.1, len(skills))) if profile.long_tail else np.ones(len(skills))
    share /= share.mean()
    rows = []
    for split, per_label, n_sources in zip(SPLITS, profile.clips_per_label, profile.sources_per_split):
        for skill, weight in zip(skills, share):
            kind = "dive" if skill.family == "dive" else "gym"
            count = max(2, round(per_label * weight))
            for take, source in enumerate(np.resize(rng.permutation(n_sources), count)):
                source_video = f"{kind}-{split}-{source:03d}"
                rows.append(
                    {
                        "clip_id": f"{source_video}_{label_id(skill)}_{take // n_sources}",
                        "dataset": DATASETS[kind],
                        "source_video": source_video,
                        "label_id": label_id(skill),
                        "split": split,
                        **asdict(skill),
                    }
                )
    table = pd.DataFrame(rows).sort_values("clip_id", ignore_index=True)
    drawn = [
        _draw_clip(profile.render_seed, clip_id, source)
        for clip_id, source in zip(table.clip_id, table.source_video)
    ]
    table = table.assign(n_frames=[n for n, _ in drawn], fps=[fps for _, fps in drawn], start_s=0.0)
    table = table.assign(end_s=table.n_frames / table.fps, path="clips/" + table.clip_id + ".mp4")
    clips = table[["clip_id", "dataset", "source_video", "label_id", "split", "start_s", "end_s", "path"]]
    return clips, table[["clip_id", *asdict(skills[0]), "n_frames", "fps"]]


def _generator(seed: int, *names: str) -> np.random.Generator:
    """A random stream of its own for each named thing, the same on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


@lru_cache(maxsize=256)
def scene_of(seed: int, source_video: str) -> Scene:
    return Scene.draw(_generator(seed, source_video))


def _draw_clip(seed: int, clip_id: str, source_video: str) -> tuple[int, int]:
    """Number of frames and frame rate of a clip."""
    return int(_generator(seed, clip_id, "length").integers(*FRAMES_RANGE)), scene_of(seed, source_video).fps


def render_clip(skill: Skill, clip_id: str, source_video: str, seed: int = 0, size: int = 64) -> np.ndarray:
    """Render one clip as uint8 (T, size, size, 3)."""
    scene, window, path = _filming(skill.apparatus, clip_id, source_video, seed)
    motion = perform(skill, scene.body, path[:, 0], window, _generator(seed, clip_id, "motion"))
    return render(scene, skill.apparatus, motion, path, size, _generator(seed, clip_id, "picture"))


def render_hall(
    apparatus: str, clip_id: str, source_video: str, seed: int = 0, size: int = 64, frames: int = 4
) -> np.ndarray:
    """The same clip with its athlete painted out: `frames` of it evenly over time, uint8 (frames, size, size, 3)."""
    scene, _, path = _filming(apparatus, clip_id, source_video, seed)
    return render(
        scene,
        apparatus,
        None,
        path,
        size,
        _generator(seed, clip_id, "picture"),
        sample_indices(len(path), frames),
    )


def _filming(apparatus: str, clip_id: str, source_video: str, seed: int):
    """Scene, flight window and camera path of a clip: all that does not know the skill."""
    scene = scene_of(seed, source_video)
    n_frames, _ = _draw_clip(seed, clip_id, source_video)
    window = draw_window(apparatus, _generator(seed, clip_id, "window"))
    return scene, window, camera_path(scene, apparatus, window, n_frames, _generator(seed, clip_id, "camera"))
