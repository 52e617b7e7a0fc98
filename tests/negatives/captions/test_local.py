"""The ``transformers`` writer: with and without the kept prefix, alone and in a batch, the same answers."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from tiny_lm import TEMPLATE, save

from tripletclip.errors import UserError
from tripletclip.negatives.captions.decoding import Row, choose_tokens, left_padded, shared_prefix
from tripletclip.negatives.captions.entailment import NliConfig, NliModel
from tripletclip.negatives.captions.local import Engine, LocalLlmConfig, TransformersWriter
from tripletclip.negatives.captions.prompts import Prompt, load_prompt
from tripletclip.negatives.contract import Failed, Rejected, Request, Written

CAPTIONS = ["A dog.", "Two men in red coats ride on a long road.", "é", "A cat sits on a mat, and sleeps.", "Input: {}"]
SHORT = Prompt(name="short", text="Change it. Input: A cat. Output: A dog. Input: {} Output:")
MODELS = {"llama": ("llama", None), "gpt2": ("gpt2", None), "chat": ("llama", TEMPLATE)}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are slower on several threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    (base / "short.txt").write_text(SHORT.text)
    return {name: save(base / name, kind, template) for name, (kind, template) in MODELS.items()} | {"": base}


def config(folders: dict[str, Path], name: str, **changes: Any) -> LocalLlmConfig:
    plain: dict[str, Any] = {"dtype": "float32", "device": "cpu", "max_new_tokens": 12, "temperature": 0.0}
    return LocalLlmConfig(model=str(folders[name]), prompt=str(folders[""] / "short.txt"), **(plain | changes))


def requests(captions: Sequence[str] = CAPTIONS) -> list[Request]:
    return [Request(key=f"k{i}", caption=caption, seed=1000 + i) for i, caption in enumerate(captions)]


def said(engine: Engine, asked: Sequence[Request]) -> list[list[int]]:
    rows = [engine.row(request, 0) for request in asked]
    engine.generate(rows)
    return [row.said for row in rows]


@pytest.mark.parametrize("name", MODELS)
def test_greedy_answers_are_those_of_generate_with_and_without_the_kept_prefix(
    folders: dict[str, Path], name: str
) -> None:
    """The reference asks for one caption at a time through transformers' own loop, without padding."""
    engine = Engine(config(folders, name), SHORT)
    other = Engine(config(folders, name, reuse_prefix=False), SHORT)
    expected = []
    for caption in CAPTIONS:
        ids = torch.tensor([engine.tokens(SHORT.fill(caption))])
        out = engine.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, pad_token_id=0
        )
        expected.append([token for token in out[0, ids.shape[1] :].tolist() if token != 256])
    assert len({tuple(tokens) for tokens in expected}) > 1
    assert len(engine.prefix) >= len(SHORT.prefix) - 1 and other.prefix == []
    assert said(engine, requests()) == expected
    assert said(other, requests()) == expected


@pytest.mark.parametrize("reuse", [True, False])
def test_a_drawn_answer_does_not_depend_on_its_batch(folders: dict[str, Path], reuse: bool) -> None:
    engine = Engine(config(folders, "llama", temperature=1.0, top_p=0.9, reuse_prefix=reuse), SHORT)
    together = said(engine, requests())
    assert said(engine, requests()) == together
    assert [said(engine, [request])[0] for request in requests()] == together
    assert said(engine, requests()[::-1])[::-1] == together
    assert said(engine, [replace(requests()[0], seed=1)]) != together[:1]


def test_rows_leave_when_they_are_done_and_the_others_do_not_notice(folders: dict[str, Path]) -> None:
    """Every token of the answer of one row is made an end for all: rows end at different steps."""
    engine = Engine(config(folders, "llama", max_new_tokens=30, temperature=1.0), SHORT)
    engine.ends |= {token for token in range(256) if token % 9 == 0}
    asked = requests([f"{number} dogs" for number in range(16)])
    sizes: list[int] = []
    forward = engine.model.forward

    def counting(*args: Any, **named: Any) -> Any:
        sizes.append(named["input_ids"].shape[0])
        return forward(*args, **named)

    engine.model.forward = counting
    together = said(engine, asked)
    assert sizes[0] == 16 and sizes == sorted(sizes, reverse=True) and sizes[-1] < 8
    assert len({len(tokens) for tokens in together}) > 3
    assert [said(engine, [request])[0] for request in asked] == together


