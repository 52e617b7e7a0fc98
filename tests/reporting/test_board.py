"""Any models on any benchmarks: order, seeds, differences, retention, the Pareto front, against numbers by hand."""

from dataclasses import replace

import pytest
from synthetic import full_run, plain, sugarcrepe
from synthetic_models import AUTHORS, OPENAI, OURS, model_results, result, three_models

from tripletclip.errors import UserError
from tripletclip.reporting.board import board, is_demo
from tripletclip.reporting.catalog import COMPOSITION, RETENTION, headline_metric, kind_of, metric_title, title_of
from tripletclip.reporting.differences import blind_sentences, details, differences, headline, sentence
from tripletclip.reporting.results import Metric, Result
from tripletclip.reporting.retention import retention
from tripletclip.reporting.tradeoff import places


def made(model: str, benchmark: str, bits: str, **more: object) -> Result:
    value = 100 * bits.count("1") / len(bits)
    metric = Metric(value=value, low=max(0.0, value - 5), high=min(100.0, value + 5), n=len(bits))
    made_of = result(model, benchmark, {"micro": 0.5}, **more)  # type: ignore[arg-type]
    return replace(made_of, metrics={"micro": metric}, decisions={"micro": bits}, headline="micro")


def test_demo_is_told_by_content() -> None:
    assert is_demo(full_run()) and is_demo([])
    assert not is_demo(three_models()) and not is_demo([sugarcrepe("clip-seed0", 120)])
    assert not is_demo([replace(result, config={"command": "tripletclip evaluate"}) for result in full_run()])
    assert not is_demo([plain("clip", "aro-relation", {"macro": 50.0})])


def test_models_are_sorted_by_composition_and_seeds_are_one_model() -> None:
    found = board(three_models())
    assert found.models == [OURS, AUTHORS, OPENAI] and found.reference == OPENAI
    assert found.benchmarks == ["sugarcrepe", "winoground", "aro-relation", "retrieval-coco", "zeroshot-imagenet"]
    assert found.kind(RETENTION) == ["retrieval-coco", "zeroshot-imagenet"]
    row = found.ranking().methods[0]
    assert row.cells[0] is not None and row.cells[0].seeds == 3 and row.cells[0].doubt.startswith("± ")
    assert board(three_models(), against=f"{OURS}-seed1").reference == OURS
    with pytest.raises(UserError, match="unknown model for --against 'ViT-B-32:openai'; did you mean 'ViT-B-32-quick"):
        board(three_models(), against="ViT-B-32:openai")


def test_one_seed_keeps_its_name() -> None:
    assert board([made("a-seed0", "valse", "01"), made("b", "valse", "01")]).models == ["a-seed0", "b"]
    both = [made("a-seed0", "valse", "01"), made("a-seed1", "valse", "01"), made("a", "valse", "11")]
    assert set(board(both).models) == {"a-seed0", "a-seed1", "a"}


def test_differences_are_paired_with_every_seed_of_the_other() -> None:
    reference = made("r", "valse", "01" * 50)
    seeds = [made("m-seed0", "valse", "11" * 50), made("m-seed1", "valse", "1101" * 25)]
    one = differences(board([reference, *seeds], against="r"))[0].comparison
    assert (one.value, one.seeds, one.paired) == (37.5, 2, True)
    assert differences(board([reference, *seeds], against="m"))[0].comparison.value == -37.5


def test_leaders_are_found_whatever_the_numbers_of_the_seeds() -> None:
    seeds = [made(f"m-seed{seed}", "valse", bits) for seed, bits in ((1, "0111" * 25), (2, "0110" * 25))]
    cells = {row.name: row.cells[0] for row in board([made("r", "valse", "0111" * 25), *seeds]).ranking().methods}
    assert all(cell is not None and cell.leads for cell in cells.values()) and set(cells) == {"m", "r"}


def test_sentences_follow_the_intervals() -> None:
    base = [made("r", b, "01" * 100) for b in ("valse", "cola", "zeroshot-x")]
    better = [made("m", "valse", "11" * 100), made("m", "cola", "01" * 99 + "11"), made("m", "zeroshot-x", "00" * 100)]
    found = board([*base, *better], against="r")
    assert headline(found) == "m is above r on 1 of 3 benchmarks and below it on 1."
    assert details(found, "m") == "Above: VALSE +50.0. Below: Zero-shot · x −50.0. Not apart: Cola +0.5."
    same = board([*base, *(replace(one, method="m") for one in base)], against="r")
    assert sentence(same, "m") == "m and r are not apart on any of 3 benchmarks."
    alone = board([base[0], better[0]], against="r")
    assert headline(alone).startswith("m is 50.0 points above r on VALSE, all items (95 % interval ")


