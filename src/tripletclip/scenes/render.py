"""Pictures of scenes: a small rasteriser over batches, anti-aliased, with jitter and noise.

Every shape is a radius as a function of the angle, looked up in a table, so all objects of a batch are drawn by the
same few array operations. A picture is a function of its scene, its seed, the world and the size; never of its batch.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tripletclip.scenes.grammar import Scene, Thing
from tripletclip.scenes.world import BACKGROUNDS, COLOURS, NOUNS, TEXTURES, World

Floats = NDArray[np.float32]

ANGLES = 256
NOUN_COLOUR = {
    "apple": (214, 40, 40), "ball": (40, 92, 214), "box": (140, 86, 40), "cloud": (236, 240, 248),
    "cross": (0, 150, 136), "drop": (64, 186, 240), "flower": (255, 128, 190), "gear": (96, 100, 108),
    "heart": (200, 20, 120), "house": (128, 24, 40), "kite": (130, 60, 200), "leaf": (30, 120, 40),
    "moon": (245, 232, 150), "ring": (226, 164, 20), "star": (255, 212, 0), "tent": (240, 120, 20),
}  # fmt: skip
COLOUR = {
    "red": (214, 40, 40), "green": (30, 140, 50), "blue": (40, 92, 214),
    "yellow": (250, 210, 20), "purple": (130, 60, 200), "white": (245, 245, 245),
}  # fmt: skip
GROUND = {"grass": (112, 150, 88), "sand": (206, 186, 142), "snow": (214, 222, 230), "stone": (142, 138, 134)}
CENTRE = {"left": (0.27, 0.5), "right": (0.73, 0.5), "top": (0.5, 0.27), "bottom": (0.5, 0.73)}
SEVERAL = {2: ((0.31, 0.34), (0.69, 0.66)), 3: ((0.3, 0.3), (0.7, 0.38), (0.46, 0.74))}


def _polygon(corners: Sequence[tuple[float, float]]) -> Floats:
    """Radius at each table angle of a polygon that is star-shaped about the origin (x right, y down)."""
    angles = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
    direction = np.stack([np.cos(angles), np.sin(angles)], 1)
    start = np.array(corners)
    edge = np.roll(start, -1, 0) - start
    cross = direction[:, :1] * edge[:, 1] - direction[:, 1:] * edge[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = (start[:, 0] * edge[:, 1] - start[:, 1] * edge[:, 0]) / cross
        along = (start[:, 0] * direction[:, 1:] - start[:, 1] * direction[:, :1]) / cross
    hit = (radius > 0) & (along >= -1e-9) & (along <= 1 + 1e-9)
    reach: Floats = np.where(hit, radius, -np.inf).max(1).astype(np.float32)
    return reach


def _star(points: int, inner: float) -> Floats:
    turns = np.arange(2 * points) * np.pi / points - np.pi / 2
    radii = np.where(np.arange(2 * points) % 2, inner, 1.1)
    return _polygon([(r * np.cos(t), r * np.sin(t)) for r, t in zip(radii, turns, strict=True)])


@cache
def shape_tables() -> tuple[Floats, Floats]:
    """(outer, inner) radius tables [noun, angle] in units of the object's radius."""
    t = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
    up = np.sin(t)
    outer = {
        "apple": 0.92 - 0.3 * np.exp(-((np.abs(t + np.pi / 2) / 0.35) ** 2)),
        "ball": np.full(ANGLES, 0.95),
        "box": _polygon([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
        "cloud": 0.8 + 0.13 * np.cos(5 * t) - 0.2 * np.maximum(up, 0),
        "cross": _polygon([(-.35, -1), (.35, -1), (.35, -.35), (1, -.35), (1, .35), (.35, .35),
                           (.35, 1), (-.35, 1), (-.35, .35), (-1, .35), (-1, -.35), (-.35, -.35)]),
        "drop": 0.72 + 0.42 * np.exp(-((np.abs(t + np.pi / 2) / 0.4) ** 2)),
        "flower": 0.78 + 0.24 * np.cos(6 * t),
        "gear": 0.86 + 0.13 * np.tanh(4 * np.cos(10 * t)),
        "heart": 0.98 - 0.42 * np.exp(-((np.abs(t + np.pi / 2) / 0.4) ** 2)) - 0.28 * np.abs(np.cos(t)) * (up > 0),
        "house": _polygon([(0, -1.05), (0.9, -0.3), (0.7, -0.3), (0.7, 0.9), (-0.7, 0.9), (-0.7, -0.3), (-0.9, -0.3)]),
        "kite": _polygon([(0, -1.15), (0.68, -0.2), (0, 1.15), (-0.68, -0.2)]),
        "leaf": 0.45 + 0.65 * np.abs(np.cos(t + 0.6)) ** 1.5,
        "moon": _polygon([(np.cos(a) * 1.05, 0.35 - 1.05 * np.sin(a)) for a in np.linspace(0, np.pi, 24)]),
        "ring": np.full(ANGLES, 0.98),
        "star": _star(5, 0.46),
        "tent": _polygon([(0, -1.0), (1.05, 0.8), (-1.05, 0.8)]),
    }  # fmt: skip
    inner = {"ring": np.full(ANGLES, 0.45)}
    none = np.full(ANGLES, -1.0)
    return (
        np.stack([outer[noun] for noun in NOUNS]).astype(np.float32),
        np.stack([inner.get(noun, none) for noun in NOUNS]).astype(np.float32),
    )


def render(scenes: Sequence[Scene], seeds: Sequence[int], world: World, size: int) -> NDArray[np.uint8]:
    """Paint ``scenes`` as uint8 ``[N, size, size, 3]``; ``seeds`` give jitter and noise, one an image."""
    generators = [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]
    canvas = _backgrounds(scenes, generators, world, size)
    objects = [_objects(scene, generator, world) for scene, generator in zip(scenes, generators, strict=True)]
    # The widest shape reaches 1.15 radii; one pixel on each side is for its soft edge.
    side = int(np.ceil(2 * (1.16 * world.radius[1] * size + 1)))
    for layer in range(max(len(row) for row in objects)):
        rows = [index for index, row in enumerate(objects) if layer < len(row)]
        _paint(canvas, np.array(rows), np.stack([objects[index][layer] for index in rows]), side)
    pictures: NDArray[np.uint8] = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return pictures


def _backgrounds(scenes: Sequence[Scene], generators: Sequence[np.random.Generator], world: World, size: int) -> Floats:
    """Ground colour, its own texture, and pixel noise that is drawn over it: float32 ``[N, size, size, 3]``."""
    ground = np.array([GROUND[scene.background] for scene in scenes], np.float32)
    kind = np.array([BACKGROUNDS.index(scene.background) for scene in scenes])
    jitter = np.stack([generator.random(4, np.float32) for generator in generators])
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    waves = _ground_waves(x, y)[kind] * (6 + 6 * jitter[:, 3])[:, None, None]
    tilt = (jitter[:, 0, None, None] - 0.5) * x + (jitter[:, 1, None, None] - 0.5) * y
    light = waves + 30 * tilt + 16 * (jitter[:, 2, None, None] - 0.5)
    noise = np.stack([generator.standard_normal((size, size, 3), np.float32) for generator in generators])
    canvas: Floats = ground[:, None, None] + light[..., None] + world.noise * noise
    return canvas


def _ground_waves(x: Floats, y: Floats) -> Floats:
    """One pattern a background in [-1, 1]: blades, ripples, drifts, slabs."""
    return np.stack(
        [
            np.sin(60 * x + 9 * np.sin(14 * y)),
            np.sin(34 * y + 3 * np.sin(9 * x)),
            np.sin(7 * x + 5 * y),
            np.sign(np.sin(20 * x + 10 * (np.sin(20 * y) > 0))) * 0.7,
        ]
    ).astype(np.float32)


def _objects(scene: Scene, generator: np.random.Generator, world: World) -> list[Floats]:
    """Rows to paint, back to front: centre x, y, radius, turn, phase u, v, shape, texture, colour r, g, b."""
    placed: list[tuple[Thing, tuple[float, float]]] = []
    if scene.extra is not None:
        placed.append((scene.extra, CENTRE[scene.extra.place]))
    if scene.count > 1:
        placed += [(scene.things[0], centre) for centre in SEVERAL[scene.count]]
    else:
        placed += [(thing, CENTRE[thing.place]) for thing in scene.things]
    crowd = 0.86 if len(placed) > 2 else 1.0
    smallest, largest = world.radius
    rows = []
    for thing, (x, y) in placed:
        u = generator.random(9, np.float32)
        radius = crowd * (smallest + (largest - smallest) * u[0])
        colour = NOUN_COLOUR[thing.noun] if world.attribute_is == "texture" else COLOUR[thing.attribute]
        texture = TEXTURES.index(thing.attribute) if world.attribute_is == "texture" else 0
        shade = 1 + 0.16 * (u[6] - 0.5)
        rows.append(
            np.array(
                [x + 0.1 * (u[1] - 0.5), y + 0.1 * (u[2] - 0.5), radius, 0.5 * (u[3] - 0.5), u[4], u[5],
                 NOUNS.index(thing.noun), texture, *(channel * shade for channel in colour)],
                np.float32,
            )
        )  # fmt: skip
    return rows


def _paint(canvas: Floats, rows: NDArray[np.int64], objects: Floats, side: int) -> None:
    """Blend one object a picture into ``canvas``, through a window of ``side`` pixels around it."""
    size = canvas.shape[1]
    centre = objects[:, :2] * size - 0.5
    corner = np.clip(np.round(centre - (side - 1) / 2).astype(int), 0, size - side)
    step = np.arange(side)
    column, row = corner[:, :1] + step, corner[:, 1:] + step
    scale = (objects[:, 2] * size)[:, None, None]
    dx = (column - centre[:, :1])[:, None, :] / scale
    dy = (row - centre[:, 1:])[:, :, None] / scale
    turn = objects[:, 3, None, None]
    radius = np.sqrt(dx * dx + dy * dy)
    slot = ((np.arctan2(dy, dx) - turn) * np.float32(ANGLES / (2 * np.pi)) + 1.5 * ANGLES).astype(int) % ANGLES
    shape = objects[:, 6].astype(int)[:, None, None]
    outer, inner = shape_tables()
    edge = np.minimum(outer[shape, slot] - radius, radius - inner[shape, slot]) * scale
    # Only what the object covers is coloured: less than half of the window.
    hit = np.nonzero(edge > -0.5)
    which, down, across = hit
    edge = edge[hit]
    sine, cosine = np.sin(objects[which, 3]), np.cos(objects[which, 3])
    x, y = dx[which, 0, across], dy[which, down, 0]
    ink = _textures(objects[which, 7].astype(int), x * cosine + y * sine, y * cosine - x * sine, objects[which, 4:6])
    colour = objects[which, 8:11]
    bright = (objects[:, 8:11] @ np.array([0.3, 0.59, 0.11], np.float32) > 150)[which, None]
    inked = colour + 0.85 * ink[:, None] * (np.where(bright, np.float32(30), np.float32(250)) - colour)
    # The outline, a little darker, keeps pale things visible on snow.
    painted = inked * (1 - 0.45 * np.clip(1.5 - edge, 0, 1))[:, None]
    where = (rows[which], row[which, down], column[which, across])
    under = canvas[where]
    canvas[where] = under + np.minimum(edge + 0.5, 1)[:, None] * (painted - under)


def _textures(kind: NDArray[np.int64], u: Floats, v: Floats, phase: Floats) -> Floats:
    """Ink in [0, 1] for plain, striped, dotted, checked at points ``u, v`` of the object's own coordinates."""
    a = np.sin(6.2 * u + 2.5 * (phase[:, 0] - 0.5))
    b = np.sin(6.2 * v + 2.5 * (phase[:, 1] - 0.5))
    pattern = np.select([kind == 1, kind == 2, kind == 3], [b, a * a * b * b - 0.45, a * b], -1.0)
    return np.clip(0.5 + 3.0 * pattern, 0, 1).astype(np.float32)


assert set(NOUN_COLOUR) == set(NOUNS) and set(COLOUR) == set(COLOURS) and set(GROUND) == set(BACKGROUNDS)
