"""The general page: self-contained, escaped, every figure in words and numbers, failures with their scores."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_models import (
    AUTHORS,
    DIGEST,
    OPENAI,
    OURS,
    curve,
    example,
    model_results,
    result,
    three_models,
    write_thumbnail,
)

from tripletclip.reporting.board import board
from tripletclip.reporting.failures import failures
from tripletclip.reporting.models_page import write_models_page
from tripletclip.reporting.results import Result
from tripletclip.reporting.retention import retention

EVIL = "<script>alert(1)</script>"
VOID = frozenset({"meta", "img", "br", "wbr", "path", "use", "rect"})


class Outline(HTMLParser):
    """Tags with attributes, whether they nest, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def written(folder: Path, results: list[Result], *, before: str | None = None, against: str | None = None) -> str:
    found = board(results, against=against)
    write_models_page(
        folder / "r.html",
        found,
        title="A report",
        folder=folder,
        retentions=retention(found, before) if before else (),
        commands=[("This page", "tripletclip report x && echo <done>")],
    )
    return (folder / "r.html").read_text("utf8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    write_thumbnail(folder)
    points = [replace(point, step=step) for step, point in enumerate(curve(OURS))]
    return written(folder, [*three_models(), *points], before=OPENAI, against=OPENAI)


def test_nothing_is_loaded_from_elsewhere_and_only_its_own_script_may_run(page: str) -> None:
    outline = Outline(page)
    assert "http:" not in page and "https:" not in page and "@import" not in page and "file:" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\([\"']?([^)]*)\)", page))
    for _, attributes in outline.tags:
        assert (attributes.get("href") or "#").startswith("#") and (attributes.get("src") or "data:").startswith(
            "data:"
        )
    policy = next(a["content"] for tag, a in outline.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'") and "sha256-" in policy


def test_every_figure_has_words_and_a_table(page: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)
    assert len(figures) >= 9
    for figure in figures:
        assert "<details>" in figure and "<td>" in figure
        assert figure.count("<svg") == len(re.findall(r'<svg [^>]*role="img" aria-label="[^"]{30,}"', figure)) > 0
    assert page.count("<svg") == sum(figure.count("<svg") for figure in figures)
    outline = Outline(page)
    assert all(attributes["alt"] for tag, attributes in outline.tags if tag == "img")


def test_links_arrive_and_headings_of_tables_have_a_scope(page: str) -> None:
    outline = Outline(page)
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    anchors = [(a["href"] or "")[1:] for tag, a in outline.tags if tag == "a"]
    assert len(ids) == len(set(ids)) and set(anchors) <= set(ids) and len(anchors) == 9
    assert all(a.get("scope") for tag, a in outline.tags if tag == "th")


def test_the_page_says_what_the_numbers_say(page: str) -> None:
    text = " ".join(Outline(page).text.split())
    for words in (
        f"{OURS} is above {OPENAI} on 3 of 5 benchmarks and below it on 1.",
        "the blind rule “text-only probe” reaches 76.0",
        "fewer words, ties half",
        "Pareto front",
        "texts longer than the context",
        "gained",
        "lost",
        "800M",
        "preprocess.size",
        "echo <done>",
        "0123456789abcdef",
    ):
        assert words in text, words
    assert "NegImage" not in text and "No result yet" not in text


def test_models_have_colours_of_the_page(page: str) -> None:
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "var(--c0)" in drawings and "var(--c2)" in drawings and "currentColor" in drawings
    assert re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", drawings) == []


def test_text_of_others_is_escaped(tmp_path: Path) -> None:
    evil = result(
        EVIL, f"own-{EVIL}", {EVIL: 0.5}, examples=[example(EVIL, EVIL, -0.1, other=EVIL)], notes={EVIL: EVIL}
    )
    html = written(tmp_path, [evil, result("other", f"own-{EVIL}", {EVIL: 0.6})])
    assert EVIL not in html and html.count("<script>") == 1
    assert Outline(html).text.count(EVIL) >= 6


def test_one_model_and_one_benchmark_make_a_page(tmp_path: Path) -> None:
    text = " ".join(
        Outline(written(tmp_path, [result("alone", "valse", {"x": 0.5, "y": 0.7}, mean="macro")])).text.split()
    )
    assert "alone alone: no other model" in text and "VALSE" in text
    for absent in (
        "Which differences are real",
        "Composition against retention",
        "While learning",
        "Failures to look at",
    ):
        assert absent not in text


def test_failures_are_what_some_model_gets_wrong(tmp_path: Path) -> None:
    write_thumbnail(tmp_path)
    right, tie, wrong = (example(name, "swap", margin) for name, margin in (("a", 0.1), ("b", 0.0), ("c", -0.1)))
    one = result("m", "valse", {"swap": 0.5}, examples=[right, tie, wrong])
    other = result("n", "valse", {"swap": 0.9}, examples=[example(k, "swap", 0.2, other="a dog") for k in "abc"])
    found = failures(board([one, other]), tmp_path)
    assert [failure.key for failure in found] == ["b", "c"]
    assert found[0].image.startswith("data:image/jpeg;base64,") and found[0].neg_image == ""
    assert {a.model: a.right for a in found[0].answers} == {"m": False, "n": True}
    assert str(found[1].marked[0]) == "a <mark>black</mark> cat next to a <mark>white</mark> dog"
    assert failures(board([replace(one, examples=[replace(tie, image="../" + DIGEST)])]), tmp_path)[0].image == ""


def test_an_item_of_two_benchmarks_is_shown_once(tmp_path: Path) -> None:
    shown = [example("a", "swap", -0.1)]
    both = [result("m", name, {"swap": 0.5}, examples=shown) for name in ("sugarcrepe", "winoground")]
    assert [failure.benchmark for failure in failures(board(both), tmp_path)] == ["sugarcrepe"]


def test_failures_are_few_a_split(tmp_path: Path) -> None:
    many = [example(f"k{n:02d}", "swap" if n < 12 else "add", -0.1) for n in range(24)]
    found = failures(board([result("m", "valse", {"swap": 0.5}, examples=many)]), tmp_path)
    assert [failure.split for failure in found] == ["add"] * 4 + ["swap"] * 4


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    results = [*model_results(OPENAI), *model_results(AUTHORS)]
    assert written(tmp_path, results) == written(tmp_path, results)
