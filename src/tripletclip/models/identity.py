"""What a model is, as one digest: the key under which its features may be kept."""

import hashlib
import json
from typing import Any

import open_clip
import torch
from torch import nn

from tripletclip.errors import UserError
from tripletclip.models.clip import Clip
from tripletclip.models.tokenizers import Tokenizer, WordTokenizer

_PROBE = "A red Dog's 12 cats, naïve & <b>bold</b>!  ﬁn"
"""Case, clitics, digits, accents, markup, double spaces and a ligature: what cleaning functions treat differently."""


def model_digest(clip: Clip) -> str:
    """SHA-256, in hexadecimal, over everything that features depend on.

    The names, types, shapes and bytes of the weights, ``model_cfg``, what happens to pixels, and the tokenizer. Where
    the weights lie (device, folder, file format) does not count. Raises :class:`UserError` for a tokenizer that cannot
    say what it does.
    """
    pixels = [clip.mean, clip.std, clip.interpolation, clip.resize_mode, clip.fill_color, clip.image_size]
    return digest_of(clip.model, [clip.cfg, pixels, tokenizer_identity(clip.tokenizer)])


def digest_of(model: nn.Module, settings: Any) -> str:
    """SHA-256, in hexadecimal, of a model's weights and of ``settings``, which JSON must be able to say."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        kept = tensor.detach().cpu().contiguous()
        _add(digest, [name, str(kept.dtype), list(kept.shape)])
        digest.update(kept.reshape(-1).view(torch.uint8).numpy().data)
    _add(digest, settings)
    return digest.hexdigest()


def tokenizer_identity(tokenizer: Tokenizer) -> dict[str, Any]:
    """What decides the ids of a text, fit for JSON: the kind, the vocabulary and its merges, the length, and the ids of
    a probe sentence, which tell apart the cleaning functions that have no name."""
    kind: dict[str, Any] = {"type": type(tokenizer).__name__, "context_length": tokenizer.context_length}
    if isinstance(tokenizer, WordTokenizer):
        kind["words"] = tokenizer.words
    elif isinstance(tokenizer, open_clip.SimpleTokenizer):
        kind["merges"] = [list(pair) for pair in tokenizer.bpe_ranks]
        kind["reduced"] = "" if tokenizer.reduction_fn is None else repr(tokenizer.reduction_fn)
    elif isinstance(tokenizer, open_clip.tokenizer.HFTokenizer | open_clip.tokenizer.SigLipTokenizer):
        words = tokenizer.tokenizer
        kind["words"] = words.backend_tokenizer.to_str() if words.is_fast else sorted(words.get_vocab().items())
    else:
        raise UserError(
            f"a {type(tokenizer).__name__} has no identity under which features could be kept; use words, CLIP's own "
            f"or Hugging Face's"
        )
    if "reduced" not in kind or not kind["reduced"]:  # a reduction draws at random
        kind["probe"] = tokenizer([_PROBE]).tolist()
    return kind


def _add(digest: Any, entry: Any) -> None:
    digest.update(json.dumps(entry, sort_keys=True).encode() + b"\n")
