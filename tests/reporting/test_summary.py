"""Rows, spreads and the choice of final results, with numbers written out."""

import json
import math
from pathlib import Path

import pytest
from synthetic import plain, run

from tripletclip.errors import UserError
from tripletclip.reporting.summary import final_results, spread, summary_rows, write_summary


def test_rows_are_exact_and_final_only() -> None:
    results = [
        plain("start", "zeroshot", {"top1": 1.0}, step=5),
        plain("clip", "zeroshot", {"top1": 20.0}, step=5),
        plain("clip", "zeroshot", {"top1": 37.25, "top5": 60.0}, step=10),
        plain("clip", "validation", {"macro": 50.0}, step=12),
    ]
    assert summary_rows(results) == [
        {"method": "clip", "seed": 0, "benchmark": "zeroshot", "metric": metric,
         "value": value, "low": value - 2, "high": value + 2, "n": 100}
        for metric, value in (("top1", 37.25), ("top5", 60.0))
    ]  # fmt: skip


def test_rows_keep_seeds_and_the_held_out_part(tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", run({"clip": 120, "tripletclip": 150}, seeds=(0, 1)))
    rows = json.loads((tmp_path / "summary.json").read_text())
    found = {(r["method"], r["seed"], r["benchmark"]): r["value"] for r in rows if r["metric"] == "compositional"}
    assert found == {
        ("clip", 0, "sugarcrepe"): 60.0,
        ("clip", 0, "sugarcrepe-heldout"): 60.0,
        ("clip", 1, "sugarcrepe"): 60.5,
        ("clip", 1, "sugarcrepe-heldout"): 60.5,
        ("tripletclip", 0, "sugarcrepe"): 75.0,
        ("tripletclip", 0, "sugarcrepe-heldout"): 75.0,
        ("tripletclip", 1, "sugarcrepe"): 75.5,
        ("tripletclip", 1, "sugarcrepe-heldout"): 75.5,
    }


def test_two_results_for_one_place_are_refused() -> None:
    twice = [plain("clip", "zeroshot", {"top1": value}) for value in (1.0, 2.0)]
    with pytest.raises(UserError, match="two results for clip, seed 0, zeroshot at step 10"):
        final_results(twice)


def test_spread_over_seeds() -> None:
    results = [plain("clip", "zeroshot", {"top1": value}, seed=seed) for seed, value in enumerate((30.0, 34.0, 35.0))]
    over = spread(results)["clip", "zeroshot", "top1"]
    assert (over.mean, over.lowest, over.highest, over.seeds) == (33.0, 30.0, 35.0, 3)
    assert math.isclose(over.deviation, math.sqrt((9 + 1 + 4) / 2))
    assert spread(results[:1])["clip", "zeroshot", "top1"].deviation == 0
