"""The coin flip: no rule that looks at texts alone can tell the true caption from its edit.

The probe is the one of the literature: word 1-3-grams, logistic regression, five folds grouped by item.
"""

from random import Random

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from tripletclip.scenes.benchmark import Item, edited_item, pair_item
from tripletclip.scenes.edits import EDITORS
from tripletclip.scenes.grammar import sample_phrasing, sample_scene
from tripletclip.scenes.world import WORLDS, World, seed_of, world_named

ITEMS = 2800


def probe_auc(items: list[Item]) -> float:
    """Area under the curve of the probe's score for "is the positive", over held-out items."""
    texts = [text for item in items for text in (item.caption, item.neg_caption)]
    is_positive = np.tile([1, 0], len(items))
    item_of_text = np.repeat(np.arange(len(items)), 2)
    scores = np.zeros(len(texts))
    for learn, test in GroupKFold(5).split(texts, is_positive, item_of_text):
        grams = CountVectorizer(ngram_range=(1, 3), binary=True, token_pattern=r"\S+")
        probe = LogisticRegression(max_iter=200)
        probe.fit(grams.fit_transform([texts[index] for index in learn]), is_positive[learn])
        scores[test] = probe.decision_function(grams.transform([texts[index] for index in test]))
    return float(roc_auc_score(is_positive, scores))


def without_coin(world: World, split: str, rng: Random) -> Item:
    """What a benchmark item would be if the negative were always the edited side."""
    while True:
        item = edited_item(world, split, sample_scene(world, rng), sample_phrasing(world, rng), rng)
        if item is not None:
            return item


@pytest.mark.parametrize("heldout", [False, True])
@pytest.mark.parametrize("name", sorted(WORLDS))
def test_texts_alone_give_nothing_away(name: str, heldout: bool) -> None:
    splits, world = sorted(EDITORS), world_named(name)
    items = [
        pair_item(world, splits[index % len(splits)], heldout, Random(seed_of("probe", index)))
        for index in range(ITEMS if not heldout else ITEMS // 2)
    ]
    # Of 2,800 items the chance line's standard error is 0.008, of half as many 0.011.
    assert probe_auc(items) == pytest.approx(0.5, abs=0.03)


def test_the_probe_would_find_the_edit_without_the_coin() -> None:
    """In `natural`, whose priors make most edits unlikely sentences; in `dense` every sentence is as likely."""
    splits, world = sorted(EDITORS), world_named("natural")
    items = [without_coin(world, splits[index % len(splits)], Random(seed_of("probe", index))) for index in range(2100)]
    assert probe_auc(items) > 0.7