def test_the_prefix_goes_through_the_model_once(folders: dict[str, Path]) -> None:
    engine = Engine(config(folders, "llama", max_new_tokens=1), SHORT)
    widths: list[int] = []
    forward = engine.model.forward

    def counting(*args: Any, **named: Any) -> Any:
        widths.append(named["input_ids"].shape[1])
        return forward(*args, **named)

    engine.model.forward = counting
    for _ in range(3):
        said(engine, requests(["A dog.", "A cat."]))
    assert widths == [len("A dog. Output:")] * 3


def test_a_row_that_does_not_share_the_prefix_goes_without(folders: dict[str, Path]) -> None:
    engine = Engine(config(folders, "llama"), SHORT)
    alone = said(Engine(config(folders, "llama", reuse_prefix=False), SHORT), requests())
    rows = [engine.row(request, 0) for request in requests()]
    engine.prefix = [*engine.prefix[:-1], 999]  # now none does
    engine.generate(rows)
    assert [row.said for row in rows] == alone


def test_the_writer_answers_at_the_index_and_counts(folders: dict[str, Path]) -> None:
    """Random weights say nonsense: the tokens are replaced by sentences, chosen by what the row is about."""
    writer = TransformersWriter(config(folders, "llama", batch_size=2, n=2, temperature=1.0))
    writer.check_ready()
    engine = writer._engine
    assert engine is not None
    sizes: list[int] = []

    def speak(rows: Sequence[Row]) -> None:
        sizes.append(len(rows))
        for row in rows:
            row.said, row.ended = list(f"new {row.caption}".encode()), row.caption != "é"

    engine.generate = speak  # type: ignore[method-assign]
    engine.text = lambda row: bytes(row.said).decode()  # type: ignore[method-assign]
    answers = writer.write(requests())
    whole = [[Written(caption=f"new {caption}")] * 2 for caption in CAPTIONS]
    assert answers[:2] == whole[:2] and answers[3] == whole[3]
    assert answers[2] == [Rejected(reason="cut off")] * 2
    assert answers[4] == [Written(caption="new")] * 2  # cut at 'Input:'
    assert sizes == [2] * 5
    assert writer.cost().calls == 10 and writer.cost().new_tokens == 2 * sum(len(f"new {c}".encode()) for c in CAPTIONS)
    assert (writer.name, writer.prompt_hash) == ("transformers", SHORT.hash)
    assert pickle.loads(pickle.dumps(writer)).config == writer.config


def test_two_candidates_differ_and_real_answers_come_out(folders: dict[str, Path]) -> None:
    answers = TransformersWriter(config(folders, "chat", n=2, temperature=1.0)).write(requests())
    assert [len(candidates) for candidates in answers] == [2] * 5
    assert all(isinstance(answer, Rejected | Written) for candidates in answers for answer in candidates)
    engine = Engine(config(folders, "chat", temperature=1.0), SHORT)
    rows = [engine.row(requests()[0], candidate) for candidate in (0, 1)]
    engine.generate(rows)
    assert rows[0].said != rows[1].said


def test_a_prompt_that_does_not_fit_is_rejected(folders: dict[str, Path]) -> None:
    writer = TransformersWriter(config(folders, "gpt2"))
    (long, short) = writer.write(requests(["word " * 120, "A dog."]))
    assert long == [Rejected(reason="caption too long")] and short != long


def test_out_of_memory_halves_the_batch_and_then_fails_the_row(folders: dict[str, Path]) -> None:
    writer = TransformersWriter(config(folders, "llama", temperature=1.0))
    expected = writer.write(requests())
    engine = writer._engine
    assert engine is not None
    expected_said = dict(zip(CAPTIONS, said(engine, requests()), strict=True))
    sizes, generate, found = [0][:0], engine.generate, {"": [0]}

    def small(rows: Sequence[Row]) -> None:
        sizes.append(len(rows))
        if len(rows) > 2 or rows[0].caption == "é":
            generate(rows[:1])  # numbers that were drawn in vain
            raise torch.OutOfMemoryError
        generate(rows)
        found.update({row.caption: row.said for row in rows})

    engine.generate = small  # type: ignore[method-assign]
    answers = writer.write(requests())
    assert answers[2] == [Failed(reason="out of memory")]
    assert answers[:2] + answers[3:] == expected[:2] + expected[3:]
    assert found == {caption: said for caption, said in expected_said.items() if caption != "é"} | {"": [0]}
    assert max(sizes) == 5 and 1 in sizes


