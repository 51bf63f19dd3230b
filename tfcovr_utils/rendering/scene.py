"""The look of one source video: body, colours, wall and camera manners.

A `Scene` is drawn once per source video and without looking at any skill, so a split by source shares
no hall, athlete or camera between its parts.
"""

from dataclasses import dataclass, field, fields

import cv2
import numpy as np

from .skeleton import Body

WALL_WIDTH = 6.0  # width of the painted wall in body heights; it repeats beyond
SKINS = ((255, 219, 190), (236, 188, 150), (198, 145, 105), (141, 94, 63))
Colours = dict[str, tuple]  # what is painted -> RGB, 0 to 255


def _between(low: float, high: float):
    return field(metadata={"draw": lambda rng: rng.uniform(low, high)})


def _one_of(*values: int):
    return field(metadata={"draw": lambda rng: int(rng.choice(values))})


@dataclass(frozen=True)
class Scene:
    """One source video. Lengths are in body heights, angles in degrees; fields are drawn in their order."""

    body: Body
    colours: Colours
    wall: np.ndarray  # (height, width, 3) picture behind everything
    azimuth: float = _between(-17, 17)  # of the camera, off the side view
    roll: float = _between(-4, 4)
    view: float = _between(1.64, 1.74)  # height of the view
    lift: float = _between(-0.03, 0.03)  # height of the view's centre over its usual place
    pan: float = _between(0.1, 0.9)  # travel during one clip
    jitter: float = _between(0.0, 0.012)  # unsteadiness of the hand
    blur: int = _one_of(0, 0, 2, 3)  # camera blur in pixels of the painted frame
    blur_angle: float = _between(0, 180)
    gain: float = _between(0.85, 1.12)  # exposure
    noise: float = _between(0.3, 1.5)  # grain, grey levels
    flight: float = _between(0.94, 1.06)  # height of the camera with a dive, as a share of the usual path
    fps: int = _one_of(24, 25, 30)
    crf: int = field(metadata={"draw": lambda rng: int(rng.integers(19, 27))})

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Scene":
        """Draw a scene; the order of the draws decides the pixels of a seed."""
        colours = _draw_colours(rng)
        painted = {"colours": colours, "body": Body.draw(rng), "wall": _paint_wall(colours, rng)}
        drawn = {one.name: one.metadata["draw"](rng) for one in fields(cls) if "draw" in one.metadata}
        return cls(**painted, **drawn)


def _hsv(hue, saturation, value) -> tuple:
    pixel = np.uint8([[[hue % 1 * 179, saturation * 255, value * 255]]])
    return tuple(int(c) for c in cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])


def _draw_colours(rng) -> Colours:
    """Colours of athlete and hall: front light, back dark, left bright, right dim, in every source."""
    suit, hall = rng.random(), rng.random()
    skin = np.array(SKINS[rng.integers(4)])
    return {
        "skin": tuple(skin),
        "skin_dim": tuple(skin * 0.66),
        "hair": _hsv(rng.random(), 0.5, rng.uniform(0.12, 0.35)),
        "bun": _hsv(suit + 0.5, 0.9, 1.0),
        "front": _hsv(suit, 0.30, 1.0),
        "dot": _hsv(suit, 1.0, 0.85),
        "back": _hsv(suit, 0.8, 0.28),
        "stripe": _hsv(suit + 0.45, 0.75, 1.0),
        "left": _hsv(suit, 0.85, 0.9),
        "right": _hsv(suit, 0.9, 0.55),
        "wall": _hsv(hall, rng.uniform(0.12, 0.38), rng.uniform(0.5, 0.78)),
        "banner": _hsv(hall + rng.uniform(0.2, 0.8), 0.45, rng.uniform(0.45, 0.75)),
        "floor": _hsv(rng.random(), rng.uniform(0.25, 0.5), rng.uniform(0.5, 0.75)),
        "line": (235, 235, 228),
        "beam": _hsv(0.07 + rng.uniform(0, 0.05), 0.45, rng.uniform(0.65, 0.85)),
        "steel": (205, 208, 212),
        "pad": _hsv(rng.random(), 0.55, 0.55),
        "water": _hsv(0.53 + rng.uniform(-0.03, 0.03), 0.65, rng.uniform(0.6, 0.75)),
    }


def _paint_wall(colours: Colours, rng, height: int = 256) -> np.ndarray:
    """A hall: graded light, rows of spectators, banners."""
    width = round(height * WALL_WIDTH / 3)
    wall = np.ones((height, width, 3), np.float32) * colours["wall"]
    wall *= np.linspace(rng.uniform(0.65, 0.95), rng.uniform(0.95, 1.15), height)[:, None, None]
    for row in range(int(rng.integers(2, 5))):
        y = 30 + row * 34 + int(rng.integers(8))
        for x in range(0, width, 11):
            tone = np.array(colours["wall"]) * rng.uniform(0.55, 1.35)
            cv2.circle(wall, (x + int(rng.integers(6)), y), 4, tone.tolist(), -1)
    for _ in range(int(rng.integers(2, 6))):
        x, y = int(rng.integers(width)), int(rng.integers(height // 2, height - 20))
        corner = (x + int(rng.integers(30, 90)), y + int(rng.integers(10, 26)))
        tone = np.array(colours["banner"]) * rng.uniform(0.7, 1.2)
        cv2.rectangle(wall, (x, y), corner, tone.tolist(), -1)
    return np.clip(wall, 0, 255).astype(np.uint8)
