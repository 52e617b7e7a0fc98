"""The seven edits, field by field and word by word, against what their names say."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tripletclip.scenes.edits import EDITORS
from tripletclip.scenes.grammar import Phrasing, Scene, caption, sample_phrasing, sample_scene
from tripletclip.scenes.world import PLACES, WORLDS, World, world_named

ARTICLES = {"a", "an"}
PLACE_WORDS = {"left", "right", "top", "bottom", "above", "below", "of", "at", "on", "the"}
ACROSS = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}

Edited = tuple[Scene, Phrasing, Scene, Phrasing]


def edits(world: World, split: str, count: int = 150) -> list[Edited]:
    """``count`` scenes that ``split`` can edit, with their edits. Half of the attributes are said, in any world."""
    talkative = replace(world, attribute_rate=0.5)
    rng = Random(7)
    found: list[Edited] = []
    while len(found) < count:
        scene, phrasing = sample_scene(world, rng), sample_phrasing(talkative, rng)
        edit = EDITORS[split](world, scene, phrasing, rng)
        if edit is not None:
            found.append((scene, phrasing, *edit))
    return found


def flat(scene: Scene) -> dict[str, str | int]:
    """Every field of a scene by its path."""
    fields: dict[str, str | int] = {"background": scene.background, "count": scene.count}
    shown = {"first": scene.things[0]}
    if len(scene.things) == 2:
        shown["second"] = scene.things[1]
    if scene.extra is not None:
        shown["extra"] = scene.extra
    for name, thing in shown.items():
        fields |= {f"{name} noun": thing.noun, f"{name} attribute": thing.attribute, f"{name} place": thing.place}
    return fields


def changes(scene: Scene, edited: Scene) -> dict[str, tuple[str | int | None, str | int | None]]:
    """Path to the old and the new value, where they differ."""
    old, new = flat(scene), flat(edited)
    return {name: (old.get(name), new.get(name)) for name in old | new if old.get(name) != new.get(name)}


def word_changes(edit: Edited) -> tuple[Counter[str], Counter[str]]:
    """Words that the edit took from the caption and put into it; articles follow their nouns and do not count."""
    old, new = (
        Counter(word for word in caption(scene, phrasing).split() if word not in ARTICLES)
        for scene, phrasing in ((edit[0], edit[1]), (edit[2], edit[3]))
    )
    return old - new, new - old


def frame(scene: Scene, phrasing: Phrasing, without: set[str]) -> list[str]:
    """The caption's words in their order, but for articles and the words of the edit."""
    return [word for word in caption(scene, phrasing).split() if word not in ARTICLES | without]


def same_frame(edit: Edited, without: set[str]) -> bool:
    return frame(edit[0], edit[1], without) == frame(edit[2], edit[3], without)


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest) -> World:
    return world_named(request.param)


def test_the_editors_are_sugarcrepes_splits() -> None:
    assert set(EDITORS) == {"add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj"}


def test_replace_obj_changes_one_noun(world: World) -> None:
    for edit in edits(world, "replace_obj"):
        scene, phrasing, edited, said = edit
        (path, (old, new)), *others = changes(scene, edited).items()
        assert path in ("first noun", "second noun") and not others
        assert new not in [value for name, value in flat(scene).items() if name.endswith("noun")]
        taken, put = word_changes(edit)
        assert said == phrasing and taken.total() == put.total() == 1
        assert next(iter(taken))[:3] == str(old)[:3] and next(iter(put))[:3] == str(new)[:3]  # boxes, leaves
        assert same_frame(edit, {*taken, *put})


def test_replace_att_changes_one_said_attribute_or_the_number(world: World) -> None:
    seen = set()
    for edit in edits(world, "replace_att"):
        scene, phrasing, edited, said = edit
        (path, (old, new)), *others = changes(scene, edited).items()
        assert not others and said == phrasing
        seen.add(path)
        if path == "count":
            assert (old, new) in ((2, 3), (3, 2))
            expected = {2: "two", 3: "three"}[int(old or 0)], {2: "two", 3: "three"}[int(new or 0)]
        else:
            assert phrasing.attributes[("first attribute", "second attribute").index(path)]
            expected = str(old), str(new)
        assert word_changes(edit) == (Counter([expected[0]]), Counter([expected[1]]))
        assert same_frame(edit, set(expected))
    assert seen == {"first attribute", "second attribute", "count"}


