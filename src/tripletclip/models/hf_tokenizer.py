"""Tokenizer files of a Hugging Face folder: read where they are CLIP's or words, written for both."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip

from tripletclip.errors import UserError
from tripletclip.models.tokenizers import (
    CLIP_WORDS,
    END,
    PAD,
    START,
    TOKENIZER_FILE,
    UNKNOWN,
    Tokenizer,
    WordTokenizer,
    clip_tokenizer,
    words_of,
)

_START, _END = "<|startoftext|>", "<|endoftext|>"
"""OpenAI's names of the tokens that open_clip calls <start_of_text> and <end_of_text>."""


def hf_folder_tokenizer(folder: Path, cfg: Mapping[str, Any]) -> Tokenizer:
    """CLIP's own tokenizer for CLIP's vocabulary, or the words of a ``tokenizer.json`` that :func:`tokenizer_files`
    wrote. Raises :class:`UserError` for any other vocabulary."""
    words = words_of(cfg)
    vocabulary = _word_level(folder / TOKENIZER_FILE)
    if vocabulary is not None and len(vocabulary) == words:
        return WordTokenizer(vocabulary[2:-2], int(cfg["text_cfg"]["context_length"]))
    if words != CLIP_WORDS:
        raise UserError(
            f"{folder} has {words} words; only models with CLIP's {CLIP_WORDS} words, or with a {TOKENIZER_FILE} of "
            f"words that we wrote, can be read. Convert it to an open_clip folder"
        )
    return clip_tokenizer(cfg)


def _word_level(path: Path) -> list[str] | None:
    """The words, in the order of their ids, of a ``tokenizer.json`` with our four special tokens; None for others."""
    if not path.is_file():
        return None
    model = json.loads(path.read_text("utf8")).get("model") or {}
    if model.get("type") != "WordLevel":
        return None
    words = sorted(model["vocab"], key=lambda word: int(model["vocab"][word]))
    return words if [*words[:2], *words[-2:]] == [PAD, UNKNOWN, START, END] else None


def tokenizer_files(tokenizer: Tokenizer, where: str) -> dict[str, bytes]:
    """The files, by name, from which transformers' ``AutoTokenizer`` makes the same ids.

    Raises :class:`UserError` for a tokenizer that cannot be said so.
    """
    if isinstance(tokenizer, WordTokenizer):
        return _word_files(tokenizer)
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        return _clip_files(tokenizer, where)
    kind = type(tokenizer).__name__
    raise UserError(f"{where} has a {kind}, which a Hugging Face CLIP folder cannot hold; export it to open_clip")


def end_of(tokenizer: Tokenizer) -> tuple[int, int, int]:
    """Ids of padding, start and end for a Hugging Face configuration of ``tokenizer``."""
    if isinstance(tokenizer, WordTokenizer):
        return 0, tokenizer.vocab_size - 2, tokenizer.vocab_size - 1
    return CLIP_WORDS - 1, CLIP_WORDS - 2, CLIP_WORDS - 1


def _word_files(tokenizer: WordTokenizer) -> dict[str, bytes]:
    special = {PAD: 0, UNKNOWN: 1, START: tokenizer.vocab_size - 2, END: tokenizer.vocab_size - 1}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(name, number) for name, number in special.items()],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": r"\w+"},
            "behavior": "Removed",
            "invert": True,
        },
        "post_processor": _framed(START, special[START], END, special[END]),
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(tokenizer.words)},
            "unk_token": UNKNOWN,
        },
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": tokenizer.context_length,
        "pad_token": PAD, "unk_token": UNKNOWN, "bos_token": START, "eos_token": END,
        "split_special_tokens": True,
    }  # fmt: skip
    return {TOKENIZER_FILE: _json(whole), "tokenizer_config.json": _json(settings)}


def _clip_files(tokenizer: Any, where: str) -> dict[str, bytes]:
    """CLIP's vocabulary and merges under OpenAI's names of the two special tokens."""
    if tokenizer.vocab_size != CLIP_WORDS or tokenizer.reduction_fn is not None:
        raise UserError(f"{where} has a changed CLIP tokenizer, which a Hugging Face folder cannot hold")
    names = {"<start_of_text>": _START, "<end_of_text>": _END}
    vocabulary = {names.get(word, word): number for word, number in tokenizer.encoder.items()}
    merges = [" ".join(pair) for pair in tokenizer.bpe_ranks]
    special = {_START: vocabulary[_START], _END: vocabulary[_END]}
    pattern = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(name, number) for name, number in special.items()],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": _framed(_START, special[_START], _END, special[_END]),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": _END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": False, "byte_fallback": False,
            "vocab": vocabulary, "merges": merges,
        },
    }  # fmt: skip
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": tokenizer.context_length,
        "pad_token": _END, "unk_token": _END, "bos_token": _START, "eos_token": _END,
        "do_lower_case": True,
    }  # fmt: skip
    return {
        TOKENIZER_FILE: _json(whole),
        "vocab.json": _json(vocabulary),
        "merges.txt": ("#version: 0.2\n" + "\n".join(merges) + "\n").encode(),
        "tokenizer_config.json": _json(settings),
    }


def _added(name: str, number: int) -> dict[str, Any]:
    return {
        "id": number, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
        "special": True,
    }  # fmt: skip


def _framed(start: str, start_id: int, end: str, end_id: int) -> dict[str, Any]:
    """A text between its start and its end token."""

    def token(name: str) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": 0}}

    one: list[dict[str, Any]] = [token(start), {"Sequence": {"id": "A", "type_id": 0}}, token(end)]
    return {
        "type": "TemplateProcessing",
        "single": one,
        "pair": [*one, token(start), {"Sequence": {"id": "B", "type_id": 0}}, token(end)],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ((start, start_id), (end, end_id))
        },
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()
