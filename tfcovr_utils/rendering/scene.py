"""What a camera sees: venue, athlete and camera of one source video, and how a frame is painted.

Everything in a `Scene` is drawn once per source video and without looking at any skill, so that a
split by source is a real one. The camera follows a path of its own; the athlete moves about it. Blur
comes from the camera alone: the blur of a limb would tell its speed, and so a count, in one frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .motion import BAR_HEIGHT, DIVE_DROP, Motion, phases
from .skeleton import JOINTS, Body

SUPERSAMPLE = 2  # painted at twice the size, then shrunk: smooth edges from plain polygons
FRAME_RATES = (24, 25, 30)
WATER = 0.6 + 0.5 - DIVE_DROP - 0.5  # height of the water: where the hands meet it when the flight ends
WALL_WIDTH = 6.0  # width of the painted wall in body heights; it repeats beyond


@dataclass(frozen=True)
class Scene:
    """One source video. Colours are RGB 0-255, lengths body heights, angles degrees."""

    body: Body
    colours: dict[str, tuple]
    wall: np.ndarray  # (height, width, 3) picture behind everything
    azimuth: float  # camera off the side view
    roll: float
    view: float  # height of the view
    lift: float  # height of the view's centre over its usual place
    pan: float  # travel during one clip
    jitter: float  # unsteadiness of the hand
    blur: int  # camera blur in pixels of the painted frame
    blur_angle: float
    gain: float  # exposure
    noise: float  # grain, grey levels
    flight: float  # how high the camera goes with a dive or dismount, as a share of the usual path
    fps: int
    crf: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Scene":
        colours = _draw_colours(rng)
        return cls(
            body=Body.draw(rng),
            colours=colours,
            wall=_paint_wall(colours, rng),
            azimuth=rng.uniform(-17, 17),
            roll=rng.uniform(-4, 4),
            view=rng.uniform(1.64, 1.74),
            lift=rng.uniform(-0.03, 0.03),
            pan=rng.uniform(0.1, 0.9),
            jitter=rng.uniform(0.0, 0.012),
            blur=int(rng.choice([0, 0, 2, 3])),
            blur_angle=rng.uniform(0, 180),
            gain=rng.uniform(0.85, 1.12),
            noise=rng.uniform(0.3, 1.5),
            flight=rng.uniform(0.94, 1.06),
            fps=int(rng.choice(FRAME_RATES)),
            crf=int(rng.integers(19, 27)),
        )


def _hsv(hue, saturation, value) -> tuple:
    pixel = np.uint8([[[hue % 1 * 179, saturation * 255, value * 255]]])
    return tuple(int(c) for c in cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])


def _draw_colours(rng) -> dict[str, tuple]:
    """Colours of the athlete and the hall. Front light, back dark, left bright, right dim: in every source."""
    suit, hall = rng.random(), rng.random()
    skin = np.array([[255, 219, 190], [236, 188, 150], [198, 145, 105], [141, 94, 63]][rng.integers(4)])
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


def _paint_wall(colours, rng, height: int = 256) -> np.ndarray:
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
        cv2.rectangle(
            wall,
            (x, y),
            (x + int(rng.integers(30, 90)), y + int(rng.integers(10, 26))),
            (np.array(colours["banner"]) * rng.uniform(0.7, 1.2)).tolist(),
            -1,
        )
    return np.clip(wall, 0, 255).astype(np.uint8)


def camera_path(
    scene: Scene, apparatus: str, window: tuple[float, float], n_frames: int, rng: np.random.Generator
) -> np.ndarray:
    """Where the camera looks, (T, 2) as x along the travel and z. It knows the apparatus and when a flight is, no more."""
    phase = phases(n_frames, window)
    inside = np.clip(phase, -0.1, 1.1)
    shake = np.cumsum(rng.normal(0, scene.jitter, (n_frames, 2)), 0) + rng.normal(
        0, scene.jitter / 2, (n_frames, 2)
    )
    x = scene.pan * (phase - 0.5)
    z = np.full(n_frames, 0.73)
    # Bar and table have left the picture by the middle frame: they would tell which way the athlete travels.
    if apparatus == "DV":
        x, z = 0.9 * inside, 0.66 + 0.5 * inside - scene.flight * DIVE_DROP * inside**2
    elif apparatus == "VT":
        x, z = (
            np.interp(phase, [-0.45, -0.2, 0, 1.0], [-1.5, -0.45, -0.15, 3.0]),
            np.interp(phase, [0.0, 1.0], [0.98, 0.75]),
        )
    elif apparatus == "UB":
        x, z = (
            2.6 * np.clip(phase, -0.1, 1.0),
            np.interp(phase, [-0.2, 0.0, 0.5, 1.0], [0.95, 1.1, 1.05, 0.73]),
        )
    return np.stack([x, z + scene.lift], -1) + shake


class Camera:
    """Projects the world of one clip to the painted canvas: orthographic, from the side."""

    def __init__(self, scene: Scene, path: np.ndarray, side: float, pixels: int):
        azimuth, roll = np.radians(scene.azimuth), np.radians(scene.roll)
        self.right = np.array([side * np.cos(azimuth), np.sin(azimuth), 0.0])
        self.away = np.array([-side * np.sin(azimuth), np.cos(azimuth), 0.0]) * side
        self.side, self.path, self.pixels, self.scale = side, path, pixels, pixels / scene.view
        self.origins = path[:, :1] * [1.0, 0.0, 0.0]
        self.turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])

    def project(self, points: np.ndarray, frame: int) -> np.ndarray:
        """World points (..., 3) -> canvas (..., 2), y down."""
        flat = np.empty((*points.shape[:-1], 2))
        flat[..., 0] = (points - self.origins[frame]) @ self.right
        flat[..., 1] = self.path[frame, 1] - points[..., 2]
        return (flat * self.scale) @ self.turn.T + self.pixels / 2

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Distance (...) from the camera; larger is farther."""
        return points @ self.away


