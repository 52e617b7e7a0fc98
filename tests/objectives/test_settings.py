"""Numbers derived by hand for the further objectives, the laws of the settings, and what is refused."""

import math
from dataclasses import replace

import pytest
import torch
from running import assert_equal, gradients, losses_of, total
from slow_references import HALVES, SIGMOID, Drawn, drawn, drawn_for
from torch import Tensor

from tripletclip.errors import UserError
from tripletclip.objectives.features import whole
from tripletclip.objectives.gather import Gathered
from tripletclip.objectives.losses import (
    COMPARED,
    OBJECTIVES,
    Features,
    HardNegatives,
    contrastive_losses,
    objective_named,
    rank_local_losses,
)

A, B, C = torch.eye(3, dtype=torch.float64)
"""Unit vectors at right angles."""


def batch_of(images: list[list[Tensor]], texts: list[list[Tensor]], bias: float = 0.0) -> Drawn:
    """A scale of ln 3: e^logit is 3 where vectors are equal, else 1."""
    return Drawn(
        images=tuple(torch.stack(half) for half in images),
        texts=tuple(torch.stack(half) for half in texts),
        scale=torch.tensor(math.log(3)).double(),
        bias=torch.tensor(bias).double(),
    )


def check(name: str, batch: Drawn, expected: float, hard: HardNegatives | None = None, negatives: int = 1) -> None:
    objective = objective_named(name, neg_captions=negatives)
    for chunk in (None, 1):
        assert total(losses_of(objective, batch, chunk=chunk, hard=hard)) == pytest.approx(expected, rel=1e-7)


LN = math.log


def test_cyclip_by_hand() -> None:
    """X = (a, b), Y = (a, a). Image a sees own 3 of 6 -> ln 2, image b own 1 of 2 -> ln 2. Text 1 over (a, b): 3 of 4;
    text 2 has own 1 of 4: ln(4/3) + ln 4 = ln(16/3), mean ln(16/3) / 2. Halved: ln(2)/2 + ln(16/3)/4.
    Images lie at 0, captions at 1: two cells of 1, over N = 2: in-modal 1. x1.y2 = 1 and x2.y1 = 0: cross-modal 1.
    """
    contrastive = LN(2) / 2 + LN(16 / 3) / 4
    check("cyclip", batch_of([[A, B]], [[A, A]]), contrastive + 0.25 + 0.25)


def test_cyclip_triplet_by_hand() -> None:
    """X = (a, b), Y = (a, a) as before; X' = (a, b), Y' = (a, b), which is consistent and adds no cyclic term.

    Image a sees 3 + 3 + 3 + 1: ln(10/3). Image b sees 1 + 1 + 1 + 3, own 1: ln 6. X' sees the same, with own 3 and 3:
    ln(10/3), ln 2. Means (ln(10/3) + ln 6)/2 and (ln(10/3) + ln 2)/2; their sum halved is (2 ln(10/3) + ln 12)/4.
    Texts over their own half: ln(16/3)/2 and ln(4/3), halved.
    """
    to_text, to_image = (2 * LN(10 / 3) + LN(12)) / 4, LN(16 / 3) / 4 + LN(4 / 3) / 2
    batch = batch_of([[A, B], [A, B]], [[A, A], [A, B]])
    check("cyclip-triplet", batch, to_text + to_image + 0.5)
    mirrored = batch_of([[A, B], [A, B]], [[A, B], [A, A]])
    check("cyclip-triplet", mirrored, to_text + to_image + 0.5)


def test_siglip_by_hand() -> None:
    """Bias -ln 3: a logit is 0 where equal, else -ln 3. Pairs: -log sigmoid(0) = ln 2, twice. Others: ln(4/3), being
    -log sigmoid(ln 3), twice. Over N = 2: ln(8/3).
    """
    check("siglip", batch_of([[A, B]], [[A, B]], bias=-LN(3)), LN(8 / 3))


