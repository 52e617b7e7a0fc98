"""Names on the command line: an unknown verb or field is one line with the nearest known name."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin

import tyro

from tripletclip.errors import unknown_name


def check_names(arguments: Sequence[str], verbs: Mapping[str, type[Any]], *, prefix: str = "") -> None:
    """Refuse an unknown verb, or an unknown field of a known one; the values are tyro's to check.

    ``prefix`` stands before a verb in the message.
    """
    if not arguments or arguments[0].startswith("-"):
        return
    if arguments[0] not in verbs:
        raise unknown_name("verb", prefix + arguments[0], [prefix + name for name in verbs])
    options = {"--help", *_options(verbs[arguments[0]], "")}
    for argument in arguments[1:]:
        name = argument.split("=")[0].replace("_", "-")
        if name.startswith("--") and name not in options:
            raise unknown_name("field", name, options)


def _options(verb: type[Any], prefix: str) -> set[str]:
    """Every ``--name`` and ``--group.name`` of a dataclass."""
    names: set[str] = set()
    for entry in fields(verb):
        name = prefix + entry.name.replace("_", "-")
        if isinstance(entry.type, type) and is_dataclass(entry.type):
            names |= _options(entry.type, f"{name}.")
        elif not (get_origin(entry.type) is Annotated and tyro.conf.Positional in get_args(entry.type)):
            names |= {f"--{name}"} | ({f"--{prefix}no-{entry.name.replace('_', '-')}"} if entry.type is bool else set())
    return names
