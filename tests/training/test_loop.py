"""One run: features of the right halves, exact budgets, and errors that stop before work starts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import MODEL, ROWS, TOKENS, WORDS, metrics, run, tiny
from torch import Tensor
from torch.nn import functional as F

from tripletclip.data.loader import Loader
from tripletclip.data.shards import Shards
from tripletclip.errors import UserError
from tripletclip.models import forward_flops, load_clip, new_clip, open_clip_config
from tripletclip.objectives.losses import COMPARED, objective_named
from tripletclip.training.prepare import StepReport
from tripletclip.training.state import CONFIG_FILE, DONE_FILE, STATE_FILE
from tripletclip.training.step import encode_batch

PAIRS, IMAGES, TEXTS = 0, 1, 2
SPENT_IN_10_STEPS = {
    "clip": (60, 60, 60),
    "negclip": (40, 40, 80),
    "negimage": (40, 80, 40),
    "tripletclip": (30, 60, 60),
    "clip-on-triplets": (30, 60, 60),
}
"""12 passes a step: pairs of 2, 3, 3, 4 and 4 passes, so 6, 4, 4, 3 and 3 pairs a step."""


# ---- features ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(COMPARED))
def test_each_half_keeps_its_place(name: str, data: Path) -> None:
    """One forward a tower, and every half has the features that open_clip gives it alone, on uncut texts."""
    objective, config = objective_named(name), tiny(data, Path("out"), objective=name)
    clip = new_clip(MODEL, WORDS, 0)
    size = config.pairs_per_step
    loader = Loader(
        Shards(data), tokenize=clip.tokenizer, image_size=16, batch_size=size, seed=1, roles=objective.roles
    )
    (batch,) = loader.batches(0, 1)
    calls: list[int] = []
    hook = clip.model.visual.register_forward_hook(lambda module, args, output: calls.append(len(output)))
    features = encode_batch(config, clip, batch)
    hook.remove()
    assert calls == [size * objective.pattern.image_halves]

    def images(image: Tensor) -> Tensor:
        return F.normalize(clip.model.encode_image((image.float() / 255 - 0.5) / 0.27), dim=1)

    def texts(text: Tensor) -> Tensor:
        return F.normalize(clip.model.encode_text(F.pad(text, (0, 8 - text.shape[1]))), dim=1)

    given_images = [half for half in (batch.image, batch.neg_image) if half is not None]
    given_texts = [half for half in (batch.text, batch.neg_text) if half is not None]
    assert len(given_images) + len(given_texts) == objective.passes
    torch.testing.assert_close(features.images, tuple(map(images, given_images)), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.texts, tuple(map(texts, given_texts)), rtol=0, atol=1e-5)


# ---- a run ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SPENT_IN_10_STEPS))
def test_budgets_are_counted_exactly(name: str, data: Path, tmp_path: Path) -> None:
    reports: list[StepReport] = []
    folder = run(tiny(data, tmp_path / "run", objective=name), watch=reports.append)
    budget = json.loads((folder / DONE_FILE).read_text("utf8"))["budget"]
    spent = SPENT_IN_10_STEPS[name]
    assert (budget["steps"], budget["pairs"], budget["images"], budget["texts"]) == (10, *spent)
    assert budget["tokens"] == TOKENS * spent[TEXTS]
    image_flops, text_flops = forward_flops(open_clip_config(MODEL, len(WORDS) + 4), TOKENS)
    assert budget["flops"] == pytest.approx(3 * (spent[IMAGES] * image_flops + spent[TEXTS] * text_flops))
    assert [report.step for report in reports] == list(range(1, 11))
    assert reports[-1].budget.pairs == spent[PAIRS]


def test_all_objectives_spend_equal_passes() -> None:
    assert set(SPENT_IN_10_STEPS) == set(COMPARED)
    assert {images + texts for _, images, texts in SPENT_IN_10_STEPS.values()} == {120}


def test_a_finished_folder_is_a_model_and_holds_no_state(data: Path, tmp_path: Path) -> None:
    last: list[StepReport] = []
    folder = run(tiny(data, tmp_path / "run"), watch=last.append)
    assert not (folder / STATE_FILE).exists()
    expected = last[-1].clip.model.state_dict()
    found = load_clip(folder).model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_metrics_hold_every_logged_step(data: Path, tmp_path: Path) -> None:
    reports: list[StepReport] = []
    folder = run(tiny(data, tmp_path / "run", log_every=4, steps=10), watch=reports.append)
    lines = metrics(folder)
    assert [line["step"] for line in lines] == [4, 8, 10]
    for line in lines:
        assert line["loss"] == pytest.approx(line["image_to_text_loss"] + line["text_to_image_loss"], rel=1e-6)
        values = reports[int(line["step"]) - 1].values
        assert {name: line[name] for name in values} == values
        assert set(line) - set(values) == {"step", "learning_rate"}


def test_the_tiny_run_learns(data: Path, tmp_path: Path) -> None:
    """26 triplets with one colour channel brighter: thirty steps must bring the loss down."""
    config = tiny(data, tmp_path / "run", steps=30, passes_per_step=32, learning_rate=5e-3, save_every=100)
    losses = [line["loss"] for line in metrics(run(config))]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_run_from_a_model_starts_at_its_weights(data: Path, tmp_path: Path) -> None:
    start = run(tiny(data, tmp_path / "start", objective="clip", steps=2))
    frozen = tiny(data, tmp_path / "on", init=start, learning_rate=0.0, steps=1, seed=9)
    found, expected = load_clip(run(frozen)).model.state_dict(), load_clip(start).model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("changes", [{"chunk": 2}, {"workers": 1}, {"precision": "bf16"}])
def test_how_a_step_is_computed_does_not_change_it(changes: dict[str, Any], data: Path, tmp_path: Path) -> None:
    """bf16 keeps 8 bits of a number, so its losses agree to about a hundredth."""
    tolerance = 2e-2 if "precision" in changes else 1e-5
    expected = metrics(run(tiny(data, tmp_path / "plain", steps=4)))
    found = metrics(run(tiny(data, tmp_path / "changed", steps=4, **changes)))
    assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in expected], rel=tolerance)


# ---- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("negclip", "neg_caption"),
        ("negimage", "neg_image"),
        ("tripletclip", "neg_image and neg_caption"),
        ("clip-on-triplets", "neg_image and neg_caption"),
    ],
)
def test_missing_negatives_stop_before_anything_is_written(
    name: str, missing: str, pairs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"{pairs} has rows without {missing}, which the objective needs"):
        run(tiny(pairs, tmp_path / "run", objective=name))
    assert not (tmp_path / "run").exists()


def test_plain_clip_needs_no_negatives(pairs: Path, tmp_path: Path) -> None:
    assert len(metrics(run(tiny(pairs, tmp_path / "run", objective="clip", steps=ROWS // 6 + 1)))) == 5


def test_a_loss_that_is_not_finite_stops_the_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"the loss is not finite .*image_to_text_loss nan.* in step [2-9] at keys .* lower learning_rate",
    ):
        run(tiny(data, tmp_path / "run", learning_rate=1e30, warmup=0))
    assert len(metrics(tmp_path / "run")) == 1
    assert not (tmp_path / "run" / DONE_FILE).exists()


def test_a_folder_with_something_in_it_is_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=f"{out} is not empty"):
            run(tiny(data, out), overwrite=overwrite)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_overwrite_replaces_a_run(data: Path, tmp_path: Path) -> None:
    out = run(tiny(data, tmp_path / "run", steps=3, seed=1))
    (out / "old.json").write_text("{}")
    with pytest.raises(UserError, match="--overwrite"):
        run(tiny(data, out, steps=2))
    assert len(metrics(out)) == 3
    run(tiny(data, out, steps=2), overwrite=True)
    assert len(metrics(out)) == 2
    assert not (out / "old.json").exists()
    assert json.loads((out / CONFIG_FILE).read_text("utf8"))["steps"] == 2
    assert metrics(out) == metrics(run(tiny(data, tmp_path / "fresh", steps=2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "tripletclp"}, "did you mean 'tripletclip'"),
        ({"steps": 0}, "steps is 0"),
        ({"log_every": 0}, "log_every is 0"),
        ({"save_every": -1}, "save_every is -1"),
        ({"passes_per_step": 10}, "passes_per_step is 10; tripletclip encodes 4 .* multiple of 4"),
        ({"precision": "fp16"}, "precision is 'fp16'"),
        ({"chunk": 0}, "chunk is 0"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(Path("data"), Path("out"), **changes)
