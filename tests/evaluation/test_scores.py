"""Features to scores: prototypes, exact ties, the values themselves."""

import numpy as np
import pytest
import torch
from torch import nn

from tripletclip.evaluation.scores import class_prototypes, cosines, fewer_words_scores, similarity


def test_prototypes_are_normalised_after_the_mean() -> None:
    """Templates that disagree must not make a class shorter: without the second normalisation its length were 0.71."""
    prompt_KTD = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
    half = 0.5**0.5
    assert torch.allclose(class_prototypes(prompt_KTD), torch.tensor([[half, half, 0.0], [0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("count", [7, 129, 1031])
def test_equal_features_give_equal_scores_wherever_they_stand(count: int) -> None:
    torch.manual_seed(count)
    image_ND = nn.functional.normalize(torch.randn(33, 77), dim=1)
    text_D = nn.functional.normalize(torch.randn(77), dim=0)
    scores_NM = similarity(image_ND, text_D.repeat(count, 1))
    assert (scores_NM == scores_NM[:, :1]).all()
    assert (cosines(image_ND, text_D.repeat(33, 1)) == scores_NM[:, 0]).all()


def test_scores_are_dot_products() -> None:
    first_ND, second_MD = torch.randn(5, 9), torch.randn(4, 9)
    expected = [[float(np.dot(a, b)) for b in second_MD.numpy()] for a in first_ND.numpy()]
    assert similarity(first_ND, second_MD) == pytest.approx(np.array(expected), abs=1e-5)
    assert cosines(first_ND[:4], second_MD) == pytest.approx(np.diag(np.array(expected)), abs=1e-5)


def test_fewer_words_win() -> None:
    assert fewer_words_scores(["a red cube", "two  words", ""]).tolist() == [-3, -2, 0]
