"""Open a source: render it or read its tables, and say where its clips and embeddings are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from huggingface_hub import try_to_load_from_cache

from ..benchmark.benchmark import Benchmark
from ..labels import Attributes
from ..labels.pairing import DECISIONS_PATH
from ..profiles import RENDERED, Profile, annotations_dir, clips_dir, default_profile, get_profile
from ..sources import COMPLETE, load_source
from ..sources.keypoint_files import own_id
from ..sources.release.embedding_files import list_embeddings
from ..video.hashes import clip_exists
from ..video.listing import list_videos
from .build import build
from .keypoints import write_keypoints
from .twin import load_twin


@dataclass(frozen=True)
class Opened:
    """A benchmark, the folder that its clips' paths start from, and files of embeddings by encoder."""

    benchmark: Benchmark
    clips_dir: Path
    embeddings: dict[str, Path] = field(default_factory=dict)


def choose_profile(source: str) -> str:
    """Name the profile that a source takes where none is named.

    Real clips take published weights where the hub's cache has them, else the rendered benchmark's own.
    """
    if default_profile(source) != "mini" or source in RENDERED:
        return default_profile(source)
    cached = try_to_load_from_cache(get_profile("paper").clip_weights, "config.json")
    return "paper" if isinstance(cached, str) else "mini"


def warn_of_weights(source: str, profile: Profile) -> str:
    """Say so where clips are read by weights that have seen rendered figures alone; else ""."""
    if source in (*RENDERED, "twin") or not profile.clip_weights.startswith("data/weights"):
        return ""
    return (
        "  \n**The weights that read these clips have seen rendered figures alone**, so scores show that the "
        "steps work, not how well. Where there is a model hub, take profile `paper`."
    )


class NotGiven(ValueError):
    """A source lacks what a whole notebook is about; `reproduce` leaves that notebook out."""


@dataclass(frozen=True)
class Need:
    """Something that not every source has, and what is said of one that has it not."""

    is_met: Callable[[Benchmark, Path], bool]
    lack: str


def _has_videos(benchmark: Benchmark, clips_dir: Path) -> bool:
    return any(clip_exists(clips_dir / path) for path in benchmark.clips["path"])


def _has_attributes(benchmark: Benchmark, _: Path) -> bool:
    return any(Attributes.from_json(text).apparatus for text in benchmark.labels["attributes"])


NEEDS = {
    "videos": Need(_has_videos, "has no videos here"),
    "motion": Need(lambda _, folder: (folder / "factors.parquet").exists(), "has no rendered motion"),
    "labels": Need(lambda benchmark, _: not benchmark.labels.empty, "has no labels"),
    "attributes": Need(_has_attributes, "has no labels in the grammar of gymnastics and diving"),
    "times": Need(lambda benchmark, _: benchmark.clips["end_s"].notna().any(), "gives no times of clips"),
    "pairs": Need(lambda benchmark, _: not benchmark.pairs.empty, "has no label pairs"),
    "triplets": Need(lambda benchmark, _: not benchmark.triplets.empty, "has no training triplets"),
    "queries": Need(lambda benchmark, _: (benchmark.queries["split"] == "test").any(), "has no test queries"),
}


def require(source: str, needs: Iterable[str], benchmark: Benchmark, clips_dir: Path) -> None:
    """Refuse a source that lacks one of some needs."""
    for need in needs:
        if not NEEDS[need].is_met(benchmark, clips_dir):
            raise NotGiven(f"{source} {NEEDS[need].lack}, and this notebook is about them.")


def open_source(
    source: str,
    profile: Profile,
    *,
    annotations: str | Path | None = None,
    clips: str | Path | None = None,
    modifications: pd.DataFrame | None = None,
) -> Opened:
    """Open a source by name; annotations, clips and modifications are those of `open_study`."""
    if source in RENDERED:
        folder = build(profile, progress=False)
        tables = load_source("mini", folder)
        found = {"pose": write_keypoints(profile, folder)}
        return Opened(Benchmark.build(tables, modifications=modifications), folder, found)
    if source == "twin":
        tables, folder = load_twin(profile)
        built = Benchmark.build(tables, decisions=DECISIONS_PATH, modifications=modifications)
        return Opened(built, folder, find_poses(folder))
    if source == "folder":
        if clips is None:
            raise ValueError(
                "source 'folder' needs your clips; name their folder, such as clips='my_clips' in Python, "
                "or FOLDER=my_clips after make."
            )
        tables, decided = load_source("folder", Path(annotations or clips)), {"decisions": DECISIONS_PATH}
        if tables.labels.empty:
            return Opened(Benchmark.unlabelled(tables.clips), Path(clips))
        return Opened(Benchmark.build(tables, modifications=modifications, **decided), Path(clips))
    folder = annotations_dir(annotations)
    if source in COMPLETE:
        found = list_embeddings(folder) if source == "released" else {}
        return Opened(Benchmark(**COMPLETE[source](folder)), clips_dir(clips), found)
    tables = load_source(source, folder)
    tables = replace(tables, clips=place_public_files(tables.clips, clips_dir(clips)))
    built = Benchmark.build(tables, decisions=DECISIONS_PATH, modifications=modifications)
    return Opened(built, clips_dir(clips), find_poses(folder) | find_poses(clips_dir(clips)))


def place_public_files(clips: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Point clips at files with their public names, wherever those lie below the folder of clips."""
    files = {own_id(path.stem): path for path in list_videos(folder)} if folder.is_dir() else {}
    found = clips["clip_id"].map(lambda clip_id: files.get(clip_id))
    return clips.assign(
        path=[path.relative_to(folder).as_posix() if path else old for path, old in zip(found, clips["path"])]
    )


def find_poses(folder: Path) -> dict[str, Path]:
    """Find the public file of FineGym's keypoints in a folder or one below it: Gym288's before Gym99's."""
    found = sorted(folder.glob("**/Gym*skeleton*.pkl")) if folder.is_dir() else []
    return {"pose": found[0]} if found else {}
