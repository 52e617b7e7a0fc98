"""Result files: what was written is read again, and what another release wrote is refused in one line."""

import json
from pathlib import Path

import pytest
from synthetic_models import example, result

from tripletclip.errors import UserError
from tripletclip.reporting.results import load_result, load_results, save_result


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = result("m", "valse", {"x": 0.5}, examples=(example("k", "x", 0.1),), notes={"cut": 3.0})
    save_result(one, tmp_path / "r.json")
    assert load_result(tmp_path / "r.json") == one
    with pytest.raises(UserError, match="exists already; give --overwrite"):
        save_result(one, tmp_path / "r.json")


def test_another_version_is_refused_even_with_fields_that_nobody_knows(tmp_path: Path) -> None:
    save_result(result("m", "valse", {"x": 0.5}), tmp_path / "r.json")
    raw = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps(raw | {"version": 99, "new": 1}))
    with pytest.raises(UserError, match=r"r\.json has result version 99, this release reads 1; measure again") as error:
        load_results(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / "r.json").write_text(json.dumps(raw | {"new": 1}))
    with pytest.raises(UserError, match="is not a result file"):
        load_results(tmp_path)
