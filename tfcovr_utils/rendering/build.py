"""The rendered benchmark as files.

A folder holds `clips.parquet`, `labels.parquet`, `factors.parquet` (what each clip was made from),
`recipe.json`, `manifest.jsonl` (one line a finished clip) and `clips/*.mp4`. Rendering goes on where
it stopped: a clip whose file matches its line in the manifest is not rendered again.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ..machine.files import (
    append_rows,
    clear_left_over,
    load_table,
    locked,
    read_json,
    read_manifest,
    write_json,
    write_manifest,
    write_table,
)
from ..machine.workers import make_pool
from ..profiles import SPLITS, Profile, data_dir
from ..video import read_clip, write_clip
from .dataset import label_table, plan, render_clip, scene_of
from .skills import SKILLS, Skill

CLIPS_PER_TASK = 16
MANIFEST = "manifest.jsonl"
_PIXELS = ("skeleton", "skills", "motion", "scene", "dataset")  # the modules that decide what is rendered
_SKILL_FIELDS = [field.name for field in fields(Skill)]


def recipe_code() -> str:
    """Hash of the renderer's own code."""
    code = hashlib.sha256()
    for module in _PIXELS:
        code.update((Path(__file__).parent / f"{module}.py").read_bytes())
    return code.hexdigest()[:16]


def recipe(profile: Profile) -> dict:
    """Everything that decides the pixels: the profile's rendering fields and the renderer's own code."""
    names = ("labels", "image_size", "clips_per_label", "sources_per_split", "long_tail", "render_seed")
    return {
        **{name: value for name, value in asdict(profile).items() if name in names},
        "renderer": recipe_code(),
    }


def benchmark_dir(profile: Profile) -> Path:
    """The folder a rendering belongs in: named by what decides its pixels, so two renderings never mix."""
    key = hashlib.sha256(json.dumps(recipe(profile), sort_keys=True).encode()).hexdigest()[:10]
    return data_dir() / "benchmarks" / f"{profile.name}-{key}"


def build(
    profile: Profile,
    out: Path | None = None,
    workers: int = 2,
    progress: bool = True,
    splits: Sequence[str] = SPLITS,
) -> Path:
    """Render what is missing of a benchmark and return its folder. Of `splits` the clips; the tables are always whole."""
    if profile.clips_per_label is None:
        raise ValueError(f"profile {profile.name!r} has no clips to render; choose smoke, mini or sim.")
    out = Path(out) if out else benchmark_dir(profile)
    asked, recipe_path = json.loads(json.dumps(recipe(profile))), out / "recipe.json"
    if recipe_path.exists() and read_json(recipe_path) != asked:
        raise ValueError(
            f"{out} holds another rendering (profile, seed or renderer differ from its recipe.json); "
            "give another --out, or delete that folder."
        )
    with locked(out / MANIFEST):
        _render_missing(profile, out, asked, workers, progress, splits)
    return out


def _render_missing(
    profile: Profile, out: Path, asked: dict, workers: int, progress: bool, splits: Sequence[str]
) -> None:
    write_json(asked, out / "recipe.json")
    clips, factors = _tables(profile, out)
    done = finished(out)
    wanted = clips.split.isin(splits) & ~clips.clip_id.isin(done)
    todo = clips.merge(factors, on="clip_id")[wanted.to_numpy()].sort_values("source_video")
    jobs = [
        (row.clip_id, row.source_video, {name: getattr(row, name) for name in _SKILL_FIELDS}, row.fps)
        for row in todo.itertuples()
    ]
    tasks = [jobs[start : start + CLIPS_PER_TASK] for start in range(0, len(jobs), CLIPS_PER_TASK)]
    bar = tqdm(
        total=len(clips),
        initial=len(done),
        unit="clip",
        desc=f"render {profile.name}",
        disable=not progress,
        mininterval=2,
    )
    write_manifest(read_manifest(out / MANIFEST).values(), out / MANIFEST)
    clear_left_over(out / "clips")
    with make_pool(workers) as pool, bar:
        futures = [
            pool.submit(_render_task, task, str(out), profile.render_seed, profile.image_size)
            for task in tasks
        ]
        try:
            for future in as_completed(futures):
                append_rows(lines := future.result(), out / MANIFEST)
                bar.update(len(lines))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _tables(profile: Profile, out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rendering's tables of clips and factors: planned and written, or read where its folder has them all."""
    paths = [out / f"{name}.parquet" for name in ("clips", "factors", "labels")]
    if all(path.exists() for path in paths):  # planning draws every hall, which takes seconds
        return load_table(paths[0]), load_table(paths[1])
    clips, factors = plan(profile)
    for table, path in zip((clips, factors, label_table(SKILLS[profile.labels]())), paths):
        write_table(table, path)
    return clips, factors


def _render_task(jobs: list, out: str, seed: int, size: int) -> list[dict]:
    lines = []
    for clip_id, source_video, skill, fps in jobs:
        path = Path(out) / "clips" / f"{clip_id}.mp4"
        frames = render_clip(Skill(**skill), clip_id, source_video, seed, size)
        write_clip(path, frames, fps, crf=scene_of(seed, source_video).crf)
        lines.append({"clip_id": clip_id, "bytes": path.stat().st_size, "sha256": _sha256(path)})
    return lines


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def finished(out: Path) -> set[str]:
    """Clips whose file is there and has the bytes that the manifest says."""

    def intact(line):
        path = Path(out) / "clips" / f"{line['clip_id']}.mp4"
        return path.exists() and path.stat().st_size == line["bytes"] and _sha256(path) == line["sha256"]

    return {clip_id for clip_id, line in read_manifest(Path(out) / MANIFEST).items() if intact(line)}


def check(out: Path) -> dict[str, list[str]]:
    """Name the clips that are missing or changed; both lists are empty when the rendering is whole."""
    if not (Path(out) / "clips.parquet").exists():
        raise FileNotFoundError(f"{out} holds no rendering; run the same command without --check first.")
    wanted = pd.read_parquet(Path(out) / "clips.parquet").clip_id
    done, known = finished(out), read_manifest(Path(out) / MANIFEST)
    return {
        "missing": [clip_id for clip_id in wanted if clip_id not in known],
        "changed": [clip_id for clip_id in wanted if clip_id in known and clip_id not in done],
    }


def measure(profile: Profile, out: Path, n_clips: int = 60) -> pd.Series:
    """Milliseconds of processor time to render, encode and decode a clip, and the bytes of its file: medians over `n_clips`."""
    clips, factors = plan(profile)
    sample = clips.merge(factors, on="clip_id").sample(n_clips, random_state=0)
    rows = []
    for row in sample.itertuples():
        skill = Skill(**{name: getattr(row, name) for name in _SKILL_FIELDS})
        scene = scene_of(
            profile.render_seed, row.source_video
        )  # drawn once a source, so not part of a clip's time
        path = Path(out) / ".measured.mp4"
        ticks = [time.process_time()]
        frames = render_clip(skill, row.clip_id, row.source_video, profile.render_seed, profile.image_size)
        ticks.append(time.process_time())
        write_clip(path, frames, row.fps, crf=scene.crf)
        ticks.append(time.process_time())
        read_clip(path, "centre", profile.frames)
        ticks.append(time.process_time())
        rows.append([*(1000 * (b - a) for a, b in zip(ticks, ticks[1:])), path.stat().st_size])
        path.unlink()
    return pd.DataFrame(rows, columns=["render ms", "encode ms", "decode ms", "bytes"]).median()
