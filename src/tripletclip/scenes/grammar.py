"""Scenes and their captions. Everything is drawn from a ``random.Random`` that the caller seeds."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from tripletclip.scenes.world import BACKGROUNDS, PLACES, World

OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
RELATION = {"left": "left of", "right": "right of", "top": "above", "bottom": "below"}
AT = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
COUNT = {1: "", 2: "two", 3: "three"}
PLURAL = {"box": "boxes", "cross": "crosses", "leaf": "leaves"}

ALONE = ("{a} {at_a}", "there is {a} {at_a}", "{at_a} there is {a}", "a picture of {a} {at_a}")
PAIR = ("{a} {relation} {b}", "{a} {at_a} and {b} {at_b}", "{at_a} {a} and {at_b} {b}", "there is {a} {relation} {b}")
COUNTED = ("{a}", "there are {a}", "one can see {a}", "a picture of {a}")
TEMPLATES = 4
"""Paraphrase templates for each of the three kinds of scene."""


@dataclass(frozen=True)
class Thing:
    """An object: its noun, its attribute, and its place in the picture."""

    noun: str
    attribute: str
    place: str


@dataclass(frozen=True)
class Scene:
    """One or two placed ``things`` (the first is said first), or one thing ``count`` times, and maybe one ``extra``."""

    things: tuple[Thing, ...]
    background: str
    extra: Thing | None = None
    count: int = 1


@dataclass(frozen=True)
class Phrasing:
    """How a scene is put into words: the template and what is said. An edited scene keeps its phrasing.

    ``attributes`` says for the things, then for the extra, whether the attribute is said.
    """

    template: int
    attributes: tuple[bool, bool, bool]
    background: bool


def sample_scene(world: World, rng: Random) -> Scene:
    """Draw a scene with the priors of the world; held-out combinations are not excluded here."""
    background = rng.choice(BACKGROUNDS)
    kind = rng.random()
    extra_place: str | None = None
    if kind < world.counted_rate:
        noun = draw_noun(world, rng)
        return Scene((_thing(world, rng, noun, "middle"),), background, count=rng.choice((2, 3)))
    if kind < world.counted_rate + world.alone_rate:
        nouns = _draw_nouns(world, rng, 2)
        place = world.typical_place[nouns[0]] if rng.random() < world.place_prior else rng.choice(PLACES)
        things: tuple[Thing, ...] = (_thing(world, rng, nouns[0], place),)
        extra_place = OPPOSITE[place]
    else:
        nouns = _draw_nouns(world, rng, 3)
        first, second = world.typical_places(nouns[0], nouns[1])
        if rng.random() >= world.place_prior:
            first = rng.choice(PLACES)
            second = OPPOSITE[first]
        things = (_thing(world, rng, nouns[0], first), _thing(world, rng, nouns[1], second))
        extra_place = free_place(things, rng)
    extra = _thing(world, rng, nouns[-1], extra_place) if rng.random() < world.extra_rate else None
    return Scene(things, background, extra)


def draw_noun(world: World, rng: Random, taken: Collection[str] = ()) -> str:
    """A noun by its frequency that is not ``taken``."""
    while (noun := rng.choices(world.nouns, cum_weights=world.cumulative_frequency)[0]) in taken:
        pass
    return noun


def _draw_nouns(world: World, rng: Random, count: int) -> list[str]:
    nouns: list[str] = []
    while len(nouns) < count:
        nouns.append(draw_noun(world, rng, nouns))
    # Drawing without return favours frequent nouns in front; no place in the scene shall.
    rng.shuffle(nouns)
    return nouns


def free_place(things: tuple[Thing, ...], rng: Random) -> str:
    """A place that no thing takes: across from a single one, beside the axis of two."""
    taken = {thing.place for thing in things}
    if len(things) == 1:
        return OPPOSITE[things[0].place]
    return rng.choice([place for place in PLACES if place not in taken])


def _thing(world: World, rng: Random, noun: str, place: str) -> Thing:
    typical = world.typical[noun]
    if rng.random() < world.attribute_prior:
        return Thing(noun, typical, place)
    return Thing(noun, rng.choice([attribute for attribute in world.attributes if attribute != typical]), place)


def sample_phrasing(world: World, rng: Random) -> Phrasing:
    """Draw how a scene is said."""
    first, second, extra = (rng.random() < world.attribute_rate for _ in range(3))
    return Phrasing(rng.randrange(TEMPLATES), (first, second, extra), rng.random() < world.background_rate)


def caption(scene: Scene, phrasing: Phrasing) -> str:
    """The caption: a pure function, so an edited scene is said in the same words but for the edit."""
    a = _noun_phrase(scene.things[0], phrasing.attributes[0], scene.count)
    place = scene.things[0].place
    if scene.count > 1:
        text = COUNTED[phrasing.template].format(a=a)
    elif len(scene.things) == 1:
        text = ALONE[phrasing.template].format(a=a, at_a=AT[place])
    else:
        b = _noun_phrase(scene.things[1], phrasing.attributes[1], 1)
        text = PAIR[phrasing.template].format(
            a=a, b=b, relation=RELATION[place], at_a=AT[place], at_b=AT[scene.things[1].place]
        )
    if scene.extra is not None:
        text += f" with {_noun_phrase(scene.extra, phrasing.attributes[2], 1)}"
    return f"{text} on {scene.background}" if phrasing.background else text


def _noun_phrase(thing: Thing, say_attribute: bool, count: int) -> str:
    words = [thing.attribute] if say_attribute else []
    words.append(thing.noun if count == 1 else PLURAL.get(thing.noun, f"{thing.noun}s"))
    article = COUNT[count] or ("an" if words[0][0] in "aeiou" else "a")
    return " ".join([article, *words])


def relation_of(scene: Scene) -> tuple[str, str, str] | None:
    """(noun, axis, noun) of the two things: the first stands left of or above the second. None if there are not two."""
    if len(scene.things) < 2:
        return None
    first, second = scene.things
    if first.place in ("right", "bottom"):
        first, second = second, first
    return first.noun, "across" if first.place == "left" else "down", second.noun


def is_heldout(world: World, scene: Scene) -> bool:
    """Whether the scene shows a combination that training never shows."""
    shown = [*scene.things, *([scene.extra] if scene.extra else [])]
    return any((thing.noun, thing.attribute) in world.heldout_things for thing in shown) or (
        relation_of(scene) in world.heldout_relations
    )


def vocabulary(world: World) -> list[str]:
    """Every word that a caption of this world can hold, sorted."""
    words = {*world.nouns, *(PLURAL.get(noun, f"{noun}s") for noun in world.nouns), *world.attributes, *BACKGROUNDS}
    for phrase in (*ALONE, *PAIR, *COUNTED, *RELATION.values(), *AT.values(), *COUNT.values(), "a an with on"):
        words.update(word for word in phrase.split() if not word.startswith("{"))
    return sorted(words)
