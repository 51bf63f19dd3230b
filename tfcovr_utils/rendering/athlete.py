"""The painted athlete: limbs as capsules, the torso as a box of four colours, the head with face and bun."""

from functools import partial

import numpy as np

from .camera import Canvas
from .motion import Motion
from .scene import Colours, Scene
from .skeleton import AT, Body

# From joint, to joint, width.
LIMBS = (("hip", "knee", 1.25), ("knee", "foot", 1.0), ("shoulder", "elbow", 0.95), ("elbow", "hand", 0.8))
# Face of the torso -> its two edges, each as left (1) or right (-1) and front (1) or back (-1).
FACES = {
    "front": ((-1, 1), (1, 1)),
    "back": ((1, -1), (-1, -1)),
    "left": ((1, 1), (1, -1)),
    "right": ((-1, -1), (-1, 1)),
}
# Spots of the head, in head radii: place and depth to its front, size; colour.
HEAD = ((0.0, 0.0, 1.0, "hair"), (0.42, 0.5, 0.74, "skin"), (-1.05, -1.0, 0.5, "bun"))


def paint_athlete(canvas: Canvas, scene: Scene, motion: Motion) -> None:
    """Paint the athlete, far parts first."""
    joints, axes = motion.joints[canvas.frame], motion.orientation[canvas.frame]
    camera, body, colours = canvas.camera, scene.body, scene.colours
    flat = canvas.project(joints)
    parts = []
    for upper, lower, width in LIMBS:
        thickness = max(1, round(2 * body.limb_radius * width * camera.scale))
        for side, colour in (("l", "skin"), ("r", "skin_dim")):
            ends = [AT[f"{upper}_{side}"], AT[f"{lower}_{side}"]]
            depth = camera.depth((joints[ends[0]] + joints[ends[1]]) / 2)
            parts.append((depth, partial(canvas.capsule, flat[ends], thickness, colours[colour])))
    torso = _torso_faces(joints, axes, body)
    parts.append((camera.depth((joints[0] + joints[1]) / 2), partial(_paint_torso, canvas, torso, colours)))
    head = partial(_paint_head, canvas, joints[AT["head"]], axes[:, 0], body.head_radius, colours)
    parts.append((camera.depth(joints[AT["head"]]), head))
    for _, paint in sorted(parts, key=lambda part: -part[0]):
        paint()


def _cross(a, b) -> np.ndarray:
    """`np.cross` of two single vectors (3,), bit for bit and faster; each frame needs five."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _torso_faces(joints, axes, body: Body) -> dict[str, np.ndarray]:
    """The four faces (4, 3) of the box between hips and shoulders, in the world."""
    pelvis, chest, left = joints[AT["pelvis"]], joints[AT["chest"]], axes[:, 1]
    up = chest - pelvis
    forward = _cross(left, up / np.linalg.norm(up))
    hip, shoulder = left * body.hip_width * 0.62, left * body.shoulder_width * 0.5
    deep = forward * body.depth / 2
    low, high = pelvis - 0.06 * up, chest + 0.06 * up
    edges = ((low, hip), (low, hip), (high, shoulder), (high, shoulder))
    return {
        name: np.array([end + s * wide + f * deep for (end, wide), (s, f) in zip(edges, (a, b, b, a))])
        for name, (a, b) in FACES.items()
    }


def _paint_torso(canvas: Canvas, faces: dict[str, np.ndarray], colours: Colours) -> None:
    for name, corners in faces.items():
        normal = _cross(corners[1] - corners[0], corners[3] - corners[0])
        if canvas.camera.depth(normal) >= 0:  # looks away from the camera
            continue
        flat = canvas.project(corners)
        canvas.polygon(flat, colours[name])
        if name == "front":
            across = np.linalg.norm(flat[0] - flat[1])
            canvas.disc(flat.mean(0), max(across * 0.17, 1.0), colours["dot"])
        if name == "back":
            low, high = (flat[0] + flat[1]) / 2, (flat[2] + flat[3]) / 2
            half = (flat[1] - flat[0]) * 0.14
            canvas.polygon([low - half, low + half, high + half, high - half], colours["stripe"])


def _paint_head(canvas: Canvas, head, forward, radius: float, colours: Colours) -> None:
    spots = [
        (canvas.camera.depth(head + forward * depth * radius), head + forward * ahead * radius, size, colour)
        for ahead, depth, size, colour in HEAD
    ]
    for _, place, size, colour in sorted(spots, key=lambda spot: -spot[0]):
        canvas.disc(canvas.project(place), radius * canvas.camera.scale * size, colours[colour])
