"""What the general report says of benchmarks and metrics: titles, which kind of ability, which metric stands for it."""

from collections.abc import Iterable, Mapping

from tripletclip.reporting.names import HELD_OUT, SPLITS
from tripletclip.reporting.results import Result

COMPOSITION, RETENTION = "composition", "retention"
"""Telling near-identical captions or images apart, and what any CLIP is used for: retrieval and classification."""

_RETENTION_PREFIXES = ("retrieval", "zeroshot")
_TITLES = {
    "sugarcrepe": "SugarCrepe",
    "pairs": "Pairs",
    "sugarcrepe++": "SugarCrepe++",
    "winoground": "Winoground",
    "cola": "Cola",
    "valse": "VALSE",
    "aro": "ARO",
    "crepe": "CREPE",
    "whatsup": "What’sUp",
    "retrieval": "Retrieval",
    "zeroshot": "Zero-shot",
    "coco": "COCO",
    "flickr30k": "Flickr30k",
    "imagenet": "ImageNet",
}
_METRICS = {
    "macro": "macro mean",
    "micro": "all items",
    "compositional": "compositional mean",
    "group": "group",
    "image": "image",
    "text": "text",
    "top1": "top-1",
    "top5": "top-5",
    "mean_per_class": "mean per class",
    "i2t": "image → text",
    "t2i": "text → image",
    "itt": "image to text",
    "tot": "text only",
} | {name: title.lower() for name, title in SPLITS.items()}
_STANDS = ("macro", "itt_macro", "micro", "group", "top1", "i2t_r1")
"""For old files that name no headline metric."""


def kind_of(benchmark: str) -> str:
    """Which ability a benchmark tests, by its name; what is not retrieval or classification is composition."""
    return RETENTION if benchmark.startswith(_RETENTION_PREFIXES) else COMPOSITION


def title_of(benchmark: str) -> str:
    """``retrieval-coco`` becomes ``Retrieval · COCO``; what nobody knows keeps its name."""
    base = benchmark.removesuffix(HELD_OUT)
    family, _, part = base.partition("-")
    words = [_TITLES.get(family, family)] + ([_TITLES.get(part, part)] if part else [])
    return " · ".join(words) + (" (held out)" if base != benchmark else "")


def metric_title(metric: str) -> str:
    """``i2t_r1`` becomes ``image → text R@1``, ``itt_swap_obj`` ``image to text, swap object``."""
    if metric in _METRICS:
        return _METRICS[metric]
    if metric.endswith("_order_only"):
        return f"{metric_title(metric.removesuffix('_order_only'))}, order only"
    first, _, rest = metric.partition("_")
    if first in ("i2t", "t2i") and rest[:1] == "r" and rest[1:].isdigit():
        return f"{_METRICS[first]} R@{rest[1:]}"
    if first in ("itt", "tot", "text", "image", "group") and rest:
        return f"{_METRICS[first]}, {metric_title(rest)}"
    return metric.replace("_", " ")


def headline_metric(results: Iterable[Result]) -> str:
    """The metric that stands for a benchmark in tables: the one that its results name, or the first that is usual."""
    found = list(results)
    named = [result.headline for result in found if result.headline]
    if named:
        return named[0]
    known = {name for result in found for name in result.metrics}
    return next((name for name in _STANDS if name in known), min(known))


def in_catalog_order(benchmarks: Iterable[str]) -> list[str]:
    """Composition first, then retention, each in the order of the titles, parts of a benchmark side by side."""
    places: Mapping[str, int] = {name: place for place, name in enumerate(_TITLES)}
    return sorted(
        set(benchmarks),
        key=lambda name: (kind_of(name) != COMPOSITION, places.get(name.partition("-")[0], len(places)), name),
    )
