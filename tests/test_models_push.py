"""push: what arrives at a stub of the Hub on the loopback, the card, and one line for whatever can go wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
import yaml  # type: ignore[import-untyped]
from hub_stub import Stub, stub_hub
from made_models import TINY, hf_folder, open_clip_folder

from tripletclip import cli
from tripletclip.models import ModelConfig, load_clip, model_digest, new_clip, save_clip, weights_hash
from tripletclip.models.card import Measured, model_card
from tripletclip.reporting.results import Metric, Result, save_result

TOKEN = "hf_a-secret-of-the-user"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    open_clip_folder(tmp_path / "private" / "model", TINY)
    return tmp_path / "private" / "model"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home without a login; the client's old path, which sends one commit."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "no-tokens"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def at(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", stub.address)


def header(card: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_what_arrives_is_the_model_and_its_card(model: Path, tmp_path: Path) -> None:
    """As a user types it, with the endpoint in the environment."""
    with stub_hub() as stub:
        environment = os.environ | {
            "HF_ENDPOINT": stub.address, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1",
            "HF_HOME": str(tmp_path / "home"),
        }  # fmt: skip
        environment.pop("HF_HUB_OFFLINE", None)
        command = [sys.executable, "-m", "tripletclip", "push", "--model", str(model), "--repo", "org/mine"]
        options = ["--private", "--format", "hf", "--license", "apache-2.0", "--message", "First"]
        ended = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().splitlines()[-1] == f"{stub.address}/org/mine/commit/{'0' * 40}"
    (created,) = stub.created
    assert (created["name"], created["organization"]) == ("mine", "org")
    assert created.get("private") is True or created.get("visibility") == "private"
    assert stub.message == "First" and set(stub.asked_for_the_repository()) == {f"Bearer {TOKEN}"}
    for name, content in stub.files.items():
        (tmp_path / "arrived" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "arrived" / name).write_bytes(content)
        assert TOKEN.encode() not in content and str(tmp_path).encode() not in content
    assert sorted(stub.files)[:2] == ["README.md", "config.json"]
    arrived, sent = (load_clip(folder).model.state_dict() for folder in (tmp_path / "arrived", model))
    assert all((arrived[name] == sent[name]).all() for name in sent)
    assert TOKEN not in ended.stdout + ended.stderr
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file() and TOKEN in path.read_text("utf8")]
    card = stub.files["README.md"].decode()
    assert header(card)["license"] == "apache-2.0" and "CLIPModel.from_pretrained" in card


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main(["push", *map(str, arguments)])
    said = capsys.readouterr()
    assert stop.value.code == 2 and TOKEN not in said.err + said.out
    lines = [line for line in said.err.splitlines() if line.startswith("tripletclip: ")]
    assert len(lines) == 1 and "Traceback" not in said.err
    return lines[0]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "cannot push to org/mine: 401, the Hub does not know the token; set HF_TOKEN"),
        (403, "cannot push to org/mine: 403, the token may not write there"),
        (404, "cannot push to org/mine: 404, there is no such organisation"),
        (500, "cannot push to org/mine: 500"),
    ],
)
def test_refusals_of_the_hub_are_one_line(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, message: str
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http._DEFAULT_RETRY_ON_STATUS_CODES", (), raising=False)
    with stub_hub(refuse=status) as stub:
        at(stub, monkeypatch)
        assert message in refused(capsys, "--model", model, "--repo", "org/mine")
    assert stub.paths and not stub.files


def test_no_network_is_one_line(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with stub_hub() as stub:
        at(stub, monkeypatch)
    said = refused(capsys, "--model", model, "--repo", "org/mine")
    assert "cannot push to org/mine: " in said and "check the network" in said


def test_no_token_is_one_line(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A Hub that lets nobody in without one."""
    monkeypatch.delenv("HF_TOKEN")
    with stub_hub(refuse=401) as stub:
        at(stub, monkeypatch)
        assert "set HF_TOKEN" in refused(capsys, "--model", model, "--repo", "org/mine")
    assert set(stub.asked_for_the_repository()) == {None}


@pytest.mark.parametrize("repo", ["mine", "a/b/c", "org/..", "org/ mine"])
def test_a_name_that_cannot_be_is_refused_before_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repo: str
) -> None:
    with stub_hub() as stub:
        at(stub, monkeypatch)
        assert f"'{repo}' is no name of a repository" in refused(capsys, "--model", "nowhere/at-all", "--repo", repo)
    assert not stub.paths


def test_a_model_that_the_format_cannot_hold_is_refused_before_the_hub_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_clip(new_clip(ModelConfig(), ["red"], 0), tmp_path / "small")
    with stub_hub() as stub:
        at(stub, monkeypatch)
        said = refused(capsys, "--model", tmp_path / "small", "--repo", "org/mine", "--format", "hf")
    assert "pool_type=avg" in said and not stub.paths


# ---- the card ------------------------------------------------------------------------------------------------------


def result(folder: Path, checkpoint: str, value: float) -> None:
    metrics = {"macro": Metric(value=value, low=value - 1, high=value + 1, n=70)}
    made = Result(
        method="m|<b>", seed=0, step=1, benchmark="sugar|<i>crepe", checkpoint=checkpoint, metrics=metrics
    )  # fmt: skip
    save_result(made, folder / f"{checkpoint[:6]}.json")


@pytest.mark.parametrize("known_by", ["weights", "digest"])
def test_numbers_are_those_of_this_model_alone(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known_by: str
) -> None:
    result(tmp_path / "results", weights_hash(model) if known_by == "weights" else model_digest(load_clip(model)), 61.5)
    result(tmp_path / "results", "f" * 64, 99.9)
    with stub_hub() as stub:
        at(stub, monkeypatch)
        cli.main(["push", "--model", str(model), "--repo", "org/mine", "--results", str(tmp_path / "results")])
    card = stub.files["README.md"].decode()
    assert r"| sugar\|&lt;i&gt;crepe | macro | 61.5 | 60.5 to 62.5 | 70 |" in card and "99.9" not in card
    assert header(card)["license_name"] == "to-be-filled-in"


def test_results_of_another_model_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result(tmp_path / "results", "f" * 64, 99.9)
    with stub_hub() as stub:
        at(stub, monkeypatch)
        said = refused(capsys, "--model", model, "--repo", "org/mine", "--results", tmp_path / "results")
    assert "holds no result of" in said and "tripletclip evaluate" in said and not stub.paths


def test_the_card_is_a_function_of_the_facts(tmp_path: Path) -> None:
    hf_folder(tmp_path / "clip")
    clip = load_clip(tmp_path / "clip")
    numbers = [Measured(benchmark="b", metric="m", value=1.0, low=0.0, high=2.0, n=3)]
    first, again = (
        model_card(clip, repo="org/a_b", source="/home/me/secret-folder/run", to="open_clip", measured=numbers)
        for _ in range(2)
    )
    assert first == again and "home" not in first and "from run." in first and r"# a\_b" in first
    assert header(first)["library_name"] == "open_clip" and "QuickGELU" in first
    assert model_digest(clip) in first and f"{sum(p.numel() for p in clip.model.parameters()):,}" in first
    named = model_card(clip, repo="o/n", source="ViT-B-32-quickgelu:openai", to="hf", license='x"\n- y')
    assert "ViT-B-32-quickgelu:openai" in named and header(named)["license"] == 'x" - y'
    assert json.dumps(header(named)["tags"]) == '["clip", "compositionality", "hard-negatives", "tripletclip"]'
