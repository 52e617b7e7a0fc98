"""The language model's line: likelihoods token by token, whatever the batch; kept on disk."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "negatives" / "captions"))
from tiny_lm import save

from tripletclip.errors import UserError
from tripletclip.evaluation.blind_rules import likelihood_lines
from tripletclip.evaluation.likelihood import LanguageModel
from tripletclip.evaluation.sets import PairSet

TEXTS = ["a red dog", "two cats on a mat", "x", "ein Hünd", "a red dog!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("lm") / "tiny", "gpt2")


def by_hand(language_model: LanguageModel, text: str) -> list[float]:
    """One token after the other, each in a call of its own, after the token that ends a text."""
    ids = list(language_model.tokenizer(text)["input_ids"])
    logs = []
    for place, token in enumerate(ids):
        with torch.no_grad():
            output: Any = language_model.model(input_ids=torch.tensor([[256, *ids[:place]]]))
        logs.append(float(output.logits[0, -1].double().log_softmax(0)[token]))
    return [sum(logs) / len(logs), sum(logs)]


def test_likelihoods_are_those_of_single_tokens(folder: Path) -> None:
    language_model = LanguageModel(str(folder))
    found = language_model.scores(TEXTS)
    for text, row in zip(TEXTS, found.tolist(), strict=True):
        assert row == pytest.approx(by_hand(language_model, text), abs=1e-3), text
    assert found[0, 1] != pytest.approx(float(found[0, 0]))


def test_the_likelier_caption_wins(folder: Path) -> None:
    language_model = LanguageModel(str(folder))
    mean, summed = zip(*(by_hand(language_model, text) for text in TEXTS), strict=True)
    item_set = PairSet(
        name="", keys=list("abcd"), splits=["add_obj"] * 4, images=[b"1"] * 4,
        captions=[TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[4]], neg_captions=[TEXTS[4], TEXTS[2], TEXTS[3], TEXTS[4]],
    )  # fmt: skip
    lines = likelihood_lines(item_set, language_model)["sugarcrepe"]
    for name, score in (("text likelihood", mean), ("text likelihood, summed", summed)):
        won = [score[own] > score[other] for own, other in ((0, 4), (1, 2), (2, 3), (4, 4))]
        assert lines[name]["micro"] == 100 * sum(won) / 4
        assert not won[3]


def test_what_was_read_is_not_read_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = LanguageModel(str(folder), cache=tmp_path).scores(TEXTS)
    again = LanguageModel(str(folder), cache=tmp_path)
    monkeypatch.setattr(again, "_batch", lambda rows: pytest.fail("read again"))
    assert torch.equal(again.scores(TEXTS[::-1]), first.flip(0))


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(UserError, match="cannot load the language model 'no/such/place'"):
        LanguageModel("no/such/place")
