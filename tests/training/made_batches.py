"""Batches of noise and a tiny model, for tests of single steps."""

import torch
from tiny_runs import COLOURS, MODEL, SHAPES, WORDS

from tripletclip.data.loader import Batch
from tripletclip.models import Clip, new_clip


def tiny_clip(seed: int = 0) -> Clip:
    """Fresh weights in training mode."""
    clip = new_clip(MODEL, WORDS, seed)
    clip.model.train()
    return clip


def made_batch(pairs: int, seed: int = 0) -> Batch:
    """Triplets of noise; every caption differs from its negative by the colour."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, pairs, 3, 16, 16), generator=generator, dtype=torch.uint8)
    tokenizer = tiny_clip().tokenizer
    names = [(number % 3, number // 3 % 3) for number in range(seed, seed + pairs)]
    text = tokenizer([f"a {COLOURS[colour]} {SHAPES[shape]}" for colour, shape in names])
    neg_text = tokenizer([f"a {COLOURS[(colour + 1) % 3]} {SHAPES[shape]}" for colour, shape in names])
    keys = [f"{number:04d}" for number in range(pairs)]
    return Batch(keys=keys, image=images[0], neg_image=images[1], text=text, neg_text=neg_text)
