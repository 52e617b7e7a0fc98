"""What ``tripletclip contamination`` and ``concepts`` do: read, call a room, print, write."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.text import Text

from tripletclip.cli_evaluate import Evaluate
from tripletclip.commands import progress_display
from tripletclip.commands_evaluate import read_sets
from tripletclip.commands_report import command_line
from tripletclip.data.selection import write_selection
from tripletclip.errors import UserError
from tripletclip.evaluation.contamination import WAYS, Contamination, KnownPicture, contamination
from tripletclip.evaluation.coverage import Overlap, caption_rows, count_concepts, nested_subsets, overlap
from tripletclip.evaluation.pictures import ImageFile, Picture
from tripletclip.evaluation.sets import BenchmarkSet, ClassSet, ColumnSet
from tripletclip.evaluation.training_rows import training_parts
from tripletclip.files import write_atomic
from tripletclip.reporting.grids import grid as new_grid
from tripletclip.reporting.grids import report_console

if TYPE_CHECKING:
    from tripletclip.cli_honesty import Concepts
    from tripletclip.cli_honesty import Contamination as ContaminationVerb


def check_contamination(verb: "ContaminationVerb") -> None:
    """Compare a training set with benchmarks; print counts, write what was found and a clean selection."""
    if verb.jobs < 1:
        raise UserError(f"jobs is {verb.jobs}; give 1 or more")
    sets = _sets(verb)
    pictures, captions = _content(sets)
    name = ", ".join([*verb.benchmark, *(path.name for path in verb.data)])
    with progress_display() as show:
        task = show.add_task("rows of the training set", total=None)
        found = contamination(
            name,
            pictures,
            captions,
            training_parts(verb.train),
            jobs=verb.jobs,
            tick=lambda rows: show.advance(task, rows),
        )
    _print_contamination(found, verb.train)
    if verb.out is not None:
        record = asdict(found) | {"train": verb.train, "command": command_line()}
        write_atomic(verb.out, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
        print(f"everything found: {verb.out}")
    if verb.clean is not None:
        _write_clean(verb.clean, verb.train, found)


def _sets(verb: "ContaminationVerb") -> list[BenchmarkSet]:
    if not verb.benchmark and not verb.data:
        raise UserError("no benchmark given; add --benchmark NAME --data-root DIR, or --data FOLDER")
    return read_sets(Evaluate(data=verb.data, benchmark=verb.benchmark, data_root=verb.data_root))


def _content(sets: Sequence[BenchmarkSet]) -> tuple[list[KnownPicture], list[str]]:
    """Every picture once, with its names, and every caption; prompts of class names are nobody's captions."""
    names: dict[Picture, dict[str, None]] = {}
    captions: list[str] = []
    for item_set in sets:
        for picture in item_set.pictures():
            entry = names.setdefault(_whole(picture), {})
            if isinstance(picture, ImageFile):
                entry["/".join(picture.path.parts[-2:])] = None
        if isinstance(item_set, ColumnSet):
            for key, picture in zip(item_set.keys, item_set.images, strict=True):
                names[_whole(picture)][key] = None
        if not isinstance(item_set, ClassSet):
            captions += item_set.texts()
    return [
        KnownPicture(names=tuple(given) or (_digest(picture),), read=_reader(picture))
        for picture, given in names.items()
    ], captions


def _whole(picture: Picture) -> Picture:
    """The file of a crop: a training set has the whole picture."""
    return ImageFile(path=picture.path, digest=picture.digest) if isinstance(picture, ImageFile) else picture


def _digest(picture: Picture) -> str:
    return picture.digest if isinstance(picture, ImageFile) else hashlib.sha256(picture).hexdigest()


def _reader(picture: Picture) -> Any:
    return picture.path.read_bytes if isinstance(picture, ImageFile) else lambda: picture


