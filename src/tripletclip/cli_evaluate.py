"""The options of ``tripletclip evaluate``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPEATABLE = ("--model", "--benchmark", "--data", "--image-tower", "--text-tower")
"""Options of `evaluate` and `cosines` that take several values, in one go or one by one."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure any CLIP on published benchmarks and on your own data; one result file a model and benchmark."""

    model: tuple[str, ...] = ()
    """Model folders, NAME:TAG of open_clip, hf:ORG/NAME; several after one --model, or --model several times."""
    benchmark: tuple[str, ...] = ()
    """Published benchmarks (see --list), a family such as aro, or all: those whose files are found."""
    data: tuple[Path, ...] = ()
    """Your own: folders of shards (pairs with a split column, retrieval, classes with classes.json), .jsonl files, or
    folders of images with classes.json."""
    data_root: Path | None = None
    """Folder of the published benchmarks' files."""
    out: Path | None = None
    """Folder of the result files."""
    cache: Path | None = None
    """Folder where features are kept, shared by any number of runs; OUT/features if not given."""
    min_coverage: float = 100.0
    """Percent of a benchmark's items that must be measurable; below it there is no score."""
    batch_size: int = 256
    device: str = "cpu"
    language_model: str | None = None
    """A causal language model (folder, hub name, or FOLDER:FILE.gguf) for the blind line "text likelihood"."""
    text_probe: bool = True
    """The blind line "text-only probe", where scikit-learn is installed."""
    overwrite: bool = False
    """Replace results of another checkpoint or of other data that have the same name."""
    list: bool = False
    """Print the benchmarks: what they test, which files they need, whether those are found."""


def gathered(arguments: Sequence[str]) -> "list[str]":
    """``--model A --model=B`` as ``--model A B``, and likewise the other options that may be repeated.

    >>> gathered(["--model", "a", "--out", "x", "--model=b", "c"])
    ['--out', 'x', '--model', 'a', 'b', 'c']
    """
    rest: list[str] = []
    values: dict[str, list[str]] = {}
    current: str | None = None
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("--"):
            current = name.replace("_", "-") if name.replace("_", "-") in REPEATABLE else None
            if current is not None:
                values.setdefault(current, []).extend([value] if equals else [])
                continue
        if current is not None:
            values[current].append(argument)
        else:
            rest.append(argument)
    return rest + [word for name, given in values.items() for word in (name, *given)]
