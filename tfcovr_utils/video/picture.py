"""Pictures as clips of one frame, by Pillow: composed image retrieval goes the way of video."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .container import MAX_FRAME_PIXELS
from .request import VideoError, check_file, clip_name

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def is_picture(path: str | Path) -> bool:
    """Tell by the name whether a file is a picture; what it holds is Pillow's to find out."""
    return os.path.splitext(path)[1].lower() in SUFFIXES


def picture_size(path: str | Path) -> tuple[int, int, str]:
    """Width, height and format of a picture, from its header alone."""
    with _opened(path) as picture:
        return *picture.size, picture.format.lower()


def read_picture(path: str | Path) -> np.ndarray:
    """Decode a picture: uint8 (H, W, 3), RGB, neither turned as its metadata asks nor blended: as the loaders of CIRR and CIRCO."""
    with _opened(path) as picture:
        try:
            return np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise VideoError(f"{clip_name(path)} is damaged ({error}); fetch it again", "damaged") from None


def _opened(path: str | Path) -> Image.Image:
    check_file(path)
    try:
        picture = Image.open(path)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise VideoError(
            f"{clip_name(path)} cannot be opened as a picture; fetch it again or convert it to png",
            "not a picture",
        ) from None
    if not 0 < picture.width * picture.height <= MAX_FRAME_PIXELS:
        picture.close()
        raise VideoError(
            f"{clip_name(path)} has no believable size ({picture.width}x{picture.height}); expected 1 to {MAX_FRAME_PIXELS} "
            "pixels, so fetch it again",
            "bad frame size",
        )
    return picture
