"""Small matplotlib canvases as inline SVG that takes its colours and its font from the page around it.

Drawing uses stand-in colours; :func:`render` puts CSS variables in their place, so one drawing serves light and dark.
Nothing in the result refers to anything outside it. One unit is one CSS pixel at the drawing's natural width.
"""

import hashlib
import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tripletclip.reporting.looks import PALETTE
from tripletclip.reporting.names import METHODS, START, css_class

WIDTH = 340
"""Natural width of a panel: it fits a phone as it is, and two or three stand side by side on a desk."""

INK, MUTED, LINE = "#000001", "#000002", "#000003"
_VARIABLES = {INK: "currentColor", MUTED: "var(--muted)", LINE: "var(--line)"}
_METHOD_COLOURS = {css_class(name): f"#0000{16 + place:02x}" for place, name in enumerate((*METHODS, START, "?"))}
_METHOD_COLOURS |= {f"c{place}": f"#0000{48 + place:02x}" for place in range(PALETTE)} | {"c-other": "#00003f"}
_VARIABLES |= {colour: f"var(--{name})" for name, colour in _METHOD_COLOURS.items()}

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing with its title; ``alternative`` says in a sentence what it shows."""

    title: str
    svg: Markup
    alternative: str


def colour(method: str) -> str:
    """The stand-in colour of a method of the demo."""
    return class_colour(css_class(method))


def class_colour(css: str) -> str:
    """The stand-in colour of a CSS class of a method or model."""
    return _METHOD_COLOURS.get(css, _METHOD_COLOURS["m-other"])


def settings() -> AbstractContextManager[None]:
    """The drawing style, as a context: text keeps its settings from the moment it is made."""
    return matplotlib.rc_context(_SETTINGS)


def canvas(height: int, *, left: int = 108, right: int = 42, bottom: int = 22, top: int = 6) -> tuple[Figure, Axes]:
    """An empty panel of ``WIDTH`` x ``height`` with the given margins, all in pixels."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - bottom - top) / height),
        facecolor="none",
    )
    return figure, axes


def render(figure: Figure, alternative: str) -> Markup:
    """The drawing as an ``<svg>`` element for HTML: no prolog, no metadata, no fixed size, unique ids."""
    height = round(figure.get_figheight() * 72)
    salt = hashlib.sha256(alternative.encode()).hexdigest()
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    body = buffer.getvalue()
    body = body[body.index(">", body.index("<svg")) + 1 : body.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r"font: (?:\w+ )?([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"#0000[0-3][0-9a-f]", lambda found: _VARIABLES.get(found.group(), found.group()), body)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, escape(alternative), Markup(_squeeze(body))
    )


def _squeeze(body: str) -> str:
    """Drop the indentation, which is a third of the bytes."""
    return re.sub(r">\s+<", "><", re.sub(r"\n\s*", " ", body)).strip()
