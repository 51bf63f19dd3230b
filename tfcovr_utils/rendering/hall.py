"""What is painted around the athlete: the wall, the floor or tower, the apparatus and the water."""

import cv2
import numpy as np

from .camera import Camera, Canvas
from .motion import BAR_HEIGHT, DIVE_DROP
from .scene import WALL_WIDTH, Scene

WATER = 0.6 + 0.5 - DIVE_DROP - 0.5  # height of the water: where the hands meet it when the flight ends
FLOOR = {"FX": 0.0, "VT": 0.0, "BB": -0.32, "UB": -0.55, "both bars": -0.55}  # below the standing surface
LOW_BAR = (1.15, 0.62)  # where the low bar is: along the travel, height
REACH = 6.0  # to both sides of what the camera looks at
# Rectangles in the plane of travel, painted in this order after the floor: x from, x to (None: beyond the
# picture), z from, z to, colour, brightness.
Slab = tuple[float | None, float | None, float, float, str, float]
SLABS: dict[str, list[Slab]] = {
    "FX": [],
    "BB": [(None, None, -0.09, 0.0, "beam", 1.0)],
    "VT": [(-0.22, -0.14, -0.05, 0.6, "steel", 1.0), (-0.52, 0.06, 0.42, 0.56, "pad", 1.0)],
    "UB": [
        (-0.03, 0.03, FLOOR["UB"], BAR_HEIGHT, "steel", 0.7),
        (-0.06, 0.06, BAR_HEIGHT - 0.04, BAR_HEIGHT + 0.04, "beam", 1.0),
    ],
    "DV": [  # the tower's storeys give the fall something to pass
        *((None, None, storey * 0.9 - 0.03, storey * 0.9 + 0.03, "wall", 0.8) for storey in range(-4, 5)),
        (-3.0, 0.12, -0.10, 0.0, "pad", 1.0),
    ],
}
SLABS["both bars"] = [
    *SLABS["UB"],
    (LOW_BAR[0] - 0.03, LOW_BAR[0] + 0.03, FLOOR["UB"], LOW_BAR[1], "steel", 0.7),
    (LOW_BAR[0] - 0.06, LOW_BAR[0] + 0.06, LOW_BAR[1] - 0.04, LOW_BAR[1] + 0.04, "beam", 1.0),
]
WATER_SLABS: list[Slab] = [
    (None, None, WATER - 4, WATER, "water", 1.0),
    (None, None, WATER - 0.03, WATER, "water", 1.3),
]


def paint_hall(scene: Scene, apparatus: str, camera: Camera, frame: int) -> Canvas:
    """Paint the hall and the apparatus of one frame, without the athlete."""
    canvas = Canvas(_view_of_wall(scene, camera, frame), camera, frame)
    slabs = list(SLABS[apparatus])
    if apparatus == "BB":  # legs all along the beam
        x = camera.path[frame, 0]
        legs = np.arange(np.floor(x - REACH), x + REACH, 1.6)
        slabs = [*((leg, leg + 0.08, -0.35, 0.0, "steel", 1.0) for leg in legs), *slabs]
    if apparatus in FLOOR:
        floor = FLOOR[apparatus]
        ground = (None, None, floor - 4.0, floor + 0.05, "floor", 1.0)
        slabs = [ground, (None, None, floor - 0.20, floor - 0.13, "line", 1.0), *slabs]
    _paint_slabs(canvas, scene, slabs)
    return canvas


def paint_water(canvas: Canvas, scene: Scene) -> None:
    """Paint the water, which covers the diver after the entry."""
    _paint_slabs(canvas, scene, WATER_SLABS)


def _view_of_wall(scene: Scene, camera: Camera, frame: int) -> np.ndarray:
    """The wall is far away: it moves at half the speed of what is near."""
    x, z = camera.path[frame]
    height, width = scene.wall.shape[:2]
    per_pixel = width / WALL_WIDTH / camera.scale
    across = width / 2 + camera.side * x * 0.5 * per_pixel * camera.scale
    centre = np.array([across, height / 2 - z * 0.25 * per_pixel * camera.scale])
    inverse = np.linalg.inv(camera.turn) * per_pixel
    offset = centre - inverse @ np.full(2, camera.pixels / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix, size = np.hstack([inverse, offset[:, None]]), (camera.pixels, camera.pixels)
    return cv2.warpAffine(scene.wall, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)


def _paint_slabs(canvas: Canvas, scene: Scene, slabs: list[Slab]) -> None:
    x = canvas.camera.path[canvas.frame, 0]
    corners = []
    for x0, x1, z0, z1, *_ in slabs:
        left, right = x - REACH if x0 is None else x0, x + REACH if x1 is None else x1
        corners.append([[left, 0, z0], [right, 0, z0], [right, 0, z1], [left, 0, z1]])
    for points, (*_, name, brightness) in zip(canvas.project(np.array(corners)), slabs):
        canvas.polygon(points, [min(c * brightness, 255) for c in scene.colours[name]])
