"""Can a hard-negative caption be told from a true one without the image? A trained rule and a rule of length.

The trained rule is the literature's: word 1-3-grams, logistic regression, five folds grouped by item. Benchmarks
and training sets on which it wins reward models that never look (SugarCrepe, https://arxiv.org/abs/2306.14610).

Shapes: N items.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tripletclip.errors import UserError
from tripletclip.extras import require
from tripletclip.screening.items import Item
from tripletclip.screening.probing import Floats, ProbeResult, folds_by_group, held_out_scores, judged

_NOT_A_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How the text probe looks.

    ``longest_gram``    word 1- to ``longest_gram``-grams
    ``shortest_word``   letters of a word that counts; 2 drops the article "a", scikit-learn's habit
    ``min_count``       a gram counts when so many texts have it. With 1 the probe is strongest (and slowest): on
                        SugarCrepe its AUC is up to 0.02 higher, and it leaves fewer ties
    ``folds``, ``seed`` items with the same caption are in one fold
    ``fit_on_at_most``  items that a fold's model learns from; all items are scored
    """

    longest_gram: int = 3
    shortest_word: int = 1
    min_count: int = 3
    folds: int = 5
    seed: int = 0
    fit_on_at_most: int = 50_000

    def __post_init__(self) -> None:
        for name in ("longest_gram", "shortest_word", "min_count", "fit_on_at_most"):
            value = self.__dict__[name]
            if value < 1:
                raise UserError(f"{name} of the text probe is {value}; give at least 1")
        if self.folds < 2:
            raise UserError(f"folds of the text probe is {self.folds}; give at least 2")


def words(text: str) -> list[str]:
    """Lower-case words without punctuation.

    >>> words("A dog's ball -- red, not_blue.")
    ['a', 'dog', 's', 'ball', 'red', 'not', 'blue']
    """
    return _NOT_A_WORD.sub(" ", text.lower()).split()


def text_probe(items: Sequence[Item], config: ProbeConfig | None = None) -> ProbeResult:
    """The trained probe's result on held-out items. Needs the extra ``text``; :class:`UserError` for too few items."""
    return judged(*probe_scores(items, config or ProbeConfig()))


def probe_scores(items: Sequence[Item], config: ProbeConfig) -> tuple[Floats, Floats]:
    """Held-out scores of the captions [N] and of the negatives [N]; higher means "looks like a negative".

    Texts with the same grams in the same fold get the very same score.
    """
    require("text", "the text-only probe", "sklearn", "scipy")
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = [" ".join(words(text)) for item in items for text in (item.caption, item.neg_caption)]
    fold_N = folds_by_group(texts[0::2], config.folds, config.seed)
    if not any(len(word) >= config.shortest_word for text in texts for word in text.split()):
        raise UserError(f"none of the {len(items)} captions has a word of {config.shortest_word} letters")
    counter = CountVectorizer(
        ngram_range=(1, config.longest_gram),
        binary=True,
        lowercase=False,
        token_pattern=rf"\S{{{config.shortest_word},}}",
        dtype=np.float64,
    )
    grams_2NF = counter.fit_transform(texts).tocsr()
    frequent = np.flatnonzero(grams_2NF.getnnz(axis=0) >= config.min_count)
    if not len(frequent):
        return np.zeros(len(items)), np.zeros(len(items))
    return held_out_scores(
        grams_2NF[:, frequent],
        fold_N,
        lambda: LogisticRegression(solver="liblinear"),
        fit_on_at_most=config.fit_on_at_most,
        seed=config.seed,
    )


@dataclass(frozen=True, kw_only=True)
class LengthRule:
    """What the number of words alone gives away.

    ``rule.auc`` is that of "the longer one is the negative"; below 0.5 the shorter one is. The shares are of items:
    ``shorter`` the negative has fewer words, ``longer`` more, ``equal`` as many.
    """

    rule: ProbeResult
    shorter: float
    longer: float
    equal: float

    @property
    def told(self) -> float:
        """The area under the curve of the better of the two rules, at least 0.5."""
        return max(self.rule.auc, 1 - self.rule.auc)

    def to_json(self) -> dict[str, float | int]:
        """The rule's fields and the three shares."""
        return self.rule.to_json() | {"shorter": self.shorter, "longer": self.longer, "equal": self.equal}


def length_rule(items: Sequence[Item]) -> LengthRule:
    """Compare numbers of words; nothing is trained."""
    if not items:
        raise UserError("the length rule needs at least one item with a negative caption")
    positive_N = np.array([len(words(item.caption)) for item in items], dtype=np.float64)
    negative_N = np.array([len(words(item.neg_caption)) for item in items], dtype=np.float64)
    return LengthRule(
        rule=judged(positive_N, negative_N),
        shorter=float((negative_N < positive_N).mean()),
        longer=float((negative_N > positive_N).mean()),
        equal=float((negative_N == positive_N).mean()),
    )
