"""The painter ``scenes``."""

import numpy as np
import pytest
from PIL import Image

from tripletclip.errors import UserError
from tripletclip.negatives.contract import PaintRequest, Rejected
from tripletclip.negatives.images.scenes import ScenesPainter, ScenesPainterConfig
from tripletclip.scenes.grammar import Scene, Thing
from tripletclip.scenes.record import scene_to_json
from tripletclip.scenes.render import render
from tripletclip.scenes.world import world_named

STAR = Scene((Thing("star", "plain", "left"),), "snow")
RED = Scene((Thing("ball", "red", "left"), Thing("box", "blue", "right")), "sand")


def asked(scene: str | None, seed: int = 5) -> PaintRequest:
    return PaintRequest(key="k", caption="whatever", seed=seed, scene=scene)


def pixels(picture: object) -> np.ndarray:
    assert isinstance(picture, Image.Image) and picture.mode == "RGB"
    return np.asarray(picture)


def test_a_picture_is_the_rendered_scene_whatever_its_batch() -> None:
    requests = [asked(scene_to_json("natural", STAR)), asked(None), asked(scene_to_json("dense", RED), 9), asked("{}"),
                asked(scene_to_json("natural", STAR), 6)]  # fmt: skip
    for batch_size in (1, 250):
        painter = ScenesPainter(ScenesPainterConfig(size=32, batch_size=batch_size))
        first, none, red, broken, second = painter.paint(requests)
        assert none == Rejected(reason="no scene") and broken == Rejected(reason="malformed scene")
        assert np.array_equal(pixels(first), render([STAR], [5], world_named("natural"), 32)[0])
        assert np.array_equal(pixels(second), render([STAR], [6], world_named("natural"), 32)[0])
        assert np.array_equal(pixels(red), render([RED], [9], world_named("dense"), 32)[0])
        assert painter.cost().calls == 5
    assert not np.array_equal(pixels(first), pixels(second)), "the seed gives jitter and noise"


def test_bad_settings_name_the_field() -> None:
    with pytest.raises(UserError, match=r"scenes\.size is 8"):
        ScenesPainterConfig(size=8)
    with pytest.raises(UserError, match=r"scenes\.batch_size is 0"):
        ScenesPainterConfig(batch_size=0)
