"""What pages share: a template environment, a policy under which a page runs nothing but itself, legible text."""

import base64
import functools
import hashlib
import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tripletclip.reporting.compare import number, signed
from tripletclip.reporting.ranking import compact

_VISIBLE: dict[int, str] = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
_VISIBLE |= {0x7F: "\u2421"}
_VISIBLE |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}")
"""Control characters to their pictures; those that turn the direction of all that follows to a replacement sign."""


@functools.cache
def environment() -> Environment:
    """Templates of this package: text is escaped, and a value that was not given is an error."""
    templates = Environment(
        loader=PackageLoader("tripletclip.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        compact=compact,
        number=number,
        signed=signed,
        breakable=breakable,
        unbroken=lambda sentence: sentence.replace(" %", "\N{NO-BREAK SPACE}%"),
    )
    return templates


def script(templates: Environment, name: str) -> Markup:
    """The text of a script of this package, as it is; it must not close its own element."""
    assert templates.loader is not None
    source = templates.loader.get_source(templates, name)[0]
    assert "</" not in source and "<!--" not in source, f"{name} would end the script element"
    return Markup(source)


def content_policy(*scripts: str) -> str:
    """A Content-Security-Policy: own styles, images inside the page, these scripts and no other.

    https://www.w3.org/TR/CSP3/#match-element-to-source-list; a hash is of the text between the script's tags.
    """
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in scripts)
    allowed = " ".join(f"'sha256-{text}'" for text in hashes) or "'none'"
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}"


def breakable(name: str) -> Markup:
    """``name`` with places to break a line behind ``/ : _ -``.

    >>> breakable("hf:a/b_c")
    Markup('hf:<wbr>a/<wbr>b_<wbr>c')
    """
    return Markup("<wbr>").join(re.split(r"(?<=[/:_-])(?=.)", name))


def legible(text: str, longest: int) -> str:
    """``text`` with control characters made visible, cut to ``longest`` characters with its true length behind.

    >>> legible("a\\x00b" + "c" * 9, 4)
    'a␀bc… (12 characters)'
    """
    cut = text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
    return cut.translate(_VISIBLE)
