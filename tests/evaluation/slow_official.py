"""The official scorers once more: written from what they are documented to compute, a loop and a dictionary at a time.

Scores come in as plain numbers, one model call an item. Nothing here imports the package.

SugarCrepe      https://github.com/RAIVNLab/sugar-crepe/blob/95c4548c92fe91d65c1b1582bab86d9a97b44586/main_eval.py
SugarCrepe++    https://github.com/Sri-Harsha/scpp/blob/a70a831f6ee3f8233f177fa61e1564f5ad3b82d2/VLMs/test_Variants_CLIP.py
Winoground      https://huggingface.co/datasets/facebook/winoground (its card: text, image and group score)
Cola            https://github.com/arijitray1993/COLA/blob/1fa52fba9cff4e6ffb7bfcf3550838748347273b/scripts/eval.py
ARO             https://github.com/mertyg/vision-language-models-are-bows (evaluate_scores, and the notebook's mean)
VALSE           https://github.com/Heidelberg-NLP/VALSE (pairwise ranking accuracy)
What'sUp        https://github.com/amitakamath/whatsup_vlms (individual, pair and set accuracy)
clip_benchmark  https://github.com/LAION-AI/CLIP_benchmark (zeroshot_retrieval.py, zeroshot_classification.py), 1.6.2
"""

from collections import defaultdict
from collections.abc import Sequence

Row = Sequence[float]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def accuracy_by(names: Sequence[str], right: Sequence[bool]) -> dict[str, float]:
    kept: dict[str, list[float]] = defaultdict(list)
    for name, won in zip(names, right, strict=True):
        kept[name].append(100.0 if won else 0.0)
    return {name: mean(values) for name, values in kept.items()}


def first_is_best(scores: Row) -> bool:
    """ARO's VG files put the true caption last and take the arg-max, so a tie loses; SugarCrepe has a strict >."""
    return all(scores[0] > other for other in scores[1:])


def winoground(c0_i0: float, c1_i0: float, c0_i1: float, c1_i1: float) -> tuple[bool, bool, bool]:
    text = c0_i0 > c1_i0 and c1_i1 > c0_i1
    image = c0_i0 > c0_i1 and c1_i1 > c1_i0
    return text, image, text and image


def itt(image_p1: float, image_p2: float, image_n: float) -> bool:
    return image_p1 > image_n and image_p2 > image_n


def tot(p1_p2: float, p1_n: float, p2_n: float) -> bool:
    return p1_p2 > p1_n and p1_p2 > p2_n


def whole_teams(teams: Sequence[str], right: Sequence[bool]) -> float:
    """Percent of the teams of which every member is right."""
    members: dict[str, list[bool]] = defaultdict(list)
    for team, won in zip(teams, right, strict=True):
        members[team].append(won)
    return mean([100.0 if all(won) else 0.0 for won in members.values()])


def recall_at(k: int, scores: Sequence[Row], wanted: Sequence[set[int]]) -> float:
    """A query counts if at least one of its true candidates is among the k of highest score."""
    hits = []
    for row, true in zip(scores, wanted, strict=True):
        best = sorted(range(len(row)), key=lambda place: -row[place])[:k]
        hits.append(100.0 if true & set(best) else 0.0)
    return mean(hits)


def top(k: int, logits: Sequence[Row], labels: Sequence[int]) -> float:
    return recall_at(k, logits, [{label} for label in labels])


def mean_per_class(logits: Sequence[Row], labels: Sequence[int]) -> float:
    guesses = [max(range(len(row)), key=lambda place: row[place]) for row in logits]
    hits = [guess == label for guess, label in zip(guesses, labels, strict=True)]
    return mean(list(accuracy_by([str(label) for label in labels], hits).values()))