def _print_contamination(found: Contamination, train: str) -> None:
    grid = new_grid(f"{found.benchmark} in {train}")
    for heading in ("found by", "of the benchmark", "", "training rows", "for example, row"):
        grid.add_column(heading, justify="left" if heading in ("found by", "for example, row") else "right")
    for way in WAYS:
        of = found.captions if way == "caption" else found.pictures
        one = found.found[way]
        example = f"{one[0].key}: {one[0].item[:24]}" if one else ""
        what = "captions" if way == "caption" else "pictures"
        share = f"{100 * len(one) / of:.1f} %" if of else ""
        grid.add_row(way, f"{len(one):,} of {of:,} {what}", share, f"{sum(f.rows for f in one):,}", Text(example))
    console = report_console()
    console.print(grid)
    print(f"{found.rows:,} training rows were compared; {len(found.keys):,} of them hold something of the benchmark.")
    if found.refuted:
        print(f"{found.refuted:,} rows carry the number of a benchmark picture but show another one: not counted.")
    for reason, number in found.not_compared.items():
        print(f"not compared by image: {number:,} ({reason})")


def _write_clean(path: Path, train: str, found: Contamination) -> None:
    """The keys of all training rows but those with a finding; one more pass, over keys and captions alone."""
    touched = set(found.keys)
    keys = [key for key, _ in caption_rows(train) if key not in touched]
    about = {"made_by": "contamination", "benchmark": found.benchmark, "dropped": {"in the benchmark": len(touched)}}
    write_selection(path, pa.chunked_array([pa.array(keys, pa.string())]), about)
    print(f"{len(keys):,} clean rows: {path}")


def count_concept_sets(verb: "Concepts") -> None:
    """Table 2 for one or two caption sets, and the subsets of Figure 3."""
    if len(verb.sets) not in (1, 2):
        raise UserError(f"{len(verb.sets)} caption sets given; give one (captions against negatives) or two")
    texts = [(verb.sets[0], verb.text), (verb.sets[-1], verb.text)]
    if len(verb.sets) == 1:
        texts = [(verb.sets[0], "caption"), (verb.sets[0], "neg_caption")]
    counts = [count_concepts((text for _, text in caption_rows(*place)), senses=verb.senses) for place in texts]
    for (n, _), (name, text) in zip(counts, texts, strict=True):
        if not n:
            raise UserError(f"{name} has no {text} to count; give a set that has, or two sets")
    found = overlap(counts[0], counts[1])
    labels = [f"{Path(name).name} · {text}" for name, text in texts]
    _print_overlap(found, labels)
    if verb.out is not None:
        record = asdict(found) | {"sets": texts, "senses": verb.senses, "command": command_line()}
        write_atomic(verb.out, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
        print(f"counts: {verb.out}")
    if verb.subsets is not None:
        _write_subsets(verb, verb.subsets)


def _print_overlap(found: Overlap, labels: Sequence[str]) -> None:
    grid = new_grid("WordNet concepts")
    for heading in ("", "captions", "concepts, all", "concepts, different", "only here"):
        grid.add_column(heading, justify="right" if heading else "left")
    for place, label in enumerate(labels):
        alone = found.unique[place] - found.shared
        numbers = (found.captions[place], found.total[place], found.unique[place], alone)
        grid.add_row(Text(label), *(f"{number:,}" for number in numbers))
    grid.add_row("together", "", f"{sum(found.total):,}", f"{found.union:,}", "")
    grid.add_row("shared", "", "", f"{found.shared:,}", "")
    report_console().print(grid)
    for label, only in zip(labels, found.only, strict=True):
        if only:
            print(f"most frequent only in {label}: {', '.join(name for name, _ in only[:5])}")


def _write_subsets(verb: "Concepts", folder: Path) -> None:
    rows = list(caption_rows(verb.sets[0], verb.text if len(verb.sets) == 2 else "caption"))
    subsets = nested_subsets(rows, [share / 100 for share in verb.shares], senses=verb.senses)
    for share, keys in subsets.items():
        if not keys:
            raise UserError(f"no row is covered by {100 * share:g} % of the concepts; give larger --shares")
    for share, keys in subsets.items():
        path = folder / f"concepts-{100 * share:g}.parquet"
        about = {"made_by": "concepts", "share": share, "senses": verb.senses, "of": verb.sets[0]}
        write_selection(path, pa.chunked_array([pa.array(keys, pa.string())]), about)
        print(f"{100 * share:g} % of the concepts: {len(keys):,} rows: {path}")