def test_siglip_triplet_by_hand() -> None:
    """X = (a, b), Y = (a, b), X' = (c, a), Y' = (c, c), bias -ln 3.

    X with Y: 2 ln 2 + 2 ln(4/3). X with Y': nothing equal: 4 ln(4/3). X' with Y': pair c, c ln 2; its image c
    with the other c, unlike but equal: ln 2; image a: with c ln(4/3), its pair a, c at -ln 3: ln 4 = 2 ln 2. X' with Y:
    one equal (a, a) ln 2 and three ln(4/3). The rows of X' count by pair_weight.
    """
    batch = batch_of([[A, B], [C, A]], [[A, B], [C, C]], bias=-LN(3))
    positive, negative = 2 * LN(2) + 6 * LN(4 / 3), 5 * LN(2) + 4 * LN(4 / 3)
    check("siglip-triplet", batch, (positive + negative) / 2)
    check("siglip-triplet", batch, (positive + 3 * negative) / 2, HardNegatives(pair_weight=3.0))


def test_two_negative_captions_by_hand() -> None:
    """X = Y = (a, b), Y' = (c, c) and (a, c). Image a sees 3 + 1, 1 + 1, 3 + 1: ln(10/3); image b 1 + 3, 1 + 1, 1 + 1:
    ln(8/3). Texts: ln(4/3). Halved: (ln(10/3) + ln(8/3))/4 + ln(4/3)/2.
    """
    batch = batch_of([[A, B]], [[A, B], [C, C], [A, C]])
    check("negclip", batch, (LN(10 / 3) + LN(8 / 3)) / 4 + LN(4 / 3) / 2, negatives=2)


@pytest.mark.parametrize(
    ("hard", "hardened"),
    [
        (HardNegatives(weight=2.0), 2 * (3 + 1)),
        (HardNegatives(margin=1.0), 9 + 3),
        (HardNegatives(temperature=2.0), math.sqrt(3) + 1),
        (HardNegatives(weight=2.0, margin=1.0, temperature=2.0), 2 * (3 + math.sqrt(3))),
    ],
)
def test_settings_by_hand(hard: HardNegatives, hardened: float) -> None:
    """X = Y = (a, b), Y' = (a, b): an image sees 3 + 1 of its half, and of the hard ones an equal and an unequal one:
    3 and 1; times 2; with ln 3 more: 9 and 3; their square roots; 2 (9 to the half) and 2 (3 to the half).
    """
    batch = batch_of([[A, B]], [[A, B], [A, B]])
    check("negclip", batch, LN((4 + hardened) / 3) / 2 + LN(4 / 3) / 2, hard)


# ---- laws ----------------------------------------------------------------------------------------------------------


def test_a_vanishing_weight_leaves_clip() -> None:
    batch = drawn_for("negclip", seed=1)
    plain = replace(batch, texts=batch.texts[:1])
    faint = losses_of(objective_named("negclip"), batch, hard=HardNegatives(weight=1e-14))
    expected = losses_of(objective_named("clip"), plain)
    assert {name: loss.item() for name, loss in faint.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, abs=1e-10
    )


@pytest.mark.parametrize("captions", [2, 4])
def test_one_kth_of_the_weight_makes_k_captions_count_as_one(captions: int) -> None:
    batch = drawn_for("negclip", seed=2)
    repeated = replace(batch, texts=(batch.texts[0], *[batch.texts[1]] * captions))
    many = objective_named("negclip", neg_captions=captions)
    mine = losses_of(many, repeated, hard=HardNegatives(weight=1 / captions))
    assert_equal(mine, losses_of(objective_named("negclip"), batch), batch, 1e-12)


def test_the_order_of_negative_captions_does_not_matter() -> None:
    batch, objective = drawn(1, 4, seed=3), objective_named("negclip", neg_captions=3)
    turned = replace(batch, texts=(batch.texts[0], batch.texts[3], batch.texts[1], batch.texts[2]))
    assert_equal(losses_of(objective, turned), losses_of(objective, batch), batch, 1e-12)


