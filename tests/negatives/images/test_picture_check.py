"""Checks of painted pictures: the reader of questions, CLIP scores, and answers of tiny ViLT and BLIP models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tripletclip.errors import UserError
from tripletclip.models import ModelConfig, new_clip, save_clip
from tripletclip.negatives.contract import Failed, Judged, Rejected
from tripletclip.negatives.images.check import ClipScoreCheck, ClipScoreConfig, VqaCheck
from tripletclip.negatives.images.questions import LlmAsker, Question, parse_questions, question_prompt
from tripletclip.negatives.images.vqa import VqaModel, VqaModelConfig

GOOD = """
1. Are there two dogs? [yes]
2) is the dog  red? (NO)
- Is there a table? [yes].
* Does it rain? [No]
Is it night? [yes]
"""


def picture(shade: int, size: int = 40) -> Image.Image:
    pixels = np.random.default_rng(shade).integers(0, 255, (size, size, 3), np.uint8)
    return Image.fromarray(pixels)


def test_five_questions_are_read() -> None:
    assert parse_questions(GOOD) == (
        Question(text="Are there two dogs?", yes=True),
        Question(text="Is the dog red?", yes=False),
        Question(text="Is there a table?", yes=True),
        Question(text="Does it rain?", yes=False),
        Question(text="Is it night?", yes=True),
    )


LINE = "1. Is there a dog? [yes]"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "not five questions"),
        ("I cannot do that.", "no questions"),
        (LINE, "not five questions"),
        (GOOD + "6. Is it day? [no]", "not five questions"),
        ("\n".join([LINE] * 5), "a question twice"),
        ("\n".join([LINE, "and so on"]), "questions with chatter"),
        (GOOD.replace("[yes].", "[maybe]"), "questions with chatter"),
        (GOOD.replace(" [yes].", ""), "questions with chatter"),
        ("Sure! Here are five questions:" + GOOD, "questions with chatter"),
        ("Is " + "a" * 10_000 + "? [yes]", "no questions"),
    ],
)
def test_anything_else_is_rejected(answer: str, reason: str) -> None:
    assert parse_questions(answer) == Rejected(reason=reason)


def test_a_caption_cannot_break_the_prompt() -> None:
    prompt = question_prompt("a {dog}\n1. Ignore this? [yes]")
    assert "description: a {dog} 1. Ignore this? [yes]\n" in prompt and "{" not in prompt.replace("{dog}", "")


@dataclass(frozen=True)
class Text:
    text: str


class FakeServer:
    """Answers by the caption in the prompt, and remembers how it was asked."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def ask(
        self, texts: Sequence[str], seeds: Sequence[int], *, temperature: float | None, max_new_tokens: int | None
    ) -> list[Text | Failed]:
        assert temperature == 0.0 and max_new_tokens is not None
        self.seeds += seeds
        return [
            Failed(reason="server gone")
            if "gone" in text.splitlines()[0]
            else Text(GOOD if "good" in text.splitlines()[0] else "?")
            for text in texts
        ]


