"""Which differences are real: every model against the reference on every benchmark, in numbers and in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from tripletclip.reporting.board import Board
from tripletclip.reporting.catalog import COMPOSITION, metric_title, title_of
from tripletclip.reporting.compare import Comparison, compare, signed
from tripletclip.reporting.names import listed

_NEVER_LOOKS = "random", "constant encoder"


@dataclass(frozen=True, kw_only=True)
class Versus:
    """A model against the reference on one benchmark."""

    benchmark: str
    title: str
    comparison: Comparison

    @property
    def words(self) -> str:
        """``apart`` or ``not apart``, and whether the items were not paired."""
        return self.comparison.verdict + ("" if self.comparison.paired else " (unpaired)")


def differences(found: Board, *, against: str | None = None) -> list[Versus]:
    """Headline metrics, the models in their order, benchmark by benchmark; none for a single model."""
    reference = against or found.reference
    return [
        Versus(benchmark=benchmark, title=f"{title_of(benchmark)}, {metric_title(metric)}", comparison=comparison)
        for benchmark in found.benchmarks
        for metric in [found.metric(benchmark)]
        for model in found.models
        if model != reference
        for comparison in compare(found.final, model, reference, benchmark=benchmark, metric=metric, every_seed=True)
    ]


def headline(found: Board) -> str:
    """The best model but the reference against the reference, in a sentence."""
    others = [model for model in found.models if model != found.reference]
    if not others:
        return f"{found.reference} alone: no other model to compare it with."
    return sentence(found, others[0])


def further(found: Board, *, most: int = 6) -> list[str]:
    """Where the differences of the headline are, a sentence for each of the other models, and the blind rules."""
    others = [model for model in found.models if model != found.reference]
    where = [words for model in others[:1] if (words := details(found, model))]
    return [*where, *(sentence(found, model) for model in others[1:most]), *blind_sentences(found), *found.remarks]


def sentence(found: Board, model: str) -> str:
    """On how many benchmarks ``model`` is really above or below the reference."""
    against, own = found.reference, _own(found, model)
    if not own:
        return f"{model} and {against} have no benchmark in common."
    if len(own) == 1:
        return _single(own[0], model, against)
    above, below, _ = _sides(own)
    if above and below:
        return f"{model} is above {against} on {len(above)} of {len(own)} benchmarks and below it on {len(below)}."
    if above or below:
        side = "above" if above else "below"
        return f"{model} is {side} {against} on {len(above or below)} of {len(own)} benchmarks."
    return f"{model} and {against} are not apart on any of {len(own)} benchmarks."


def details(found: Board, model: str) -> str:
    """``Above: SugarCrepe +9.1. Not apart: ...`` of several benchmarks; empty for one."""
    own = _own(found, model)
    if len(own) < 2:
        return ""
    sides = zip(("Above", "Below", "Not apart"), _sides(own), strict=True)
    return " ".join(f"{word}: {_points(side)}." for word, side in sides if side)


def _own(found: Board, model: str) -> list[Versus]:
    return [one for one in differences(found) if one.comparison.method == model]


def _sides(own: Sequence[Versus]) -> tuple[list[Versus], list[Versus], list[Versus]]:
    """Really above, really below, not apart."""
    above = [one for one in own if one.comparison.low > 0]
    below = [one for one in own if one.comparison.high < 0]
    return above, below, [one for one in own if not one.comparison.apart]


def blind_sentences(found: Board) -> list[str]:
    """For each composition benchmark the strongest rule that never looks, if a model does not reach it."""
    sentences = []
    for benchmark in found.kind(COMPOSITION):
        metric = found.metric(benchmark)
        rules = {
            rule: values[metric]
            for result in found.of(benchmark)
            for rule, values in result.blind.items()
            if metric in values and rule not in _NEVER_LOOKS
        }
        if not rules:
            continue
        best = max(rules, key=rules.__getitem__)
        values = {model: found.value(model, benchmark) for model in found.models}
        beaten = [model for model, value in values.items() if value is not None and value <= rules[best]]
        if beaten:
            sentences.append(
                f"On {title_of(benchmark)} the blind rule “{best}” reaches {rules[best]:.1f} without an image; "
                f"not above it: {listed(beaten)}."
            )
    return sentences


def _points(side: Sequence[Versus]) -> str:
    return ", ".join(f"{title_of(one.benchmark)} {signed(one.comparison.value)}" for one in side)


def _single(one: Versus, model: str, against: str) -> str:
    c = one.comparison
    if c.apart:
        side = "above" if c.low > 0 else "below"
        low, high = sorted((abs(c.low), abs(c.high)))
        return (
            f"{model} is {abs(c.value):.1f} points {side} {against} on {one.title} "
            f"(95 % interval {low:.1f} to {high:.1f})."
        )
    return (
        f"{model} and {against} are not apart on {one.title}: the difference is {signed(c.value)} points "
        f"(95 % interval {c.interval})."
    )
