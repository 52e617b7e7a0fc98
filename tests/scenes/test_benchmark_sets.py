"""Data sets of the world as shards: the same bytes in any run, batch and number of workers; labels that are true."""

import io
import json
import re
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from tripletclip.data.shards import Shards
from tripletclip.errors import UserError
from tripletclip.scenes import benchmark
from tripletclip.scenes.benchmark import SetConfig, class_names, pair_item, write_set
from tripletclip.scenes.edits import EDITORS
from tripletclip.scenes.render import render
from tripletclip.scenes.world import WORLDS, seed_of, world_named


def config(part: str, rows: int, *, world: str = "natural", seed: int = 1, shard_rows: int = 100) -> SetConfig:
    return SetConfig(world=world, part=part, rows=rows, seed=seed, shard_rows=shard_rows)


def tars(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.tar"))]


@pytest.mark.parametrize("part", ["train", "pairs", "pairs-heldout", "retrieval", "classes"])
def test_two_runs_give_the_same_tar(tmp_path: Path, part: str) -> None:
    one, two = (write_set(config(part, 60), tmp_path / name) for name in ("one", "two"))
    other_seed = write_set(config(part, 60, seed=2), tmp_path / "three")
    assert tars(one) == tars(two) != tars(other_seed)


def test_a_longer_set_begins_with_the_shorter(tmp_path: Path) -> None:
    """Rows do not depend on how many there are, nor on how they are cut into shards and batches."""
    whole = Shards(write_set(config("retrieval", 90), tmp_path / "whole"))
    cut = Shards(write_set(config("retrieval", 60, shard_rows=25), tmp_path / "cut"))
    assert len(tars(tmp_path / "cut")) == 3
    assert cut.keys == whole.keys[:60] and len(set(whole.keys)) == 90
    for index in range(60):
        assert cut.caption(index) == whole.caption(index) and cut.read(index, "image") == whole.read(index, "image")


def test_two_workers_write_what_one_writes(tmp_path: Path) -> None:
    settings = config("train", 50, shard_rows=20)
    one = write_set(settings, tmp_path / "one")
    two = write_set(settings, tmp_path / "two", workers=2)
    assert len(tars(one)) == 3 and tars(one) == tars(two)


def test_a_finished_shard_is_kept_and_a_missing_one_made_again(tmp_path: Path) -> None:
    settings = config("pairs", 60, shard_rows=20)
    folder = write_set(settings, tmp_path / "set")
    before, times = tars(folder), {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")}
    (folder / "00001.json").unlink()
    write_set(settings, folder)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")}
    assert tars(folder) == before
    assert [name for name in sorted(times) if times[name] != after[name]] == ["00001.tar"]


def test_pairs_hold_all_splits_equally_with_the_captions_and_pictures_of_their_items(tmp_path: Path) -> None:
    shards = Shards(write_set(config("pairs", 70), tmp_path / "pairs"))
    assert Counter(shards.column("split")) == dict.fromkeys(EDITORS, 10)
    world = world_named("natural")
    for index in (0, 13, 69):
        item = pair_item(world, str(shards.column("split")[index]), False, Random(seed_of("pairs", 1, index)))
        assert (shards.caption(index), shards.neg_caption(index)) == (item.caption, item.neg_caption)
        for role, scene in (("image", item.scene), ("neg_image", item.neg_scene)):
            stored = np.asarray(Image.open(io.BytesIO(shards.read(index, role)))).astype(float)
            seed = seed_of("pairs", 1, role, shards.keys[index])
            assert np.abs(stored - render([scene], [seed], world, 48)[0]).mean() < 5  # JPEG's loss


def test_the_edited_picture_has_jitter_of_its_own(tmp_path: Path) -> None:
    shards = Shards(write_set(config("pairs", 7), tmp_path / "pairs"))
    for index in range(7):
        images = [np.asarray(Image.open(io.BytesIO(shards.read(index, role)))) for role in ("image", "neg_image")]
        assert (images[0] != images[1]).mean() > 0.5  # noise and ground too, not the edit alone


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_retrieval_captions_are_distinct_and_say_everything(tmp_path: Path, world: str) -> None:
    shards = Shards(write_set(config("retrieval", 400, world=world), tmp_path / "retrieval"))
    captions = [shards.caption(index) for index in range(400)]
    assert len(set(captions)) == 400 and not shards.has("neg_image")
    attributes = "|".join(world_named(world).attributes)
    assert all(re.search(rf"\b({attributes})\b", text) for text in captions)
    assert all(text.split()[-1] in ("grass", "sand", "snow", "stone") for text in captions)


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_class_labels_are_what_the_caption_says(tmp_path: Path, name: str) -> None:
    world = world_named(name)
    names = class_names(world)
    rows = 2 * len(names)
    folder = write_set(config("classes", rows, world=name), tmp_path / "classes")
    shards = Shards(folder)
    classes = json.loads((folder / "classes.json").read_text("utf8"))
    assert classes["classes"] == names and all(template.count("{}") == 1 for template in classes["templates"])
    everything = {f"{attribute} {noun}" for noun in world.nouns for attribute in world.attributes}
    assert everything - set(names) == {f"{attribute} {noun}" for noun, attribute in world.heldout_things}
    labels = [int(label or 0) for label in shards.column("label")]
    assert Counter(labels) == dict.fromkeys(range(len(names)), 2)
    for index, label in enumerate(labels):
        assert f" {names[label]} " in f" {shards.caption(index)} "


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("world", "natrual", "unknown world 'natrual'; did you mean 'natural'"),
        ("part", "pair", "unknown part 'pair'; did you mean 'pairs'"),
        ("rows", 0, "rows is 0; give at least 1"),
        ("image_size", 4, "image_size is 4; give at least 16"),
    ],
)
def test_bad_settings_are_refused_before_work(field: str, value: str | int, message: str) -> None:
    settings: dict[str, str | int] = {"world": "natural", "part": "train", "rows": 5, "seed": 1, field: value}
    with pytest.raises(UserError, match=re.escape(message)):
        SetConfig(**settings)  # type: ignore[arg-type]


def test_a_folder_of_other_settings_or_other_things_is_refused(tmp_path: Path) -> None:
    folder = write_set(config("train", 5), tmp_path / "set")
    before = tars(folder)
    with pytest.raises(UserError, match="scenes of other settings"):
        write_set(config("train", 6), folder)
    assert tars(folder) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("five years")
    with pytest.raises(UserError, match="not empty and holds no scenes"):
        write_set(config("train", 5), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_world_too_small_for_distinct_captions_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "caption", lambda scene, phrasing: "the only caption")
    with pytest.raises(UserError, match="too few scenes for 2 distinct captions"):
        write_set(config("retrieval", 2), tmp_path / "set")
