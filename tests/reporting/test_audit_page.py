"""The audit page: every number in words, what is missing said to be missing, text of the data escaped."""

import copy
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tripletclip.errors import UserError
from tripletclip.reporting.audit_page import write_audit_page

EVIL = "<script>alert('1')</script>"
AUDIT: dict[str, Any] = {
    "n": 4847,
    "sampled": 4000,
    "text_probe": {"auc": 0.812, "low": 0.803, "high": 0.821, "negative_higher": 0.806, "n": 4000},
    "length_rule": {"auc": 0.42, "low": 0.40, "high": 0.44},
    "image_probe": {"auc": 0.975, "low": 0.95, "high": 0.99, "n": 2000},
    "edits": [["red", "blue", 120], ["man", "woman", 1312], ["", "not", 44], [EVIL, "x", 2]],
    "edits_different": 3100,
    "items_reordered": 7,
    "categories": {"object": 2000, "swap": 500, "": 10, EVIL: 1},
    "duplicates": {"captions": 12, "neg_captions": 345},
    "near_copies": {"images": 3, "captions": 0},
    "gate": {"max_text_auc": 0.6, "passed": False},
}


def page(folder: Path, audit: dict[str, Any], **changes: Any) -> str:
    write_audit_page(copy.deepcopy(audit) | changes, folder / "audit.html")
    return (folder / "audit.html").read_text("utf8")


def words(html: str) -> str:
    body = html.split("<body>")[1]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def probe(auc: float, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"auc": auc, "low": low, "high": high}


def places(html: str, kind: str) -> list[float]:
    """Where dots or other marks stand on the scales, in percent."""
    return [float(at) for at in re.findall(rf'class="{kind}" style="left:([\d.]+)%', html)]


def test_everything_found_is_in_words(tmp_path: Path) -> None:
    text = words(page(tmp_path, AUDIT))
    for sentence in (
        "4,847 items, of which 4,000 were looked at closely",
        "tells these negatives by their words: AUC 0.81, very easy to tell",
        "Over the limit of 0.6 for the text AUC",
        "In 81 % of the items",
        "Length the shorter caption is taken for the negative 0.58 a little above chance",
        "Images images alone, without the caption 0.97 very easy to tell",
        "What to do Look at the repeated edits",
        "Narrow the ratio of lengths",
        "That is usual where photos stand against painted",
        "3,100 different replacements in all; 7 items in which the words only change places.",
        "captions that repeat an earlier row's 12",
        "negative captions that repeat an earlier row's 345",
        "negative images that hardly differ from their positive 3",
        "negative captions that hardly differ from their positive 0",
        "object 2,000",
        "not known 10",
    ):
        assert sentence in text, sentence


def test_edits_come_by_number(tmp_path: Path) -> None:
    table = page(tmp_path, AUDIT).split('class="words edits"')[1].split("</table>")[0]
    rows = [words(f"<body>{row}") for row in re.findall(r"<tr><td>.*?</tr>", table)]
    assert rows == ["man woman 1,312", "red blue 120", "nothing not 44", f"{EVIL} x 2"]


def test_marks_stand_where_the_numbers_are(tmp_path: Path) -> None:
    html = page(tmp_path, AUDIT)
    assert places(html, "dot") == pytest.approx([100 * (auc - 0.4) / 0.6 for auc in (0.812, 0.58, 0.975)], abs=0.01)
    assert places(html, "coin") == pytest.approx([100 / 6] * 3, abs=0.01)
    assert places(html, "gate") == pytest.approx([100 / 3] * 2, abs=0.01)
    low, high = re.findall(r'class="range" style="left:([\d.]+)%;right:calc\(100% - ([\d.]+)%\)', html)[1]
    assert (float(low), float(high)) == pytest.approx((100 * 0.16 / 0.6, 100 * 0.2 / 0.6), abs=0.01)
    assert places(page(tmp_path, {"text_probe": probe(0.1)}), "dot") == [0.0]
    bars = re.findall(r"width:([\d.]+)%", html.split('class="bars"')[1])
    assert bars == ["100.0", "25.0", "0.5", "0.1"]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (probe(0.48), "near chance"),
        (probe(0.55), "near chance"),
        (probe(0.58), "a little above chance"),
        (probe(0.58, 0.49, 0.67), "not apart from chance"),
        (probe(0.65, 0.6, 0.7), "clearly above chance"),
        (probe(0.75), "easy to tell"),
        (probe(0.9), "very easy to tell"),
    ],
)
def test_auc_in_words(tmp_path: Path, found: dict[str, float | None], verdict: str) -> None:
    text = words(page(tmp_path, {"text_probe": found}))
    assert f"captions alone, without the image {found['auc']:.2f} {verdict} Length" in text
    quiet = verdict in ("near chance", "not apart from chance")
    assert ("Words alone do not give these negatives away" in text) == quiet
    assert ("Nothing here asks for a change." in text) == quiet and ("Balance: drop rows" in text) != quiet


