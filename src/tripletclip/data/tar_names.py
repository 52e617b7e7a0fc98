"""Which tars a path, a folder, a pattern or a URL names, and their bytes."""

import contextlib
import glob
import gzip
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from tripletclip.data.index import first_line
from tripletclip.data.spec import is_url, shown
from tripletclip.errors import UserError

ENDINGS = (".tar", ".tar.gz", ".tgz")


def stem_of(path: str) -> str:
    """The tar's name up to its first dot."""
    return posixpath.basename(shown(path)).partition(".")[0] or "tar"


def tar_paths(path: str) -> Iterator[str]:
    """The tars that ``path`` names: itself, those in the folder, or what its braces and wildcards expand to."""
    if not is_url(path):
        path = str(Path(path).expanduser())
        if Path(path).is_file():
            yield path
            return
    folder = not is_url(path) and Path(path).is_dir()
    found = False
    for pattern in [glob.escape(path) + "/*"] if folder else expand_braces(path):
        for name in _globbed(pattern):
            found = True
            yield name
    if not found:
        raise UserError(
            f"no tar matches {path}; give a tar, a folder of tars or a pattern such as {{00000..00009}}.tar"
        )


def expand_braces(pattern: str) -> Iterator[str]:
    """``a{00..02}b{x,y}`` as a shell expands it, one at a time; numbers keep their leading zeros.

    >>> list(expand_braces("{08..10}.tar"))
    ['08.tar', '09.tar', '10.tar']
    """
    match = re.search(r"\{([0-9]+)\.\.([0-9]+)\}|\{([^{}]*,[^{}]*)\}", pattern)
    if match is None:
        yield pattern
        return
    if match[3] is not None:
        middles = iter(match[3].split(","))
    else:
        first, last, width = int(match[1]), int(match[2]), len(match[1])
        middles = (f"{number:0{width}d}" for number in range(first, last + 1))
    for middle in middles:
        for rest in expand_braces(pattern[match.end() :]):
            yield pattern[: match.start()] + middle + rest


def _globbed(pattern: str) -> Iterator[str]:
    """What one pattern matches, sorted by name; a pattern without wildcards matches itself, there or not."""
    if not re.search(r"[*?\[]", pattern) or (is_url(pattern) and pattern.startswith("http")):
        yield pattern
    elif is_url(pattern):
        system, inside = _filesystem(pattern)
        yield from sorted(system.unstrip_protocol(name) for name in system.glob(inside) if name.endswith(ENDINGS))
    else:
        yield from sorted(name for name in glob.glob(pattern) if name.endswith(ENDINGS) and Path(name).is_file())


@contextlib.contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """The tar's bytes, unpacked where the name says gzip."""
    with contextlib.ExitStack() as stack:
        if is_url(path):
            system, inside = _filesystem(path)
            raw: IO[bytes] = stack.enter_context(system.open(inside, "rb"))
        else:
            raw = stack.enter_context(Path(path).open("rb"))
        if path.endswith(ENDINGS[1:]):
            raw = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
        yield raw


def _filesystem(url: str) -> Any:
    """fsspec's file system for a URL and the path in it; :class:`UserError` for unknown or uninstalled protocols."""
    import fsspec

    try:
        return fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UserError(f"cannot open {shown(url)}: {first_line(error)}") from error


def check_url(url: str) -> None:
    system, inside = _filesystem(url)
    try:
        there = system.exists(inside)
    except (OSError, ImportError, ValueError, RuntimeError) as error:
        raise UserError(f"cannot open {shown(url)}: {first_line(error)}") from error
    if not there:
        raise UserError(f"there is no file {shown(url)}; check the URL")
