"""Pictures as clips of one frame, by Pillow: composed image retrieval goes the way of video."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from .container import check_frame_size
from .request import check_file, clip_error

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def is_picture(path: str | Path) -> bool:
    """Tell by the name whether a file is a picture.

    >>> is_picture("clip.PNG"), is_picture("clip.mp4")
    (True, False)
    """
    return os.path.splitext(path)[1].lower() in SUFFIXES


def picture_size(path: str | Path) -> tuple[int, int]:
    """Return width and height of a picture, from its header alone."""
    with _open(path) as picture:
        return picture.size


def read_picture(path: str | Path) -> np.ndarray:
    """Decode a picture: uint8 (H, W, 3), RGB, neither turned nor blended, as CIRR's and CIRCO's loaders."""
    with _open(path) as picture:
        try:
            return np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise clip_error(path, f"is damaged ({error}); fetch it again") from None


@contextmanager
def _open(path: str | Path) -> Iterator[Image.Image]:
    check_file(path)
    try:
        picture = Image.open(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        advice = "fetch it again or convert it to png"
        raise clip_error(path, f"cannot be opened as a picture; {advice}") from None
    with picture:
        check_frame_size(path, picture.width, picture.height)
        yield picture
