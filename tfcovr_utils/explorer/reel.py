"""The highlight reel: ranked clips in one mp4, cut to length and captioned with rank and label."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from ..video import VideoError, probe, read_clip, write_clip

WIDTH, HEIGHT, CAPTION = 640, 400, 40  # pixels, and those of the height that the caption takes
FPS = 25
LONGEST_S = 4.0  # of a clip: its middle
SHORTEST_S = 1.0  # a shorter clip holds its last frame
MAX_CLIPS = 12  # frames of the whole reel are in memory: 77 MB a clip of LONGEST_S


def write_reel(
    path: Path, clips: Iterable[tuple[str | Path, str]], *, longest_s: float = LONGEST_S
) -> dict[str, str]:
    """Write (path of a clip, caption) pairs as one H.264 mp4; return why clips could not be read, by path."""
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), CAPTION // 2)
    parts, broken = [], {}
    for clip_path, caption in list(clips)[:MAX_CLIPS]:
        try:
            parts.append(_add_caption(_middle(clip_path, longest_s), caption, font))
        except VideoError as error:  # noqa: PERF203  decoding costs more
            broken[str(clip_path)] = str(error)
    if not parts:
        first = next(iter(broken.values()), "none is ranked")
        raise ValueError(f"none of {len(broken)} clips can be read, so there is no reel; the first: {first}.")
    write_clip(path, np.concatenate(parts), FPS, crf=23)
    return broken


def _middle(path: str | Path, longest_s: float) -> np.ndarray:
    """The middle `longest_s` of a clip at FPS, uint8 (T, H, W, 3); a shorter one whole, its end held."""
    info = probe(path)
    seconds = min(info.n_frames / info.fps, longest_s)
    first = (info.n_frames / info.fps - seconds) / 2
    times = first + np.minimum(np.arange(round(max(seconds, SHORTEST_S) * FPS)) / FPS, seconds)
    return read_clip(path, np.minimum((times * info.fps).astype(int), info.n_frames - 1))


def _add_caption(frames: np.ndarray, caption: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """Frames of any size -> (T, HEIGHT, WIDTH, 3): whole, centred on black above their caption."""
    room = HEIGHT - CAPTION
    scale = min(WIDTH / frames.shape[2], room / frames.shape[1])
    width, height = max(1, round(frames.shape[2] * scale)), max(1, round(frames.shape[1] * scale))
    page, text = Image.new("RGB", (WIDTH, HEIGHT)), caption
    while font.getlength(text) > WIDTH - 16:
        text = text.rstrip("…")[:-1] + "…"
    ImageDraw.Draw(page).text((8, room + CAPTION // 4), text, "white", font)
    captioned = np.repeat(np.asarray(page)[None], len(frames), 0)
    left, top = (WIDTH - width) // 2, (room - height) // 2
    for shown, frame in zip(captioned, frames):
        resized = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
        shown[top : top + height, left : left + width] = resized
    return captioned
