"""Every published benchmark by name, and whether its files are there."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tripletclip.errors import unknown_name
from tripletclip.evaluation.published import (
    aro,
    clip_benchmark_sets,
    cola,
    crepe,
    imagenet,
    karpathy,
    order,
    sugarcrepe,
    sugarcrepe_pp,
    valse,
    whatsup,
    winoground,
)
from tripletclip.evaluation.published.benchmark import Benchmark
from tripletclip.evaluation.published.files import alternatives, places

__all__ = ["BENCHMARKS", "Benchmark", "benchmark_named", "found"]

BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        benchmark.name: benchmark
        for module in (
            sugarcrepe,
            sugarcrepe_pp,
            winoground,
            cola,
            aro,
            order,
            valse,
            crepe,
            whatsup,
            karpathy,
            imagenet,
            clip_benchmark_sets,
        )
        for benchmark in module.BENCHMARKS
    }
)


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of this name; :class:`UserError` with the nearest name."""
    if name not in BENCHMARKS:
        raise unknown_name("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]


def found(benchmark: Benchmark, data_root: Path) -> list[str]:
    """What is missing below ``data_root``, a line a file with its alternatives; nothing if the reader has all."""
    return [" or ".join(alternatives(pattern)) for pattern in benchmark.files if not places(data_root, pattern)]
