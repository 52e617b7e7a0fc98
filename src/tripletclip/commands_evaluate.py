"""What ``evaluate`` does: many models on many benchmarks, one result file each, nothing encoded twice."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tripletclip.benchmark_list import named_benchmarks, print_benchmarks
from tripletclip.commands import progress_display
from tripletclip.demo import revision
from tripletclip.errors import UserError
from tripletclip.evaluation.blind_rules import BlindRules
from tripletclip.evaluation.cache import FeatureCache
from tripletclip.evaluation.encoder import clip_encoder
from tripletclip.evaluation.examples import write_thumbnails
from tripletclip.evaluation.from_shards import CLASSES_FILE, benchmark_set
from tripletclip.evaluation.likelihood import LanguageModel
from tripletclip.evaluation.measurable import check_coverage
from tripletclip.evaluation.measuring import benchmark_names
from tripletclip.evaluation.published.own import read_own
from tripletclip.evaluation.sets import BenchmarkSet
from tripletclip.evaluation.suite import check_names, package_versions
from tripletclip.evaluation.suite import evaluate as measure
from tripletclip.models import Clip, load_clip
from tripletclip.models.identity import model_digest
from tripletclip.reporting.results import Result, load_result, load_results, save_result
from tripletclip.reporting.tables import print_report
from tripletclip.trained import trained

if TYPE_CHECKING:
    from tripletclip.cli_evaluate import Evaluate

LOCAL = "local-dir:"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where everything of one command goes."""

    out: Path
    features: Path
    overwrite: bool


def evaluate(verb: "Evaluate") -> None:
    """Measure every model on every set; results that are there already and are of the same model and data are kept."""
    if verb.list:
        print_benchmarks(verb.benchmark, verb.data_root)
        return
    out = _checked(verb)
    place = Place(out=out, features=verb.cache or out / "features", overwrite=verb.overwrite)
    sets = read_sets(verb)
    check_names(sets)
    for item_set in sets:
        check_coverage(item_set, verb.min_coverage)
    language_model = None
    if verb.language_model is not None:
        language_model = LanguageModel(verb.language_model, device=verb.device, cache=place.features)
    blind = BlindRules(probe=verb.text_probe, language_model=language_model, folder=place.features)
    for spec in verb.model:
        _measure_model(spec, sets, blind, place, verb)
    results = load_results(out)
    write_thumbnails((example for result in results for example in result.examples), sets, out)
    print_report(results, title=str(out))
    print(f"results: {out}")


def read_sets(verb: "Evaluate") -> list[BenchmarkSet]:
    """The sets of ``--data``, then those of ``--benchmark``."""
    sets = [item_set for path in verb.data for item_set in _own_sets(path)]
    if verb.benchmark:
        if verb.data_root is None:
            raise UserError("--data-root is missing; give the folder of the benchmarks' files")
        if not verb.data_root.is_dir():
            raise UserError(f"{verb.data_root} is not a folder; give the folder of the benchmarks' files")
        for benchmark in named_benchmarks(verb.benchmark, verb.data_root):
            sets += benchmark.read(verb.data_root)
    return sets


def _own_sets(path: Path) -> list[BenchmarkSet]:
    is_image_folder = (path / CLASSES_FILE).exists() and not any(path.glob("*.parquet"))
    return read_own(path) if path.suffix == ".jsonl" or is_image_folder else [benchmark_set(path)]


def _checked(verb: "Evaluate") -> Path:
    """The folder of the results; :class:`UserError` for what is missing or makes no sense."""
    if not verb.model:
        raise UserError("--model is missing; give a folder, NAME:TAG, or hf:ORG/NAME")
    if not verb.data and not verb.benchmark:
        raise UserError("--benchmark or --data is missing; `tripletclip evaluate --list` prints the benchmarks")
    if verb.out is None:
        raise UserError("--out is missing; give a folder for the results")
    if not 0 < verb.min_coverage <= 100:
        raise UserError(f"min-coverage is {verb.min_coverage}; give a percentage above 0")
    if verb.batch_size < 1:
        raise UserError(f"batch-size is {verb.batch_size}; give at least 1")
    names = [model_name(spec) for spec in verb.model]
    for name in names:
        if names.count(name) > 1:
            twice = " and ".join(spec for spec in verb.model if model_name(spec) == name)
            raise UserError(f"{twice} are both called '{name}'; rename a folder, or give each an --out of its own")
    return verb.out


