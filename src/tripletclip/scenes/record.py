"""A scene as one line of JSON: the column that lets other stages edit and paint it again."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tripletclip.scenes.grammar import OPPOSITE, Scene, Thing
from tripletclip.scenes.world import BACKGROUNDS, PLACES, WORLDS, World, world_named


class SceneError(ValueError):
    """A column that holds no scene of a known world."""


def scene_to_json(world: str, scene: Scene) -> str:
    """A scene with the name of its world, in one line; the same scene gives the same text."""
    return json.dumps({"world": world, **asdict(scene)}, sort_keys=True)


def scene_from_json(text: str) -> tuple[World, Scene]:
    """The world and the scene that :func:`scene_to_json` wrote. Raises :class:`SceneError` for anything else."""
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict) or fields["world"] not in WORLDS:
            raise SceneError("no known world")
        world = world_named(fields["world"])
        things = tuple(_thing(world, thing) for thing in fields["things"])
        extra = None if fields["extra"] is None else _thing(world, fields["extra"])
        scene = Scene(things, fields["background"], extra, fields["count"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SceneError(str(error)) from error
    _check(scene)
    return world, scene


def _thing(world: World, fields: Mapping[str, Any]) -> Thing:
    thing = Thing(fields["noun"], fields["attribute"], fields["place"])
    if (
        thing.noun not in world.nouns
        or thing.attribute not in world.attributes
        or thing.place not in (*PLACES, "middle")
    ):
        raise SceneError(f"no such thing in the {world.name} world")
    return thing


def _check(scene: Scene) -> None:
    """A scene as the grammar makes them: one or two placed things across from each other, or one kind counted."""
    places = [thing.place for thing in scene.things]
    counted = scene.count in (2, 3) and places == ["middle"] and scene.extra is None
    placed = scene.count == 1 and len(places) in (1, 2) and "middle" not in places
    across = len(places) < 2 or OPPOSITE.get(places[0]) == places[1]
    extra_placed = scene.extra is None or scene.extra.place in PLACES
    if type(scene.count) is not int or scene.background not in BACKGROUNDS:
        raise SceneError("count or background")
    if not counted and not (placed and across and extra_placed):
        raise SceneError("places")