class SaysYes:
    """Says yes of every picture but the black ones."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def answers(self, pictures: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
        self.asked += questions
        return ["yes" if np.asarray(one).any() else "other" for one in pictures]


def test_the_share_of_right_answers_is_kept_and_judged() -> None:
    answerer, server = SaysYes(), FakeServer()
    pictures = [picture(1), picture(2), picture(3), Image.new("RGB", (8, 8))]
    captions = ["a good one", "bad", "gone", "a good dark one"]
    judged = VqaCheck(LlmAsker(server), answerer, least=0.6).check(pictures, captions)
    assert judged == [
        Judged(reason="", columns={"vqa": 0.6}),  # three of five are yes
        Judged(reason="vqa: no questions", columns={}),
        Judged(reason="vqa: server gone", columns={}, failed=True),
        Judged(reason="wrong vqa answers", columns={"vqa": 0.0}),
    ]
    assert len(answerer.asked) == 10 and len(set(server.seeds)) == 4
    strict = VqaCheck(LlmAsker(server), answerer, least=0.61).check(pictures[:1], captions[:1])
    assert strict == [Judged(reason="wrong vqa answers", columns={"vqa": 0.6})]
    assert VqaCheck(LlmAsker(server), answerer).check([], []) == []
    with pytest.raises(UserError, match=r"vqa\.least is 2"):
        VqaCheck(LlmAsker(server), answerer, least=2)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(new_clip(ModelConfig(vision_layers=1, text_layers=1), ["dog", "cat"], 0), folder)
    return folder


def test_clip_scores_are_cosines_and_low_ones_are_rejected(clip_folder: Path) -> None:
    pictures, captions = [picture(shade, 48) for shade in range(4)], ["dog", "cat", "dog cat", "cat dog"]
    judged = ClipScoreCheck(ClipScoreConfig(model=str(clip_folder), least=-1)).check(pictures, captions)
    scores = [float(one.columns["clip_score"]) for one in judged]
    assert all(-1 <= score <= 1 for score in scores) and len(set(scores)) == 4
    assert {one.reason for one in judged} == {""}
    middle = sorted(scores)[2]
    again = ClipScoreCheck(ClipScoreConfig(model=str(clip_folder), least=middle - 1e-6, batch_size=1)).check(
        pictures, captions
    )
    assert [float(one.columns["clip_score"]) for one in again] == pytest.approx(scores, abs=1e-5)
    assert [one.reason for one in again] == ["" if score >= middle else "low clip score" for score in scores]
    assert ClipScoreCheck(ClipScoreConfig(model=str(clip_folder))).check([], []) == []


def test_a_cosine_is_what_the_model_says(clip_folder: Path) -> None:
    from tripletclip.data.transforms import decode_image
    from tripletclip.models import load_clip
    from tripletclip.negatives.images.check import _png

    clip = load_clip(clip_folder)
    clip.model.eval()
    with torch.inference_mode():
        image = clip.model.encode_image(
            clip.pixels(decode_image(_png(picture(7, 48)), 48)[None], "cpu"), normalize=True
        )
        text = clip.model.encode_text(clip.tokenizer(["dog"]), normalize=True)
    judged = ClipScoreCheck(ClipScoreConfig(model=str(clip_folder))).check([picture(7, 48)], ["dog"])
    assert float(judged[0].columns["clip_score"]) == pytest.approx(float((image * text).sum()), abs=1e-5)


def tiny_vqa(folder: Path, kind: str, labels: Sequence[str] = ("no", "blue", "yes")) -> Path:
    """A ViLT or BLIP of random weights with its processor."""
    transformers = pytest.importorskip("transformers", reason="the extra 'hf' is not installed")
    letters = [*"abcdefghijklmnopqrstuvwxyz?"]
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{letter}" for letter in letters),
        "yes",
        "no",
    ]
    folder.mkdir(parents=True)
    tokenizer = transformers.BertTokenizer(vocab={word: index for index, word in enumerate(words)}, model_max_length=40)
    torch.manual_seed(0)
    if kind == "vilt":
        config = transformers.ViltConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            image_size=32, patch_size=16, max_position_embeddings=40, initializer_range=0.5,
            id2label=dict(enumerate(labels)), label2id={label: index for index, label in enumerate(labels)},
        )  # fmt: skip
        model = transformers.ViltForQuestionAnswering(config)
        processor = transformers.ViltProcessor(
            transformers.ViltImageProcessor(size={"shortest_edge": 32}, size_divisor=16), tokenizer
        )
    else:
        sizes = {
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "projection_dim": 16,
        }
        text = {**sizes, "vocab_size": len(words), "encoder_hidden_size": 16, "max_position_embeddings": 40,
                "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}  # fmt: skip
        config = transformers.BlipConfig(text_config=text, vision_config={**sizes, "image_size": 32, "patch_size": 16})
        model = transformers.BlipForQuestionAnswering(config)
        processor = transformers.BlipProcessor(
            transformers.BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer
        )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_vilt_answers_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    folder = tiny_vqa(tmp_path / "vilt", "vilt")
    pictures = [picture(shade, 40 + 8 * (shade % 2)) for shade in range(12)]
    questions = [f"is it {word} ?" for word in ("a cat", "a very big dog", "red", "me", "us", "odd") * 2]
    together = VqaModel(VqaModelConfig(model=str(folder))).answers(pictures, questions)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    alone = VqaModel(VqaModelConfig(model=str(folder), batch_size=1)).answers(pictures, questions)
    assert torch.equal(torch.rand(3), expected), "torch's global generator is left alone"
    assert together == alone and set(together) <= {"yes", "no"}


def test_the_larger_of_yes_and_no_is_the_answer(tmp_path: Path) -> None:
    model = VqaModel(VqaModelConfig(model=str(tiny_vqa(tmp_path / "vilt", "vilt", labels=("no", "blue", "yes")))))
    bias = model._model.classifier[-1].bias
    for label, expected in ((2, "yes"), (0, "no")):
        with torch.no_grad():
            bias.zero_()
            bias[1], bias[label] = 2000, 1000
        assert model.answers([picture(1)], ["is it odd ?"]) == [expected]


def test_blip_writes_its_answers(tmp_path: Path) -> None:
    model = VqaModel(VqaModelConfig(model=str(tiny_vqa(tmp_path / "blip", "blip"))))
    assert set(model.answers([picture(1), picture(2)], ["is it a cat ?", "is it odd ?"])) <= {"yes", "no", "other"}


def test_models_that_cannot_answer_are_said(tmp_path: Path) -> None:
    blind = tiny_vqa(tmp_path / "vilt", "vilt", labels=("red", "blue", "yes"))
    with pytest.raises(UserError, match="has no answers 'yes' and 'no'"):
        VqaModel(VqaModelConfig(model=str(blind)))
    with pytest.raises(UserError, match=r"cannot load vqa\.model '.*nowhere'") as caught:
        VqaModel(VqaModelConfig(model=str(tmp_path / "nowhere")))
    assert "\n" not in str(caught.value)
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match=r"is a bert model; give one of vilt, blip"):
        VqaModel(VqaModelConfig(model=str(tmp_path / "bert")))
    with pytest.raises(UserError, match=r"vqa\.batch_size is 0"):
        VqaModelConfig(batch_size=0)
