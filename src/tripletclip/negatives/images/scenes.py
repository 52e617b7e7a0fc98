"""Pictures of the embedded world's scenes: the painter ``scenes``."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from tripletclip.errors import UserError
from tripletclip.negatives.captions.scenes import MALFORMED, NO_SCENE
from tripletclip.negatives.contract import Cost, Failed, PaintRequest, Rejected
from tripletclip.scenes.grammar import Scene
from tripletclip.scenes.record import SceneError, scene_from_json
from tripletclip.scenes.render import render

SMALLEST = 16


@dataclass(frozen=True, kw_only=True)
class ScenesPainterConfig:
    """Side of the pictures in pixels, and how many are painted at a time."""

    size: int = 48
    batch_size: int = 250

    def __post_init__(self) -> None:
        if self.size < SMALLEST:
            raise UserError(f"scenes.size is {self.size}; give at least {SMALLEST}")
        if self.batch_size < 1:
            raise UserError(f"scenes.batch_size is {self.batch_size}; give at least 1")


class ScenesPainter:
    """Renders each request's scene; its seed gives jitter and noise."""

    name = "scenes"

    def __init__(self, config: ScenesPainterConfig) -> None:
        self.config = config
        self.model = f"scenes renderer {config.size}px"
        self.batch_size = config.batch_size
        self._cost = Cost()

    def paint(self, requests: Sequence[PaintRequest]) -> list[Image.Image | Rejected | Failed]:
        """A picture of each scene; a row without one, or of another world, is rejected."""
        start = time.perf_counter()
        results: list[Image.Image | Rejected | Failed] = [Rejected(reason=NO_SCENE) for _ in requests]
        by_world: dict[str, list[tuple[int, Scene]]] = {}
        worlds = {}
        for index, request in enumerate(requests):
            if request.scene is None:
                continue
            try:
                world, scene = scene_from_json(request.scene)
            except SceneError:
                results[index] = Rejected(reason=MALFORMED)
                continue
            worlds[world.name] = world
            by_world.setdefault(world.name, []).append((index, scene))
        for name, rows in by_world.items():
            for first in range(0, len(rows), self.batch_size):
                batch = rows[first : first + self.batch_size]
                seeds = [requests[index].seed for index, _ in batch]
                pictures = render([scene for _, scene in batch], seeds, worlds[name], self.config.size)
                for (index, _), picture in zip(batch, pictures, strict=True):
                    results[index] = Image.fromarray(picture)
        self._cost += Cost(calls=len(requests), seconds=time.perf_counter() - start)
        return results

    def cost(self) -> Cost:
        """Pictures asked for as calls, and the seconds they took."""
        return self._cost
