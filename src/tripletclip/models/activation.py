"""Which activation weights were trained with, told from where they come from.

QuickGELU (``x * sigmoid(1.702 x)``) and GELU have no weights of their own, so nothing in a file of weights shows which
one they need; the wrong one shifts every feature a little and raises no error. What can be known is known from names:
the tag or the repository that a name, a configuration or a folder of the Hub mentions. open_clip lists for each of its
tags which one it needs; OpenAI's own repositories all need QuickGELU
(https://github.com/openai/CLIP/blob/a1d071733d7111c9c014f024669f959182114e33/clip/model.py#L166).
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import open_clip

from tripletclip.errors import UserError

_OPENAI = re.compile(r"(openai/clip-(vit|rn)-.*|openai)", re.IGNORECASE)
_ORIGIN_KEYS = (
    "_name_or_path",
    "model_name",
    "pretrained",
    "tag",
    "hf_hub_id",
    "hf_hub",
    "init",
    "base_model",
    "source",
)
"""Fields under which configurations name what they were made from."""


def needs_quick_gelu(origin: str) -> bool | None:
    """Whether the weights that ``origin`` names were trained with QuickGELU; None where that cannot be known.

    ``origin`` is a repository of the Hub, a ``NAME:TAG`` of open_clip, or the tag ``openai``.
    """
    name = origin.strip().removeprefix("hf-hub:").removeprefix("hf:").strip("/")
    if _OPENAI.fullmatch(name):
        return True
    if ":" in name:
        entry = open_clip.get_pretrained_cfg(*name.split(":", 1))
        return bool(entry.get("quick_gelu")) if entry else None
    return _repositories().get(name.lower())


@cache
def _repositories() -> Mapping[str, bool]:
    """Repositories of open_clip's weights, to whether all that they hold need QuickGELU."""
    needs: dict[str, set[bool]] = {}
    for model, tag in open_clip.list_pretrained():
        entry = open_clip.get_pretrained_cfg(model, tag)
        repository = str(entry.get("hf_hub", "")).strip("/").lower()
        needs.setdefault(repository, set()).add(bool(entry.get("quick_gelu")))
    return {name: found == {True} for name, found in needs.items() if name and len(found) == 1}


def origins(config: Mapping[str, Any]) -> list[str]:
    """What a configuration and the mappings in it say that the model was made from."""
    found = [str(config[key]) for key in _ORIGIN_KEYS if isinstance(config.get(key), str)]
    for value in config.values():
        if isinstance(value, Mapping):
            found += origins(value)
    return found


def checked_activation(quick_gelu: bool, named: Iterable[str], where: str, *, mend: bool = False) -> bool:
    """``quick_gelu`` if nothing in ``named`` contradicts it; with ``mend``, the one that the weights need.

    Raises :class:`UserError` that says which activation is right.
    """
    for origin in named:
        needed = needs_quick_gelu(origin)
        if needed is None or needed == quick_gelu:
            continue
        if mend:
            return needed
        right, wrong = ("QuickGELU", "plain GELU") if needed else ("plain GELU", "QuickGELU")
        raise UserError(
            f"{where} names {origin} as its origin, whose weights were trained with {right}, and sets {wrong}: every "
            f"feature would be off; write {_setting(needed)} into its configuration, or take the origin out of it if "
            f"the weights were trained further with {wrong}"
        )
    return quick_gelu


def _setting(quick_gelu: bool) -> str:
    words = ("true", "quick_gelu") if quick_gelu else ("false", "gelu")
    return f'"quick_gelu": {words[0]} (open_clip) or "hidden_act": "{words[1]}" (Hugging Face)'
