"""One call that measures an encoder on many benchmarks: encode everything once, score, decide, fill results."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.blind import merged, word_lines
from tripletclip.evaluation.blind_rules import Blind, Notes
from tripletclip.evaluation.cache import FeatureCache
from tripletclip.evaluation.encoder import Encoder
from tripletclip.evaluation.encoding import Features, Tell, constant_features, encode
from tripletclip.evaluation.examples import examples
from tripletclip.evaluation.from_shards import benchmark_set, class_set, pair_set, retrieval_set
from tripletclip.evaluation.measurable import check_coverage, without_unreadable
from tripletclip.evaluation.measuring import benchmark_names, measure
from tripletclip.evaluation.outcome import decision_strings, metric_values, metrics
from tripletclip.evaluation.sets import BenchmarkSet, ClassSet, PairSet, RetrievalSet
from tripletclip.reporting.results import Result

__all__ = [
    "BenchmarkSet",
    "ClassSet",
    "PairSet",
    "RetrievalSet",
    "benchmark_set",
    "class_set",
    "evaluate",
    "pair_set",
    "retrieval_set",
]

CUT = "texts longer than the context"
"""Note of a result: how many distinct texts of the benchmark the tokenizer cut."""


def evaluate(
    encoder: Encoder,
    sets: Sequence[BenchmarkSet],
    *,
    method: str,
    seed: int,
    step: int,
    checkpoint: str,
    budget: Mapping[str, float],
    config: Mapping[str, Any],
    min_coverage: float = 100.0,
    blind: Blind | None = None,
    cache: FeatureCache | None = None,
    tell: Tell | None = None,
) -> list[Result]:
    """Measure ``encoder`` on ``sets``; each distinct image and text is encoded once, whatever the number of sets.

    ``min_coverage``  percent of what a benchmark lists that must be measurable.
    ``blind``         gives further blind lines of a set, beside chance, constant encoder and number of words.
    ``cache``         where features are kept; ``tell`` hears how many items are encoded.

    The other arguments go into the results as they are. Raises :class:`UserError` for two sets that give the same
    benchmark, for features that are not finite unit vectors of one width, and below the coverage.
    """
    check_names(sets)
    for item_set in sets:
        check_coverage(item_set, min_coverage)
    pictures = [picture for item_set in sets for picture in item_set.pictures()]
    texts = [text for item_set in sets for text in item_set.texts()]
    features = encode(encoder, pictures, texts, cache=cache, tell=tell)
    blank = constant_features(features)
    results = []
    for whole in sets:
        item_set = without_unreadable(whole, features.unreadable)
        check_coverage(item_set, min_coverage, features.unreadable)
        added, notes = blind(item_set) if blind is not None else ({}, {})
        lines = merged(word_lines(item_set), added)
        for measured, constant in zip(measure(item_set, features), measure(item_set, blank), strict=True):
            name = measured.benchmark
            own = {"random": dict(measured.chance), "constant encoder": metric_values(constant.outcome)}
            results.append(
                Result(
                    method=method,
                    seed=seed,
                    step=step,
                    benchmark=name,
                    checkpoint=checkpoint,
                    metrics=metrics(measured.outcome),
                    decisions=decision_strings(measured.outcome),
                    groups=measured.outcome.groups,
                    blind=own | lines.get(name, {}),
                    histograms=measured.histograms,
                    items=_items(item_set),
                    budget=budget,
                    config=config,
                    versions=package_versions(),
                    headline=measured.headline,
                    examples=examples(item_set, measured.seen),
                    notes=_cut_note(item_set, features) | notes,
                )
            )
    return results


def check_names(sets: Sequence[BenchmarkSet]) -> None:
    """Raise :class:`UserError` for two sets that would give the same benchmark."""
    seen: set[str] = set()
    for name in (name for item_set in sets for name in benchmark_names(item_set)):
        if name in seen:
            raise UserError(f"two sets give the benchmark '{name}'; give each a name of its own")
        seen.add(name)


def package_versions() -> dict[str, str]:
    """What the numbers were computed with."""
    packages = {"torch": "torch", "open_clip": "open_clip_torch", "tripletclip": "tripletclip"}
    return {name: version(package) for name, package in packages.items()} | {"python": platform.python_version()}


def _items(item_set: BenchmarkSet) -> dict[str, str | int]:
    """How much was measured of how much, and of which data."""
    listed = len(item_set) + sum(item_set.left_out.values())
    return {"n": len(item_set), "listed": listed, "sha256": item_set.digest(), **item_set.left_out}


def _cut_note(item_set: BenchmarkSet, features: Features) -> Notes:
    count = sum(text in features.cut for text in set(item_set.texts()))
    return {CUT: float(count)} if count else {}
