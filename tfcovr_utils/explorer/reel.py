"""The highlight reel: ranked clips, cut to length, captioned with rank and label, one after the other in one mp4."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from ..video import VideoError, probe, read_clip, write_clip

WIDTH, HEIGHT, CAPTION = 640, 400, 40  # pixels, and those of the height that the caption takes
FPS = 25
LONGEST_S = 4.0  # of a clip: its middle
SHORTEST_S = 1.0  # a clip that is shorter stands still at its end
MAX_CLIPS = 12  # frames of the whole reel are in memory: 77 MB a clip of LONGEST_S


def write_reel(
    path: Path, clips: Iterable[tuple[str | Path, str]], *, longest_s: float = LONGEST_S
) -> dict[str, str]:
    """Write (path of a clip, caption) pairs as one H.264 mp4; return the clips that could not be read, and why."""
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), CAPTION // 2)
    parts, broken = [], {}
    for clip_path, caption in list(clips)[:MAX_CLIPS]:
        try:
            frames = _middle(clip_path, longest_s)
        except VideoError as error:
            broken[str(clip_path)] = str(error)
            continue
        parts.append(_captioned(frames, caption, font))
    if not parts:
        first = next(iter(broken.values()), "none is ranked")
        raise ValueError(f"none of {len(broken)} clips can be read, so there is no reel; the first: {first}.")
    write_clip(path, np.concatenate(parts), FPS, crf=23)
    return broken


def _middle(path: str | Path, longest_s: float) -> np.ndarray:
    """The middle `longest_s` of a clip at FPS, uint8 (T, H, W, 3); a shorter one whole, its last frame held."""
    info = probe(path)
    seconds = min(info.n_frames / info.fps, longest_s)
    first = (info.n_frames / info.fps - seconds) / 2
    times = first + np.minimum(np.arange(round(max(seconds, SHORTEST_S) * FPS)) / FPS, seconds)
    return read_clip(path, np.minimum((times * info.fps).astype(int), info.n_frames - 1))


def _captioned(frames: np.ndarray, caption: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """Frames of any size -> (T, HEIGHT, WIDTH, 3), whole in the middle over a black ground, the caption below."""
    room = HEIGHT - CAPTION
    scale = min(WIDTH / frames.shape[2], room / frames.shape[1])
    size = max(1, round(frames.shape[2] * scale)), max(1, round(frames.shape[1] * scale))
    page = Image.new("RGB", (WIDTH, HEIGHT))
    text = caption
    while font.getlength(text) > WIDTH - 16:
        text = text.rstrip("…")[:-1] + "…"
    ImageDraw.Draw(page).text((8, room + CAPTION // 4), text, "white", font)
    captioned = np.repeat(np.asarray(page)[None], len(frames), 0)
    left, top = (WIDTH - size[0]) // 2, (room - size[1]) // 2
    for number, frame in enumerate(frames):
        captioned[number, top : top + size[1], left : left + size[0]] = Image.fromarray(frame).resize(
            size, Image.Resampling.BICUBIC
        )
    return captioned