def render(
    scene: Scene,
    apparatus: str,
    motion: Motion | None,
    path: np.ndarray,
    size: int,
    rng: np.random.Generator,
    frames: Sequence[int] | None = None,
) -> np.ndarray:
    """Paint all frames of a clip, or those named, as uint8 (T, size, size, 3); without a motion there is no athlete."""
    camera = Camera(scene, path, rng.choice([-1.0, 1.0]), size * SUPERSAMPLE)
    blur = _blur_kernel(scene)
    painted = []
    for frame in range(len(path)) if frames is None else frames:
        canvas = _paint_hall(scene, apparatus, camera, frame)
        if motion:
            _paint_athlete(canvas, scene, camera, motion, frame)
        if apparatus == "DV":
            _paint_water(canvas, scene, camera, frame)
        if blur is not None:
            canvas = cv2.filter2D(canvas, -1, blur)
        small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        grain = rng.normal(0, scene.noise, (size, size, 1)).astype(np.float32)
        painted.append(np.clip(small * scene.gain + grain, 0, 255).astype(np.uint8))
    return np.stack(painted)


def _blur_kernel(scene: Scene) -> np.ndarray | None:
    if not scene.blur:
        return None
    kernel = np.zeros((7, 7), np.float32)
    step = (
        np.array([np.cos(np.radians(scene.blur_angle)), np.sin(np.radians(scene.blur_angle))])
        * scene.blur
        / 2
    )
    start, stop = np.round((3 - step) * 16).astype(int), np.round((3 + step) * 16).astype(int)
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, stop)), 1.0, 1, cv2.LINE_8, 4)
    return kernel / kernel.sum()


_SHIFT = 4  # OpenCV draws at 1/16 pixel


def _fixed(points) -> np.ndarray:
    return np.round(np.asarray(points) * (1 << _SHIFT)).astype(np.int32)


def _polygon(canvas, points, colour) -> None:
    cv2.fillConvexPoly(canvas, _fixed(points), [float(c) for c in colour], cv2.LINE_8, _SHIFT)


