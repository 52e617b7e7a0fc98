"""One JSON per checkpoint and benchmark: everything that tables, figures and a repetition need.

``reporting`` knows nothing but these files. Writers (``evaluation``) fill them; nothing is overwritten in silence.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tripletclip.errors import UserError
from tripletclip.files import write_atomic

RESULT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A value in percent with its 95 % interval and the number of items it was counted on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Example:
    """One item with what the checkpoint saw in it. The same items stand in the results of every checkpoint.

    ``image`` and ``neg_image`` ("" for none) are digests: the thumbnails are ``thumbnails/DIGEST.jpg`` below the folder
    of the results. ``other`` is the wrong caption that scored highest. Scores are cosines.
    """

    key: str
    split: str
    image: str
    caption: str
    other: str
    score: float
    other_score: float
    neg_image: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one checkpoint did on one benchmark.

    ``metrics``    metric name to :class:`Metric`, values in percent.
    ``decisions``  metric name to a string of ``0`` and ``1``, an item each, in the benchmark's order: what paired
                   comparisons and galleries are made from.
    ``groups``     metric name to the names of the metrics whose plain mean it is (``macro``, ``compositional``).
    ``blind``      name of a blind rule (``random``, ``fewer words``, ``constant encoder``) to metric name to percent.
    ``histograms`` name to ``{"edges": [...], "positive": [...], "negative": [...]}``: counts of cosines.
    ``items``      ``n`` items were measured of ``listed``, with the hash of their data; each reason for leaving items
                   out, with how many.
    ``headline``   the metric that stands for the benchmark where a table has one column for it; "" in old files.
    ``examples``   up to 12 items a split, chosen by a hash of their key.
    ``notes``      what a reader should know: "captions longer than the context" to their number, …
    ``budget``     images, texts and pairs that the checkpoint had been trained on, FLOPs, steps.
    """

    method: str
    seed: int
    step: int
    benchmark: str
    checkpoint: str
    metrics: Mapping[str, Metric]
    decisions: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    blind: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    histograms: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)
    items: Mapping[str, str | int] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    headline: str = ""
    examples: Sequence[Example] = ()
    notes: Mapping[str, float | str] = field(default_factory=dict)
    version: int = RESULT_VERSION


def save_result(result: Result, path: Path, *, overwrite: bool = False) -> None:
    """Write ``result`` as JSON, atomically. An existing file is an error unless ``overwrite``."""
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already; give --overwrite to replace it")
    for name, metric in result.metrics.items():
        assert all(math.isfinite(number) for number in (metric.value, metric.low, metric.high)), (path, name, metric)
    write_atomic(path, json.dumps(asdict(result), indent=1, sort_keys=True).encode())


def load_result(path: Path) -> Result:
    """Read one result file; a foreign or torn file is a :class:`UserError` that names it."""
    try:
        raw = json.loads(path.read_text("utf8"))
        if raw["version"] != RESULT_VERSION:
            raise UserError(
                f"{path} has result version {raw['version']}, this release reads {RESULT_VERSION}; measure again or "
                f"use the release that wrote it"
            )
        raw["metrics"] = {name: Metric(**metric) for name, metric in raw["metrics"].items()}
        raw["examples"] = tuple(Example(**example) for example in raw.get("examples", ()))
        return Result(**raw)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a result file ({error}); remove it or point to another folder") from error


def load_results(folder: Path) -> list[Result]:
    """Every ``*.json`` below ``folder`` in the order of its path."""
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise UserError(f"no result files (*.json) below {folder}")
    return [load_result(path) for path in paths]
