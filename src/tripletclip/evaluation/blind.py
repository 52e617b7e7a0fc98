"""What can be had without looking: rules that read the captions alone, beside every benchmark's numbers.

A blind rule scores captions, whatever the image; the benchmark then decides as it does with a model. Only what a model
wins beyond the best blind line has it seen.

Shapes: N items, C comparisons of a true with a wrong caption.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletclip.evaluation import choices, groups, pairs, paraphrases
from tripletclip.evaluation.measuring import benchmark_names
from tripletclip.evaluation.outcome import Decisions, Layout, Shares, metric_values
from tripletclip.evaluation.scores import GroupScores, Scores, fewer_words_scores
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet, GroupSet, PairSet, ParaphraseSet
from tripletclip.extras import require
from tripletclip.screening.items import Item
from tripletclip.screening.text_probe import ProbeConfig, probe_scores

Lines: TypeAlias = dict[str, dict[str, dict[str, float]]]
"""Benchmark to the name of a blind rule to metric name to percent."""

FEWER_WORDS, TIES_HALF, PROBE = "fewer words", "fewer words, ties half", "text-only probe"
LIKELIHOOD, SUMMED_LIKELIHOOD = "text likelihood", "text likelihood, summed"

Score: TypeAlias = Callable[[list[str]], Scores]
"""Captions to numbers, the better the higher, each for itself."""


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """A benchmark of captions only: an item is right if every true caption of its comparisons beats the wrong one.

    ``row_C`` is the item of each comparison. One comparison in a pair, K - 1 in a choice among K, two where a negative
    stands against two true captions.
    """

    benchmark: str
    layout: Layout
    splits: Sequence[str]
    true: list[str]
    wrong: list[str]
    row_C: NDArray[np.int64]

    def right(self, won_C: Decisions) -> Decisions:
        """Items that win every comparison [N]."""
        right_N = np.ones(len(self.splits), dtype=np.bool_)
        np.logical_and.at(right_N, self.row_C, won_C)
        return right_N

    def tie_chances(self, true_C: Scores, wrong_C: Scores) -> Shares:
        """Chance of each item [N] if ties are drawn by lot: 0 after a defeat, else one over one more than the ties."""
        ties_N = np.bincount(self.row_C, weights=true_C == wrong_C, minlength=len(self.splits))
        return np.where(self.right(true_C >= wrong_C), 1 / (1 + ties_N), 0.0)


def comparisons(item_set: BenchmarkSet) -> Comparisons | None:
    """What a rule that reads captions has to decide; nothing in retrieval, classification and groups of two images."""
    match item_set:
        case PairSet():
            order_only_N = pairs.order_only(item_set.captions, item_set.neg_captions)
            layout = pairs.layout(item_set.splits, order_only_N)
            listed = list(zip(item_set.captions, item_set.neg_captions, strict=True))
            rows = list(range(len(listed)))
        case ChoiceSet():
            layout = choices.layout(item_set.splits, item_set.means, item_set.teams)
            listed = [(one[0], other) for one in item_set.options for other in one[1:]]
            rows = [row for row, one in enumerate(item_set.options) for _ in one[1:]]
        case ParaphraseSet():
            layout = paraphrases.layout(item_set.splits, "itt")
            columns = (item_set.captions, item_set.paraphrases, item_set.neg_captions)
            listed = [(true, wrong) for one, two, wrong in zip(*columns, strict=True) for true in (one, two)]
            rows = [row for row in range(len(item_set)) for _ in range(2)]
        case _:
            return None
    return Comparisons(
        benchmark=benchmark_names(item_set)[0],
        layout=layout,
        splits=item_set.splits,
        true=[true for true, _ in listed],
        wrong=[wrong for _, wrong in listed],
        row_C=np.array(rows, dtype=np.int64),
    )


def word_lines(item_set: BenchmarkSet) -> Lines:
    """The lines of the number of words: nothing is trained."""
    lines = rule_lines(item_set, FEWER_WORDS, fewer_words_scores)
    if (asked := comparisons(item_set)) is not None:
        chances_N = asked.tie_chances(fewer_words_scores(asked.true), fewer_words_scores(asked.wrong))
        lines[asked.benchmark][TIES_HALF] = asked.layout.expected(chances_N)
    return lines


def rule_lines(item_set: BenchmarkSet, rule: str, score: Score) -> Lines:
    """The line of any rule that scores captions one by one, on every benchmark that ``item_set`` gives."""
    lines: Lines = {}
    if (asked := comparisons(item_set)) is not None:
        right_N = asked.right(score(asked.true) > score(asked.wrong))
        lines[asked.benchmark] = {rule: metric_values(asked.layout.outcome(right_N))}
    if isinstance(item_set, GroupSet) or (isinstance(item_set, PairSet) and item_set.neg_images is not None):
        own_N, other_N = score(item_set.captions), score(item_set.neg_captions)
        blind = GroupScores(
            image_caption=own_N, image_neg_caption=other_N, neg_image_caption=own_N, neg_image_neg_caption=other_N
        )
        lines[benchmark_names(item_set)[-1]] = {rule: metric_values(groups.decide(blind, item_set.splits))}
    return lines


def probe_lines(item_set: BenchmarkSet) -> Lines:
    """The trained probe: split by split, on held-out items, five folds that share no true caption.

    Raises :class:`UserError` where scikit-learn is missing, and for splits with fewer captions than folds.
    """
    asked = comparisons(item_set)
    if asked is None:
        return {}
    require("text", "the text-only probe", "sklearn", "scipy")
    won_C = np.zeros(len(asked.true), dtype=np.bool_)
    split_C = np.array(asked.splits)[asked.row_C]
    for split in sorted(set(asked.splits)):
        members = np.flatnonzero(split_C == split)
        items = [Item(key=str(c), caption=asked.true[c], neg_caption=asked.wrong[c]) for c in members.tolist()]
        positive, negative = probe_scores(items, ProbeConfig())  # the higher, the more it looks like a negative
        won_C[members] = negative > positive
    return {asked.benchmark: {PROBE: metric_values(asked.layout.outcome(asked.right(won_C)))}}


def merged(*parts: Lines) -> Lines:
    """All lines of each benchmark."""
    together: Lines = {}
    for part in parts:
        for benchmark, lines in part.items():
            together.setdefault(benchmark, {}).update(lines)
    return together
