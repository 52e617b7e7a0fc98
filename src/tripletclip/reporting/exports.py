"""The report's tables as Markdown and LaTeX: ranking, differences, before and after, every benchmark's metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

from tripletclip.reporting.board import Board
from tripletclip.reporting.catalog import title_of
from tripletclip.reporting.compare import MINUS, number, signed
from tripletclip.reporting.differences import differences, further, headline
from tripletclip.reporting.ranking import Cell, Ranking
from tripletclip.reporting.retention import Retention

_MARKDOWN = {sign: f"\\{sign}" for sign in "\\`*_{}[]<>#|~"}
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "→": r"$\to$", MINUS: "$-$", "·": r"\textperiodcentered{}", "’": "'", "“": "``", "”": "''",
    "–": "--", "…": r"\dots{}", "\N{NO-BREAK SPACE}": "~",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Word:
    """A cell: text that stands for itself, bold if ``strong``; ``muted`` for blind lines."""

    text: str
    strong: bool = False
    muted: bool = False


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table before it is any format; the first column is text, the others are numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Word]]
    label: str


def text_tables(found: Board, retentions: Sequence[Retention] = ()) -> list[TextTable]:
    """Everything that is exported, in the order of the page."""
    tables = [_ranking_table(found.ranking(), "Ranking, percent", "ranking")]
    if compared := _difference_rows(found):
        head = ["benchmark", "model", "points", "95 % interval", "in words"]
        title = f"Differences from {found.reference}, in points"
        tables.append(TextTable(title=title, head=head, rows=compared, label="differences"))
    for place, one in enumerate(retentions):
        tables.append(_retention_table(one, place))
    for benchmark in found.benchmarks:
        tables.append(_ranking_table(found.splits(benchmark), f"{title_of(benchmark)}, percent", benchmark))
    return tables


def markdown(found: Board, *, title: str, retentions: Sequence[Retention] = ()) -> str:
    """GitHub-flavoured Markdown."""
    sentences = [headline(found), *further(found)]
    parts = [f"# {_escaped(title, _MARKDOWN)}", *(_escaped(sentence, _MARKDOWN) for sentence in sentences)]
    for table in text_tables(found, retentions):
        lines = [
            f"## {_escaped(table.title, _MARKDOWN)}",
            "",
            _line([_escaped(text, _MARKDOWN) for text in table.head]),
        ]
        lines.append(_line([":---", *["---:"] * (len(table.head) - 1)]))
        lines += [_line([_marked(word) for word in row]) for row in table.rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def latex(found: Board, *, retentions: Sequence[Retention] = ()) -> str:
    r"""``table`` environments for a paper; needs ``\usepackage{booktabs,xcolor}`` and a UTF-8 document."""
    tables = text_tables(found, retentions)
    return "% needs \\usepackage{booktabs,xcolor}\n" + "\n".join(_latex_table(table) for table in tables)


def _latex_table(table: TextTable) -> str:
    rows, ruled = [], False
    for row in table.rows:
        if row[0].muted and not ruled:
            rows.append(r"\midrule")
            ruled = True
        rows.append(" & ".join(_set(word) for word in row) + r" \\")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(table.title, _LATEX)}}}",
            rf"\label{{tab:{''.join(sign if sign.isalnum() else '-' for sign in table.label)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
            r"\toprule",
            " & ".join(_escaped(text, _LATEX) for text in table.head) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _ranking_table(table: Ranking, title: str, label: str) -> TextTable:
    rows = [[Word(text=row.name), *(_cell(cell) for cell in row.cells)] for row in table.methods]
    for row in table.blind:
        values = [f"{cell.value:.1f}" if cell else "" for cell in row.cells]
        rows.append([Word(text=text, muted=True) for text in (row.name, *values)])
    return TextTable(
        title=title, head=["model", *(text.replace("\n", ", ") for text in table.headings)], rows=rows, label=label
    )


def _cell(cell: Cell | None) -> Word:
    if cell is None:
        return Word(text="no result", muted=True)
    return Word(text=f"{cell.value:.1f} ({cell.doubt})" if cell.doubt else f"{cell.value:.1f}", strong=cell.leads)


def _difference_rows(found: Board) -> list[list[Word]]:
    return [
        [
            Word(text=one.title),
            Word(text=one.comparison.method),
            Word(text=signed(one.comparison.value), strong=one.comparison.apart),
            Word(text=one.comparison.interval),
            Word(text=one.words),
        ]
        for one in differences(found)
    ]


def _retention_table(found: Retention, place: int) -> TextTable:
    rows = [
        [
            Word(text=one.title),
            Word(text=number(one.before)),
            Word(text=number(one.after)),
            Word(text=signed(one.change), strong=one.verdict != "not apart"),
            Word(text=f"{number(one.low)} to {number(one.high)}"),
            Word(text=f"{one.kept:.1f} %" if one.kept is not None else ""),
        ]
        for one in found.changes
    ]
    head = ["benchmark", "before", "after", "change", "95 % interval", "kept"]
    title = f"Before and after: {found.before} to {found.after}"
    return TextTable(title=title, head=head, rows=rows, label=f"retention-{place}")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _marked(word: Word) -> str:
    text = _escaped(word.text, _MARKDOWN)
    if word.strong:
        return f"**{text}**"
    return f"*{text}*" if word.muted and text else text


def _set(word: Word) -> str:
    text = _escaped(word.text, _LATEX)
    if word.strong:
        return rf"\textbf{{{text}}}"
    return rf"\textcolor{{gray}}{{{text}}}" if word.muted and text else text


def _escaped(text: str, signs: dict[str, str]) -> str:
    """``text`` on one line with every sign that the format would read replaced."""
    return "".join(signs.get(sign, sign) for sign in " ".join(text.split()))
