"""What an audit found, as one self-contained HTML page in plain words: do the negatives give themselves away?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripletclip.data.audit_record import Auc, auc, length_auc, number, part
from tripletclip.errors import UserError
from tripletclip.files import write_atomic
from tripletclip.reporting.html import content_policy, environment, legible

LEFT, RIGHT = 0.4, 1.0
"""Ends of the drawn scale of AUCs; what lies outside is drawn at the end."""

WORDS = ((0.55, "near chance"), (0.6, "a little above chance"), (0.7, "clearly above chance"), (0.8, "easy to tell"))
MOST_EDITS = 40
EDIT_COUNTS = (
    ("different replacements in all", "edits_different"),
    ("items in which the words only change places", "items_reordered"),
    ("items that are rewritten as a whole", "items_rewritten"),
)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One line of the scale."""

    name: str
    what: str
    auc: Auc

    @property
    def verdict(self) -> str:
        """The AUC in words; an interval that holds 0.5 is not apart from chance."""
        value, low, high = self.auc.value, self.auc.low, self.auc.high
        if value is None:
            return "not measured"
        if low is not None and high is not None and low <= 0.5 <= high:
            return "not apart from chance"
        return next((words for limit, words in WORDS if value <= limit), "very easy to tell")

    @property
    def gives_away(self) -> bool:
        """Whether the AUC is more than near chance."""
        return self.verdict not in ("not measured", "not apart from chance", WORDS[0][1])


def at(value: float) -> str:
    """The place of an AUC on the scale, in percent."""
    share = (min(max(value, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT)
    return f"{100 * share:.2f}%"


def write_audit_page(audit: Mapping[str, Any], out: Path, *, title: str = "Audit of the negatives") -> None:
    """Write the page of ``audit``, the content of an ``audit.json``, to ``out``.

    Parts that are missing or null are said to be missing. Raises :class:`UserError` for a part of the wrong kind, and
    if ``out`` cannot be written.
    """
    found, which = length_auc(audit)
    text = Probe(name="Words", what="captions alone, without the image", auc=auc(audit, "text_probe"))
    length = Probe(name="Length", what=f"the {which} caption is taken for the negative", auc=found)
    image = Probe(name="Images", what="images alone, without the caption", auc=auc(audit, "image_probe"))
    content = {
        "title": title,
        "n": number(audit, "n"),
        "sampled": number(audit, "sampled"),
        "headline": _headline(text, length, number(audit, "n")),
        "text": text,
        "length": length,
        "image": image,
        "at": at,
        "ticks": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        "share": number(audit, "text_probe", "negative_higher"),
        "limit": number(audit, "gate", "max_text_auc"),
        "passed": _flag(part(audit, "gate"), "passed"),
        "advice": _advice(text, length, image),
        "edits": _edits(audit),
        "edit_counts": [(words, number(audit, field)) for words, field in EDIT_COUNTS if audit.get(field) is not None],
        "categories": _categories(audit),
        "copies": _copies(audit),
        "policy": content_policy(),
    }
    write_atomic(out, environment().get_template("audit.html").render(content).encode("utf-8"))


def _flag(audit: Mapping[str, Any], name: str) -> bool | None:
    value = audit.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise UserError(f"field '{name}' of the audit's gate is {str(value)[:40]!r}, not true or false; run it again")


def _headline(text: Probe, length: Probe, items: float | None) -> str:
    if text.auc.value is None and items is not None:
        return f"With {items:,.0f} items there are too few different captions to probe the words: take more rows."
    if text.auc.value is None:
        return "Nobody has measured yet whether these negatives can be told by their words alone."
    if text.gives_away:
        return (
            f"A probe that never sees an image tells these negatives by their words: "
            f"AUC {text.auc.value:.2f}, {text.verdict}."
        )
    if length.auc.value is not None and length.gives_away:
        return f"The words do not give these negatives away, but their number does: AUC {length.auc.value:.2f}."
    return f"Words alone do not give these negatives away: AUC {text.auc.value:.2f}, where 0.5 is a coin."


def _advice(text: Probe, length: Probe, image: Probe) -> list[str]:
    """What to do, by what was found."""
    advice = []
    if text.gives_away:
        advice += [
            "Look at the repeated edits below: a word that is put in again and again is what the probe has learned. "
            "Ask for more kinds of edits, forbid the commonest replacements, or mix two writers.",
            "Where no edit stands out, read some negatives: a sentence that nobody would write is a cue as well. "
            "Swapped words often make one.",
            "Balance: drop rows until the words that mark a negative stand in positives as often. It costs rows; "
            "another audit says what was won.",
        ]
    if length.gives_away:
        advice.append(
            "Negatives and positives differ in length. Narrow the ratio of lengths that the writer's check allows."
        )
    if image.gives_away:
        advice.append(
            "Negative images can be told from the positive ones. That is usual where photos stand against painted "
            "pictures, and it does harm where the captions give themselves away too: a model may then match painted "
            "with negative and learn nothing else. Keep the text AUC low, store both kinds at one size and quality, "
            "or paint the positives as well."
        )
    return advice


def _edits(audit: Mapping[str, Any]) -> list[tuple[str, str, int]] | None:
    """The commonest replacements as (from, to, count); ``None`` if the audit has no such list."""
    found = audit.get("edits")
    if found is None:
        return None
    try:
        edits = [(legible(str(before), 80), legible(str(after), 80), int(count)) for before, after, count in found]
    except (TypeError, ValueError) as error:
        raise UserError("field 'edits' of the audit is no list of [from, to, count]; run the audit again") from error
    return sorted(edits, key=lambda edit: -edit[2])[:MOST_EDITS]


def _categories(audit: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """Kinds of edit as (name, rows, length of the bar in percent), the commonest first."""
    found = {name: number(audit, "categories", name) or 0.0 for name in part(audit, "categories")}
    most = max(found.values(), default=0.0)
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [(legible(name, 80) or "not known", rows, f"{100 * rows / (most or 1):.1f}%") for name, rows in ordered]


def _copies(audit: Mapping[str, Any]) -> Sequence[tuple[str, float | None]]:
    return (
        ("captions that repeat an earlier row's", number(audit, "duplicates", "captions")),
        ("negative captions that repeat an earlier row's", number(audit, "duplicates", "neg_captions")),
        ("negative captions equal to their own caption", number(audit, "duplicates", "neg_captions_unchanged")),
        (
            "negative captions that another row has as caption",
            number(audit, "duplicates", "neg_captions_among_captions"),
        ),
        ("negative images that hardly differ from their positive", number(audit, "near_copies", "images")),
        ("negative captions that hardly differ from their positive", number(audit, "near_copies", "captions")),
    )
