"""A score says on how much of its benchmark it was measured, and below a bound that the user sets there is none."""

from collections.abc import Mapping
from pathlib import Path

from tripletclip.errors import UserError
from tripletclip.evaluation.measuring import benchmark_names
from tripletclip.evaluation.pictures import ImageFile, Picture
from tripletclip.evaluation.sets import BenchmarkSet


def without_unreadable(item_set: BenchmarkSet, unreadable: Mapping[Picture, str]) -> BenchmarkSet:
    """The set without the items that need an unreadable picture; :class:`UserError` if that leaves nothing."""
    lost = [picture for picture in item_set.pictures() if picture in unreadable]
    if not lost:
        return item_set
    try:
        return item_set.without(unreadable)
    except UserError as error:
        raise UserError(
            f"{benchmark_names(item_set)[0]}: no item can be measured; {first_of(lost[0])} is unreadable "
            f"({unreadable[lost[0]]}), and so are the others"
        ) from error


def check_coverage(item_set: BenchmarkSet, least: float, unreadable: Mapping[Picture, str] | None = None) -> None:
    """Raise :class:`UserError` if less than ``least`` percent of what the benchmark lists can be measured."""
    percent = 100 * item_set.coverage
    if percent >= least:
        return
    listed = len(item_set) + sum(item_set.left_out.values())
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in item_set.left_out.items())
    first = next(iter((unreadable or {}).items()), None)
    named = f", the first {first_of(first[0])} ({first[1]})" if first else ""
    raise UserError(
        f"{benchmark_names(item_set)[0]}: {listed - len(item_set):,} of {listed:,} items cannot be measured "
        f"({reasons}{named}); bring the missing files, or ask for less with --min-coverage {int(percent)}"
    )


def first_of(picture: Picture) -> str:
    """How a picture is called in a message."""
    return str(Path(picture.path)) if isinstance(picture, ImageFile) else f"an image of {len(picture)} bytes"
