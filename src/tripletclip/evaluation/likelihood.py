"""How likely a language model finds a caption, without any image: the blind rule that knows English.

Shapes: M texts, B batch, L tokens, V vocabulary.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.evaluation.cache import FeatureCache
from tripletclip.extras import require
from tripletclip.negatives.captions.local import LocalLlmConfig, load_model

BATCH = 32
WRITE_EVERY_BATCHES = 32


class LanguageModel:
    """A causal language model in this process; ``spec`` is a folder, a name of the Hub, or ``FOLDER:FILE.gguf``.

    Scores are kept below ``cache``, by the hash of the model's weights.
    """

    def __init__(self, spec: str, *, device: str = "cpu", cache: Path | None = None) -> None:
        require("hf", "a language model", "transformers")
        name, _, file = spec.rpartition(":") if spec.endswith(".gguf") else (spec, "", "")
        config = LocalLlmConfig(model=name, gguf_file=file or None, device=device, dtype="float32")
        self.tokenizer, self.model = load_model(config)
        starts = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        self._start = next((token for token in starts if token is not None), None)
        if self._start is None:
            raise UserError(f"the language model '{spec}' has no token that begins a text; give another one")
        self._cache = None if cache is None else FeatureCache(cache, self._digest())

    def scores(self, texts: Sequence[str]) -> Tensor:
        """Natural log-likelihood a token, and summed over the text's tokens, [M, 2] fp32; 0 for a text without tokens.

        The first token is scored after the token that begins a text, or ends the one before where there is none such.
        """
        keys = [hashlib.sha256(text.encode("utf8")).hexdigest() for text in texts]
        known = {} if self._cache is None else self._cache.load("text", keys)
        left = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        tokens = {key: self._tokens(text) for key, text in left.items()}
        order = sorted(left, key=lambda key: len(tokens[key]))
        for start in range(0, len(order), BATCH * WRITE_EVERY_BATCHES):
            chunk = order[start : start + BATCH * WRITE_EVERY_BATCHES]
            batches = [chunk[first : first + BATCH] for first in range(0, len(chunk), BATCH)]
            found_M2 = torch.cat([self._batch([tokens[key] for key in batch]) for batch in batches])
            known |= dict(zip(chunk, found_M2, strict=True))
            if self._cache is not None:
                self._cache.add("text", chunk, found_M2)
        return torch.stack([known[key] for key in keys])

    def _tokens(self, text: str) -> list[int]:
        return [self._start, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def _batch(self, rows: Sequence[list[int]]) -> Tensor:
        """[B, 2] of rows of tokens that begin with the start token."""
        length = max(map(len, rows))
        ids_BL = torch.tensor([row + [row[0]] * (length - len(row)) for row in rows])
        seen_BL = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
        with torch.inference_mode():
            output: Any = self.model(
                input_ids=ids_BL.to(self.model.device), attention_mask=seen_BL.to(self.model.device)
            )
            logits_BLV = output.logits.float().cpu()
        picked_BL = logits_BLV[:, :-1].log_softmax(dim=2).gather(2, ids_BL[:, 1:, None])[..., 0]
        counted_BL = seen_BL[:, 1:]
        sum_B = (picked_BL * counted_BL).sum(dim=1)
        return torch.stack([sum_B / counted_BL.sum(dim=1).clamp(min=1), sum_B], dim=1)

    def _digest(self) -> str:
        digest = hashlib.sha256(repr(sorted(self.tokenizer.get_vocab().items())).encode("utf8"))
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()
