"""A clip's frames, from hall to grain: what is painted in which order."""

from collections.abc import Sequence

import cv2
import numpy as np

from .athlete import paint_athlete
from .camera import Camera
from .hall import paint_hall, paint_water
from .motion import Motion
from .scene import Scene

SUPERSAMPLE = 2  # painted at twice the size, then shrunk: smooth edges from plain polygons


def render(
    scene: Scene,
    apparatus: str,
    motion: Motion | None,
    path: np.ndarray,
    size: int,
    rng: np.random.Generator,
    frames: Sequence[int] | None = None,
) -> np.ndarray:
    """Paint all frames of a clip, or some, as uint8 (T, size, size, 3); without a motion, without athlete.

    All blur is the camera's: the blur of a limb would reveal its speed, and so a count, in one frame.
    """
    camera = Camera(scene, path, draw_side(rng), size * SUPERSAMPLE)
    blur = _blur_kernel(scene)
    painted = []
    for frame in range(len(path)) if frames is None else frames:
        canvas = paint_hall(scene, apparatus, camera, frame)
        if motion:
            paint_athlete(canvas, scene, motion)
        if apparatus == "DV":
            paint_water(canvas, scene)
        picture = canvas.picture if blur is None else cv2.filter2D(canvas.picture, -1, blur)
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        grain = rng.normal(0, scene.noise, (size, size, 1)).astype(np.float32)
        painted.append(np.clip(small * scene.gain + grain, 0, 255).astype(np.uint8))
    return np.stack(painted)


def draw_side(rng: np.random.Generator) -> float:
    """Draw the side that the camera films from, 1 or -1: the first draw of a clip's picture."""
    return rng.choice([-1.0, 1.0])


def _blur_kernel(scene: Scene) -> np.ndarray | None:
    if not scene.blur:
        return None
    kernel = np.zeros((7, 7), np.float32)
    angle = np.radians(scene.blur_angle)
    step = np.array([np.cos(angle), np.sin(angle)]) * scene.blur / 2
    start, stop = (np.round((3 + sign * step) * 16).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, stop, 1.0, 1, cv2.LINE_8, 4)
    return kernel / kernel.sum()