def _slabs(canvas, camera: Camera, frame: int, slabs: list[tuple]) -> None:
    """Rectangles that stand in the plane of travel, one over the other: each x0, x1, z0, z1, colour."""
    corners = np.array([[[x0, 0, z0], [x1, 0, z0], [x1, 0, z1], [x0, 0, z1]] for x0, x1, z0, z1, _ in slabs])
    for points, slab in zip(_fixed(camera.project(corners, frame)), slabs):
        cv2.fillConvexPoly(canvas, points, [float(c) for c in slab[-1]], cv2.LINE_8, _SHIFT)


def _paint_hall(scene: Scene, apparatus: str, camera: Camera, frame: int) -> np.ndarray:
    """The hall and the apparatus, without the athlete: uint8 (P, P, 3)."""
    x, z = camera.path[frame]
    per_pixel = scene.wall.shape[1] / WALL_WIDTH / camera.scale
    # The wall is far away: it moves at half the speed of what is near.
    centre = np.array(
        [
            scene.wall.shape[1] / 2 + camera.side * x * 0.5 * per_pixel * camera.scale,
            scene.wall.shape[0] / 2 - z * 0.25 * per_pixel * camera.scale,
        ]
    )
    inverse = np.linalg.inv(camera.turn) * per_pixel
    offset = centre - inverse @ np.full(2, camera.pixels / 2)
    canvas = cv2.warpAffine(
        scene.wall,
        np.hstack([inverse, offset[:, None]]),
        (camera.pixels, camera.pixels),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    colours = scene.colours
    far = 6.0
    left, right = x - far, x + far
    if apparatus == "DV":  # the tower's storeys give the fall something to pass
        slabs = [
            (left, right, step * 0.9 - 0.03, step * 0.9 + 0.03, np.array(colours["wall"]) * 0.8)
            for step in range(-4, 5)
        ]
        slabs.append((-3.0, 0.12, -0.10, 0.0, colours["pad"]))
    else:
        floor = {"FX": 0.0, "VT": 0.0, "BB": -0.32, "UB": -0.55}[apparatus]
        slabs = [
            (left, right, floor - 4.0, floor + 0.05, colours["floor"]),
            (left, right, floor - 0.20, floor - 0.13, colours["line"]),
        ]
    if apparatus == "BB":
        slabs += [
            (leg, leg + 0.08, -0.35, 0.0, colours["steel"]) for leg in np.arange(np.floor(left), right, 1.6)
        ]
        slabs.append((left, right, -0.09, 0.0, colours["beam"]))
    if apparatus == "VT":
        slabs += [(-0.22, -0.14, -0.05, 0.6, colours["steel"]), (-0.52, 0.06, 0.42, 0.56, colours["pad"])]
    if apparatus == "UB":
        slabs += [
            (-0.03, 0.03, floor, BAR_HEIGHT, np.array(colours["steel"]) * 0.7),
            (-0.06, 0.06, BAR_HEIGHT - 0.04, BAR_HEIGHT + 0.04, colours["beam"]),
        ]
    _slabs(canvas, camera, frame, slabs)
    return canvas


def _paint_water(canvas, scene: Scene, camera: Camera, frame: int) -> None:
    x = camera.path[frame, 0]
    water = np.array(scene.colours["water"])
    _slabs(
        canvas,
        camera,
        frame,
        [
            (x - 6, x + 6, WATER - 4, WATER, water),
            (x - 6, x + 6, WATER - 0.03, WATER, np.minimum(water * 1.3, 255)),
        ],
    )


LIMBS = [
    ("hip", "knee", 1.25, "skin"),
    ("knee", "foot", 1.0, "skin"),
    ("shoulder", "elbow", 0.95, "skin"),
    ("elbow", "hand", 0.8, "skin"),
]
_AT = {name: i for i, name in enumerate(JOINTS)}


def _paint_athlete(canvas, scene: Scene, camera: Camera, motion: Motion, frame: int) -> None:
    """Limbs as capsules, the torso as a box of four colours, the head with face and bun; far parts first."""
    joints, axes = motion.joints[frame], motion.orientation[frame]
    flat = _fixed(camera.project(joints, frame)).tolist()
    body, colours, scale = scene.body, scene.colours, camera.scale
    parts = []
    for upper, lower, width, colour in LIMBS:
        for side, dim in (("l", ""), ("r", "_dim")):
            a, b = _AT[f"{upper}_{side}"], _AT[f"{lower}_{side}"]
            thickness = max(1, round(2 * body.limb_radius * width * scale))
            parts.append(
                (
                    camera.depth((joints[a] + joints[b]) / 2),
                    _capsule,
                    (canvas, flat[a], flat[b], thickness, colours[colour + dim]),
                )
            )
    torso = _torso_faces(joints, axes, body)
    parts.append(
        (camera.depth((joints[0] + joints[1]) / 2), _paint_torso, (canvas, camera, frame, torso, colours))
    )
    parts.append((camera.depth(joints[2]), _paint_head, (canvas, camera, frame, joints, axes, body, colours)))
    for _, paint, arguments in sorted(parts, key=lambda part: -part[0]):
        paint(*arguments)


def _capsule(canvas, a, b, thickness, colour) -> None:
    cv2.line(canvas, a, b, [float(c) for c in colour], thickness, cv2.LINE_8, _SHIFT)


def _cross(a, b) -> np.ndarray:
    """`np.cross` of two single vectors (3,), to the bit and without what it does for arrays of them: five a frame are drawn with it."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _torso_faces(joints, axes, body: Body) -> dict[str, np.ndarray]:
    """The four faces (4, 3) of the box between hips and shoulders, in the world."""
    left, up = axes[:, 1], joints[1] - joints[0]
    forward = _cross(left, up / np.linalg.norm(up))
    hip, shoulder = left * body.hip_width * 0.62, left * body.shoulder_width * 0.5
    deep = forward * body.depth / 2
    low, high = joints[0] - 0.06 * up, joints[1] + 0.06 * up
    corner = {
        (s, f, e): base + s * wide + f * deep
        for e, base, wide in (("low", low, hip), ("high", high, shoulder))
        for s in (-1, 1)
        for f in (-1, 1)
    }

    def face(a, b):
        return np.array(
            [corner[(*a, "low")], corner[(*b, "low")], corner[(*b, "high")], corner[(*a, "high")]]
        )

    return {
        "front": face((-1, 1), (1, 1)),
        "back": face((1, -1), (-1, -1)),
        "left": face((1, 1), (1, -1)),
        "right": face((-1, -1), (-1, 1)),
    }


def _paint_torso(canvas, camera: Camera, frame: int, faces, colours) -> None:
    for name, corners in faces.items():
        normal = _cross(corners[1] - corners[0], corners[3] - corners[0])
        if camera.depth(normal) >= 0:  # looks away from the camera
            continue
        flat = camera.project(corners, frame)
        _polygon(canvas, flat, colours[name])
        middle = flat.mean(0)
        if name == "front":
            across = np.linalg.norm(flat[0] - flat[1])
            cv2.circle(
                canvas,
                tuple(map(int, _fixed(middle))),
                int(max(across * 0.17, 1.0) * 16),
                colours["dot"],
                -1,
                cv2.LINE_8,
                _SHIFT,
            )
        if name == "back":
            low, high = (flat[0] + flat[1]) / 2, (flat[2] + flat[3]) / 2
            half = (flat[1] - flat[0]) * 0.14
            _polygon(canvas, [low - half, low + half, high + half, high - half], colours["stripe"])


def _paint_head(canvas, camera: Camera, frame: int, joints, axes, body: Body, colours) -> None:
    head, forward = joints[2], axes[:, 0]
    radius = body.head_radius * camera.scale
    spots = [
        (camera.depth(head), head, radius, "hair"),
        (
            camera.depth(head + forward * 0.5 * body.head_radius),
            head + forward * 0.42 * body.head_radius,
            radius * 0.74,
            "skin",
        ),
        (
            camera.depth(head - forward * body.head_radius),
            head - forward * 1.05 * body.head_radius,
            radius * 0.5,
            "bun",
        ),
    ]
    for _, place, size, colour in sorted(spots, key=lambda spot: -spot[0]):
        cv2.circle(
            canvas,
            tuple(map(int, _fixed(camera.project(place, frame)))),
            int(size * 16),
            [float(c) for c in colours[colour]],
            -1,
            cv2.LINE_8,
            _SHIFT,
        )
