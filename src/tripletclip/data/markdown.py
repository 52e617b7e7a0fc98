"""Text of others inside Markdown and YAML, so that it stays text."""

import json
import re


def plain(text: str) -> str:
    """Text on one line that Markdown and HTML leave alone.

    >>> plain("a|b  <c>")
    'a\\\\|b &lt;c&gt;'
    """
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


def fenced(text: str, language: str = "") -> list[str]:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.splitlines(), fence]


def yaml_string(text: str) -> str:
    """A YAML string: JSON's notation, which YAML reads; control characters become spaces."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return json.dumps(printable, ensure_ascii=False)
