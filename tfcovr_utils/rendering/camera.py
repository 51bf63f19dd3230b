"""Where the camera looks, how it projects the world, and the canvas it paints on.

The camera follows a path of its own; the athlete moves about it.
"""

import cv2
import numpy as np

from .motion import DIVE_DROP, phases
from .scene import Scene

_SHIFT = 4  # OpenCV draws at 1/16 pixel


def camera_path(
    scene: Scene, apparatus: str, window: tuple[float, float], n_frames: int, rng: np.random.Generator
) -> np.ndarray:
    """Return where the camera looks, (T, 2) as x along the travel and z; it depends on no skill."""
    phase = phases(n_frames, window)
    inside = np.clip(phase, -0.1, 1.1)
    drift = np.cumsum(rng.normal(0, scene.jitter, (n_frames, 2)), 0)
    shake = drift + rng.normal(0, scene.jitter / 2, (n_frames, 2))
    # Bar and table have left the picture by the middle frame: they would show which way the athlete travels.
    if apparatus == "DV":
        x, z = 0.9 * inside, 0.66 + 0.5 * inside - scene.flight * DIVE_DROP * inside**2
    elif apparatus == "VT":
        x = np.interp(phase, [-0.45, -0.2, 0, 1.0], [-1.5, -0.45, -0.15, 3.0])
        z = np.interp(phase, [0.0, 1.0], [0.98, 0.75])
    elif apparatus == "UB":
        x = 2.6 * np.clip(phase, -0.1, 1.0)
        z = np.interp(phase, [-0.2, 0.0, 0.5, 1.0], [0.95, 1.1, 1.05, 0.73])
    else:
        x, z = scene.pan * (phase - 0.5), np.full(n_frames, 0.73)
    return np.stack([x, z + scene.lift], -1) + shake


class Camera:
    """Projects the world of one clip onto a canvas of `pixels` squared: orthographic, from the side."""

    def __init__(self, scene: Scene, path: np.ndarray, side: float, pixels: int):
        azimuth, roll = np.radians(scene.azimuth), np.radians(scene.roll)
        self.right = np.array([side * np.cos(azimuth), np.sin(azimuth), 0.0])
        self.away = np.array([-side * np.sin(azimuth), np.cos(azimuth), 0.0]) * side
        self.side, self.path, self.pixels, self.scale = side, path, pixels, pixels / scene.view
        self.origins = path[:, :1] * [1.0, 0.0, 0.0]
        self.turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])

    def project(self, points: np.ndarray, frame: int) -> np.ndarray:
        """Project world points (..., 3) to canvas points (..., 2), y down."""
        flat = np.empty((*points.shape[:-1], 2))
        flat[..., 0] = (points - self.origins[frame]) @ self.right
        flat[..., 1] = self.path[frame, 1] - points[..., 2]
        return (flat * self.scale) @ self.turn.T + self.pixels / 2

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Return the distance (...) of world points from the camera; larger is farther."""
        return points @ self.away


class Canvas:
    """The picture (P, P, 3) of one frame, with the primitives that paint on it; points are canvas points."""

    def __init__(self, picture: np.ndarray, camera: Camera, frame: int):
        self.picture, self.camera, self.frame = picture, camera, frame

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points (..., 3) to canvas points (..., 2)."""
        return self.camera.project(points, self.frame)

    def polygon(self, corners: np.ndarray, colour: tuple) -> None:
        """Fill a convex polygon (N, 2)."""
        cv2.fillConvexPoly(self.picture, _fixed(corners), _floats(colour), cv2.LINE_8, _SHIFT)

    def disc(self, centre: np.ndarray, radius: float, colour: tuple) -> None:
        """Fill a circle."""
        place, size = _fixed(centre).tolist(), int(radius * (1 << _SHIFT))
        cv2.circle(self.picture, place, size, _floats(colour), -1, cv2.LINE_8, _SHIFT)

    def capsule(self, ends: np.ndarray, thickness: int, colour: tuple) -> None:
        """Draw a thick line with round ends (2, 2)."""
        start, end = _fixed(ends).tolist()
        cv2.line(self.picture, start, end, _floats(colour), thickness, cv2.LINE_8, _SHIFT)


def _fixed(points) -> np.ndarray:
    return np.round(np.asarray(points) * (1 << _SHIFT)).astype(np.int32)


def _floats(colour: tuple) -> list[float]:
    return [float(c) for c in colour]