def test_an_answer_that_goes_on_with_examples_is_stopped(folders: dict[str, Path]) -> None:
    prompt = replace(SHORT, stop=("\nInput:",))
    engine = Engine(config(folders, "llama", max_new_tokens=40), prompt)
    engine.ends = set()
    engine.text = lambda row: "A bus.\nInput: A" if len(row.said) >= 6 else "A bus."  # type: ignore[method-assign]
    rows = [engine.row(requests()[0], 0)]
    engine.generate(rows)
    assert rows[0].ended and len(rows[0].said) == 8  # looked at after 4 and 8 tokens


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"n": 2}, "all 2 candidates"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
    ],
)
def test_bad_settings_are_refused(folders: dict[str, Path], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(folders, "llama", **changes)


def test_a_model_that_is_not_there_or_a_device_that_is_not_there(folders: dict[str, Path], tmp_path: Path) -> None:
    for broken in (config(folders, "llama", device="meta:x"), LocalLlmConfig(model=str(tmp_path))):
        with pytest.raises(UserError, match=r"cannot (load|put) the language model") as error:
            TransformersWriter(broken).check_ready()
        assert "\n" not in str(error.value)


# ---- small steps ---------------------------------------------------------------------------------------------------


def row(seed: int) -> Row:
    return Row(caption="", tokens=[], random=Random(seed))


def test_drawing_follows_temperature_and_nucleus() -> None:
    """p = (0.5, 0.3, 0.2) at temperature 1; top_p 0.7 leaves the first two, at 5/8 and 3/8."""
    logits = torch.tensor([0.3, 0.5, 0.2]).log().expand(4000, 3)
    rows = [row(seed) for seed in range(4000)]
    counts = [choose_tokens(logits, rows, 1.0, 1.0).count(token) / 4000 for token in range(3)]
    assert counts == pytest.approx([0.3, 0.5, 0.2], abs=0.03)
    counts = [choose_tokens(logits, rows, 1.0, 0.7).count(token) / 4000 for token in range(3)]
    assert counts == pytest.approx([3 / 8, 5 / 8, 0.0], abs=0.03) and counts[2] == 0
    squared = [0.09 / 0.38, 0.25 / 0.38, 0.04 / 0.38]
    counts = [choose_tokens(logits, rows, 0.5, 1.0).count(token) / 4000 for token in range(3)]
    assert counts == pytest.approx(squared, abs=0.03)
    assert choose_tokens(logits[:2], rows[:2], 1.0, 1e-9) == choose_tokens(logits[:2], rows[:2], 0.0, 1.0) == [1, 1]


def test_padding_stands_on_the_left() -> None:
    ids, seen = left_padded([[1, 2, 3], [4]], 9)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]] and seen.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_a_prefix_leaves_every_prompt_a_token() -> None:
    assert shared_prefix([[1, 2, 3, 4], [1, 2, 5]]) == [1, 2]
    assert shared_prefix([[1, 2], [1, 2, 5]]) == [1]
    assert shared_prefix([[3], [1]]) == shared_prefix([[]]) == []


# ---- the NLI model -------------------------------------------------------------------------------------------------


def tiny_nli(folder: Path, labels: dict[int, str]) -> str:
    from tiny_lm import byte_tokenizer
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = byte_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    bert = BertConfig(
        **sizes, vocab_size=len(tokenizer), max_position_embeddings=64, id2label=labels, initializer_range=1.0
    )
    BertForSequenceClassification(bert).save_pretrained(folder)
    return str(folder)


def test_the_nli_model_reads_its_entailment_label_and_batches_do_not_matter(tmp_path: Path) -> None:
    model = tiny_nli(tmp_path, {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"})
    pairs = [(f"{number} dogs run", "a dog " * number) for number in range(12)]
    one = NliModel(NliConfig(model=model, batch_size=1))
    inputs = one._tokenizer(*pairs[4], truncation=True, return_tensors="pt")
    with torch.no_grad():
        probability = float(one._model(**inputs).logits.softmax(-1)[0, 2])
    judged = one.judge(pairs)
    assert judged[4] == ("entailed" if probability >= 0.5 else "not entailed")
    assert set(judged) == {"entailed", "not entailed"}
    assert NliModel(NliConfig(model=model, batch_size=5)).judge(pairs) == judged
    assert set(NliModel(NliConfig(model=model, threshold=1.1)).judge(pairs)) == {"not entailed"}


def test_a_classifier_without_entailment_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one must be 'entailment'"):
        NliModel(NliConfig(model=tiny_nli(tmp_path, {0: "good", 1: "bad"})))
    with pytest.raises(UserError, match="cannot load the NLI model"):
        NliModel(NliConfig(model=str(tmp_path / "none")))


def test_the_built_in_prompts_have_long_prefixes() -> None:
    for name in ("paper", "few-shot", "rewrite"):
        assert len(load_prompt(name).prefix) > 10 * len(load_prompt(name).suffix)
