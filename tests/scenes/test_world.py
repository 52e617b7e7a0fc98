"""What the worlds promise: the same seed gives the same scene, priors hold, held-out means never shown."""

from collections import Counter
from random import Random

import pytest

from tripletclip.errors import UserError
from tripletclip.scenes.benchmark import pair_item, train_item
from tripletclip.scenes.edits import EDITORS
from tripletclip.scenes.grammar import Scene, caption, sample_phrasing, sample_scene, vocabulary
from tripletclip.scenes.world import WORLDS, World, seed_of, world_named


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest) -> World:
    return world_named(request.param)


def never_in_training(world: World, scene: Scene) -> bool:
    """Whether a held-out combination is in the scene, worked out from the things' places."""
    shown = [*scene.things, scene.extra] if scene.extra else [*scene.things]
    if any((thing.noun, thing.attribute) in world.heldout_things for thing in shown):
        return True
    at = {thing.place: thing.noun for thing in scene.things}
    return any(
        low in at and high in at and (at[low], axis, at[high]) in world.heldout_relations
        for low, axis, high in (("left", "across", "right"), ("top", "down", "bottom"))
    )


def scenes(world: World, count: int) -> list[Scene]:
    return [sample_scene(world, Random(seed_of("test", index))) for index in range(count)]


def test_a_seed_depends_on_its_parts_and_their_borders() -> None:
    assert seed_of("a", 1) == seed_of("a", "1") != seed_of("a1") and seed_of("a", 1) != seed_of("a", 2)
    assert seed_of("ab", "c") != seed_of("a", "bc") and 0 <= seed_of("x") < 2**63
    assert seed_of("train", 1, 0) == 6339516847422894070  # the same on every machine and in every release


def test_items_are_a_function_of_the_seed(world: World) -> None:
    assert [train_item(world, Random(seed)) for seed in range(20)] == [
        train_item(world, Random(seed)) for seed in range(20)
    ]
    assert len({train_item(world, Random(seed)).caption for seed in range(20)}) > 10


def test_training_never_shows_a_heldout_combination(world: World) -> None:
    assert world.heldout_things and world.heldout_relations
    for index in range(2500):
        item = train_item(world, Random(seed_of("train", index)))
        assert not never_in_training(world, item.scene) and not never_in_training(world, item.neg_scene)


def test_a_typical_pair_is_never_heldout(world: World) -> None:
    assert not world.heldout_things & set(world.typical.items())


@pytest.mark.parametrize("split", sorted(EDITORS))
@pytest.mark.parametrize("heldout", [False, True])
def test_the_heldout_part_holds_a_combination_in_every_item_and_the_other_in_none(
    world: World, split: str, heldout: bool
) -> None:
    for index in range(60):
        item = pair_item(world, split, heldout, Random(seed_of(split, index)))
        shows = [never_in_training(world, scene) for scene in (item.scene, item.neg_scene)]
        assert item.split == split and any(shows) == heldout


def test_attribute_prior_holds_and_dense_has_none() -> None:
    for name in ("natural", "dense"):
        world = world_named(name)
        things = [thing for scene in scenes(world, 3000) for thing in scene.things]
        share = sum(thing.attribute == world.typical[thing.noun] for thing in things) / len(things)
        assert share == pytest.approx(world.attribute_prior, abs=0.03)
    assert world_named("natural").attribute_prior > 0.7
    assert world_named("dense").attribute_prior == pytest.approx(1 / len(world_named("dense").attributes))


def test_place_prior_holds_and_dense_has_none() -> None:
    for name in ("natural", "dense"):
        world = world_named(name)
        alone = [s.things[0] for s in scenes(world, 4000) if len(s.things) == 1 and s.count == 1]
        pairs = [s.things for s in scenes(world, 4000) if len(s.things) == 2]
        alone_typical = sum(thing.place == world.typical_place[thing.noun] for thing in alone) / len(alone)
        typical = [world.typical_places(a.noun, b.noun) == (a.place, b.place) for a, b in pairs]
        # Without the prior, one of the four places comes up by chance.
        expected = world.place_prior + (1 - world.place_prior) / 4
        assert alone_typical == pytest.approx(expected, abs=0.05)
        assert sum(typical) / len(typical) == pytest.approx(expected, abs=0.04)
    assert world_named("natural").place_prior > 0.5 and world_named("dense").place_prior == 0


def test_typical_places_do_not_depend_on_who_is_said_first(world: World) -> None:
    for first in world.nouns:
        for second in world.nouns:
            if first != second:
                assert world.typical_places(first, second) == world.typical_places(second, first)[::-1]


def shown_nouns(scene: Scene) -> list[str]:
    return [thing.noun for thing in scene.things] + ([scene.extra.noun] if scene.extra else [])


def test_no_noun_comes_twice_in_a_scene_and_every_noun_comes(world: World) -> None:
    shown = [shown_nouns(scene) for scene in scenes(world, 3000)]
    assert all(len(set(nouns)) == len(nouns) for nouns in shown)
    assert {noun for nouns in shown for noun in nouns} == set(world.nouns)


def test_nouns_of_dense_are_uniform() -> None:
    dense = world_named("dense")
    counts = Counter(noun for scene in scenes(dense, 3000) for noun in shown_nouns(scene))
    for noun in dense.nouns:
        assert counts[noun] / counts.total() == pytest.approx(1 / len(dense.nouns), abs=0.03)


def test_things_do_not_stand_in_the_same_place(world: World) -> None:
    for scene in scenes(world, 1000):
        places = [thing.place for thing in scene.things] + ([scene.extra.place] if scene.extra else [])
        assert len(set(places)) == len(places)


def test_attributes_are_said_as_often_as_the_world_says(world: World) -> None:
    said = [flag for seed in range(2000) for flag in sample_phrasing(world, Random(seed)).attributes]
    assert sum(said) / len(said) == pytest.approx(world.attribute_rate, abs=0.04)


def test_every_word_of_every_caption_is_in_the_vocabulary(world: World) -> None:
    words = vocabulary(world)
    assert words == sorted(set(words))
    rng = Random(0)
    for scene in scenes(world, 2000):
        assert set(caption(scene, sample_phrasing(world, rng)).split()) <= set(words)


def test_unknown_world_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown world 'naturel'; did you mean 'natural'"):
        world_named("naturel")
