"""Captions a second of the ``transformers`` writer with the prompt's prefix computed once, and without, side by side.

    python benchmarks/prefix.py --captions 64 --threads 1

A random Llama (by default 8 layers, 256 wide, 16,000 words: it is the shape that counts), the paper's prompt, captions
of like length and answers of a fixed number of tokens. Both ways take turns in one process, and say the same tokens.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tripletclip.negatives.captions.local import Engine, LocalLlmConfig
from tripletclip.negatives.captions.prompts import PAPER, load_prompt
from tripletclip.negatives.contract import Request

NOUNS = ("dog", "cat", "man", "woman", "red bus", "small child", "bowl of soup", "laptop computer", "horse", "kite")
PLACES = (
    "on a table",
    "next to the window",
    "in front of an old brick house",
    "under a tree in the park",
    "on the beach",
)


def captions(count: int) -> list[str]:
    """Made of few words, all different."""
    first, second = len(NOUNS), len(NOUNS) * len(PLACES)
    return [f"A {NOUNS[i % first]} {PLACES[i // first % len(PLACES)]} by number {i // second}." for i in range(count)]


def save_model(folder: Path, texts: list[str], layers: int, width: int, vocabulary: int) -> int:
    """A random Llama and a byte-pair tokenizer that has learnt the words; returns the tokens of the prompt."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=letters, special_tokens=["<end>"], show_progress=False
    )
    tokenizer.train_from_iterator([PAPER.text] * 2 + texts, trainer)
    fast: Any = PreTrainedTokenizerFast
    fast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": layers}
    sizes |= {"num_attention_heads": width // 32, "num_key_value_heads": width // 64}
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=vocabulary, eos_token_id=None)).save_pretrained(folder)
    return len(tokenizer.encode(PAPER.fill("")).ids)


def run(engine: Engine, requests: list[Request], batch: int) -> tuple[float, list[list[int]]]:
    """Seconds for all captions, and what was said."""
    start = time.perf_counter()
    rows = [engine.row(request, 0) for request in requests]
    for first in range(0, len(rows), batch):
        engine.generate(rows[first : first + batch])
    return time.perf_counter() - start, [row.said for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    requests = [Request(key=f"k{i}", caption=text, seed=i) for i, text in enumerate(captions(options.captions))]
    with tempfile.TemporaryDirectory() as folder:
        texts = [request.caption for request in requests]
        tokens = save_model(Path(folder), texts, options.layers, options.width, options.vocabulary)
        engines = {}
        for reuse in (True, False):
            config = LocalLlmConfig(
                model=folder,
                dtype="float32",
                device=options.device,
                temperature=0.0,
                max_new_tokens=options.new_tokens,
                reuse_prefix=reuse,
            )
            engines[reuse] = Engine(config, load_prompt("paper"))
            engines[reuse].ends = set()
            run(engines[reuse], requests[: options.batch], options.batch)
        seconds: dict[bool, list[float]] = {True: [], False: []}
        said = {}
        for _ in range(options.rounds):
            for reuse, engine in engines.items():
                spent, said[reuse] = run(engine, requests, options.batch)
                seconds[reuse].append(spent)
    rates = {reuse: options.captions / statistics.median(spent) for reuse, spent in seconds.items()}
    same = sum(one == two for one, two in zip(said[True], said[False], strict=True))
    print(f"{tokens} tokens of prompt, {options.new_tokens} new tokens, batch {options.batch}, {options.rounds} rounds")
    print(f"prefix kept: {rates[True]:.2f} captions/s; not kept: {rates[False]:.2f} captions/s")
    print(f"ratio {rates[True] / rates[False]:.2f}; the same tokens in {same} of {options.captions} captions")


if __name__ == "__main__":
    main()