@pytest.mark.parametrize("name", ["tripletclip", "cyclip-triplet", "siglip-triplet", "clip-on-triplets"])
def test_swapping_halves_exchanges_whose_terms_are_weighted(name: str) -> None:
    """p L(X', Y', Y) + L(X, Y, Y') of the swapped batch is p times the loss with weight 1/p: Eq. 4 is symmetric."""
    batch, objective, p = drawn_for(name, seed=4), objective_named(name), 0.4
    swapped = replace(batch, images=batch.images[::-1], texts=batch.texts[::-1])
    left = total(losses_of(objective, swapped, hard=HardNegatives(pair_weight=p)))
    assert left == pytest.approx(
        p * total(losses_of(objective, batch, hard=HardNegatives(pair_weight=1 / p))), rel=1e-12
    )


@pytest.mark.parametrize("name", SIGMOID)
def test_bias_and_scale_get_gradients(name: str) -> None:
    batch = drawn_for(name)
    for chunk in (None, 2):
        *_, scale, bias = gradients(losses_of(objective_named(name), batch, chunk=chunk), batch)
        assert scale.abs() > 1e-3 and bias.abs() > 1e-3


@pytest.mark.parametrize("name", ["cyclip", "cyclip-triplet"])
def test_consistent_features_cost_nothing_more(name: str) -> None:
    """Captions equal to their images: both consistency terms are 0."""
    batch = drawn_for(name)
    losses = losses_of(objective_named(name), replace(batch, texts=batch.images))
    assert losses["in_modal_loss"].item() == losses["cross_modal_loss"].item() == 0


# ---- names ---------------------------------------------------------------------------------------------------------


def test_titles_and_bias() -> None:
    assert {name: o.title for name, o in OBJECTIVES.items() if name not in COMPARED} == {
        "cyclip": "CyCLIP",
        "cyclip-triplet": "CyCLIP + TripletLoss",
        "siglip": "SigLIP",
        "siglip-triplet": "SigLIP + TripletLoss",
    }
    assert {name for name, o in OBJECTIVES.items() if o.needs_bias} == set(SIGMOID)
    assert all(o.name == name == objective_named(name).name for name, o in OBJECTIVES.items())
    assert all(o.passes == sum(HALVES[name]) == len(o.roles) for name, o in OBJECTIVES.items())


def test_negative_captions_are_text_halves() -> None:
    four = objective_named("negclip", neg_captions=4)
    assert (four.image_halves, four.text_halves, four.passes, four.title) == (1, 5, 6, "NegCLIP")
    assert four.roles == objective_named("negclip").roles
    assert objective_named("negclip").title == "NegCLIP++"


def test_accuracy_over_several_negatives_means_above_each() -> None:
    """Image a = caption a. Negatives: (b, b) all below; (b, a) the second ties; (c, mix) the second is nearer still."""
    mix = (A + B) / 2**0.5
    features = Features(
        images=(torch.stack([A, A, mix]),),
        texts=(torch.stack([A, A, A]), torch.stack([B, B, C]), torch.stack([B, A, mix])),
    )
    _, report = contrastive_losses(objective_named("negclip", neg_captions=2), features, torch.tensor(5.0).double())
    assert report["hard_accuracy"].item() == pytest.approx(1 / 3)


# ---- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weight", "temperature", "pair_weight"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name} of hard negatives is {value}; give a number above 0"):
        HardNegatives(**{name: value})


@pytest.mark.parametrize("value", [-0.1, 2.1, math.inf, math.nan])
def test_a_margin_that_is_no_difference_of_cosines_is_refused(value: float) -> None:
    with pytest.raises(UserError, match=f"margin of hard negatives is {value}; it is a cosine"):
        HardNegatives(margin=value)


