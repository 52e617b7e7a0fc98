"""The ``transformers`` writer: captions by a language model in this process, its shared prompt prefix computed once.

Legend: B rows of a batch, P tokens of the shared prefix, L longest rest of a prompt in the batch, V vocabulary.
"""

import inspect
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.extras import require
from tripletclip.negatives.captions.decoding import Row, choose_tokens, left_padded, shared_prefix
from tripletclip.negatives.captions.parse import parse_answer
from tripletclip.negatives.captions.prompts import Prompt, load_prompt
from tripletclip.negatives.contract import Answer, Cost, Failed, Rejected, Request, seed_of

TOO_LONG, OUT_OF_MEMORY = "caption too long", "out of memory"
STOP_LOOK = 4
"""Steps between two looks for a stop string: decoding to text at every step would cost more than it saves."""

_PROBES = ("A dog.", "two men", "(1) the", "Über", "\"I'm", "9 o'clock", "-x", "", " ")
"""Captions that begin in different ways: what their prompts have in common does not depend on the caption."""


@dataclass(frozen=True, kw_only=True)
class LocalLlmConfig:
    """Which model of the Hub or folder, and how to sample. ``gguf_file`` names a GGUF file inside of it."""

    model: str
    gguf_file: str | None = None
    prompt: str = "paper"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    batch_size: int = 32
    n: int = 1
    temperature: float = 0.7
    top_p: float = 0.95
    max_new_tokens: int = 96
    reuse_prefix: bool = True

    def __post_init__(self) -> None:
        for field in ("batch_size", "n", "max_new_tokens"):
            if getattr(self, field) < 1:
                raise UserError(f"{field} is {getattr(self, field)}; use at least 1")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise UserError("use temperature >= 0 and 0 < top_p <= 1")
        if self.n > 1 and self.temperature == 0:
            raise UserError(
                f"at temperature 0 all {self.n} candidates would be the same; use n 1 or a temperature above 0"
            )


class TransformersWriter:
    """Batched and left-padded. Each row draws from a generator of its own seed, so no answer depends on its batch.

    Picklable; the model is loaded on first use in each process. One batch at a time, whoever calls.
    """

    name = "transformers"

    def __init__(self, config: LocalLlmConfig) -> None:
        require("hf", "the 'transformers' writer", "transformers")
        if config.gguf_file is not None:
            require("hf", "a GGUF model", "gguf")
        self.config, self.prompt = config, load_prompt(config.prompt)
        self.model = config.model if config.gguf_file is None else f"{config.model}:{config.gguf_file}"
        self.prompt_hash = self.prompt.hash
        self._lock, self._cost = threading.Lock(), Cost()
        self._engine: Engine | None = None

    def __reduce__(self) -> tuple[type["TransformersWriter"], tuple[LocalLlmConfig]]:
        return type(self), (self.config,)

    def write(self, requests: Sequence[Request]) -> list[list[Answer]]:
        """``n`` candidates for each request. Rows of like length share a batch."""
        start = time.perf_counter()
        with self._lock:
            engine = self._loaded()
            count = self.config.n
            rows = [engine.row(request, candidate) for request in requests for candidate in range(count)]
            answers: list[Answer] = [Rejected(reason=TOO_LONG) for _ in rows]
            fitting = [index for index, row in enumerate(rows) if engine.fits(row)]
            fitting.sort(key=lambda index: len(rows[index].tokens))
            for first in range(0, len(fitting), self.config.batch_size):
                batch = fitting[first : first + self.config.batch_size]
                for index, answer in zip(batch, self._batch(engine, [rows[i] for i in batch]), strict=True):
                    answers[index] = answer
            spent = [sum(len(row.tokens) for row in rows), sum(len(row.said) for row in rows)]
            seconds = time.perf_counter() - start
            self._cost += Cost(calls=len(rows), prompt_tokens=spent[0], new_tokens=spent[1], seconds=seconds)
        return [answers[first : first + count] for first in range(0, len(answers), count)]

    def cost(self) -> Cost:
        """Spent so far; a call is a candidate."""
        return self._cost

    def check_ready(self) -> None:
        """Load the model; :class:`UserError` if that is not possible."""
        with self._lock:
            self._loaded()

    def _loaded(self) -> "Engine":
        if self._engine is None:
            self._engine = Engine(self.config, self.prompt)
        return self._engine

    def _batch(self, engine: "Engine", rows: list[Row]) -> list[Answer]:
        """Answers of one batch; out of memory halves it, down to single rows, which then fail."""
        try:
            engine.generate(rows)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                return [Failed(reason=OUT_OF_MEMORY)]
            half = len(rows) // 2
            return self._batch(engine, rows[:half]) + self._batch(engine, rows[half:])
        return [parse_answer(engine.text(row), self.prompt, caption=row.caption, cut_off=not row.ended) for row in rows]


