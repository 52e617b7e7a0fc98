"""The activation that weights need, told from the names of their origin: the wrong one is refused or mended."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from made_models import TINY, hf_folder, open_clip_folder

from tripletclip.errors import UserError
from tripletclip.models import load_clip
from tripletclip.models.activation import checked_activation, needs_quick_gelu, origins


@pytest.mark.parametrize(
    ("origin", "needed"),
    [
        ("openai/clip-vit-base-patch32", True),
        ("hf-hub:openai/clip-vit-large-patch14-336", True),
        ("hf:OpenAI/CLIP-ViT-Base-Patch16", True),
        ("openai", True),
        ("ViT-B-32:openai", True),
        ("ViT-B-32-quickgelu:laion400m_e32", True),
        ("ViT-B-32:laion2b_s34b_b79k", False),
        ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", False),
        ("timm/vit_base_patch32_clip_224.openai", True),
        ("apple/DFN5B-CLIP-ViT-H-14", True),
        ("runs/mine", None),
        ("someone/clip-vit-base-patch32", None),
        ("ViT-B-32:unheard-of", None),
        ("openai/whisper-small", None),
        ("", None),
    ],
)
def test_what_is_known_of_an_origin(origin: str, needed: bool | None) -> None:
    assert needs_quick_gelu(origin) is needed


def test_origins_are_found_wherever_a_configuration_names_them() -> None:
    config = {
        "_name_or_path": "a/b", "vision_config": {"_name_or_path": "c/d"}, "pretrained": False,
        "pretrained_cfg": {"tag": "openai"}, "architectures": ["openai"],
    }  # fmt: skip
    assert origins(config) == ["a/b", "c/d", "openai"]


def test_the_first_contradiction_counts() -> None:
    with pytest.raises(UserError, match=r'm names openai as its origin.* QuickGELU, and sets plain.*"quick_gelu"'):
        checked_activation(False, ["runs/mine", "openai"], "m")
    with pytest.raises(UserError, match="with plain GELU, and sets QuickGELU"):
        checked_activation(True, ["ViT-B-32:laion2b_s34b_b79k"], "m")
    assert checked_activation(False, ["openai"], "m", mend=True) is True
    assert checked_activation(True, ["openai", "runs/mine"], "m") is True
    assert checked_activation(False, ["runs/mine"], "m") is False


def test_a_hugging_face_folder_that_says_openai(tmp_path: Path) -> None:
    hf_folder(tmp_path / "clip", hidden_act="gelu")
    path = tmp_path / "clip" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"_name_or_path": "openai/clip-vit-base-patch32"}))
    with pytest.raises(UserError, match=r'clip names openai/clip-vit-base-patch32 .* "hidden_act": "quick_gelu"'):
        load_clip(tmp_path / "clip")
    assert load_clip(tmp_path / "clip", mend_gelu=True).cfg["quick_gelu"] is True
    path.write_text(json.dumps(config | {"_name_or_path": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"}))
    assert load_clip(tmp_path / "clip").cfg["quick_gelu"] is False


@pytest.mark.parametrize("field", [{"pretrained": "openai"}, {"pretrained_cfg": {"tag": "openai"}}])
def test_an_open_clip_folder_that_names_the_tag(tmp_path: Path, field: dict[str, Any]) -> None:
    open_clip_folder(tmp_path / "model", TINY)
    path = tmp_path / "model" / "open_clip_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | field))
    with pytest.raises(UserError, match=r'model names openai .* write "quick_gelu": true'):
        load_clip(tmp_path / "model")
    mended = load_clip(tmp_path / "model", mend_gelu=True)
    assert mended.cfg["quick_gelu"] is True
    assert "QuickGELU" in {type(module).__name__ for module in mended.model.modules()}


def test_a_program_in_place_of_weights_is_not_run(tmp_path: Path) -> None:
    """OpenAI's own files; the weights of another file load by the same spec (test_models_sources.py)."""
    path = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))
    with pytest.raises(UserError, match=r"ViT-B-32.pt is TorchScript.* write ViT-B-32-quickgelu:openai"):
        load_clip(f"ViT-B-32:{path}")
