"""The first losses of a tiny run of every objective, as they were when last looked at.

A change of data order, initial weights, objective, optimizer or schedule shows here first. Where the change is meant,
write the file again and say why in the commit:

    REWRITE_GOLDEN=1 python -m pytest tests/training/test_golden.py
"""

import json
import os
from pathlib import Path

import pytest
from tiny_runs import metrics, run, tiny

from tripletclip.objectives.losses import COMPARED

GOLDEN = Path(__file__).with_name("golden.json")


@pytest.mark.parametrize("objective", sorted(COMPARED))
def test_losses_are_those_of_the_golden_file(objective: str, data: Path, tmp_path: Path) -> None:
    losses = [line["loss"] for line in metrics(run(tiny(data, tmp_path / "run", objective=objective)))]
    golden: dict[str, list[float]] = json.loads(GOLDEN.read_text("utf8")) if GOLDEN.exists() else {}
    if os.environ.get("REWRITE_GOLDEN"):
        golden[objective] = losses
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", "utf8")
        pytest.skip(f"wrote {GOLDEN.name}")
    assert losses == pytest.approx(golden[objective], rel=1e-4)
