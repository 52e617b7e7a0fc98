"""A small random CLIP of open_clip with wild weights, its letters as tokens, and random pictures."""

import io
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor, nn

from tripletclip.evaluation.encoder import ClipEncoder

CONTEXT, START, END = 20, 30, 31
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def small_clip(*, output_dict: bool = False, **text: Any) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 16, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
        text_cfg={"context_length": CONTEXT, "vocab_size": 32, "width": 32, "heads": 2, "layers": 2, **text},
        output_dict=output_dict,
    )
    for parameter in model.parameters():  # away from the small initial values, so that a mistake shows
        nn.init.normal_(parameter, std=0.3)
    return model


def spread_clip(**text: Any) -> nn.Module:
    """The same with features that lie far apart: no biases, plain norms, and positions that say little."""
    model = small_clip(**text)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif ".ln_" in name or name.startswith("ln_"):
            nn.init.ones_(parameter)
        elif "positional" in name or "class_embedding" in name:
            nn.init.normal_(parameter, std=0.03)
    return model


def tokenize(texts: list[str], length: int = CONTEXT) -> Tensor:
    """Letters a to z as tokens 1 to 26, others as 27, start and end of text around them; upper and lower case alike.

    Longer texts are cut, the end kept.
    """
    tokens_ML = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in zip(tokens_ML, texts, strict=True):
        letters = [ord(letter) - ord("a") + 1 if letter.isalpha() else 27 for letter in text.lower()]
        ids = [START, *letters[: length - 2], END]
        row[: len(ids)] = torch.tensor(ids)
    return tokens_ML


def encoder(model: nn.Module, batch_size: int = 3, context: int = CONTEXT) -> ClipEncoder:
    return ClipEncoder(
        model,
        lambda texts: tokenize(texts, context),
        image_size=16,
        mean=MEAN,
        std=STD,
        batch_size=batch_size,
        tokenize_longer=lambda texts: tokenize(texts, context + 1),
    )


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def painting(seed: int) -> bytes:
    """Four flat quarters of any colour: farther apart in the model than noise."""
    quarters = np.random.default_rng(seed).integers(0, 2, size=(2, 2, 3)) * 255
    file = io.BytesIO()
    Image.fromarray(np.kron(quarters, np.ones((8, 8, 1))).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def words(seed: int, letters: int = 6) -> str:
    return "".join(chr(ord("a") + int(place)) for place in np.random.default_rng(seed).integers(0, 26, size=letters))
