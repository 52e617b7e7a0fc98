"""Tokenizers: one of words for small worlds, and those of open_clip, told from a model's configuration.

Shapes: B texts, L tokens.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from torch import Tensor

from tripletclip.errors import UserError

TOKENIZER_FILE = "tokenizer.json"
PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
CLIP_WORDS = 49408
"""Size of the vocabulary that CLIP's byte-pair tokenizer has, and that open_clip assumes unless told otherwise."""


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
        """The file that :func:`read_words` reads."""
        return json.dumps({"type": "words", "context_length": self.context_length, "words": self.words[2:-2]}).encode()


def read_words(path: Path, vocab_size: int) -> WordTokenizer:
    """The tokenizer that a file of ours holds. Raises ``ValueError`` or ``KeyError`` for a foreign file."""
    saved = json.loads(path.read_text("utf8"))
    tokenizer = WordTokenizer(saved["words"], saved["context_length"])
    if tokenizer.vocab_size != vocab_size:
        raise ValueError("its number of words is not the model's")
    return tokenizer


def folder_tokenizer(folder: Path, cfg: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of an open_clip folder: Hugging Face's where the configuration names one, words, or CLIP's own.

    Raises :class:`UserError` where the vocabulary is not CLIP's and no file says what the ids mean, and whatever a torn
    file of words makes of itself.
    """
    text = cfg["text_cfg"]
    if text.get("hf_tokenizer_name"):
        tokenizer: Tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        return tokenizer
    vocab_size = words_of(cfg)
    if vocab_size == CLIP_WORDS and not (folder / TOKENIZER_FILE).is_file():
        return clip_tokenizer(cfg)
    if not (folder / TOKENIZER_FILE).is_file():
        raise UserError(
            f"{folder} is no model folder: {TOKENIZER_FILE} is missing, and its {vocab_size} ids are not those of "
            f"CLIP's own tokenizer; save the model again with its tokenizer"
        )
    if vocab_size == CLIP_WORDS and not is_words_file(folder / TOKENIZER_FILE):
        return clip_tokenizer(cfg)  # Hugging Face's file of the very vocabulary that open_clip brings
    return read_words(folder / TOKENIZER_FILE, vocab_size)


def words_of(cfg: Mapping[str, Any]) -> int:
    """Number of ids that the text tower of a configuration knows."""
    return int(cfg["text_cfg"].get("vocab_size", CLIP_WORDS))


def clip_tokenizer(cfg: Mapping[str, Any]) -> Tokenizer:
    """CLIP's byte-pair tokenizer with the context of a configuration."""
    text = cfg["text_cfg"]
    length = int(text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH))
    settings = text.get("tokenizer_kwargs", {})
    tokenizer: Tokenizer = open_clip.SimpleTokenizer(context_length=length, **settings)
    return tokenizer


def is_words_file(path: Path) -> bool:
    """Whether ``path`` is a tokenizer file of ours; Hugging Face's has the same name."""
    try:
        saved = json.loads(path.read_text("utf8"))
    except (OSError, ValueError):
        return False
    return isinstance(saved, dict) and "type" in saved and saved["type"] == "words"
