"""What a model is called on a page and which colour it has: the demo's five methods, or any models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tripletclip.reporting.names import METHODS, START, css_class, display, in_order

PALETTE = 8
"""Colours of models; the ninth has the first one's again."""


@dataclass(frozen=True, kw_only=True)
class Looks:
    """``order`` of the models; ``classes`` name to CSS class. The demo's looks know their methods' display names."""

    order: Sequence[str]
    labels: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    plain: bool = False

    def label(self, name: str) -> str:
        """The name for people; a plain model keeps its own."""
        return name if self.plain else display(name)

    def css(self, name: str) -> str:
        """The class that carries the colour."""
        return self.classes.get(name, "c-other") if self.plain else css_class(name)

    def sorted(self, names: Iterable[str]) -> list[str]:
        """``names`` without repetition in the order of the looks."""
        return in_order(names, self.order)


DEMO = Looks(order=(START, *METHODS))


def model_looks(models: Sequence[str]) -> Looks:
    """Names as they are, colours by their place."""
    return Looks(
        order=tuple(models), classes={name: f"c{place % PALETTE}" for place, name in enumerate(models)}, plain=True
    )