class Engine:
    """Model, tokenizer and the prefix cache of one prompt."""

    def __init__(self, config: LocalLlmConfig, prompt: Prompt) -> None:
        self.config, self.prompt = config, prompt
        self.tokenizer, self.model = load_model(config)
        self.device = self.model.device
        self.templated = bool(self.tokenizer.chat_template)
        settings = self.model.generation_config.eos_token_id
        listed = settings if isinstance(settings, list) else [settings]
        self.ends = {token for token in (*listed, self.tokenizer.eos_token_id) if token is not None}
        self.pad = next(iter(sorted(self.ends)), 0)
        text = self.model.config.get_text_config()
        self.limit: int = text.max_position_embeddings if hasattr(text, "max_position_embeddings") else 2**31
        keeps = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        self.last_only = {"logits_to_keep": 1} if keeps else {}
        probes = [self.tokens(prompt.fill(probe)) for probe in _PROBES]
        self.prefix = shared_prefix(probes) if config.reuse_prefix else []
        self.cached = self._prefix_cache() if self.prefix else None

    def tokens(self, text: str) -> list[int]:
        """As the model wants to be asked: in its chat template if it has one."""
        if self.templated:
            message = [{"role": "user", "content": text}]
            text = self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text, add_special_tokens=not self.templated)["input_ids"])

    def row(self, request: Request, candidate: int) -> Row:
        """A request on its way through the model."""
        seed = seed_of(str(request.seed), "candidate", candidate)
        return Row(caption=request.caption, tokens=self.tokens(self.prompt.fill(request.caption)), random=Random(seed))

    def fits(self, row: Row) -> bool:
        """Whether prompt and answer have positions in the model."""
        return len(row.tokens) + self.config.max_new_tokens <= self.limit

    def text(self, row: Row) -> str:
        """What a row has said so far."""
        return str(self.tokenizer.decode(row.said, skip_special_tokens=True))

    def generate(self, rows: Sequence[Row]) -> None:
        """Fill ``said`` and ``ended`` of every row. Rows that do not share the prefix go in a batch of their own."""
        size = len(self.prefix)
        for row in rows:
            row.said, row.ended = [], False
            row.random.setstate(row.start)
        for shares in (True, False):
            group = [row for row in rows if (row.tokens[:size] == self.prefix and len(row.tokens) > size) is shares]
            if group:
                with torch.inference_mode():
                    self._decode(group, size if shares else 0)

    def _decode(self, rows: Sequence[Row], skip: int) -> None:
        """One token after the other for all rows; finished rows leave when they are half of the batch."""
        ids_BL, seen_BL = left_padded([row.tokens[skip:] for row in rows], self.pad)
        seen = torch.cat([torch.ones(len(rows), skip, dtype=torch.long), seen_BL], dim=1).to(self.device)
        ids, cache = ids_BL.to(self.device), self._expanded(len(rows)) if skip else self._new_cache()
        places = (seen.cumsum(1) - 1).clamp(min=0)[:, skip:]
        alive = list(rows)
        for step in range(self.config.max_new_tokens):
            output = self.model(
                input_ids=ids,
                attention_mask=seen,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                **self.last_only,
            )
            chosen = choose_tokens(output.logits[:, -1].float(), alive, self.config.temperature, self.config.top_p)
            for row, token in zip(alive, chosen, strict=True):
                self._take(row, token, step)
            staying = [index for index, row in enumerate(alive) if not row.ended]
            if not staying:
                return
            ids, places = torch.tensor(chosen, device=self.device)[:, None], places[:, -1:] + 1
            if len(staying) <= len(alive) // 2:
                kept = torch.tensor(staying, device=self.device)
                cache.batch_select_indices(kept)
                ids, places, seen = ids[kept], places[kept], seen[kept]
                alive = [alive[index] for index in staying]
            seen = torch.cat([seen, torch.ones_like(ids)], dim=1)

    def _take(self, row: Row, token: int, step: int) -> None:
        if row.ended:
            return
        if token in self.ends:
            row.ended = True
            return
        row.said.append(token)
        if self.prompt.stop and step % STOP_LOOK == STOP_LOOK - 1:
            row.ended = any(stop in self.text(row) for stop in self.prompt.stop)

    def _new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def _prefix_cache(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the prefix, one row, layer by layer."""
        from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

        cache = self._new_cache()
        for layer in cache.layers:
            slides = isinstance(layer, DynamicSlidingWindowLayer)
            if slides:
                self.limit = min(self.limit, layer.sliding_window)  # beyond the window the prefix would be cut
            if not (slides or type(layer) is DynamicLayer):
                kind = type(layer).__name__
                raise UserError(f"the model '{self.config.model}' keeps a {kind}, not keys; set reuse_prefix to false")
        with torch.inference_mode():
            ids = torch.tensor([self.prefix], device=self.device)
            self.model(input_ids=ids, past_key_values=cache, use_cache=True, **self.last_only)
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _expanded(self, rows: int) -> Any:
        """A fresh cache that holds the prefix for every row."""
        assert self.cached is not None
        cache = self._new_cache()
        for index, (keys, values) in enumerate(self.cached):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), index)
        return cache


def load_model(config: LocalLlmConfig) -> tuple[Any, Any]:
    """Tokenizer and model in evaluation mode; no code of the model's folder is run."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    gguf = {} if config.gguf_file is None else {"gguf_file": config.gguf_file}
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.model, **gguf)
        model: Any = AutoModelForCausalLM.from_pretrained(config.model, dtype=config.dtype, **gguf)
        return tokenizer, model.eval().to(device)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().split("\n")[0]
        raise UserError(f"cannot load the language model '{config.model}': {first}") from error
    except RuntimeError as error:
        first = str(error).strip().split("\n")[0]
        raise UserError(f"cannot put the language model '{config.model}' on '{device}': {first}") from error
