"""The one error that means: the user can mend this.

``UserError`` carries a single line that names the file, key or field and says what to do. The command line prints
that line and exits with 2; nothing else in the package catches it.
"""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what the user gave: arguments, files, data."""


class Incomplete(Exception):
    """The work ended, but not all of it is done; the line says what is missing. The command line exits with 3."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest one that does.

    >>> str(unknown_name("objective", "tripletclp", ["clip", "tripletclip"]))
    "unknown objective 'tripletclp'; did you mean 'tripletclip'? Known: clip, tripletclip"
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    return UserError(f"unknown {kind} '{name}'{hint} Known: {', '.join(names)}")
