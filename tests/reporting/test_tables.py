"""The terminal report: 100 columns, plain in a pipe, nothing hidden."""

import io

import pytest
from rich.console import Console
from synthetic import full_run, plain, run, sugarcrepe

from tripletclip.reporting.ranking import absent, compact, ranking, split_table
from tripletclip.reporting.results import Result
from tripletclip.reporting.tables import print_report


def printed(results: list[Result], width: int = 100, encoding: str = "utf8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_report(results, title="demo", console=Console(file=file, width=width, highlight=False))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_ranking_is_sorted_and_has_start_and_blind_lines() -> None:
    table = ranking(full_run())
    assert table.order == ["tripletclip", "negclip", "negimage", "clip-on-triplets", "clip"]
    first = table.methods[0].cells[0]
    assert first is not None and first.value == 80.0 and first.leads and " to " in first.doubt
    assert table.methods[0].budget == 1500.0
    assert [row.name for row in table.start] == ["start"]
    assert [row.name for row in table.blind] == ["random", "constant encoder"]
    assert [cell.value if cell else None for cell in table.blind[1].cells] == [0.0, 0.0, None, None, None, None]
    assert split_table(full_run()).order == table.order


def test_leaders_are_the_best_and_those_not_apart_from_it() -> None:
    table = ranking([sugarcrepe("clip", 120), sugarcrepe("negclip", 159), sugarcrepe("tripletclip", 160)])
    assert {row.name for row in table.methods if row.cells[0] and row.cells[0].leads} == {"negclip", "tripletclip"}


def test_several_seeds_show_the_deviation() -> None:
    cell = ranking(run({"clip": 120}, seeds=(0, 1, 2))).methods[0].cells[0]
    assert cell is not None and (cell.value, cell.doubt) == (60.5, "± 0.5")


@pytest.mark.parametrize("encoding", ["utf8", "ascii"])
def test_report_fits_and_is_plain(encoding: str) -> None:
    text = printed(full_run(), encoding=encoding)
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text and "…" not in text
    for expected in ("TripletCLIP is 20.0 points above CLIP", "constant", "Common start", "not apart", "Held out"):
        assert expected in text


def test_what_is_missing_is_said() -> None:
    text = " ".join(printed([sugarcrepe("clip", 120), plain("negclip", "zeroshot", {"top1": 3.0})]).split())
    assert "No result yet for CLIP on triplets (control), NegImage and TripletCLIP." in text
    assert "No retrieval result yet." in text and "No zero-shot result yet for CLIP." in text
    assert absent(full_run()) == [] and absent([]) == ["No result yet for any method."]
    assert "No verdict" in printed([])


def test_markup_in_names_is_not_interpreted() -> None:
    assert "[red]x" in printed([sugarcrepe("[red]x", 120)])


def test_compact_counts() -> None:
    assert [compact(count) for count in (950, 75_000, 1_540_000, 2e9)] == ["950", "75k", "1.5M", "2G"]
