"""The embedded world's data sets: training triplets, and the benchmark in its parts, as shards.

A benchmark item is a pair of scenes, one an edit of the other. Which of the two is the positive is a coin flip, so no
rule that looks at texts alone can win; both have a caption that is true of their own picture.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tripletclip.data.shards import finished_shards, write_shard
from tripletclip.data.triplet import Triplet
from tripletclip.errors import UserError, unknown_name
from tripletclip.files import write_atomic
from tripletclip.scenes.edits import EDITORS
from tripletclip.scenes.grammar import (
    Phrasing,
    Scene,
    Thing,
    caption,
    is_heldout,
    sample_phrasing,
    sample_scene,
)
from tripletclip.scenes.record import scene_to_json
from tripletclip.scenes.render import render
from tripletclip.scenes.world import BACKGROUNDS, PLACES, World, seed_of, world_named

Labelled: TypeAlias = "tuple[Item, dict[str, str | int | float]]"
"""An item and the columns that its benchmark needs."""

IMAGE_SIZE = 48
SHARD_ROWS = 2_000
TEMPLATES = ("a {}", "a picture of a {}", "there is a {}", "a {} on the left", "a {} on the right")
SETTINGS_FILE = "scenes.json"


@dataclass(frozen=True, kw_only=True)
class Item:
    """Two scenes in the same words but for one edit; ``split`` is the edit's name."""

    split: str
    scene: Scene
    caption: str
    neg_scene: Scene
    neg_caption: str


@dataclass(frozen=True, kw_only=True)
class SetConfig:
    """One data set of a world: which part, how many rows, and the seed of everything in it.

    ``part`` is ``train``, ``pairs``, ``pairs-heldout``, ``retrieval`` or ``classes``.
    """

    world: str
    part: str
    rows: int
    seed: int
    image_size: int = IMAGE_SIZE
    shard_rows: int = SHARD_ROWS

    def __post_init__(self) -> None:
        world_named(self.world)
        if self.part not in PARTS:
            raise unknown_name("part", self.part, PARTS)
        least = {"rows": 1, "image_size": 16, "shard_rows": 1}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise UserError(f"{name} is {getattr(self, name)}; give at least {number}")


def train_item(world: World, rng: Random) -> Item:
    """A triplet as real data would give it: the positive follows the world's priors, the negative is its edit."""
    while True:
        scene, phrasing = sample_scene(world, rng), sample_phrasing(world, rng)
        if is_heldout(world, scene):
            continue
        for split in rng.sample(sorted(EDITORS), len(EDITORS)):
            item = edited_item(world, split, scene, phrasing, rng)
            if item is not None and not is_heldout(world, item.neg_scene):
                return item


def pair_item(world: World, split: str, heldout: bool, rng: Random) -> Item:
    """A benchmark item of ``split``; ``heldout`` wants a combination in it that training never shows, or none."""
    while True:
        item = edited_item(world, split, sample_scene(world, rng), _phrasing_for(world, split, rng), rng)
        if item is None or (is_heldout(world, item.scene) or is_heldout(world, item.neg_scene)) != heldout:
            continue
        if rng.random() < 0.5:
            return item
        return Item(
            split=split,
            scene=item.neg_scene,
            caption=item.neg_caption,
            neg_scene=item.scene,
            neg_caption=item.caption,
        )


def _phrasing_for(world: World, split: str, rng: Random) -> Phrasing:
    """A phrasing by the world's habits; ``add_att`` needs something left unsaid, also where everything is said."""
    phrasing = sample_phrasing(world, rng)
    if split == "add_att" and world.attribute_rate == 1:
        first_said = rng.random() < 0.5
        return replace(phrasing, attributes=(first_said, not first_said, True))
    return phrasing


def edited_item(world: World, split: str, scene: Scene, phrasing: Phrasing, rng: Random) -> Item | None:
    """``scene`` and its edit of kind ``split``; None where the scene offers nothing to edit."""
    edit = EDITORS[split](world, scene, phrasing, rng)
    if edit is None:
        return None
    return Item(
        split=split, scene=scene, caption=caption(scene, phrasing), neg_scene=edit[0], neg_caption=caption(*edit)
    )


def _pairs(world: World, config: SetConfig, rows: range) -> Iterator[Labelled]:
    splits = sorted(EDITORS)
    for index in rows:
        split = splits[index % len(splits)]
        rng = Random(seed_of(config.part, config.seed, index))
        yield pair_item(world, split, config.part == "pairs-heldout", rng), {"split": split}


def _retrieval(world: World, config: SetConfig, rows: range) -> Iterator[Labelled]:
    """Scenes by the world's priors in which everything is said; no caption comes twice."""
    said: set[str] = set()
    everything = (True, True, True)
    for index in range(rows.stop):  # from the first, since a caption must not come twice
        for attempt in range(1000):
            rng = Random(seed_of(config.part, config.seed, index, attempt))
            scene = sample_scene(world, rng)
            text = caption(scene, replace(sample_phrasing(world, rng), attributes=everything, background=True))
            if text not in said and not is_heldout(world, scene):
                break
        else:
            raise UserError(f"the {world.name} world has too few scenes for {config.rows} distinct captions")
        said.add(text)
        if index not in rows:
            continue
        yield Item(split="", scene=scene, caption=text, neg_scene=scene, neg_caption=text), {}