@pytest.mark.parametrize("name", ["clip", "cyclip", "siglip"])
@pytest.mark.parametrize("field", ["weight", "margin", "temperature"])
def test_settings_without_hard_negatives_are_refused(name: str, field: str) -> None:
    with pytest.raises(UserError, match=f"{name} sees no hard negatives"):
        losses_of(objective_named(name), drawn_for(name), hard=HardNegatives(**{field: 0.5}))


@pytest.mark.parametrize("name", ["clip", "negclip", "negimage", "cyclip", "siglip"])
def test_a_pair_weight_without_terms_of_negative_pairs_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} has no terms of negative pairs"):
        losses_of(objective_named(name), drawn_for(name), hard=HardNegatives(pair_weight=0.5))


@pytest.mark.parametrize("name", SIGMOID)
def test_a_missing_bias_is_refused(name: str) -> None:
    batch = drawn_for(name)
    features = Features(images=batch.images, texts=batch.texts)
    with pytest.raises(UserError, match=f"{name} needs logit_bias"):
        contrastive_losses(objective_named(name), features, batch.scale)


def test_a_bias_for_a_softmax_is_refused() -> None:
    batch = drawn_for("clip")
    features = Features(images=batch.images, texts=batch.texts)
    with pytest.raises(UserError, match="clip is a softmax, which no logit_bias changes"):
        contrastive_losses(objective_named("clip"), features, batch.scale, logit_bias=batch.bias)


@pytest.mark.parametrize("name", [name for name in HALVES if name != "negclip"])
def test_several_negative_captions_are_for_negclip(name: str) -> None:
    with pytest.raises(UserError, match=f"neg_captions is 3, but {name} takes one a pair at most"):
        objective_named(name, neg_captions=3)


@pytest.mark.parametrize("number", [0, -2])
def test_less_than_one_negative_caption_is_refused(number: int) -> None:
    with pytest.raises(UserError, match=f"neg_captions is {number}; give at least 1"):
        objective_named("negclip", neg_captions=number)


@pytest.mark.parametrize("name", HALVES)
def test_features_that_do_not_fit_are_refused(name: str) -> None:
    objective, batch = objective_named(name), drawn_for(name)
    longer = replace(batch, texts=(*batch.texts, batch.texts[0]))
    with pytest.raises(
        ValueError, match=f"needs {objective.image_halves} halves of images and {objective.text_halves}"
    ):
        losses_of(objective, longer)
    with pytest.raises(ValueError, match="halves differ in shape"):
        losses_of(objective, replace(batch, texts=(*batch.texts[:-1], batch.texts[-1][:3])))
    with pytest.raises(ValueError, match="give all as float32"):
        losses_of(objective, replace(batch, texts=tuple(half.bfloat16() for half in batch.texts)))
    empty = replace(
        batch, images=tuple(half[:0] for half in batch.images), texts=tuple(half[:0] for half in batch.texts)
    )
    with pytest.raises(ValueError, match="the batch is empty"):
        losses_of(objective, empty)
    with pytest.raises(UserError, match="chunk is 0; give at least 1"):
        losses_of(objective, batch, chunk=0)


@pytest.mark.parametrize("name", HALVES)
def test_features_gathered_without_gradients_are_refused(name: str) -> None:
    """The combination of a rank-local loss and a gather that cuts the gradients of the other processes."""
    batch, objective = drawn_for(name), objective_named(name)
    gathered = Gathered(
        features=Features(images=batch.images, texts=batch.texts), part=whole(len(batch.images[0])), gradients=False
    )
    bias = batch.bias if objective.needs_bias else None
    with pytest.raises(UserError, match="gathered without gradients has a wrong gradient"):
        rank_local_losses(objective, gathered, batch.scale, logit_bias=bias)
    rank_local_losses(objective, replace(gathered, gradients=True), batch.scale, logit_bias=bias)
