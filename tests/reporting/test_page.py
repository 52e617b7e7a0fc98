"""The page: self-contained, escaped, described in words, and honest about what is missing."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from synthetic import full_run, run, sugarcrepe

from tripletclip.reporting.curves import RunSet
from tripletclip.reporting.gallery import Choice, GalleryItem, data_uri, marked_words
from tripletclip.reporting.page import write_page
from tripletclip.reporting.results import Result

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==")
EVIL = "<script>alert(1)</script>"


class Outline(HTMLParser):
    """Counts tags, checks that they nest, and keeps attributes and visible text."""

    VOID = frozenset({"meta", "img", "br", "link", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def item(**fields: str) -> GalleryItem:
    captions = {"caption": "a red cat", "neg_caption": "a blue cat", "split": "replace_att"} | fields
    choices = {"clip": Choice(correct=False, margin=-0.12), EVIL: Choice(correct=True, margin=0.34)}
    return GalleryItem(image=PIXEL, neg_image=PIXEL, choices=choices, **captions)


def written(folder: Path, results: list[Result], **more: Any) -> tuple[str, Outline]:
    write_page(folder / "report.html", title="demo", results=results, **more)
    html = (folder / "report.html").read_text("utf8")
    outline = Outline()
    outline.feed(html)
    outline.close()
    assert outline.open == []
    return html, outline


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Outline]:
    """Everything at once: control, a reference that lacks negimage, gallery, settings, commands."""
    reference = run({"clip": 120, "clip-on-triplets": 121, "negclip": 130, "tripletclip": 150})
    return written(
        tmp_path_factory.mktemp("page"),
        full_run(),
        control=run({"clip": 150, "tripletclip": 150}),
        reference=RunSet(label="long run", results=reference),
        gallery=[item(), item(caption=EVIL, split=EVIL)],
        settings={"world": {"preset": "natural"}, "<b>": EVIL},
        commands=[("All of it", "make demo && echo <done>")],
    )


def test_nothing_is_loaded_from_elsewhere(whole: tuple[str, Outline]) -> None:
    html, outline = whole
    assert "http:" not in html and "https:" not in html and "@import" not in html and "file:" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\([\"']?([^)]*)\)", html))
    assert outline.every("link") == [] and outline.every("iframe") == []
    for _, attributes in outline.tags:
        assert (attributes.get("href") or "#").startswith("#")
        assert (attributes.get("src") or "data:").startswith("data:")


def test_text_is_escaped(whole: tuple[str, Outline]) -> None:
    html, outline = whole
    assert EVIL not in html and "<b>:" not in html and "<done>" not in html
    assert outline.text.count(EVIL) >= 4  # caption, split, method and setting are there, as text
    assert len(outline.every("script")) == 1


def test_every_figure_has_words_and_a_table(whole: tuple[str, Outline]) -> None:
    html, outline = whole
    figures = re.findall(r"<figure>.*?</figure>", html, flags=re.DOTALL)
    assert len(figures) >= 8
    for figure in figures:
        assert "<details>" in figure and "<table>" in figure and "<td>" in figure
        assert figure.count("<svg") == len(re.findall(r'<svg [^>]*role="img" aria-label="[^"]{30,}"', figure)) > 0
    assert len(outline.every("svg")) == sum(figure.count("<svg") for figure in figures)
    assert all(image["alt"] for image in outline.every("img"))


def test_ids_are_unique_and_links_arrive(whole: tuple[str, Outline]) -> None:
    _, outline = whole
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    anchors = [(attributes["href"] or "")[1:] for attributes in outline.every("a")]
    assert len(ids) == len(set(ids)) and set(anchors) <= set(ids)


def test_colours_come_from_the_page(whole: tuple[str, Outline]) -> None:
    html, _ = whole
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "var(--m-tripletclip)" in drawings and "currentColor" in drawings
    assert re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", drawings) == []
    assert "font: " not in drawings


def test_verdicts_and_gaps_are_in_words(whole: tuple[str, Outline]) -> None:
    text = " ".join(whole[1].text.split())
    assert "TripletCLIP is 20.0 points above CLIP" in text
    assert "TripletCLIP and CLIP are not apart: the difference is 0.0 points" in text  # the dense control
    assert "No reference run yet for NegImage." in text and "long run" in text
    assert "Every method had encoded the same number of images and texts." in text
    for words in ("world.preset", "natural", "make demo && echo <done>", "constant encoder", "Common start"):
        assert words in text


@pytest.mark.parametrize("results", [[], [sugarcrepe("clip", 120)], [sugarcrepe(f"new {EVIL} $\\frac$", 3)]])
def test_little_or_nothing_still_makes_a_page(tmp_path: Path, results: list[Result]) -> None:
    html, outline = written(tmp_path, results)
    text = " ".join(outline.text.split())
    assert EVIL not in html
    for words in ("No verdict on TripletCLIP", "No learning curve", "No gallery", "No held-out results yet."):
        assert words in text
    for words in ("No results for the dense world yet.", "No reference runs were given.", "No commands were given."):
        assert words in text


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    results = run({"clip": 120})
    assert written(tmp_path, results)[0] == written(tmp_path, results)[0]


def test_changed_words_are_marked_and_escaped() -> None:
    assert marked_words("a red <b> cat", "a blue <b> cat now") == (
        "a <mark>red</mark> &lt;b&gt; cat",
        "a <ins>blue</ins> &lt;b&gt; cat <ins>now</ins>",
    )
    assert marked_words("same", "same") == ("same", "same")


def test_gallery_images_stand_in_the_page() -> None:
    assert data_uri(PIXEL).startswith("data:image/gif;base64,R0lGOD")
    with pytest.raises(ValueError, match="give JPEG, PNG, GIF or WebP"):
        GalleryItem(split="s", caption="", neg_caption="", image=b"text", neg_image=PIXEL, choices={})
