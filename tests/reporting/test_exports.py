"""Markdown and LaTeX that say what the page says, and the terminal at 100 columns."""

import io
import re

from rich.console import Console
from synthetic_models import AUTHORS, OPENAI, OURS, result, three_models

from tripletclip.reporting.board import board
from tripletclip.reporting.exports import latex, markdown, text_tables
from tripletclip.reporting.models_tables import print_models
from tripletclip.reporting.results import Result
from tripletclip.reporting.retention import retention
from tripletclip.reporting.tables import print_report

NASTY = r"a_b%c&d#e$f{g}|h\i<j>~^*k*"


def test_markdown_tables_have_the_numbers() -> None:
    text = markdown(board(three_models(), against=OPENAI), title="x")
    assert "# x\n" in text and f"{OURS} is above {OPENAI} on 3 of 5 benchmarks and below it on 1." in text
    assert f"| {OPENAI} | 71.9 (69.9 to 73.6) |" in text and "| *text-only probe* | *76.0* |" in text
    assert "| **82.5 (± 0.7)** |" in text and r"hf:TripletCLIP/CC12M\_TripletCLIP\_ViTB12" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_latex_is_balanced_and_uses_booktabs() -> None:
    found = board(three_models(), against=OPENAI)
    text = latex(found, retentions=retention(found, OPENAI))
    tables = len(text_tables(found, retention(found, OPENAI)))
    assert tables == 1 + 1 + 2 + 5
    for command in (r"\begin{table}", r"\end{table}", r"\toprule", r"\bottomrule", r"\begin{tabular}"):
        assert text.count(command) == tables
    assert r"\textbf{+10.7}" in text and r"$-$16.0" in text and r"\textcolor{gray}{63.9}" in text
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == tables
    for row in re.findall(r"\\midrule\n(.*?) \\\\\n", text):
        assert row.count(" & ") > 0
    body = re.sub(r"\\[{}]", "", text)
    assert body.count("{") == body.count("}")


def test_nasty_names_are_escaped() -> None:
    found = board([result(NASTY, "valse", {"x": 0.5}), result("other", "valse", {"x": 0.6})])
    assert r"a\_b%c&d\#e$f\{g\}\|h\\i\<j\>\~^\*k\*" in markdown(found, title="t")
    escaped = (
        r"a\_b\%c\&d\#e\$f\{g\}|h\textbackslash{}i\textless{}j\textgreater{}\textasciitilde{}\textasciicircum{}*k*"
    )
    assert escaped in latex(found)


def printed(results: list[Result], width: int = 100, encoding: str = "utf8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_report(results, title="results", console=Console(file=file, width=width, highlight=False))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_terminal_fits_and_names_stay_whole() -> None:
    for encoding in ("utf8", "ascii"):
        text = printed(three_models(), encoding=encoding)
        assert max(map(len, text.splitlines())) <= 100 and "…" not in text
        assert f"{OPENAI} " in text and "NegCLIP" not in text and "yet for" not in text
        assert "SugarCrepe, continued" in text and "above it: " in text
    folded = "".join(printed(three_models()).split())
    assert AUTHORS[:20] in folded and "ViTB12" in folded


def test_many_benchmarks_are_cut_into_tables() -> None:
    many = [result(model, f"own{n}", {"x": 0.5}) for n in range(12) for model in ("a", "b")]
    text = printed(many)
    assert text.count("Ranking") == 3 and max(map(len, text.splitlines())) <= 100
    assert all(f"own{n}" in text for n in range(12))


def test_terminal_shows_before_and_after() -> None:
    found = board(three_models(), against=OPENAI)
    file = io.StringIO()
    print_models(found, title="t", out=Console(file=file, width=100), retentions=retention(found, OPENAI))
    assert "74.2 %" in file.getvalue() and f"Before and after: {OPENAI} to {OURS}" in file.getvalue()
