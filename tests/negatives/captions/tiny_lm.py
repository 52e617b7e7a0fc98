"""Tiny random causal language models on disk, with a tokenizer of single bytes."""

from pathlib import Path
from typing import Any

import torch

TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|bot|>{% endif %}"
)


def byte_tokenizer(template: str | None = None) -> Any:
    """Every byte is a token; then ``<|end|>`` (the end of an answer), ``<|user|>``, ``<|bot|>``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast_class: Any = PreTrainedTokenizerFast
    fast = fast_class(tokenizer_object=tokenizer, eos_token="<|end|>")
    fast.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|bot|>"]})
    fast.chat_template = template
    return fast


def tiny_model(kind: str, vocabulary: int, **changes: Any) -> Any:
    """``llama`` (rotary positions, shared key heads) or ``gpt2`` (learned positions), with wild weights."""
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    torch.manual_seed(7)
    shared: dict[str, Any] = {"vocab_size": vocabulary, "initializer_range": 0.5}
    shared |= {"eos_token_id": 256, "bos_token_id": None}
    if kind == "llama":
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        config: Any = LlamaConfig(
            **(sizes | {"num_key_value_heads": 2, "max_position_embeddings": 512} | shared | changes)
        )
    else:
        config = GPT2Config(**({"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512} | shared | changes))
    auto: Any = AutoModelForCausalLM
    return auto.from_config(config).eval()


def save(folder: Path, kind: str, template: str | None = None, **changes: Any) -> Path:
    """Model and tokenizer as ``from_pretrained`` wants them."""
    tokenizer = byte_tokenizer(template)
    tokenizer.save_pretrained(folder)
    tiny_model(kind, len(tokenizer), **changes).save_pretrained(folder)
    return folder
