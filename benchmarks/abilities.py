"""Can the two small towers learn an ability at all, from hard negatives alone, and after how many images?

    python benchmarks/abilities.py --ability relation --noun-exponent 1.2 --images 80000

Each ability is a world cut down to the edits that need it. ``--oracle image`` or ``--oracle text`` replaces the other
tower by a linear map of the exact scene: it tells a tower that cannot learn from two towers that wait for each other.
The numbers that this printed stand in docs/log.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tripletclip.data.loader import Batch
from tripletclip.models import Clip, ModelConfig, image_features, new_clip, text_features
from tripletclip.objectives.contrastive import two_way_softmax
from tripletclip.objectives.losses import objective_named
from tripletclip.scenes.benchmark import Item, edited_item
from tripletclip.scenes.grammar import Scene, sample_phrasing, sample_scene, vocabulary
from tripletclip.scenes.render import render
from tripletclip.scenes.world import NOUNS, PLACES, World, natural, seed_of
from tripletclip.training.config import TrainConfig
from tripletclip.training.optim import MAX_LOG_SCALE, learning_rate, make_optimizer
from tripletclip.training.step import Learner, train_step

SIZE = 48
ABILITIES = {
    "noun": (("replace_obj",), {"alone_rate": 1.0}),
    "texture": (("replace_att",), {"alone_rate": 1.0, "attribute_rate": 1.0, "attribute_prior": 0.25}),
    "position": (("replace_rel",), {"alone_rate": 1.0}),
    "arrangement": (("replace_rel",), {"alone_rate": 0.0}),
    "relation": (("swap_obj",), {"alone_rate": 0.0}),
}


def items(world: World, splits: Sequence[str], count: int, seed: int, flip: bool) -> list[Item]:
    """Triplets of these edits; ``flip`` throws the coin of a benchmark."""
    made: list[Item] = []
    attempt = 0
    while len(made) < count:
        rng = Random(seed_of("ability", seed, attempt))
        attempt += 1
        split = rng.choice(splits)
        item = edited_item(world, split, sample_scene(world, rng), sample_phrasing(world, rng), rng)
        if item is not None and flip and rng.random() < 0.5:
            item = Item(
                split=split,
                scene=item.neg_scene,
                caption=item.neg_caption,
                neg_scene=item.scene,
                neg_caption=item.caption,
            )
        if item is not None:
            made.append(item)
    return made


def batches(world: World, clip: Clip, made: Sequence[Item], seed: int) -> Batch:
    """All items as one big batch."""
    roles = ([item.scene for item in made], [item.neg_scene for item in made])
    pictures = []
    for role, scenes in enumerate(roles):
        seeds = [seed_of("picture", seed, role, index) for index in range(len(scenes))]
        parts = [render(scenes[i : i + 250], seeds[i : i + 250], world, SIZE) for i in range(0, len(scenes), 250)]
        pictures.append(torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2).contiguous())
    tokens = [clip.tokenizer([item.caption for item in made]), clip.tokenizer([item.neg_caption for item in made])]
    length = int((torch.cat(tokens) != 0).sum(1).max())
    return Batch(
        keys=[str(index) for index in range(len(made))],
        image=pictures[0],
        neg_image=pictures[1],
        text=tokens[0][:, :length],
        neg_text=tokens[1][:, :length],
    )


def rows(batch: Batch, index: Tensor) -> Batch:
    """The chosen rows of a batch."""
    assert batch.neg_image is not None and batch.neg_text is not None
    return Batch(
        keys=[batch.keys[i] for i in index.tolist()],
        image=batch.image[index],
        text=batch.text[index],
        neg_image=batch.neg_image[index],
        neg_text=batch.neg_text[index],
    )


def oracle_vector(scene: Scene) -> list[float]:
    """1 for every (noun, place) of the scene."""
    shown = {(thing.noun, thing.place) for thing in scene.things}
    return [float((noun, place) in shown) for noun in NOUNS for place in PLACES]


def encoded(clip: Clip, batch: Batch, side: str) -> list[Tensor]:
    """Unit features of the positive and the negative half of one tower."""
    assert batch.neg_image is not None and batch.neg_text is not None
    if side == "image":
        features = [image_features(clip.model, clip.pixels(x, "cpu")) for x in (batch.image, batch.neg_image)]
    else:
        features = [text_features(clip.model, x, x.shape[1]) for x in (batch.text, batch.neg_text)]
    return [F.normalize(half, dim=-1) for half in features]


@torch.no_grad()
def accuracy(images: Sequence[Tensor], texts: Sequence[Tensor]) -> float:
    """Share of images that score their caption above its negative, in percent."""
    return 100 * float(((images[0] * texts[0]).sum(1) > (images[0] * texts[1]).sum(1)).float().mean())


def main() -> None:
    """Train, printing the accuracy on 600 fresh items four times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ability", choices=ABILITIES, default="relation")
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--nouns", type=int, default=len(NOUNS))
    parser.add_argument("--noun-exponent", type=float, default=0.0)
    parser.add_argument("--oracle", choices=("image", "text"), help="train this tower alone")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    splits, changes = ABILITIES[chosen.ability]
    calm = {"counted_rate": 0.0, "extra_rate": 0.0, "background_rate": 0.0, "attribute_rate": 0.0, "place_prior": 0.0}
    changed = {**calm, **changes, "heldout_rate": 0.0, "noun_exponent": chosen.noun_exponent}
    world = replace(natural(), nouns=NOUNS[: chosen.nouns], **changed)
    clip = new_clip(ModelConfig(), vocabulary(world), seed=0)
    train_items, check_items = items(world, splits, 15_000, 1, False), items(world, splits, 600, 2, True)
    training, check = batches(world, clip, train_items, 1), batches(world, clip, check_items, 2)
    config = TrainConfig(data=Path(), out=Path(), steps=chosen.images // 96)
    tables = [
        [torch.tensor([oracle_vector(scene) for scene in (item.scene, item.neg_scene)]) for item in part]
        for part in (train_items, check_items)
    ]
    oracle = nn.Linear(len(NOUNS) * len(PLACES), 64)
    optimizer = make_optimizer(nn.ModuleList([clip.model, oracle]), config)
    learner = Learner.alone(config, clip)
    learner.optimizer = optimizer
    objective = objective_named("tripletclip")
    generator = torch.Generator().manual_seed(0)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        index = torch.randint(len(train_items), (config.pairs_per_step,), generator=generator)
        batch = rows(training, index)
        if chosen.oracle:
            exact = torch.stack([tables[0][i] for i in index.tolist()])
            known = [F.normalize(oracle(exact[:, half]), dim=-1) for half in (0, 1)]
            own = encoded(clip, batch, chosen.oracle)
            loss = sum(two_way_softmax(own, known, clip.model.logit_scale.exp(), objective.pattern))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(clip.model.parameters(), config.clip_gradient)
            optimizer.step()
            clip.model.logit_scale.data.clamp_(0, MAX_LOG_SCALE)
        else:
            train_step(learner, batch)
        if (step + 1) % (config.steps // 4) == 0:
            with torch.no_grad():
                if chosen.oracle:
                    exact = torch.stack(tables[1])
                    known = [F.normalize(oracle(exact[:, half]), dim=-1) for half in (0, 1)]
                    score = accuracy(encoded(clip, check, chosen.oracle), known)
                else:
                    score = accuracy(encoded(clip, check, "image"), encoded(clip, check, "text"))
            print(f"{chosen.ability}: {(step + 1) * 96:>7,} images  {score:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
