"""The writer ``scenes``: exact edits that the grammar itself would say, and columns that cannot be trusted."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripletclip.errors import UserError
from tripletclip.negatives.captions.scenes import (
    EDIT,
    ScenesConfig,
    ScenesWriter,
    phrasings_of,
)
from tripletclip.negatives.contract import NEG_SCENE, Rejected, Request, Written
from tripletclip.scenes.grammar import Phrasing, Scene, Thing, caption, is_heldout, sample_phrasing, sample_scene
from tripletclip.scenes.record import SceneError, scene_from_json, scene_to_json
from tripletclip.scenes.world import WORLDS, world_named

TWO = Scene((Thing("star", "striped", "left"), Thing("moon", "plain", "right")), "snow")
SAID = "a striped star left of a plain moon"


def request(scene: Scene | None = TWO, text: str = SAID, seed: int = 1, world: str = "natural") -> Request:
    return Request(key="k", caption=text, seed=seed, scene=None if scene is None else scene_to_json(world, scene))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(WORLDS)), st.integers(0, 10**6))
def test_every_scene_survives_json_and_its_caption_tells_the_phrasing(name: str, seed: int) -> None:
    world, rng = world_named(name), Random(seed)
    scene, phrasing = sample_scene(world, rng), sample_phrasing(world, rng)
    text = scene_to_json(name, scene)
    assert scene_from_json(text) == (world, scene) and "\n" not in text
    found = phrasings_of(scene, caption(scene, phrasing))
    assert phrasing in found
    assert {option.background for option in found} == {phrasing.background}
    assert {option.attributes[: len(scene.things)] for option in found} == {phrasing.attributes[: len(scene.things)]}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(WORLDS)), st.integers(0, 10**6))
def test_what_is_written_is_the_caption_of_the_scene_that_travels_with_it(name: str, seed: int) -> None:
    world, rng = world_named(name), Random(seed)
    scene, phrasing = sample_scene(world, rng), sample_phrasing(world, rng)
    text = caption(scene, phrasing)
    answers = ScenesWriter(ScenesConfig(per_caption=9)).write([request(scene, text, seed, name)])[0]
    for answer in answers:
        assert isinstance(answer, Written) or (is_heldout(world, scene) and answer.reason == "no edit found")
        if isinstance(answer, Written):
            _, edited = scene_from_json(str(answer.extra[NEG_SCENE]))
            assert edited != scene and answer.caption != text and not is_heldout(world, edited)
            assert phrasings_of(edited, answer.caption)


def test_each_edit_has_its_category() -> None:
    answers = ScenesWriter(ScenesConfig(per_caption=9, heldout=True)).write([request()])[0]
    found = {
        str(answer.extra[EDIT]): (answer.category, answer.caption) for answer in answers if isinstance(answer, Written)
    }
    assert found["swap_att"] == ("swap", "a plain star left of a striped moon")
    assert found["swap_obj"] == ("swap", "a plain moon left of a striped star")
    assert found["replace_rel"][0] == "relation" and found["replace_obj"][0] == "object"
    assert found["replace_att"][0] == "attribute" and found["add_obj"][0] == "object"
    assert "add_att" not in found, "both attributes are said"


def test_another_number_is_a_count() -> None:
    counted = Scene((Thing("star", "plain", "middle"),), "snow", count=2)
    requests = [request(counted, "there are two stars", seed) for seed in range(10)]
    writer = ScenesWriter(ScenesConfig(heldout=True))
    answers = [answer for found in writer.write(requests) for answer in found if isinstance(answer, Written)]
    assert {answer.category for answer in answers if answer.caption == "there are three stars"} == {"count"}


def test_held_out_combinations_are_written_only_when_asked_for() -> None:
    requests = [request(seed=seed) for seed in range(200)]
    edited = []
    for config in (ScenesConfig(), ScenesConfig(heldout=True)):
        answers = [answer for found in ScenesWriter(config).write(requests) for answer in found]
        columns = [str(answer.extra[NEG_SCENE]) for answer in answers if isinstance(answer, Written)]
        edited.append([scene_from_json(column)[1] for column in columns])
    world = world_named("natural")
    assert [any(is_heldout(world, scene) for scene in scenes) for scenes in edited] == [False, True]


def test_an_answer_depends_on_its_own_request_alone() -> None:
    requests = [request(seed=seed) for seed in range(20)]
    together = ScenesWriter().write(requests)
    assert [ScenesWriter().write([one])[0] for one in reversed(requests)] == together[::-1]
    assert len({found[0].caption for found in together if isinstance(found[0], Written)}) > 3
    assert all(len(found) <= 4 for found in together)


def changed(**fields: object) -> str:
    return json.dumps(json.loads(scene_to_json("natural", TWO)) | fields)


THING = {"noun": "star", "attribute": "plain", "place": "left"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "1", "null", '"scene"', "[" * 100_000),
        *(changed(world=world) for world in ("flat", ["natural"], None)),
        *(changed(things=things) for things in ([], None, [THING] * 3, [THING, THING])),
        changed(things=[THING | {"noun": "dragon"}]),
        changed(things=[THING | {"attribute": "red"}]),
        changed(things=[dict(THING, place="nowhere")]),
        *(changed(count=count) for count in (0, True, 2, 10**9)),
        *(changed(extra=extra) for extra in ("x", THING | {"place": "middle"})),
        changed(background="lava"),
    ],
)
def test_a_column_that_holds_no_scene_is_rejected(text: str) -> None:
    with pytest.raises(SceneError):
        scene_from_json(text)
    answer = ScenesWriter().write([Request(key="k", caption=SAID, seed=1, scene=text)])
    assert answer == [[Rejected(reason="malformed scene")]]


def test_rows_without_a_scene_and_captions_of_others_are_rejected() -> None:
    answers = ScenesWriter().write([request(None), request(text="a dog on a mat"), request()])
    assert answers[:2] == [[Rejected(reason="no scene")], [Rejected(reason="caption is not the scene's")]]
    assert isinstance(answers[2][0], Written)
    assert caption(TWO, Phrasing(0, (True, True, False), False)) == SAID


def test_bad_settings_name_the_field() -> None:
    with pytest.raises(UserError, match=r"scenes\.per_caption is 0"):
        ScenesConfig(per_caption=0)
