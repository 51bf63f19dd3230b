"""The rendered benchmark as files.

A folder holds `clips.parquet`, `labels.parquet`, `factors.parquet` (what each clip was made from),
`recipe.json`, `manifest.jsonl` (one line a finished clip) and `clips/*.mp4`. Rendering resumes where it
stopped: a clip whose file matches its line in the manifest is not rendered again.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..machine import files
from ..machine.hashing import digest_file, hash_rooms, hash_text
from ..machine.workers import make_pool
from ..profiles import SPLITS, Profile, data_dir
from ..video import read_clip, write_clip
from .dataset import label_table, plan, render_clip, scene_of
from .skills import SKILLS, Skill

CLIPS_PER_TASK = 16
Paint = Callable[[dict], tuple[np.ndarray, int]]  # row -> frames, strength of compression
MANIFEST = "manifest.jsonl"
# The files that decide the pixels, and the fields of a profile that do.
CODE = "skeleton skills poses motion scene camera hall athlete paint dataset"
PIXELS = [*(f"{name}.py" for name in CODE.split()), "skills.csv", "poses.csv", "moves.csv"]
FIELDS = ("labels", "image_size", "clips_per_label", "sources_per_split", "long_tail", "render_seed")


def hash_renderer() -> str:
    """Hash the code that decides the pixels."""
    return hash_rooms(*(f"rendering/{name}" for name in PIXELS))


def recipe(profile: Profile) -> dict:
    """Return everything that decides the pixels, as JSON gives it back."""
    wanted = {**{name: getattr(profile, name) for name in FIELDS}, "renderer": hash_renderer()}
    return json.loads(json.dumps(wanted))


def benchmark_dir(profile: Profile) -> Path:
    """Return the folder of a rendering; its name holds a hash of the recipe, so two renderings never mix."""
    key = hash_text(json.dumps(recipe(profile), sort_keys=True))[:10]
    return data_dir() / "benchmarks" / f"{profile.name}-{key}"


def build(
    profile: Profile,
    out: Path | None = None,
    workers: int = 2,
    progress: bool = True,
    splits: Sequence[str] = SPLITS,
) -> Path:
    """Render the missing clips of some splits and return the folder; its tables always list all splits."""
    if profile.clips_per_label is None:
        raise ValueError(f"profile {profile.name!r} has no clips to render; choose smoke, mini or sim.")
    out = Path(out) if out else benchmark_dir(profile)
    wanted, recipe_path = recipe(profile), out / "recipe.json"
    if recipe_path.exists() and files.read_json(recipe_path) != wanted:
        raise ValueError(
            f"{out} holds another rendering (profile, seed or renderer differ from its recipe.json); "
            "give another --out, or delete that folder."
        )
    with files.locked(out / MANIFEST):
        files.write_json(wanted, recipe_path)
        clips, factors = _tables(profile, out)
        rows = clips[clips.split.isin(splits)].merge(factors, on="clip_id")
        paint = partial(_paint, profile.render_seed, profile.image_size)
        render_missing(rows, clips, out, paint, profile.name, workers, progress)
    return out


def check(out: Path) -> dict[str, list[str]]:
    """Name the clips that are missing or changed; both lists are empty when the rendering is complete."""
    if not (out / "clips.parquet").exists():
        raise FileNotFoundError(f"{out} holds no rendering; run `tfcovr render` first.")
    clips = files.load_table(out / "clips.parquet")
    wanted, done, known = clips.clip_id, _finished(out, clips), files.read_manifest(out / MANIFEST)
    return {
        "missing": [clip_id for clip_id in wanted if clip_id not in known],
        "changed": [clip_id for clip_id in wanted if clip_id in known and clip_id not in done],
    }


def measure(profile: Profile, out: Path, n_clips: int = 60) -> pd.Series:
    """Measure a clip's processor time to render, encode and decode (ms), and its file's bytes: medians."""
    clips, factors = plan(profile)
    rows, path = [], Path(out) / ".measured.mp4"
    for row in clips.merge(factors, on="clip_id").sample(n_clips, random_state=0).to_dict("records"):
        clip = (row["clip_id"], row["source_video"], profile.render_seed)
        scene = scene_of(profile.render_seed, row["source_video"])  # drawn once a source, so not timed
        ticks = [time.process_time()]
        frames = render_clip(Skill.from_row(row), *clip, profile.image_size)
        ticks.append(time.process_time())
        write_clip(path, frames, row["fps"], crf=scene.crf)
        ticks.append(time.process_time())
        read_clip(path, "centre", profile.frames)
        ticks.append(time.process_time())
        rows.append([*(1000 * np.diff(ticks)), path.stat().st_size])
        path.unlink()
    return pd.DataFrame(rows, columns=["render ms", "encode ms", "decode ms", "bytes"]).median()


def render_missing(
    rows: pd.DataFrame, clips: pd.DataFrame, out: Path, paint: Paint, name: str, workers: int, progress: bool
) -> None:
    """Write those clips of `rows` that `out` lacks; the bar counts all `clips`."""
    done = _finished(out, clips)
    todo = rows[~rows.clip_id.isin(done)].sort_values("source_video").to_dict("records")
    tasks = [todo[start : start + CLIPS_PER_TASK] for start in range(0, len(todo), CLIPS_PER_TASK)]
    bar = {"total": len(clips), "initial": len(done), "unit": "clip", "desc": f"render {name}"}
    files.write_manifest(files.read_manifest(out / MANIFEST).values(), out / MANIFEST)
    for folder in {(out / path).parent for path in clips.path}:
        files.clear_left_over(folder)
    with make_pool(workers) as pool, tqdm(**bar, disable=not progress, mininterval=2) as bar:
        futures = [pool.submit(_render_task, task, out, paint) for task in tasks]
        try:
            for future in as_completed(futures):
                files.append_rows(lines := future.result(), out / MANIFEST)
                bar.update(len(lines))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _tables(profile: Profile, out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Plan and write the tables of clips and factors, or read them where the folder has them all."""
    paths = [out / f"{name}.parquet" for name in ("clips", "factors", "labels")]
    if all(path.exists() for path in paths):  # planning draws every hall, which takes seconds
        return files.load_table(paths[0]), files.load_table(paths[1])
    clips, factors = plan(profile)
    for table, path in zip((clips, factors, label_table(SKILLS[profile.labels])), paths):
        files.write_table(table, path)
    return clips, factors


def _paint(seed: int, size: int, row: dict) -> tuple[np.ndarray, int]:
    """Return a clip's frames and the strength of its compression."""
    frames = render_clip(Skill.from_row(row), row["clip_id"], row["source_video"], seed, size)
    return frames, scene_of(seed, row["source_video"]).crf


def _render_task(rows: list[dict], out: Path, paint: Paint) -> list[dict]:
    lines = []
    for row in rows:
        path, (frames, crf) = out / row["path"], paint(row)
        write_clip(path, frames, row["fps"], crf=crf)
        lines.append({"clip_id": row["clip_id"], "bytes": path.stat().st_size, "sha256": digest_file(path)})
    return lines


def _finished(out: Path, clips: pd.DataFrame) -> set[str]:
    """Clips whose file exists and has the bytes that the manifest lists."""

    def is_intact(path: Path, line: dict) -> bool:
        return path.exists() and path.stat().st_size == line["bytes"] and digest_file(path) == line["sha256"]

    lines = files.read_manifest(out / MANIFEST)
    paths = dict(zip(clips.clip_id, clips.path))
    return {clip_id for clip_id, line in lines.items() if is_intact(out / paths.get(clip_id, ""), line)}
