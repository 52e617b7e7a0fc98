"""SugarCrepe's seven kinds of edit, exact: scene and phrasing in, edited scene and phrasing out.

The caption of the edited scene comes from the same template, so it differs in the edited words alone.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TypeAlias

from tripletclip.scenes.grammar import OPPOSITE, Phrasing, Scene, Thing, draw_noun, free_place
from tripletclip.scenes.world import PLACES, World

Edit: TypeAlias = tuple[Scene, Phrasing]
Editor: TypeAlias = Callable[[World, Scene, Phrasing, Random], Edit | None]


def _others(words: tuple[str, ...], *taken: str) -> list[str]:
    return [word for word in words if word not in taken]


def _nouns(scene: Scene) -> list[str]:
    return [thing.noun for thing in (*scene.things, *([scene.extra] if scene.extra else []))]


def _with_thing(scene: Scene, index: int, thing: Thing) -> Scene:
    things = list(scene.things)
    things[index] = thing
    return replace(scene, things=tuple(things))


def replace_obj(world: World, scene: Scene, phrasing: Phrasing, rng: Random) -> Edit | None:
    """Another noun for one of the things."""
    index = rng.randrange(len(scene.things))
    noun = draw_noun(world, rng, _nouns(scene))
    return _with_thing(scene, index, replace(scene.things[index], noun=noun)), phrasing


def replace_att(world: World, scene: Scene, phrasing: Phrasing, rng: Random) -> Edit | None:
    """Another attribute, where one is said; another number, where things are counted."""
    said = [index for index in range(len(scene.things)) if phrasing.attributes[index]]
    if scene.count > 1 and (not said or rng.random() < 0.5):
        return replace(scene, count=5 - scene.count), phrasing
    if not said:
        return None
    index = rng.choice(said)
    thing = scene.things[index]
    attribute = rng.choice(_others(world.attributes, thing.attribute))
    return _with_thing(scene, index, replace(thing, attribute=attribute)), phrasing


def replace_rel(world: World, scene: Scene, phrasing: Phrasing, rng: Random) -> Edit | None:
    """Another place for a single thing, another relation for two."""
    if scene.count > 1:
        return None
    place = rng.choice(_others(PLACES, scene.things[0].place))
    things = tuple(replace(thing, place=at) for thing, at in zip(scene.things, (place, OPPOSITE[place]), strict=False))
    extra = replace(scene.extra, place=free_place(things, rng)) if scene.extra else None
    return replace(scene, things=things, extra=extra), phrasing


def swap_obj(world: World, scene: Scene, phrasing: Phrasing, rng: Random) -> Edit | None:
    """The two things, with what is said of them, change places."""
    if len(scene.things) < 2:
        return None
    first, second = scene.things
    swapped = (replace(second, place=first.place), replace(first, place=second.place))
    said_first, said_second, said_extra = phrasing.attributes
    return replace(scene, things=swapped), replace(phrasing, attributes=(said_second, said_first, said_extra))


def swap_att(world: World, scene: Scene, phrasing: Phrasing, rng: Random) -> Edit | None:
    """The two things exchange their attributes, where both are said and differ."""
    if len(scene.things) < 2 or not all(phrasing.attributes[:2]):
        return None
    first, second = scene.things
    if first.attribute == second.attribute:
        return None
    swapped = (replace(first, attribute=second.attribute), replace(second, attribute=first.attribute))
    return replace(scene, things=swapped), phrasing


def add_obj(world: World, scene: Scene, phrasing: Phrasing, rng: Random) -> Edit | None:
    """One more object, in the picture and at the end of the caption."""
    if scene.extra is not None or scene.count > 1:
        return None
    noun = draw_noun(world, rng, _nouns(scene))
    extra = Thing(noun, world.typical[noun], free_place(scene.things, rng))
    return replace(scene, extra=extra), phrasing


def add_att(world: World, scene: Scene, phrasing: Phrasing, rng: Random) -> Edit | None:
    """An attribute is said that was not said, and that the thing did not have."""
    unsaid = [index for index in range(len(scene.things)) if not phrasing.attributes[index]]
    if not unsaid:
        return None
    index = rng.choice(unsaid)
    thing = scene.things[index]
    attribute = rng.choice(_others(world.attributes, thing.attribute))
    said = tuple(flag or place == index for place, flag in enumerate(phrasing.attributes))
    edited = _with_thing(scene, index, replace(thing, attribute=attribute))
    return edited, replace(phrasing, attributes=(said[0], said[1], said[2]))


EDITORS: dict[str, Editor] = {
    "add_att": add_att,
    "add_obj": add_obj,
    "replace_att": replace_att,
    "replace_obj": replace_obj,
    "replace_rel": replace_rel,
    "swap_att": swap_att,
    "swap_obj": swap_obj,
}
"""SugarCrepe's split name to its editor. An editor returns None where the scene offers nothing to edit."""
