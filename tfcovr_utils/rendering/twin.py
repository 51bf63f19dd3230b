"""The twin: the clips of the real TF-CoVR, each rendered after its real label.

Ids, labels and splits are those of the annotations; pairs, triplets and queries follow from them. The folder
has the owners' names, so everything that reads the real clips reads it: `FineGym-RGB-subactions/part<n>/`,
`FineDiving/`, and the keypoints of gymnastics in `Gym288-skeleton-V2.pkl`.
"""

import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from ..benchmark.splits import split_by_source
from ..labels import Attributes
from ..labels.pairing import DECISIONS_PATH, pair_labels
from ..machine import files
from ..machine.hashing import hash_rooms, hash_text
from ..profiles import Profile, data_dir
from ..sources import Source, load_source
from ..sources.keypoint_files import public_id, write_poses
from .build import MANIFEST, hash_renderer, render_missing
from .camera import camera_path
from .dataset import random_stream, scene_of
from .elements import HIGH, ON_BAR, Element, element_of, element_window, perform_element
from .keypoints import project_keypoints
from .motion import Motion, phases
from .paint import render
from .scene import Scene

KEYPOINTS = "Gym288-skeleton-V2.pkl"
SHORTEST_S = 0.43  # of FineGym's clips; their ids hold whole seconds, so some seem to last 0 s
LEAST = 8  # clips of a label that a share keeps, where there are as many
FOLLOWS = 0.7  # share of the athlete's way about the bars that the camera follows


def twin_dir(profile: Profile) -> Path:
    """Return the folder of the twin; its name holds a hash of what decides its pixels."""
    code = hash_rooms("rendering/twin.py", "rendering/elements.py", "rendering/elements.csv")
    recipe = [hash_renderer(), code, profile.image_size, profile.render_seed]
    return data_dir() / "benchmarks" / f"twin-{hash_text(json.dumps(recipe))[:10]}"


def load_twin(profile: Profile) -> tuple[Source, Path]:
    """Read the tables of a twin that was rendered, and its folder."""
    folder = twin_dir(profile)
    if not (folder / KEYPOINTS).exists():
        raise FileNotFoundError(
            f"the twin is not rendered yet ({folder}); run `tfcovr render --source twin --annotations DIR`, "
            "with --share 0.1 for a tenth of its clips."
        )
    return load_source("mini", folder), folder


def build_twin(
    profile: Profile,
    annotations: Path,
    out: Path | None = None,
    share: float = 1.0,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Render the missing clips and the keypoints, and return the folder; a larger share adds clips."""
    out = Path(out) if out else twin_dir(profile)
    with files.locked(out / MANIFEST):
        source = plan_twin(load_source("tfcovr", annotations), share, profile.render_seed)
        clips, labels = source.clips, source.labels
        frames = clips[["clip_id", "label_id", "n_frames", "fps"]]
        rows = clips.merge(labels[["label_id", "attributes"]], on="label_id")
        for name, table in (("clips", clips.drop(columns=["n_frames", "fps"])), ("labels", labels)):
            files.write_table(table, out / f"{name}.parquet")
        files.write_table(frames, out / "frames.parquet")
        paint = partial(paint_row, profile.render_seed, profile.image_size)
        render_missing(rows, clips, out, paint, "twin", workers, progress)
        gymnastics = rows[rows.dataset == "finegym"].to_dict("records")
        poses = {
            row["clip_id"]: keypoints_of(profile.render_seed, profile.image_size, row) for row in gymnastics
        }
        write_poses(poses, out / KEYPOINTS, profile.image_size)
    return out


def plan_twin(source: Source, share: float = 1.0, seed: int = 0) -> Source:
    """Give real clips their split, length and place; a share keeps some clips of every label."""
    clips, labels = source.clips, source.labels
    split, _ = split_by_source(clips, pair_labels(labels, None, DECISIONS_PATH))
    order = clips["clip_id"].map(lambda clip_id: random_stream(seed, clip_id, "share").random())
    rank = order.groupby(clips["label_id"]).rank(method="first")
    size = clips.groupby("label_id")["clip_id"].transform("size")
    clips = clips.assign(split=split)[rank <= np.maximum(share * size, LEAST)]
    is_dive = clips["dataset"] == "finediving"
    lengths = [
        _seconds(seed, *row) for row in zip(clips["clip_id"], clips["end_s"] - clips["start_s"], is_dive)
    ]
    fps = np.where(is_dive, 30, [scene_of(seed, video).fps for video in clips["source_video"]])
    # A clip of over a second has half the rate: enough for any count, and half the work.
    fps = np.where(np.array(lengths) > 1, fps / 2, fps)
    n_frames = np.round(np.array(lengths) * fps).astype(int)
    parts = clips["clip_id"].map(lambda clip_id: int(random_stream(seed, clip_id, "part").integers(1, 5)))
    gym = "FineGym-RGB-subactions/part" + parts.astype(str) + "/" + clips["clip_id"].map(public_id) + ".mp4"
    path = gym.where(~is_dive, "FineDiving/" + clips["clip_id"] + ".mp4")
    clips = clips.assign(end_s=clips["start_s"] + n_frames / fps, path=path, n_frames=n_frames, fps=fps)
    return replace(source, clips=clips.reset_index(drop=True))


def film_element(
    element: Element, clip_id: str, source_video: str, n_frames: int, seed: int = 0
) -> tuple[Scene, np.ndarray, Motion]:
    """Return the scene, the camera's path (T, 2) and the motion of a clip."""
    scene, rng = scene_of(seed, source_video), random_stream(seed, clip_id, "camera")
    window = element_window(element, random_stream(seed, clip_id, "window"))
    at_bar = element.family in ON_BAR
    path = camera_path(scene, "FX" if at_bar else element.apparatus, window, n_frames, rng)
    motion = perform_element(element, scene.body, path[:, 0], window, random_stream(seed, clip_id, "motion"))
    if at_bar:  # the camera stays with the bar, and follows the athlete from there
        shake = path - np.stack([scene.pan * (phases(n_frames, window) - 0.5), np.full(n_frames, 0.73)], -1)
        path = HIGH[[0, 2]] + FOLLOWS * (motion.joints[:, 0][:, [0, 2]] - HIGH[[0, 2]]) + shake
        scene = replace(scene, view=1.3 * scene.view)
    return scene, path, motion


def paint_row(seed: int, size: int, row: dict) -> tuple[np.ndarray, int]:
    """Return the frames of a clip, uint8 (T, size, size, 3), and the strength of its compression."""
    element, (scene, path, motion) = _element(row["attributes"]), _film(seed, row)
    rng = random_stream(seed, row["clip_id"], "picture")
    return render(scene, element.stage, motion, path, size, rng), scene.crf


def keypoints_of(seed: int, size: int, row: dict) -> np.ndarray:
    """Return the keypoints of a clip, see `keypoints.project_keypoints`."""
    return project_keypoints(*_film(seed, row), row["clip_id"], seed, size)


def _film(seed: int, row: dict) -> tuple[Scene, np.ndarray, Motion]:
    element = _element(row["attributes"])
    return film_element(element, row["clip_id"], row["source_video"], row["n_frames"], seed)


@cache
def _element(attributes: str) -> Element:
    return element_of(Attributes.from_json(attributes))


def _seconds(seed: int, clip_id: str, seconds: float, is_exact: bool) -> float:
    """Return how long a clip lasts; a stamp in whole seconds may be half a second off."""
    if is_exact:
        return seconds
    return max(SHORTEST_S, seconds + random_stream(seed, clip_id, "length").uniform(-0.45, 0.45))
