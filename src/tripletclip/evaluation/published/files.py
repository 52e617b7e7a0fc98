"""What every reader shares: where a benchmark's files lie, JSON and its mistakes, and pictures hashed by threads.

A *pattern* is a path below the data root in which ``{a,b}`` means that either will do:
``{coco/val2017,val2017}`` is found where one of the two is. The first one found is read.
"""

import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from tripletclip.data.intake import MAX_IMAGE_BYTES
from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import Box, ImageFile, Picture, image_file

MISSING, TOO_LARGE, UNREADABLE = "image file missing", "image file too large", "image file cannot be read"
NO_AREA = "box without area"
DOCS = "docs/benchmarks.md"

_BRACES = re.compile(r"\{([^{}]*)\}")
_SHOWN = 5
_THREADS = 16

Item = TypeVar("Item")


def alternatives(pattern: str) -> list[str]:
    """Every path that ``pattern`` allows, in the order in which they are tried.

    >>> alternatives("{a,b}/x.json")
    ['a/x.json', 'b/x.json']
    """
    group = _BRACES.search(pattern)
    if group is None:
        return [pattern]
    heads = [pattern[: group.start()] + choice + pattern[group.end() :] for choice in group[1].split(",")]
    return list(itertools.chain.from_iterable(map(alternatives, heads)))


def either(*patterns: str) -> str:
    """A pattern of all alternatives of ``patterns``, in their order.

    >>> either("{a,b}/x", "c")
    '{a/x,b/x,c}'
    """
    return "{" + ",".join(itertools.chain.from_iterable(map(alternatives, patterns))) + "}"


def places(root: Path, pattern: str) -> list[Path]:
    """Those of the pattern's paths that are there."""
    return [root / path for path in alternatives(pattern) if (root / path).exists()]


def place(root: Path, pattern: str) -> Path:
    """The first of the pattern's paths that is there; :class:`UserError` with what was expected and what was found."""
    there = places(root, pattern)
    if there:
        return there[0]
    expected = " or ".join(alternatives(pattern))
    raise UserError(f"{root} has no {expected}; it has {listing(root)} ({DOCS} says where each file belongs)")


def listing(folder: Path) -> str:
    """The first names in ``folder``, for messages."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return f"nothing to list ({error.strerror})"
    shown = ", ".join(names[:_SHOWN]) or "nothing"
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def read_text(path: Path) -> str:
    """The UTF-8 text of ``path``; :class:`UserError` if it cannot be read."""
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: byte {error.start} does not fit; download it again") from error


def read_json(path: Path) -> Any:
    """The JSON in ``path``. :class:`UserError` names a file that is torn, or that has a key twice in one object."""
    try:
        return json.loads(read_text(path), object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not whole JSON (line {error.lineno}: {error.msg}); download it again") from error
    except _TwiceError as error:
        raise UserError(f"{path} has the id '{error.args[0]}' twice; keep one") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply to be a benchmark; download it again") from error


def read_json_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not blank; :class:`UserError` names the first bad line."""
    lines = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_object)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"line {number} of {path} is not JSON ({error}); mend or drop it") from error
        except _TwiceError as error:
            raise UserError(f"line {number} of {path} has the field '{error.args[0]}' twice; keep one") from error
        if not isinstance(record, dict):
            raise UserError(f"line {number} of {path} is not an object such as {{...}}")
        lines.append((number, record))
    return lines


class _TwiceError(Exception):
    """A key that stands twice in one JSON object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _TwiceError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return made


def records(content: Any, path: Path) -> list[dict[str, Any]]:
    """``content`` if it is a list of JSON objects."""
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise UserError(f"{path} must be a list of objects; this is another file or another version")
    return content


def record_of(content: Any, path: Path) -> dict[str, dict[str, Any]]:
    """``content`` if it is a JSON object of objects."""
    if not isinstance(content, dict) or not all(isinstance(record, dict) for record in content.values()):
        raise UserError(f"{path} must be an object of objects; this is another file or another version")
    return content


def text_of(record: dict[str, Any], name: str, where: str) -> str:
    """The text in field ``name``; :class:`UserError` names the record by ``where``."""
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where} has no text in '{name}'; it has {', '.join(sorted(record)) or 'no field'}")
    return value


def texts_of(record: dict[str, Any], name: str, where: str, least: int = 1) -> list[str]:
    """The list of at least ``least`` texts in field ``name``."""
    value = record.get(name)
    if not isinstance(value, list) or len(value) < least or not all(isinstance(text, str) and text for text in value):
        raise UserError(f"{where} needs a list of at least {least} texts in '{name}'")
    return value


def int_of(record: dict[str, Any], name: str, where: str) -> int:
    """The whole number in field ``name``; 3.0 and "3" count as 3."""
    value = record.get(name)
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not number.is_integer():
        raise UserError(f"{where} has no whole number in '{name}'")
    return int(number)


def refuse_repeats(keys: Iterable[str], path: Path) -> None:
    """:class:`UserError` if a key stands twice."""
    key, count = Counter(keys).most_common(1)[0] if (keys := list(keys)) else ("", 1)
    if count > 1:
        raise UserError(f"{path} has the id '{key}' {count} times; keep one")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A picture that an item needs: ``name`` in the first of ``folders`` that has it; ``box`` is what counts of it."""

    folders: tuple[Path, ...]
    name: str
    box: Box | None = None


@dataclass(frozen=True, kw_only=True)
class Gathered(Generic[Item]):
    """The items whose pictures are all there, their pictures in the order asked for, and why others are not here."""

    items: list[Item]
    pictures: list[list[ImageFile]]
    left_out: dict[str, int]

    def column(self, index: int = 0) -> list[Picture]:
        """The picture ``index`` of every item."""
        return [pictures[index] for pictures in self.pictures]


def gather(
    items: Sequence[Item],
    wanted: Callable[[Item], Sequence[Wanted]],
    path: Path,
    weight: Callable[[Item], int] = lambda _: 1,
) -> Gathered[Item]:
    """Find and hash the pictures of ``items``, each file once, by threads; ``path`` is the file that names them.

    An item without one of its pictures is counted under the reason, as ``weight`` items. :class:`UserError` if no item
    is left, and for a name that leads out of its folder.
    """
    asked = [list(wanted(item)) for item in items]
    for want in itertools.chain.from_iterable(asked):
        _refuse_outside(want.name, path)
    distinct = list(dict.fromkeys((want.folders, want.name) for want in itertools.chain.from_iterable(asked)))
    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(distinct, pool.map(_find, distinct), strict=True))
    kept, pictures, left_out = [], [], Counter[str]()
    for item, wants in zip(items, asked, strict=True):
        got = [_boxed(found[want.folders, want.name], want.box) for want in wants]
        reason = next((one for one in got if isinstance(one, str)), None)
        if reason is not None:
            left_out[reason] += weight(item)
            continue
        kept.append(item)
        pictures.append([one for one in got if isinstance(one, ImageFile)])
    if not kept:
        raise UserError(_nothing_left(path, asked, left_out))
    return Gathered(items=kept, pictures=pictures, left_out=dict(left_out))


def _refuse_outside(name: str, path: Path) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name or parts[0].endswith(":"):
        raise UserError(f"{path} names the image '{name}', which leads out of the image folder; mend or drop it")


def _find(asked: tuple[tuple[Path, ...], str]) -> ImageFile | str:
    folders, name = asked
    for folder in folders:
        path = folder / name
        try:
            if path.stat().st_size > MAX_IMAGE_BYTES:
                return TOO_LARGE
            return image_file(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return UNREADABLE
    return MISSING


def _boxed(found: ImageFile | str, box: Box | None) -> ImageFile | str:
    if isinstance(found, str) or box is None:
        return found
    return replace(found, box=box) if box[2] > 0 and box[3] > 0 else NO_AREA


def _nothing_left(path: Path, asked: list[list[Wanted]], left_out: Counter[str]) -> str:
    if not asked:
        return f"{path} has no items; download it again"
    first = asked[0][0]
    folders = " or ".join(f"{folder} (it has {listing(folder)})" for folder in first.folders)
    reasons = ", ".join(f"{count} x {reason}" for reason, count in left_out.items())
    return f"none of the items of {path} can be used ({reasons}); expected images such as {first.name} in {folders}"
