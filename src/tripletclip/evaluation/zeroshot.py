"""Classify an image by the class whose prompts it is most similar to: top-1, top-5, mean recall of a class.

The score of a class is the cosine with its prototype, see :func:`tripletclip.evaluation.scores.class_prototypes`.
The rank of an image is the number of other classes that score at least as high as its own: a tie loses.

Shapes: N images, K classes.
"""

from collections.abc import Sequence

import numpy as np

from tripletclip.evaluation.outcome import Outcome
from tripletclip.evaluation.scores import Scores

TOP = (1, 5)
MEAN_PER_CLASS = "mean_per_class"
CLASS = "class:"
"""Before the name of a class in the decisions of a result file."""


def decide(scores_NK: Scores, labels: Sequence[int], class_names: Sequence[str]) -> Outcome:
    """Decisions of ``top1`` and ``top5``, an image each, and the mean of top-1 over the classes that have images.

    A top k that covers all K classes is left out.
    """
    labels_N = np.array(labels)
    own_N1 = scores_NK[np.arange(len(labels)), labels_N][:, None]
    rank_N = (scores_NK >= own_N1).sum(axis=1) - 1  # its own class is counted, and taken off
    classes = {CLASS + class_names[label]: rank_N[labels_N == label] < 1 for label in sorted(set(labels))}
    return Outcome(
        decisions={f"top{k}": rank_N < k for k in TOP if k < scores_NK.shape[1]},
        groups={MEAN_PER_CLASS: list(classes)},
        parts=classes,
    )


def chance(outcome: Outcome, classes: int) -> dict[str, float]:
    """Expectation of a random order in percent: k / K, and 1 / K in every class."""
    tops = {name: 100 * int(name.removeprefix("top")) / classes for name in outcome.decisions}
    return tops | dict.fromkeys(outcome.groups, 100 / classes)