def class_names(world: World) -> list[str]:
    """The classes of zero-shot classification: every seen noun with every attribute that training showed with it."""
    return [
        f"{attribute} {noun}"
        for noun in world.nouns
        for attribute in world.attributes
        if (noun, attribute) not in world.heldout_things
    ]


def _classes(world: World, config: SetConfig, rows: range) -> Iterator[Labelled]:
    """One object, classes in turn: typical attributes are as frequent as others."""
    names = class_names(world)
    for index in rows:
        rng = Random(seed_of(config.part, config.seed, index))
        attribute, noun = names[index % len(names)].split()
        scene = Scene((Thing(noun, attribute, rng.choice(PLACES)),), rng.choice(BACKGROUNDS))
        text = caption(scene, replace(sample_phrasing(world, rng), attributes=(True, True, True)))
        item = Item(split="", scene=scene, caption=text, neg_scene=scene, neg_caption=text)
        yield item, {"label": names.index(f"{attribute} {noun}")}


def _train(world: World, config: SetConfig, rows: range) -> Iterator[Labelled]:
    for index in rows:
        item = train_item(world, Random(seed_of(config.part, config.seed, index)))
        yield item, {"split": item.split}


PARTS: dict[str, Callable[[World, SetConfig, range], Iterator[Labelled]]] = {
    "train": _train,
    "pairs": _pairs,
    "pairs-heldout": _pairs,
    "retrieval": _retrieval,
    "classes": _classes,
}


def write_set(config: SetConfig, folder: Path, *, workers: int = 1) -> Path:
    """Write a data set as shards into ``folder``; finished shards of the same settings are kept.

    Raises:
        UserError: ``folder`` holds a set of other settings, or something else.
    """
    write_sets({folder: config}, workers=workers)
    return folder


def write_sets(
    sets: Mapping[Path, SetConfig], *, workers: int = 1, tell: Callable[[int], None] = lambda rows: None
) -> None:
    """:func:`write_set` for several folders, shards side by side; ``tell`` hears the rows of each that is done."""
    missing = [
        (config, folder, number) for folder, config in sets.items() for number in _claimed_shards(config, folder)
    ]
    tell(sum(config.rows for config in sets.values()) - sum(_shard_rows(config, n) for config, _, n in missing))
    if workers > 1 and len(missing) > 1:
        with ProcessPoolExecutor(min(workers, len(missing)), mp_context=get_context("spawn")) as pool:
            for rows in pool.map(_write_number, missing):
                tell(rows)
    else:
        for job in missing:
            tell(_write_number(job))


def _claimed_shards(config: SetConfig, folder: Path) -> list[int]:
    """The shards that ``folder`` still lacks, after a check that it holds nothing else."""
    # The world's parameters belong to it: a set of a world that was changed since must not be taken for one of today.
    parameters = asdict(world_named(config.world))
    settings = json.dumps({**asdict(config), "parameters": parameters}, sort_keys=True, indent=1).encode()
    marker = folder / SETTINGS_FILE
    if marker.exists() and marker.read_bytes() != settings:
        raise UserError(f"{folder} holds scenes of other settings ({marker}); choose another folder or remove it")
    if not marker.exists() and folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no scenes; choose another folder")
    write_atomic(marker, settings)
    if config.part == "classes":
        classes = {"classes": class_names(world_named(config.world)), "templates": TEMPLATES}
        write_atomic(folder / "classes.json", json.dumps(classes, indent=1).encode())
    return sorted(set(range(-(-config.rows // config.shard_rows))) - set(finished_shards(folder)))


def _shard_rows(config: SetConfig, number: int) -> int:
    return min(config.shard_rows, config.rows - number * config.shard_rows)


def _write_number(job: tuple[SetConfig, Path, int]) -> int:
    config, folder, number = job
    write_shard(folder, number, _rows(config, number), overwrite=True)
    return _shard_rows(config, number)


def _rows(config: SetConfig, number: int) -> Iterator[Triplet]:
    world = world_named(config.world)
    first = number * config.shard_rows
    last = first + _shard_rows(config, number)
    made = PARTS[config.part](world, config, range(first, last))
    for start in range(first, last, 250):
        chunk = list(itertools.islice(made, 250))
        yield from _painted(world, config, [f"{start + offset:08d}" for offset in range(len(chunk))], chunk)


def _painted(world: World, config: SetConfig, keys: list[str], chunk: list[Labelled]) -> Iterator[Triplet]:
    triplets = config.part not in ("retrieval", "classes")
    scenes = [item.scene for item, _ in chunk] + [item.neg_scene for item, _ in chunk if triplets]
    roles = ("image", "neg_image")[: 1 + triplets]
    seeds = [seed_of(config.part, config.seed, role, key) for role in roles for key in keys]
    pictures = render(scenes, seeds, world, config.image_size)
    for index, (key, (item, extra)) in enumerate(zip(keys, chunk, strict=True)):
        records = {"scene": scene_to_json(config.world, item.scene)}
        if triplets:
            records["neg_scene"] = scene_to_json(config.world, item.neg_scene)
        yield Triplet(
            key=key,
            caption=item.caption,
            image=_jpeg(pictures[index]),
            neg_caption=item.neg_caption if triplets else None,
            neg_image=_jpeg(pictures[len(chunk) + index]) if triplets else None,
            extra={**extra, **records, "writer": "scenes", "seed": seeds[index]},
        )


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()
