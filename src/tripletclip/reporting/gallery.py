"""Triplets to look at: both images, both captions with the changed words marked, and what each method chose."""

import base64
import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

_SIGNATURES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Whether a method preferred the true caption, and by how much cosine; zero is a tie and loses."""

    correct: bool
    margin: float


@dataclass(frozen=True, kw_only=True)
class GalleryItem:
    """One benchmark item. Images are encoded bytes (JPEG, PNG, GIF, WebP); ``choices`` maps a method to its choice.

    Raises ``ValueError`` for bytes of another kind.
    """

    split: str
    caption: str
    neg_caption: str
    image: bytes
    neg_image: bytes
    choices: Mapping[str, Choice]

    def __post_init__(self) -> None:
        for image in (self.image, self.neg_image):
            media_type(image)

    @property
    def marked(self) -> tuple[Markup, Markup]:
        """Caption and negative caption with the changed words marked."""
        return marked_words(self.caption, self.neg_caption)


def media_type(image: bytes) -> str:
    """The media type by the file's first bytes."""
    for signature, name in _SIGNATURES.items():
        if image.startswith(signature):
            return name
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    raise ValueError(f"a gallery image begins with {image[:8]!r}; give JPEG, PNG, GIF or WebP bytes")


def data_uri(image: bytes) -> str:
    """The image as text that stands inside the page."""
    return f"data:{media_type(image)};base64,{base64.b64encode(image).decode('ascii')}"


def marked_words(before: str, after: str) -> tuple[Markup, Markup]:
    """Both sentences, escaped; words that only ``before`` has stand in ``<mark>``, those of ``after`` in ``<ins>``.

    >>> marked_words("a red cat", "a blue cat")
    (Markup('a <mark>red</mark> cat'), Markup('a <ins>blue</ins> cat'))
    """
    old, new = before.split(), after.split()
    left: list[Markup] = []
    right: list[Markup] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        for words, sentence, tag in ((old[i:j], left, "mark"), (new[k:m], right, "ins")):
            if not words:
                continue
            text = " ".join(words)
            template = "{}" if kind == "equal" else f"<{tag}>{{}}</{tag}>"
            sentence.append(Markup(template).format(text))
    return Markup(" ").join(left), Markup(" ").join(right)
