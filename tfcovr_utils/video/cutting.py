"""Cut sub-action clips out of long videos: in parallel, resumable, once encoded.

Which frames a clip gets is decided by `encoding.cut_clip`. One run at a time works in an output folder; a
second waits.
"""

import signal
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ..machine.files import append_rows, clear_left_over, locked, read_manifest, replacing, write_manifest
from ..machine.hashing import digest
from ..machine.workers import make_pool
from .encoding import cut_clip
from .listing import list_videos

MANIFEST = "cut.jsonl"  # a line for each finished clip, in the output folder
FAILURES = "cut_failures.csv"  # what the last run could not cut, and why
CRF = 18  # of x264; visually lossless
IN_FLIGHT = 2  # jobs handed out for each worker, so that none waits for work


@dataclass(frozen=True)
class CutReport:
    """What a run of `cut` did. `failures` has the columns clip_id, source_video, reason."""

    made: int
    kept: int  # made by an earlier run
    failures: pd.DataFrame

    def __str__(self) -> str:
        lines = [f"{self.made} clips cut, {self.kept} kept from before, {len(self.failures)} failed."]
        reasons = self.failures["reason"].value_counts(sort=False)
        return "\n".join(lines + [f"{count:6d} x {reason}" for reason, count in reasons.items()])


@dataclass(frozen=True)
class _Job:
    clip_id: str
    video: str  # below the folder of videos
    video_bytes: int
    start_s: float
    end_s: float
    path: str  # below the output folder
    crf: int = CRF


def cut(clips: pd.DataFrame, videos_dir: Path, out_dir: Path, workers: int = 2) -> CutReport:
    """Make each clip's file from the long video of its source, as `out_dir / path`.

    A video is found by its stem, `source_video`, anywhere below `videos_dir`. Three kinds of clips are
    skipped: those whose file is below `videos_dir` already, those that are no file (FineDiving's folders of
    frames), and those that an earlier run made from the same video with the same times. What cannot be cut is
    named in the report and in `cut_failures.csv`, and the rest goes on.
    """
    videos_dir, out_dir = Path(videos_dir), Path(out_dir)
    if not videos_dir.is_dir():
        raise FileNotFoundError(f"{videos_dir} is not a folder; give the one that holds the long videos.")
    with locked(out_dir / MANIFEST):
        for folder in {out_dir, *((out_dir / path).parent for path in clips["path"])}:
            clear_left_over(folder)
        rows = read_manifest(out_dir / MANIFEST)
        jobs, failed = _plan(clips, videos_dir, rows)
        todo = [job for job in jobs if not _is_done(job, rows.get(job.clip_id), out_dir)]
        again = {job.clip_id for job in todo}
        write_manifest((row for clip_id, row in rows.items() if clip_id not in again), out_dir / MANIFEST)
        made = 0
        results = _cut_all(deque(todo), videos_dir, out_dir, workers)
        for job, result in tqdm(results, "cut", len(todo), mininterval=1, disable=None):
            if isinstance(result, str):
                failed.append((job.clip_id, Path(job.video).stem, result))
            else:
                append_rows([asdict(job) | result], out_dir / MANIFEST)
                made += 1
        failures = pd.DataFrame(sorted(failed), columns=["clip_id", "source_video", "reason"], dtype=str)
        with replacing(out_dir / FAILURES) as temporary:
            failures.to_csv(temporary, index=False)
    return CutReport(made, len(jobs) - len(todo), failures)


def find_videos(videos_dir: Path) -> dict[str, list[Path]]:
    """Map each stem to the video files of that name, in the folder and below."""
    found: dict[str, list[Path]] = {}
    for path in list_videos(videos_dir):
        found.setdefault(path.stem, []).append(path)
    return found


def _plan(clips: pd.DataFrame, videos_dir: Path, rows: dict) -> tuple[list[_Job], list]:
    """Jobs for the clips that can be cut, and (clip_id, source_video, reason) for the others."""
    videos = find_videos(videos_dir)
    jobs, failed = [], []
    for clip in clips.itertuples():
        is_folder = not Path(clip.path).suffix
        if is_folder or (clip.clip_id not in rows and (videos_dir / clip.path).is_file()):
            continue
        found = videos.get(clip.source_video, [])
        if reason := _why_not(clip, found, videos_dir):
            failed.append((clip.clip_id, clip.source_video, reason))
            continue
        video, size = found[0].relative_to(videos_dir).as_posix(), found[0].stat().st_size
        jobs.append(_Job(clip.clip_id, video, size, clip.start_s, clip.end_s, clip.path))
    return jobs, failed


def _why_not(clip, found: list[Path], videos_dir: Path) -> str | None:
    if not found:
        return f"the video {clip.source_video!r} is not in {videos_dir}; put it there, under that name."
    if len(found) > 1:
        names = " and ".join(path.relative_to(videos_dir).as_posix() for path in found)
        return f"{names} have one name, {clip.source_video!r}; rename one of them."
    if not clip.end_s > clip.start_s:
        # Times in whole seconds leave one in fifteen of FineGym's clips with no length.
        return "it lasts 0 s by its times; give exact ones (finegym_annotation_info_v1.1.json)."
    return None


def _is_done(job: _Job, row: dict | None, out_dir: Path) -> bool:
    file = out_dir / job.path
    same = row is not None and all(row.get(key) == value for key, value in asdict(job).items())
    return same and file.is_file() and file.stat().st_size == row["bytes"]


def _cut_all(
    jobs: deque[_Job], videos_dir: Path, out_dir: Path, workers: int
) -> Iterator[tuple[_Job, dict | str]]:
    """Yield each job with what was made, or with the reason why nothing was.

    A file may crash the process that reads it; then the jobs in flight are tried again one at a time, so that
    the broken file is named and no other clip is lost.
    """
    folders = (videos_dir, out_dir)
    while jobs:
        suspects = deque((yield from _run_pool(jobs, folders, workers, IN_FLIGHT * workers)))
        while suspects:
            for job in (yield from _run_pool(suspects, folders, 1, 1)):
                yield job, f"the process that read {job.video} died; convert that video to H.264 mp4."


def _run_pool(
    jobs: deque[_Job], folders: tuple[Path, Path], workers: int, in_flight: int
) -> Generator[tuple[_Job, dict | str], None, list[_Job]]:
    """Take jobs off the queue until it is empty or a worker died; return what was then in flight."""
    pool = make_pool(workers)
    running = {}
    try:
        while jobs or running:
            while jobs and len(running) < in_flight:
                with _block_ctrl_c():
                    future = pool.submit(_cut_one, jobs[0], *folders)
                running[future] = jobs.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield running.pop(future), result
    except BrokenProcessPool:
        return list(running.values())
    finally:
        # On Ctrl-C too: clips that were begun are finished, those waiting are not begun.
        pool.shutdown(cancel_futures=True)
    return []


@contextmanager
def _block_ctrl_c() -> Iterator[None]:
    """Start workers in here: they inherit the blocked signal, and Ctrl-C cannot kill one half started."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cut_one(job: _Job, videos_dir: Path, out_dir: Path) -> dict | str:
    video, file = videos_dir / job.video, out_dir / job.path
    try:
        n_frames = cut_clip(video, job.start_s, job.end_s, file, crf=job.crf)
        content = file.read_bytes()
    except Exception as error:  # whatever is wrong with one clip, the others are cut
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return kind + str(error).replace(str(video), job.video)
    return {"frames": n_frames, "bytes": len(content), "sha256": digest(content)}