def test_length_may_give_away_what_words_do_not(tmp_path: Path) -> None:
    text = words(page(tmp_path, {"text_probe": probe(0.5), "length_rule": probe(0.8)}))
    assert "The words do not give these negatives away, but their number does: AUC 0.80." in text
    assert "the longer caption is taken for the negative 0.80" in text and "Narrow the ratio" in text


def test_gate_in_words(tmp_path: Path) -> None:
    assert "✓ Within the limit of 0.85" in words(page(tmp_path, AUDIT, gate={"max_text_auc": 0.85, "passed": True}))
    assert "No limit was set" in words(page(tmp_path, AUDIT, gate={"max_text_auc": None, "passed": None}))
    assert "does not say whether it was kept" in words(page(tmp_path, AUDIT, gate={"max_text_auc": 0.85}))


def test_too_few_items_for_a_probe_are_said_to_be_too_few(tmp_path: Path) -> None:
    text = words(page(tmp_path, {**AUDIT, "n": 38, "text_probe": None}))
    assert "With 38 items there are too few different captions to probe the words: take more rows." in text


@pytest.mark.parametrize("nothing", [{}, dict.fromkeys(AUDIT)])
def test_what_is_missing_is_said_to_be_missing(tmp_path: Path, nothing: dict[str, Any]) -> None:
    html = page(tmp_path, nothing)
    text = words(html)
    for sentence in (
        "The number of items is missing",
        "Nobody has measured yet whether these negatives can be told",
        "The images were not probed",
        "The table of edits is missing",
        "No row says what kind of edit it is",
        "negative captions that repeat an earlier row's not measured",
        "No limit was set",
    ):
        assert sentence in text, sentence
    assert text.count("not measured") == 3 + 6 and places(html, "dot") == []
    assert "No replacement was found." in words(page(tmp_path, {"edits": []}))


def test_text_is_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    write_audit_page(AUDIT, tmp_path / "audit.html", title=EVIL)
    html = (tmp_path / "audit.html").read_text("utf8")
    assert "<script" not in html and unescape(html).count(EVIL) == 4  # title twice, edit, category
    assert "http:" not in html and "https:" not in html and "url(" not in html and "@import" not in html
    assert "script-src 'none'" in unescape(html) and " src=" not in html


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"text_probe": {"auc": "0.8"}}, "field 'text_probe.auc' of the audit is '0.8', not a number"),
        ({"text_probe": {"auc": True}}, "not a number"),
        ({"text_probe": {"auc": 1.5}}, "field 'text_probe.auc' of the audit is 1.5, not between 0 and 1"),
        ({"image_probe": {"auc": 0.5, "low": -1}}, "field 'image_probe.low'"),
        ({"duplicates": [1]}, "field 'duplicates' of the audit is"),
        ({"edits": [["a", "b"]]}, "field 'edits' of the audit is no list of"),
        ({"edits": 7}, "field 'edits' of the audit is no list of"),
        ({"gate": {"passed": "yes"}}, "not true or false"),
        ({"categories": {"swap": "many"}}, "field 'categories.swap' of the audit"),
    ],
)
def test_wrong_kinds_are_named(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as error:
        page(tmp_path, AUDIT, **wrong)
    assert "\n" not in str(error.value) and not (tmp_path / "audit.html").exists()
