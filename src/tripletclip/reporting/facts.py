"""What a reader needs to judge and to repeat the numbers: coverage, cut captions, budgets, data, models, versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tripletclip.reporting.board import Board
from tripletclip.reporting.catalog import title_of
from tripletclip.reporting.ranking import compact
from tripletclip.reporting.results import Result

BUDGET = ("images", "texts", "pairs", "steps", "flops")
_OWN_ITEMS = ("n", "listed", "sha256")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A small table: ``head`` and ``rows`` of text, the first column being what the row is about."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def facts(found: Board) -> list[Facts]:
    """Every table that has a row."""
    tables = [_coverage(found), _notes(found), _budgets(found), _models(found), _versions(found), _settings(found)]
    return [table for table in tables if table.rows]


def _coverage(found: Board) -> Facts:
    rows: list[list[str]] = []
    for benchmark in found.benchmarks:
        variants: dict[tuple[str, ...], list[str]] = {}
        for result in found.of(benchmark):
            variants.setdefault(_coverage_of(result), []).append(result.method)
        for numbers, models in variants.items():
            who = "every model" if len(variants) == 1 else ", ".join(dict.fromkeys(models))
            rows.append([title_of(benchmark), who, *numbers])
    return Facts(
        title="Coverage",
        note="Items measured of those that a benchmark lists, and the hash of what was measured.",
        head=["benchmark", "", "items", "listed", "coverage", "left out", "SHA-256"],
        rows=rows,
    )


def _coverage_of(result: Result) -> tuple[str, ...]:
    items = result.items
    n = items.get("n", max((metric.n for metric in result.metrics.values()), default=0))
    listed = items.get("listed", n)
    share = f"{100 * int(n) / int(listed):.1f} %" if int(listed) else ""
    lost = "; ".join(f"{reason}: {count}" for reason, count in items.items() if reason not in _OWN_ITEMS)
    return f"{int(n):,}", f"{int(listed):,}", share, lost or "none", str(items.get("sha256", "not said"))[:16]


def _notes(found: Board) -> Facts:
    rows = [
        [result.method, title_of(result.benchmark), name, f"{value:g}" if isinstance(value, int | float) else value]
        for result in found.final
        for name, value in result.notes.items()
    ]
    return Facts(title="Remarks of the measurement", note="", head=["model", "benchmark", "what", ""], rows=rows)


def _budgets(found: Board) -> Facts:
    rows = []
    for model in found.models:
        known = [result.budget for result in found.final if result.method == model and result.budget]
        if known:
            rows.append([model, *(compact(known[0][name]) if name in known[0] else "not said" for name in BUDGET)])
    return Facts(
        title="Training budget", note="What each model had been trained on.", head=["model", *BUDGET], rows=rows
    )


def _models(found: Board) -> Facts:
    rows: dict[tuple[str, ...], None] = {}
    for result in found.final:
        rows[result.method, str(result.seed), result.checkpoint[:16] or "not said"] = None
    order = {model: place for place, model in enumerate(found.models)}
    listed = sorted(rows, key=lambda row: (order[row[0]], row[1]))
    return Facts(title="Models", note="", head=["model", "seed", "weights, SHA-256"], rows=listed)


def _versions(found: Board) -> Facts:
    versions: dict[str, dict[str, None]] = {}
    for result in found.final:
        for package, version in result.versions.items():
            versions.setdefault(package, {})[version] = None
    rows = [[package, ", ".join(sorted(given))] for package, given in sorted(versions.items())]
    return Facts(title="Versions", note="", head=["package", "version"], rows=rows)


def _settings(found: Board) -> Facts:
    """Settings that a model's results share over its benchmarks, dotted names; the same for all models once."""
    by_name: dict[str, dict[str, list[str]]] = {}
    for result in found.final:
        for name, value in flat(result.config):
            models = by_name.setdefault(name, {}).setdefault(value, [])
            if result.method not in models:
                models.append(result.method)
    rows = [
        [name, "every model" if len(values) == 1 and len(models) == len(found.models) else ", ".join(models), value]
        for name, values in by_name.items()
        for value, models in values.items()
    ]
    return Facts(title="Settings", note="", head=["setting", "model", "value"], rows=rows)


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows
