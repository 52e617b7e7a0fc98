"""``scheme:path,key=value,...``: how a source is named in one word of the command line.

A comma begins an option only where ``name=`` follows, so commas in paths and in brace patterns need no escape.
"""

import difflib
import itertools
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tripletclip.errors import UserError, unknown_name

_OPTION = re.compile(r",(?=[A-Za-z_][A-Za-z0-9_-]*=)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_+-]*):(?!//)(.*)", re.DOTALL)

FIRST, ALL, NONE = "first", "all", "none"
_NAMES_COMPARED = 10_000


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A parsed specification; ``scheme`` is ``None`` where the text names none and the path has to tell."""

    text: str
    scheme: str | None
    path: str
    options: Mapping[str, str]


def parse_spec(text: str) -> Spec:
    """Split ``text``; a URL such as ``s3://bucket/a.tar`` is a path, not a scheme.

    >>> parse_spec("coco:captions.json,images=val2017/").options
    {'images': 'val2017/'}
    """
    head, *rest = _OPTION.split(text)
    match = _SCHEME.fullmatch(head)
    scheme, path = (match[1], match[2]) if match else (None, head)
    if not path:
        raise UserError(f"'{text}' names no file; write SCHEME:PATH,KEY=VALUE such as folder:photos/,max_side=512")
    options: dict[str, str] = {}
    for option in rest:
        name, _, value = option.partition("=")
        if name in options:
            raise UserError(f"'{text}' gives '{name}' twice; keep one")
        if not value:
            raise UserError(f"'{text}' gives '{name}' no value; write {name}=VALUE or leave it out")
        options[name] = value
    return Spec(text=text, scheme=scheme, path=path, options=options)


def check_options(spec: Spec, scheme: str, known: Collection[str]) -> None:
    """Refuse options that ``scheme`` does not have."""
    for name in spec.options:
        if name not in known:
            raise unknown_name(f"key of the source '{scheme}'", name, known)


def chosen(spec: Spec, name: str, choices: tuple[str, ...]) -> str | None:
    """The option ``name``, one of ``choices``, or ``None`` where it is not given."""
    value = spec.options.get(name)
    if value is not None and value not in choices:
        raise unknown_name(f"value of '{name}' in '{spec.text}':", value, choices)
    return value


def max_side_of(spec: Spec) -> int | None:
    """The option ``max_side`` in pixels; ``None`` leaves images as large as they are."""
    text = spec.options.get("max_side")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) == 0:
        raise UserError(f"max_side='{text}' in '{spec.text}' is no size; give pixels from 1 to 99999")
    return int(text)


def images_folder(spec: Spec, default: Path) -> Path | None:
    """The folder that image paths are relative to; ``None`` for ``images=none``, which asks for captions alone."""
    text = spec.options.get("images")
    if text == NONE:
        return None
    return default if text is None else existing_folder(text)


def is_url(path: str) -> bool:
    """Whether fsspec has to open ``path``."""
    return "://" in path


def existing_file(text: str) -> Path:
    """``text`` as the path of a file that is there; :class:`UserError` with the nearest name otherwise."""
    path = Path(text).expanduser()
    if not path.exists():
        raise UserError(f"there is no file {path}{_nearest(path)}")
    if not path.is_file():
        raise UserError(f"{path} is a folder; give a file")
    return path


def existing_folder(text: str) -> Path:
    """``text`` as the path of a folder that is there; :class:`UserError` with the nearest name otherwise."""
    path = Path(text).expanduser()
    if not path.exists():
        raise UserError(f"there is no folder {path}{_nearest(path)}")
    if not path.is_dir():
        raise UserError(f"{path} is not a folder; give the folder that holds it")
    return path


def column_of(spec: Spec, option: str, columns: Collection[str], where: str) -> str:
    """The column that the option names (by default the option's own name); it must be among ``columns``."""
    name = spec.options.get(option, option)
    if name in columns:
        return name
    near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    hint = f"; did you mean {option}={near[0]}?" if near else f"; write {option}=COLUMN."
    raise UserError(f"{where} has no column '{name}'{hint} Columns: {', '.join(sorted(columns))}")


def shown(path: str) -> str:
    """A path or URL fit for titles and messages: the last name alone, of a URL no user, password or query."""
    if not is_url(path):
        return Path(path).name or path
    parts = urlsplit(path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _nearest(path: Path) -> str:
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, _NAMES_COMPARED)]
    except OSError:
        return f"; its folder {path.parent} is missing too"
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {path.parent / near[0]}?" if near else "; check the path"