def test_blind_rules_that_reach_a_model_are_named() -> None:
    results = [made("low", "valse", "0011"), made("high", "valse", "0111")]
    blind = {"text-only probe": {"micro": 60.0}, "random": {"micro": 99.0}}
    found = board([replace(one, blind=blind) for one in results])
    assert blind_sentences(found) == [
        "On VALSE the blind rule “text-only probe” reaches 60.0 without an image; not above it: low."
    ]


def test_other_items_are_said_and_not_paired() -> None:
    three = [made(name, "valse", "01" * 50) for name in "abc"]
    odd = replace(three[2], items={"sha256": "other"})
    found = board([*three[:2], odd], against="a")
    assert found.remarks == [
        "c answered other items of VALSE than the others: compare with care; the differences are unpaired."
    ]
    assert {d.comparison.method: d.comparison.paired for d in differences(found)} == {"b": True, "c": False}


def test_retention_by_hand() -> None:
    before = [made("r", "valse", "0" * 100), made("r", "zeroshot-x", "1" * 80 + "0" * 20)]
    after = [made("m", "valse", "1" * 100), made("m", "zeroshot-x", "1" * 60 + "0" * 40)]
    found = board([*before, *after])
    (table,) = retention(found, "r")
    composition, retained = table.changes
    assert (composition.before, composition.after, composition.kept, composition.verdict) == (
        0.0,
        100.0,
        None,
        "gained",
    )
    assert (retained.before, retained.after, retained.change, retained.verdict) == (80.0, 60.0, -20.0, "lost")
    assert retained.kept == 75.0
    with pytest.raises(UserError, match="unknown model for --before 'q'"):
        retention(found, "q")


def test_pareto_front_by_hand() -> None:
    shares = {"a": (80, 20), "b": (50, 50), "c": (40, 40), "d": (20, 80), "e": (80, 10)}
    results = []
    for model, (composition, retained) in shares.items():
        results += [made(model, "valse", "1" * composition + "0" * (100 - composition))]
        results += [made(model, "retrieval-x", "1" * retained + "0" * (100 - retained))]
    dots, up, right = places(board(results))
    assert {dot.model: (dot.composition, dot.retention) for dot in dots} == shares
    assert {dot.model for dot in dots if dot.front} == {"a", "b", "d"}
    assert (up, right) == (["valse"], ["retrieval-x"])
    assert places(board([made("a", "valse", "01")])) == ([], [], [])


def test_metrics_stand_headline_first_and_by_number() -> None:
    one = result("m", "retrieval-x", {"i2t_r10": 0.9, "i2t_r5": 0.8, "t2i_r1": 0.3, "i2t_r1": 0.4})
    assert board([replace(one, headline="t2i_r1")]).metrics("retrieval-x") == ["t2i_r1", "i2t_r1", "i2t_r5", "i2t_r10"]


def test_words() -> None:
    assert [kind_of(name) for name in ("sugarcrepe", "own", "retrieval-x", "zeroshot")] == [
        COMPOSITION, COMPOSITION, RETENTION, RETENTION,
    ]  # fmt: skip
    assert (
        title_of("retrieval-coco") == "Retrieval · COCO" and title_of("sugarcrepe-heldout") == "SugarCrepe (held out)"
    )
    assert title_of("sugarcrepe++") == "SugarCrepe++" and title_of("mine") == "mine"
    assert (
        metric_title("i2t_r10") == "image → text R@10" and metric_title("itt_swap_obj") == "image to text, swap object"
    )
    assert metric_title("swap_att_order_only") == "swap attribute, order only" and metric_title("left_of") == "left of"
    assert headline_metric([replace(made("m", "valse", "01"), headline="")]) == "micro"


def test_nothing_measured_is_a_mistake() -> None:
    with pytest.raises(UserError, match="no result of a benchmark"):
        board([plain("clip", "validation", {"macro": 50.0})])


def test_two_results_of_one_place_are_a_mistake() -> None:
    with pytest.raises(UserError, match="two results for ViT-B-32-quickgelu:openai, seed 0, sugarcrepe"):
        board([*model_results(OPENAI), *model_results(OPENAI)])