def test_replace_rel_moves_things_and_says_it(world: World) -> None:
    for edit in edits(world, "replace_rel"):
        scene, phrasing, edited, said = edit
        moved = changes(scene, edited)
        assert "first place" in moved and all(path.endswith("place") for path in moved)
        assert said == phrasing and edited.count == 1
        if len(edited.things) == 2:
            assert edited.things[1].place == ACROSS[edited.things[0].place]
        if edited.extra is not None:
            assert edited.extra.place in set(PLACES) - {thing.place for thing in edited.things}
        taken, put = word_changes(edit)
        assert caption(scene, phrasing) != caption(edited, said) and {*taken, *put} <= PLACE_WORDS
        assert same_frame(edit, PLACE_WORDS)


def test_swap_obj_exchanges_the_things_with_what_is_said_of_them(world: World) -> None:
    for edit in edits(world, "swap_obj"):
        scene, phrasing, edited, said = edit
        (first, second), (new_first, new_second) = scene.things, edited.things
        assert (new_first.noun, new_first.attribute) == (second.noun, second.attribute)
        assert (new_second.noun, new_second.attribute) == (first.noun, first.attribute)
        assert (new_first.place, new_second.place) == (first.place, second.place)
        assert replace(edited, things=scene.things) == scene
        assert said.attributes == (phrasing.attributes[1], phrasing.attributes[0], phrasing.attributes[2])
        assert replace(said, attributes=phrasing.attributes) == phrasing
        assert same_frame(edit, {*world.nouns, *world.attributes})


def test_swap_att_exchanges_two_said_attributes(world: World) -> None:
    for edit in edits(world, "swap_att"):
        scene, phrasing, edited, said = edit
        first, second = (thing.attribute for thing in scene.things)
        assert changes(scene, edited) == {"first attribute": (first, second), "second attribute": (second, first)}
        assert said == phrasing and phrasing.attributes[:2] == (True, True)
        assert same_frame(edit, {first, second})


@pytest.mark.parametrize("split", ["swap_att", "swap_obj"])
def test_swaps_keep_the_bag_of_words(world: World, split: str) -> None:
    for scene, phrasing, edited, said in edits(world, split):
        old, new = caption(scene, phrasing).split(), caption(edited, said).split()
        assert old != new and Counter(old) == Counter(new)


def test_add_obj_adds_one_new_object(world: World) -> None:
    for edit in edits(world, "add_obj"):
        scene, phrasing, edited, said = edit
        assert scene.extra is None and edited.extra is not None and said == phrasing
        assert replace(edited, extra=None) == scene
        assert edited.extra.noun not in {thing.noun for thing in scene.things}
        assert edited.extra.place in set(PLACES) - {thing.place for thing in scene.things}
        attribute = [edited.extra.attribute] if phrasing.attributes[2] else []
        assert word_changes(edit) == (Counter(), Counter(["with", *attribute, edited.extra.noun]))
        before = caption(scene, replace(phrasing, background=False))
        assert caption(edited, replace(said, background=False)).startswith(f"{before} with ")


def test_add_att_says_an_attribute_that_the_thing_did_not_have(world: World) -> None:
    for edit in edits(world, "add_att"):
        scene, phrasing, edited, said = edit
        (path, (old, new)), *others = changes(scene, edited).items()
        index = ("first attribute", "second attribute").index(path)
        assert not others and old != new
        flags = list(phrasing.attributes)
        assert not flags[index]
        flags[index] = True
        assert list(said.attributes) == flags and replace(said, attributes=phrasing.attributes) == phrasing
        assert word_changes(edit) == (Counter(), Counter([str(new)]))


def test_an_edit_always_changes_the_caption_and_only_by_the_seed(world: World) -> None:
    for split in EDITORS:
        once, again = edits(world, split, 40), edits(world, split, 40)
        assert once == again
        assert all(caption(scene, phrasing) != caption(edited, said) for scene, phrasing, edited, said in once)