def model_name(spec: str) -> str:
    """A folder's own name, or the word that the model was asked for with.

    >>> model_name("ViT-B-32-quickgelu:openai")
    'ViT-B-32-quickgelu:openai'
    """
    folder = Path(spec.removeprefix(LOCAL))
    return folder.resolve().name if spec.startswith(LOCAL) or folder.is_dir() else spec


def _measure_model(spec: str, sets: Sequence[BenchmarkSet], blind: BlindRules, place: Place, verb: "Evaluate") -> None:
    clip = load_clip(spec)
    checkpoint = model_digest(clip)
    name = model_name(spec)
    wanted = [(benchmark, item_set) for item_set in sets for benchmark in benchmark_names(item_set)]
    paths = {benchmark: _path(place.out, name, benchmark) for benchmark, _ in wanted}
    there = {benchmark: load_result(path) for benchmark, path in paths.items() if path.exists()}
    _refuse_others(there, paths, checkpoint, place)
    if all(benchmark in there and _is_of(there[benchmark], checkpoint, one) for benchmark, one in wanted):
        print(f"kept: {len(paths)} results of {name} are there already, of the same model and data")
        return
    clip.model.to(verb.device)
    about = trained(name, Path(spec.removeprefix(LOCAL)))
    with progress_display() as show:
        task = show.add_task(f"encode · {name}", total=None)
        results = measure(
            clip_encoder(clip, verb.device, batch_size=verb.batch_size),
            sets,
            method=about.method,
            seed=about.seed,
            step=about.step,
            checkpoint=checkpoint,
            budget=about.budget,
            config=_config(spec, clip),
            min_coverage=verb.min_coverage,
            blind=blind,
            cache=FeatureCache(place.features, checkpoint),
            tell=lambda done, total: show.update(task, completed=done, total=total),
        )
    for result in results:
        _save(result, there.get(result.benchmark), paths[result.benchmark], place)


def _refuse_others(there: dict[str, Result], paths: dict[str, Path], checkpoint: str, place: Place) -> None:
    """Before any work: a file with the numbers of another checkpoint stays unless the user says otherwise."""
    for benchmark, result in there.items():
        if result.checkpoint != checkpoint and not place.overwrite:
            raise UserError(
                f"{paths[benchmark]} has the numbers of another checkpoint ({result.checkpoint[:12]}, not "
                f"{checkpoint[:12]}); give --overwrite to replace it, or another --out"
            )


def _save(result: Result, before: Result | None, path: Path, place: Place) -> None:
    """Write, or keep what is the same; data that changed is no reason to lose numbers without being asked."""
    if before is None or place.overwrite:
        save_result(result, path, overwrite=place.overwrite)
    elif (before.checkpoint, before.items["sha256"]) == (result.checkpoint, result.items["sha256"]):
        print(f"kept: {path}")
    else:
        raise UserError(
            f"{path} was measured on other data ({before.items['n']} items, now {result.items['n']}); give --overwrite "
            f"to replace it, or another --out"
        )


def _is_of(result: Result, checkpoint: str, item_set: BenchmarkSet) -> bool:
    """Whether a result is of this checkpoint, of this data, and by this version of the package."""
    same = (result.checkpoint, result.items["sha256"]) == (checkpoint, item_set.digest())
    return same and result.versions["tripletclip"] == package_versions()["tripletclip"]


def _path(out: Path, name: str, benchmark: str) -> Path:
    return out / f"{re.sub(r'[^A-Za-z0-9_.+@-]+', '_', name)}-{benchmark}.json"


def _config(spec: str, clip: Clip) -> dict[str, object]:
    """What another needs to measure the same."""
    return {
        "model": spec,
        "image_size": clip.image_size,
        "mean": list(clip.mean),
        "std": list(clip.std),
        "interpolation": clip.interpolation,
        "resize_mode": clip.resize_mode,
        "revision": revision(),
        "command": f"tripletclip {shlex.join(sys.argv[1:])}",
    }
