"""Objectives by name, what they need and report."""

import pytest
import torch
from paper_formulas import HALVES, NAMES, made

from tripletclip.errors import UserError
from tripletclip.objectives.losses import COMPARED, Features, contrastive_losses, objective_named

ROLES = {
    "clip": {"image", "caption"},
    "negclip": {"image", "caption", "neg_caption"},
    "negimage": {"image", "caption", "neg_image"},
    "tripletclip": {"image", "caption", "neg_image", "neg_caption"},
    "clip-on-triplets": {"image", "caption", "neg_image", "neg_caption"},
}


@pytest.mark.parametrize("name", NAMES)
def test_roles_and_passes(name: str) -> None:
    objective = objective_named(name)
    assert set(objective.roles) == ROLES[name]
    assert objective.passes == len(ROLES[name]) == sum(HALVES[name])
    assert COMPARED[name].name == name


def test_an_unknown_objective_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown objective 'tripletclp'; did you mean 'tripletclip'"):
        objective_named("tripletclp")


def test_features_that_the_objective_does_not_want_are_refused() -> None:
    m = made(3)
    with pytest.raises(ValueError, match="needs 1 halves of images and 1 of texts; got 1 and 2"):
        contrastive_losses(objective_named("clip"), Features(images=(m.x,), texts=(m.y, m.y_neg)), m.scale)


@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 4, 5])
def test_accuracies_counted_by_hand(chunk: int | None) -> None:
    """Images e0..e3. Texts e0, e1, e1, (e2 + e3)/sqrt 2: image 0 is right; 1 ties with text 2; 2 prefers text 3 to its
    own; 3 is right. So accuracy 2/4. Negative texts e1, e1, e0, e3: image 0 scores 1 > 0; image 1 ties 1 = 1; image 2
    ties 0 = 0; image 3 scores 0.71 < 1. So hard_accuracy 1/4: ties lose.
    """
    e0, e1, e2, e3 = torch.eye(4)
    features = Features(
        images=(torch.stack([e0, e1, e2, e3]),),
        texts=(torch.stack([e0, e1, e1, (e2 + e3) / 2**0.5]), torch.stack([e1, e1, e0, e3])),
    )
    losses, report = contrastive_losses(objective_named("negclip"), features, torch.tensor(5.0), chunk=chunk)
    assert set(losses) == {"image_to_text_loss", "text_to_image_loss"}
    assert {name: value.item() for name, value in report.items()} == {"accuracy": 0.5, "hard_accuracy": 0.25}


def test_without_negative_texts_there_is_no_hard_accuracy() -> None:
    m = made(3)
    features = Features(images=(m.x, m.x_neg), texts=(m.y,))
    _, report = contrastive_losses(objective_named("negimage"), features, m.scale)
    assert set(report) == {"accuracy"}
    assert not report["accuracy"].requires_grad


def test_the_report_does_not_touch_the_gradient() -> None:
    m = made(5)
    losses, report = contrastive_losses(objective_named("clip"), Features(images=(m.x,), texts=(m.y,)), m.scale)
    assert all(loss.requires_grad for loss in losses.values())
    assert not any(value.requires_grad for value in report.values())
