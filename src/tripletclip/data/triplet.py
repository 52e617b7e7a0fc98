"""The record that flows through every stage, its field names and the version of its format.

A *pair* is an image and its caption. A *triplet* is a pair with a hard-negative caption and a hard-negative image.
Images travel as encoded bytes (JPEG or PNG): stages that do not look at pixels never decode them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

FORMAT_VERSION = 1
"""Version of the shard format; docs/data-format.md says what each version holds."""

IMAGE, CAPTION, NEG_IMAGE, NEG_CAPTION = "image", "caption", "neg_image", "neg_caption"
ROLES = (IMAGE, CAPTION, NEG_IMAGE, NEG_CAPTION)

MEMBER_SUFFIX = {IMAGE: "jpg", CAPTION: "txt", NEG_IMAGE: "neg.jpg", NEG_CAPTION: "neg.txt"}
"""Role to the tar member's suffix: ``KEY.jpg``, ``KEY.txt``, ``KEY.neg.jpg``, ``KEY.neg.txt``."""

ACCEPTED, REJECTED, FAILED = "accepted", "rejected", "failed"
STATUSES = (ACCEPTED, REJECTED, FAILED)


@dataclass(frozen=True, kw_only=True)
class Triplet:
    """One row: what entered, what came of it, and where it came from.

    ``status`` is ``accepted``, ``rejected`` (the row was judged) or ``failed`` (a server or worker broke: a later run
    tries again). The last two keep their ``reason`` and have no members in the tar. A row without ``image`` is a
    caption alone: caption stages take it, training refuses it.
    ``extra`` holds flat columns of a stage's own (a benchmark's ``split``, a scene as JSON, a score).
    """

    key: str
    caption: str
    image: bytes | None = None
    neg_caption: str | None = None
    neg_image: bytes | None = None
    status: str = ACCEPTED
    reason: str = ""
    extra: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status of '{self.key}' is '{self.status}'; use one of {', '.join(STATUSES)}")
        if self.status != ACCEPTED and not self.reason:
            raise ValueError(f"'{self.key}' is {self.status} without a reason")
