"""Everything that is open_clip-shaped: build, encode, save and load a model with its tokenizer.

Shapes: B batch, L tokens, D features.

A model is open_clip's own ``CLIP`` class. A saved folder is an open_clip ``local-dir``: any program that knows
open_clip loads it with ``open_clip.create_model_and_transforms("local-dir:FOLDER")``.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.func import functional_call

from tripletclip.errors import UserError
from tripletclip.files import write_atomic

CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE = "open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"
PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A small CLIP: two transformers over patches and words. The defaults are those of the embedded world."""

    embed_dim: int = 64
    image_size: int = 48
    patch_size: int = 16
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
        """Ids of ``texts``, int64 ``[B, L]`` with L = ``context_length``; longer texts are cut, the end token kept."""
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


def image_features(model: nn.Module, image_BCHW: Tensor) -> Tensor:
    """Image features ``[B, D]``, L2-normalised, of normalised pixels ``[B, 3, H, W]``."""
    output = model(image=image_BCHW)
    features: Tensor = output["image_features"] if isinstance(output, dict) else output[0]
    return features


def text_features(model: nn.Module, text_BL: Tensor, length: int) -> Tensor:
    """L2-normalised text features ``[B, D]`` of texts that all end within ``length`` tokens, computed on those alone.

    Attention in CLIP's text tower is causal: nothing after the end token changes its feature, so a batch costs what its
    longest text costs. open_clip's ``CLIP`` adds position embeddings of the full context; they and the mask are swapped
    for their first ``length`` rows during this call. A model whose texts cannot be cut safely gets all columns.
    """
    positions = dict(model.named_parameters(recurse=False)).get("positional_embedding")
    mask = dict(model.named_buffers(recurse=False)).get("attn_mask")
    if positions is None or mask is None or str(model.text_pool_type) not in ("argmax", "eos", "first"):
        output = model(text=text_BL)
    else:
        short = {"positional_embedding": positions[:length], "attn_mask": mask[:length, :length]}
        output = functional_call(model, short, kwargs={"text": text_BL[:, :length]})
    features: Tensor = output["text_features"] if isinstance(output, dict) else output[1]
    return features


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A model with what its inputs need: the tokenizer and, per channel of pixels in 0..1, the mean and deviation.

    ``cfg`` is the ``model_cfg`` that open_clip builds the model from.
    """

    model: open_clip.CLIP
    cfg: Mapping[str, Any]
    tokenizer: Tokenizer
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.27, 0.27, 0.27)

    @property
    def image_size(self) -> int:
        """Side of the square images that the model takes, in pixels."""
        size = self.model.visual.image_size
        return int(size[0] if isinstance(size, tuple) else size)

    def pixels(self, image_BCHW: Tensor, device: torch.device | str) -> Tensor:
        """uint8 images to normalised float pixels; they travel as bytes and are normalised on ``device``."""
        moved = image_BCHW.to(device, non_blocking=True).float().div_(255)
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        return moved.sub_(mean).div_(torch.tensor(self.std, device=device).view(1, 3, 1, 1))


def new_clip(config: ModelConfig, words: Sequence[str], seed: int) -> Clip:
    """A fresh model with a tokenizer of ``words``."""
    tokenizer = WordTokenizer(words, config.context_length)
    model = build(config, tokenizer.vocab_size, seed)
    return Clip(model=model, cfg=open_clip_config(config, tokenizer.vocab_size), tokenizer=tokenizer)


def save_clip(clip: Clip, folder: Path) -> None:
    """Write an open_clip ``local-dir``: configuration, weights as safetensors, and the tokenizer beside them.

    The configuration is written last, so a folder that has one is whole.
    """
    if not isinstance(clip.tokenizer, WordTokenizer):
        raise UserError(f"a {type(clip.tokenizer).__name__} cannot be saved yet; only word tokenizers can")
    config = {
        "model_cfg": clip.cfg,
        "preprocess_cfg": {"mean": clip.mean, "std": clip.std, "interpolation": "bicubic", "resize_mode": "shortest"},
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in clip.model.state_dict().items()}
    write_atomic(folder / WEIGHTS_FILE, save(weights, metadata={"format": "pt"}))
    write_atomic(folder / TOKENIZER_FILE, clip.tokenizer.to_json())
    write_atomic(folder / CONFIG_FILE, json.dumps(config, indent=1).encode())


def load_clip(folder: Path) -> Clip:
    """Read what :func:`save_clip` wrote. A missing, torn or foreign file is a :class:`UserError` that names it."""
    for name in (CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is no model folder: {name} is missing")
    with _readable(folder / CONFIG_FILE):
        config = json.loads((folder / CONFIG_FILE).read_text("utf8"))
        model = open_clip.CLIP(**config["model_cfg"])
        mean, std = tuple(config["preprocess_cfg"]["mean"]), tuple(config["preprocess_cfg"]["std"])
    with _readable(folder / TOKENIZER_FILE):
        saved = json.loads((folder / TOKENIZER_FILE).read_text("utf8"))
        tokenizer = WordTokenizer(saved["words"], saved["context_length"])
        if tokenizer.vocab_size != config["model_cfg"]["text_cfg"]["vocab_size"]:
            raise ValueError("its number of words is not the model's")
    with _readable(folder / WEIGHTS_FILE):
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return Clip(model=model, cfg=config["model_cfg"], tokenizer=tokenizer, mean=mean, std=std)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong inside is the fault of the file at ``path``, and the user hears its name."""
    try:
        yield
    except (SafetensorError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        fault = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{path} is torn or foreign ({fault}); save the model again") from error


def weights_hash(folder: Path) -> str:
    """SHA-256 of a model folder's weights: the name of a checkpoint that cannot lie."""
    return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()


def forward_flops(cfg: Mapping[str, Any], tokens: float) -> tuple[float, float]:
    """FLOPs of one image and of one text of ``tokens`` tokens through their towers (a multiply-add counts as two).

    Matrix products alone: 24 L W^2 + 4 L^2 W a layer for L tokens of width W, and the patch embedding. A training step
    costs three times as much.
    """

    def tower(length: float, width: int, layers: int) -> float:
        return layers * (24 * length * width**2 + 4 * length**2 * width)

    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    patches = (vision["image_size"] // vision["patch_size"]) ** 2
    stem = 2 * patches * 3 * vision["patch_size"] ** 2 * vision["width"]
    image = stem + tower(patches + 1, vision["width"], vision["layers"])
    return image, tower(tokens, text["width"], text["layers"])
