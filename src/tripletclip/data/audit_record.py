"""``audit.json``, what an audit found, read back for pages and cards. Parts of it may be missing."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripletclip.data.index import first_line
from tripletclip.errors import UserError

AUDIT_FILE = "audit.json"


@dataclass(frozen=True, kw_only=True)
class Auc:
    """An area under the curve with its 95 % interval; ``None`` for what was not measured."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def flipped(self) -> "Auc":
        """That of the opposite rule."""
        value, low, high = (None if end is None else 1 - end for end in (self.value, self.high, self.low))
        return Auc(value=value, low=low, high=high)


def read_audit(path: Path) -> dict[str, Any]:
    """The audit as written. Raises :class:`UserError` if the file cannot be read or holds no JSON object."""
    try:
        audit = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {first_line(error)}; run the audit again") from error
    if not isinstance(audit, dict):
        raise UserError(f"{path} holds no JSON object; run the audit again")
    return audit


def part(audit: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping inside the audit, empty where it is missing or null."""
    found = audit.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise UserError(f"field '{name}' of the audit is {str(found)[:40]!r}, not an object; run the audit again")
    return found


def auc(audit: Mapping[str, Any], name: str) -> Auc:
    """The AUC of a probe; :class:`UserError` unless its numbers lie between 0 and 1."""
    value, low, high = (number(audit, name, field) for field in ("auc", "low", "high"))
    for field, found in (("auc", value), ("low", low), ("high", high)):
        if found is not None and not 0 <= found <= 1:
            raise UserError(f"field '{name}.{field}' of the audit is {found:g}, not between 0 and 1; run it again")
    return Auc(value=value, low=low, high=high)


def length_auc(audit: Mapping[str, Any]) -> tuple[Auc, str]:
    """The better of the two rules of length, and which of the captions it takes for the negative.

    The audit's number is of "the longer one is the negative"; below 0.5 the opposite rule is the better one.
    """
    found = auc(audit, "length_rule")
    return (found.flipped, "shorter") if found.value is not None and found.value < 0.5 else (found, "longer")


def number(audit: Mapping[str, Any], *names: str) -> float | None:
    """A number by its path, such as ``"text_probe", "auc"``; ``None`` where it is missing, null or not finite."""
    *outer, last = names
    for name in outer:
        audit = part(audit, name)
    value = audit.get(last)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"field '{'.'.join(names)}' of the audit is {str(value)[:40]!r}, not a number; run it again")
    return float(value) if math.isfinite(value) else None
