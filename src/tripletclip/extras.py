"""Optional dependencies: asked for at the door, with the command that installs them."""

import importlib.util

from tripletclip.errors import UserError


def require(extra: str, what: str, *modules: str) -> None:
    """Raise :class:`UserError` unless every one of ``modules`` can be imported; ``what`` is what needs them.

    >>> require("dev", "this", "json")
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{what} needs {', '.join(missing)}; run: pip install 'tripletclip[{extra}]'")
