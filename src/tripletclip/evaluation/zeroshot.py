"""Classify an image by the class whose prompts it is most similar to: top-1 and top-5.

The score of a class is the cosine with its prototype, see :func:`tripletclip.evaluation.scores.class_prototypes`.
The rank of an image is the number of other classes that score at least as high as its own: a tie loses.

Shapes: N images, K classes.
"""

from collections.abc import Sequence

import numpy as np

from tripletclip.evaluation.outcome import Outcome
from tripletclip.evaluation.scores import Scores

TOP = (1, 5)


def decide(scores_NK: Scores, labels: Sequence[int]) -> Outcome:
    """Decisions of ``top1`` and ``top5``, an image each. A top k that covers all K classes is left out."""
    own_N1 = scores_NK[np.arange(len(labels)), np.array(labels)][:, None]
    rank_N = (scores_NK >= own_N1).sum(axis=1) - 1  # its own class is counted, and taken off
    return Outcome(decisions={f"top{k}": rank_N < k for k in TOP if k < scores_NK.shape[1]})


def chance(outcome: Outcome, classes: int) -> dict[str, float]:
    """Expectation of a random order in percent: k / K."""
    return {name: 100 * int(name.removeprefix("top")) / classes for name in outcome.decisions}
