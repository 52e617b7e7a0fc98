"""Everything that is open_clip-shaped: build, encode, save and load a model with its tokenizer.

Shapes: B batch, L tokens, D features.

A model is open_clip's own ``CLIP`` class. A saved folder is an open_clip ``local-dir``: any program that knows open_clip
loads it with ``open_clip.create_model_and_transforms("local-dir:FOLDER")``.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from tripletclip.errors import UserError
from tripletclip.files import write_atomic

CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE = "open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"
PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A small CLIP: two transformers over patches and words. The defaults are those of the embedded world."""

    embed_dim: int = 64
    image_size: int = 48
    patch_size: int = 8
    vision_width: int = 64
    vision_layers: int = 3
    text_width: int = 64
    text_layers: int = 2
    heads: int = 4
    context_length: int = 32
    init_scale: float = 14.3


class Tokenizer(Protocol):
    """What open_clip's tokenizers offer and we use: texts to int64 ``[B, L]`` padded with 0."""

    context_length: int

    def __call__(self, texts: str | list[str], context_length: int | None = None) -> Tensor: ...


class WordTokenizer:
    """One id a word, with open_clip's interface; the end token has the highest id, as open_clip's pooling expects."""

    def __init__(self, words: Sequence[str], context_length: int) -> None:
        self.words = [PAD, UNKNOWN, *words, START, END]
        self.context_length = context_length
        self.vocab_size = len(self.words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError("the words of a tokenizer must differ from each other and from its special tokens")

    def __call__(self, texts: str | list[str], context_length: int | None = None) -> Tensor:
        """Ids of ``texts`` as int64 ``[B, L]`` with L = ``context_length``; longer texts are cut, the end token kept."""
        length = context_length or self.context_length
        rows = []
        for text in [texts] if isinstance(texts, str) else texts:
            body = [self._ids.get(word, 1) for word in re.findall(r"\w+", text.lower())][: length - 2]
            row = [self.vocab_size - 2, *body, self.vocab_size - 1]
            rows.append(row + [0] * (length - len(row)))
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, length)

    def to_json(self) -> bytes:
        """The file that :func:`load_tokenizer` reads."""
        return json.dumps({"type": "words", "context_length": self.context_length, "words": self.words[2:-2]}).encode()


def open_clip_config(config: ModelConfig, vocab_size: int) -> dict[str, Any]:
    """The ``model_cfg`` that open_clip builds the same model from."""
    return {
        "embed_dim": config.embed_dim,
        "vision_cfg": {
            "image_size": config.image_size,
            "layers": config.vision_layers,
            "width": config.vision_width,
            "head_width": config.vision_width // config.heads,
            "patch_size": config.patch_size,
            "pool_type": "avg",
            "pos_embed_type": "sin_cos_2d",
            "final_ln_after_pool": True,
        },
        "text_cfg": {
            "context_length": config.context_length,
            "vocab_size": vocab_size,
            "width": config.text_width,
            "heads": config.heads,
            "layers": config.text_layers,
        },
    }


def build(config: ModelConfig, vocab_size: int, seed: int) -> open_clip.CLIP:
    """A model with fresh weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cfg = open_clip_config(config, vocab_size)
        model = open_clip.CLIP(**cfg, init_logit_scale=float(torch.tensor(config.init_scale).log()))
        # open_clip's 0.01 suits width 512 and 77 places; for few words the place must weigh as much as the word.
        torch.nn.init.normal_(model.token_embedding.weight, std=0.1)
        torch.nn.init.normal_(model.positional_embedding, std=0.1)
    return model


def encode_images(model: open_clip.CLIP, image_BCHW: Tensor) -> Tensor:
    """L2-normalised image features ``[B, D]`` of normalised pixels ``[B, 3, H, W]``."""
    features: Tensor = model.encode_image(image_BCHW, normalize=True)
    return features


def encode_texts(model: open_clip.CLIP, text_BL: Tensor) -> Tensor:
    """L2-normalised text features ``[B, D]``; ``text_BL`` may be cut to its longest text.

    Attention in CLIP's text tower is causal, so what follows the end token changes nothing: a batch costs what its
    longest text costs. open_clip's own ``encode_text`` always takes the full context.
    """
    length = text_BL.shape[1]
    x = model.token_embedding(text_BL) + model.positional_embedding[:length]
    mask = model.attn_mask[:length, :length]
    x = model.ln_final(model.transformer(x, attn_mask=mask))
    end_BD = x[torch.arange(len(x), device=x.device), text_BL.argmax(-1)]
    return F.normalize(end_BD @ model.text_projection, dim=-1)
