"""Areas under curves against other formulas, intervals against resampling, and folds that keep groups apart."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tripletclip.errors import UserError
from tripletclip.screening.probing import folds_by_group, held_out_scores, judged, paired_auc


def test_auc_of_a_few_scores_by_hand() -> None:
    # Negatives 2, 1 against positives 1, 0: above in 3 of 4 pairs, equal in one.
    auc, low, high = paired_auc(np.array([1.0, 0.0]), np.array([2.0, 1.0]))
    assert auc == 3.5 / 4
    assert 0 <= low <= auc <= high <= 1


def test_auc_agrees_with_scikit_learn_on_ties_and_disorder() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 8, 300).astype(float), rng.integers(1, 9, 300).astype(float)
    labels = np.repeat([0, 1], 300)
    assert paired_auc(positive, negative)[0] == pytest.approx(
        roc_auc_score(labels, np.concatenate([positive, negative])), abs=1e-12
    )


@pytest.mark.parametrize("dependence", [0.0, 0.9])
def test_the_interval_is_that_of_resampled_items(dependence: float) -> None:
    """Resampling whole items knows how the two scores of one depend on each other; so must the formula."""
    rng = np.random.default_rng(1)
    common = rng.normal(size=400)
    positive = dependence * common + (1 - dependence) * rng.normal(size=400)
    negative = dependence * common + (1 - dependence) * rng.normal(size=400) + 0.3
    draws = rng.integers(0, 400, (600, 400))
    resampled = np.std([paired_auc(positive[draw], negative[draw])[0] for draw in draws])
    _, low, high = paired_auc(positive, negative)
    assert (high - low) / 2 / 1.96 == pytest.approx(resampled, rel=0.12)


def test_ties_do_not_count_as_higher() -> None:
    result = judged(np.array([1.0, 1.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0, 1.0]))
    assert (result.negative_higher, result.ties, result.n) == (0.25, 0.5, 4)


def test_a_group_never_lies_in_two_folds_and_folds_are_even() -> None:
    groups = [number % 23 for number in range(100)]
    folds = folds_by_group(groups, 5, seed=3)
    assert {len({int(fold) for fold, group in zip(folds, groups, strict=True) if group == one}) for one in groups} == {
        1
    }
    groups_of_fold = [len({group for group, at in zip(groups, folds, strict=True) if at == fold}) for fold in range(5)]
    assert sorted(groups_of_fold) == [4, 4, 5, 5, 5]
    assert list(folds) != list(folds_by_group(groups, 5, seed=4))


def test_fewer_groups_than_folds_is_said() -> None:
    with pytest.raises(UserError, match="at least 5 different items; got 2"):
        folds_by_group(["a", "b", "a"], 5, seed=0)


class Remembering:
    """A classifier that says of each row how often it was learned from; its one feature is the row's number."""

    def fit(self, features: Any, labels: Any) -> None:
        self.learned = features[:, 0].tolist()
        assert (labels == features[:, 0] % 2).all()

    def decision_function(self, features: Any) -> Any:
        return np.array([self.learned.count(row) for row in features[:, 0]], dtype=float)


def test_no_item_is_scored_by_a_model_that_learned_from_it_or_from_its_other_side() -> None:
    fold = folds_by_group(list(range(30)), 5, seed=0)
    rows = np.arange(60)
    features = np.stack([rows, rows // 2], axis=1)
    positive, negative = held_out_scores(features, fold, Remembering, fit_on_at_most=1000, seed=0)
    assert not positive.any() and not negative.any()


def test_models_learn_from_no_more_items_than_allowed() -> None:
    sizes = []

    class Counting(Remembering):
        def fit(self, features: Any, labels: Any) -> None:
            sizes.append(len(features))
            super().fit(features, labels)

    held_out_scores(np.arange(60).reshape(60, 1), np.arange(30) % 5, Counting, fit_on_at_most=7, seed=0)
    assert sizes == [14] * 5
