"""The two-way softmax: equal to the paper's formulas, chunked equal to dense, and the laws that it must keep."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_formulas import HALVES, NAMES, Made, made, reference
from torch import Tensor

from tripletclip.objectives.contrastive import two_way_softmax
from tripletclip.objectives.losses import COMPARED, objective_named
from tripletclip.objectives.pattern import Pattern

CHUNKS = (1, 2, 3, 4, 6, 7, 12, 100)
"""For 12 pairs: numbers that divide it, that do not, and that are larger than a half."""

CONTRAST = ("negclip", "negimage", "tripletclip", "clip-on-triplets")
"""The objectives that see a negative."""


def ours(name: str, m: Made, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    return two_way_softmax(m.images(name), m.texts(name), m.scale, objective_named(name).pattern, chunk=chunk)


def summed(terms: tuple[Tensor, Tensor]) -> float:
    return terms[0].item() + terms[1].item()


def total(name: str, m: Made) -> float:
    return summed(ours(name, m))


def gradients(loss: Tensor, m: Made) -> list[Tensor]:
    """Gradients of features and scale; zeros where the objective does not look."""
    found = torch.autograd.grad(loss, m.leaves(), allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(m.leaves(), found, strict=True)]


def assert_close(ours: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)


def test_every_objective_has_a_reference() -> None:
    assert set(NAMES) == set(COMPARED)
    assert {name: (o.pattern.image_halves, o.pattern.text_halves) for name, o in COMPARED.items()} == HALVES


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 17])
def test_value_and_gradients_equal_the_papers_formula(name: str, n: int, chunk: int | None) -> None:
    """Each direction on its own, weighted unequally so that one cannot make up for the other."""
    m = made(n, seed=n)
    mine, expected = ours(name, m, chunk), reference(name, m)
    assert_close(mine, expected, 1e-9)
    assert_close(gradients(mine[0] + 3 * mine[1], m), gradients(expected[0] + 3 * expected[1], m), 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_keeps_six_digits(name: str) -> None:
    m = made(64, d=32, seed=1, scale=20.0)
    single = Made(**{field: getattr(m, field).detach().float().requires_grad_() for field in vars(m)})
    for chunk in (None, 10):
        mine = ours(name, single, chunk)
        assert summed(mine) == pytest.approx(summed(reference(name, m)), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip", math.log(4 / 3)),
        ("negclip", math.log(8 / 3) / 2),
        ("negimage", math.log(16 / 3) / 4 + math.log(4 / 3) / 2),
        ("tripletclip", math.log(8 / 3) / 2 + math.log(256 / 3) / 4),
        ("clip-on-triplets", math.log(64) / 4),
    ],
)
def test_numbers_derived_by_hand(name: str, expected: float) -> None:
    """Two pairs of unit vectors a, b, c at right angles, and a scale of ln 3: e^logit is 3 where equal, else 1.

    X = (a, b), Y = (a, b), X' = (c, a), Y' = (c, c). A row costs ln(sum / own).

    clip: each row sees 3 and 1, so ln(4/3) both ways; half of the sum is ln(4/3).
    negclip: images see 3 + 1 + 1 + 1, so ln 2; texts as before. (ln 2 + ln 4/3) / 2 = ln(8/3) / 2.
    negimage: text a sees 3 + 1 + 1 + 3 -> ln(8/3); text b sees 1 + 3 + 1 + 1 -> ln 2; mean ln(16/3) / 2.
        With the images' ln(4/3), halved: ln(16/3) / 4 + ln(4/3) / 2.
    tripletclip: negclip and its mirror. Negative image c sees c, c, a, b: 3 + 3 + 1 + 1 -> ln(8/3); negative image a
        sees 1 + 1 + 3 + 1, its own being 1 -> ln 6; mean ln(16) / 2. Negative texts c, c over the images (c, a): own 3
        of 4 -> ln(4/3), own 1 of 4 -> ln 4; mean ln(16/3) / 2. Halved: (ln 16 + ln 16/3) / 4 = ln(256/3) / 4.
    clip-on-triplets: images over all texts: ln 2, ln 2, ln(8/3), ln 6; texts over all images: ln(8/3), ln 2, ln 2 and,
        text c with its image a, 1 of 1 + 1 + 3 + 1 -> ln 6. Both means are ln(64) / 4, and so is half of their sum.
    """
    a, b, c = torch.eye(3, dtype=torch.float64)
    rows = {"x": [a, b], "y": [a, b], "x_neg": [c, a], "y_neg": [c, c]}
    m = Made(**{role: torch.stack(vectors) for role, vectors in rows.items()}, scale=torch.tensor(math.log(3)).double())
    assert total(name, m) == pytest.approx(expected, rel=1e-7)
    assert summed(ours(name, m, chunk=1)) == pytest.approx(expected, rel=1e-7)


# ---- chunked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("name", NAMES)
def test_chunked_equals_dense(name: str, chunk: int) -> None:
    m = made(12, seed=chunk)
    dense, chunked = ours(name, m), ours(name, m, chunk)
    assert_close(chunked, dense, 1e-12)
    assert_close(gradients(chunked[0] - 2 * chunked[1], m), gradients(dense[0] - 2 * dense[1], m), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_chunked_gradient_equals_finite_differences(name: str) -> None:
    m = made(3, d=2, seed=4, scale=2.0)
    images, texts = HALVES[name]

    def loss(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        pattern = objective_named(name).pattern
        return two_way_softmax(leaves[:images], leaves[images : images + texts], leaves[-1], pattern, chunk=2)

    assert torch.autograd.gradcheck(loss, (*m.images(name), *m.texts(name), m.scale))


# ---- laws ----------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(NAMES), order=st.permutations(range(6)), seed=st.integers(0, 2**31))
def test_the_order_of_pairs_does_not_matter(name: str, order: list[int], seed: int) -> None:
    m = made(6, seed=seed)
    turned = Made(x=m.x[order], y=m.y[order], x_neg=m.x_neg[order], y_neg=m.y_neg[order], scale=m.scale)
    assert total(name, turned) == pytest.approx(total(name, m), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(("tripletclip", "clip-on-triplets")), n=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_swapping_both_halves_changes_nothing(name: str, n: int, seed: int) -> None:
    """A negative pair is as true as a positive one: Eq. 4 is symmetric."""
    m = made(n, seed=seed)
    swapped = Made(x=m.x_neg, y=m.y_neg, x_neg=m.x, y_neg=m.y, scale=m.scale)
    assert total(name, swapped) == pytest.approx(total(name, m), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(CONTRAST), n=st.integers(2, 9), seed=st.integers(0, 2**31))
def test_exchanging_positives_and_negatives_of_one_modality_changes_the_loss(name: str, n: int, seed: int) -> None:
    """Guards against stacking and splitting halves in the wrong order, which gives a wrong loss and no error."""
    m = made(n, seed=seed)
    if name == "negimage":
        crossed = Made(x=m.x_neg, y=m.y, x_neg=m.x, y_neg=m.y_neg, scale=m.scale)
    else:
        crossed = Made(x=m.x, y=m.y_neg, x_neg=m.x_neg, y_neg=m.y, scale=m.scale)
    assert abs(total(name, crossed) - total(name, m)) > 1e-6


def test_interleaved_halves_are_not_halves() -> None:
    """[pos; neg] of two ranks stacked as rank blocks and split in the middle mixes positives with negatives."""
    m = made(8, seed=3)

    def wrong(pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor]:
        ranks = torch.cat([pos[:4], neg[:4], pos[4:], neg[4:]])
        return ranks[:8], ranks[8:]

    (x, x_neg), (y, y_neg) = wrong(m.x, m.x_neg), wrong(m.y, m.y_neg)
    mixed = Made(x=x, y=y, x_neg=x_neg, y_neg=y_neg, scale=m.scale)
    assert abs(total("tripletclip", mixed) - total("tripletclip", m)) > 1e-3
    assert total("clip-on-triplets", mixed) == pytest.approx(total("clip-on-triplets", m), rel=1e-12)


# ---- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("images", [0, 1, 2, 3])
@pytest.mark.parametrize("texts", [0, 1, 2, 3])
def test_a_wrong_number_of_halves_is_refused(name: str, images: int, texts: int) -> None:
    m = made(4)
    if (images, texts) == HALVES[name]:
        return
    with pytest.raises(ValueError, match=f"needs {HALVES[name][0]} halves of images and {HALVES[name][1]} of texts"):
        two_way_softmax([m.x] * images, [m.y] * texts, m.scale, objective_named(name).pattern)


def test_halves_of_unequal_shape_are_refused() -> None:
    m = made(4)
    pattern = Pattern(image_to_text=((0,),), text_to_image=((0,),))
    with pytest.raises(ValueError, match=r"halves differ in shape: \[\(4, 5\), \(3, 5\)\]"):
        two_way_softmax([m.x], [m.y[:3]], m.scale, pattern)


@pytest.mark.parametrize("chunk", [0, -3])
def test_a_chunk_below_one_is_refused(chunk: int) -> None:
    with pytest.raises(ValueError, match=f"chunk is {chunk}"):
        ours("clip", made(4), chunk)
