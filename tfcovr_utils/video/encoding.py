"""Write clips, cut them out of long videos, and make small looping previews."""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image

from ..machine.files import replacing
from . import request
from .container import Video, open_video
from .decoding import read_clip
from .inspection import probe
from .request import TIME_TOLERANCE_S, VideoError, clip_error, sample_indices

KEYFRAME_INTERVAL = 12  # short, so that a frame in the middle of a clip is cheap to reach
GIF_SIDE, GIF_MS = 192, 125  # pixels, and how long a frame is shown
GIF_STEPS = ((24, 128, 96), (16, 64, 64), (12, 32, 48), (6, 16, 16))  # frames, colours, least side in pixels


def write_clip(path: str | Path, frames: np.ndarray, fps: float, *, crf: int = 18) -> Path:
    """Encode uint8 (T, H, W, 3) RGB as H.264 yuv420p mp4 at a constant rate; equal input gives equal bytes.

    An odd height or width gains one repeated row or column, because yuv420p halves both. The file appears
    under its name only when it is complete.
    """
    with _encoder(path, request.check_rate(fps), crf) as encode:
        for frame in request.check_frames(frames):
            encode(frame)
    return Path(path)


def cut_clip(
    source_path: str | Path, start_s: float, end_s: float, out_path: str | Path, *, crf: int = 18
) -> int:
    """Re-encode what a video shows in [start_s, end_s) as a clip of its own; return its number of frames.

    Seeks, then streams: memory does not grow with the source. A source of variable rate becomes constant at
    its average rate, each frame going to the nearest slot, so the duration is right to one frame.
    """
    start_s, end_s = request.check_window(start_s, end_s)
    if not math.isfinite(end_s):
        raise VideoError("cut_clip needs an end_s; pass probe(path).duration_s for the end of the video")
    n_frames = 0
    with open_video(source_path) as video:
        rate = request.check_rate(video.rate)
        with _encoder(out_path, rate, crf) as encode:
            for frame in _slots(video, start_s, end_s, rate):
                encode(video.upright(frame))
                n_frames += 1
    return n_frames


def preview(path: str | Path, *, max_bytes: int = 100_000) -> bytes:
    """Make a looping GIF of at most `max_bytes`: smaller, then with fewer colours, then with fewer frames."""
    clip = read_clip(path, "centre", min(GIF_STEPS[0][0], probe(path).n_frames))
    for n_frames, colours, least_side in GIF_STEPS:
        side = GIF_SIDE
        while side >= least_side:
            pictures = []
            for index in sample_indices(len(clip), min(n_frames, len(clip))):
                picture = Image.fromarray(clip[index])
                picture.thumbnail((side, side))
                pictures.append(picture.quantize(colours, dither=Image.Dither.NONE))
            gif = io.BytesIO()
            pictures[0].save(gif, "GIF", save_all=True, append_images=pictures[1:], duration=GIF_MS, loop=0)
            if gif.tell() <= max_bytes:
                return gif.getvalue()
            side = int(side * min(0.9, math.sqrt(max_bytes / gif.tell())))  # bytes go with the area
    raise VideoError(f"no preview fits {max_bytes} bytes; allow some tens of thousands")


def _slots(video: Video, start_s: float, end_s: float, rate: Fraction) -> Iterator[av.VideoFrame]:
    """What is shown in [start_s, end_s) at a constant rate: repeats a held frame, drops one too many."""
    held, origin_s, n_given, seconds = None, None, 0, 0.0
    window = f"[{start_s:g}, {end_s:g}) s; correct the window"
    for frame in video.frames_from(start_s):
        if frame.pts is None:
            raise clip_error(video.path, "gives its frames no times; convert it to mp4")
        seconds = video.shown_s(frame)
        if seconds >= end_s - TIME_TOLERANCE_S:
            break
        if seconds >= start_s - TIME_TOLERANCE_S:
            if frame.is_corrupt:
                raise clip_error(video.path, f"is damaged at {seconds:.3f} s; fetch it again")
            if origin_s is None:
                is_late = held is not None and (seconds - start_s) * rate > 1
                origin_s = start_s if is_late else seconds
            slot = round((seconds - origin_s) * rate)
            for _ in range(n_given, slot):
                yield held
            if slot >= n_given:
                yield frame
                n_given = slot + 1
        held = frame
    else:
        if not n_given or (end_s - seconds) * rate > 2:
            end = f"{seconds + 1 / rate:.3f} s"
            raise clip_error(video.path, f"ends at {end}, before the end of {window}")
        return
    if held is None:
        raise clip_error(video.path, f"starts after {window}")
    for _ in range(n_given, math.ceil((end_s - (start_s if origin_s is None else origin_s)) * rate - 0.5)):
        yield held


@contextmanager
def _encoder(path: str | Path, rate: Fraction, crf: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that encodes one (H, W, 3) uint8 frame; the file takes its name when all went well."""
    # One thread and bitexact: neither the number of cores nor a version string changes the bytes.
    options = {"fflags": "+bitexact"}
    # No B-frames: frames are stored in the order shown, so no decoder can disagree about it. No mbtree: its
    # AVX2 code reads memory that was never written, and equal input then gives unequal bytes.
    codec_options = {"crf": str(crf), "g": str(KEYFRAME_INTERVAL), "bf": "0", "mbtree": "0"}
    with (
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=options) as container,
    ):
        stream = container.add_stream("libx264", rate=rate, options=codec_options)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        reformatter = VideoReformatter()

        def encode(frame: np.ndarray) -> None:
            frame = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
            if not stream.codec_context.is_open:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture = reformatter.reformat(picture, stream.width, stream.height, "yuv420p", threads=1)
            container.mux(stream.encode(picture))

        yield encode
        container.mux(stream.encode())
