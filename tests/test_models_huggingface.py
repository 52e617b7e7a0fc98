"""Hugging Face's CLIP in open_clip's shape: features equal to transformers', and what cannot be said so is refused."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from made_models import assert_hf_features, hf_config, hf_folder
from safetensors.torch import load_file, save_file

from tripletclip.data.transforms import TransformConfig
from tripletclip.errors import UserError
from tripletclip.models import load_clip, save_clip


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_hugging_faces_clip_has_the_same_features(tmp_path: Path, act: str) -> None:
    theirs = hf_folder(tmp_path / "clip", hidden_act=act)
    clip = load_clip(tmp_path / "clip")
    assert_hf_features(clip, theirs)
    save_clip(clip, tmp_path / "ours")
    assert_hf_features(load_clip(tmp_path / "ours"), theirs)
    assert (clip.image_size, clip.mean) == (16, open_clip.OPENAI_DATASET_MEAN)


def test_hugging_faces_preprocessing_is_kept(tmp_path: Path) -> None:
    hf_folder(tmp_path / "clip")
    saved = {"image_mean": [0.5, 0.5, 0.4], "image_std": [0.2, 0.2, 0.1], "resample": 2, "size": {"height": 16}}
    (tmp_path / "clip" / "preprocessor_config.json").write_text(json.dumps(saved))
    clip = load_clip(tmp_path / "clip")
    assert (clip.mean, clip.std) == ((0.5, 0.5, 0.4), (0.2, 0.2, 0.1))
    assert clip.transform == TransformConfig(interpolation="bilinear", resize_mode="squash")
    (tmp_path / "clip" / "preprocessor_config.json").write_text('{"resample": 1}')
    with pytest.raises(UserError, match="Pillow's filter 1"):
        load_clip(tmp_path / "clip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": {"hidden_act": "gelu"}}, "uses gelu and quick_gelu"),
        ({"hidden_act": "relu"}, "uses relu"),
        ({"vision": {"layer_norm_eps": 1e-6}}, "layer_norm_eps"),
        ({"text": {"vocab_size": 99, "eos_token_id": 98, "bos_token_id": 97}}, "has 99 words"),
    ],
)
def test_what_open_clip_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    hf_config(**json.loads(json.dumps(changes))).save_pretrained(tmp_path / "clip")
    (tmp_path / "clip" / "model.safetensors").write_bytes(b"not looked at")
    with pytest.raises(UserError, match=message):
        load_clip(tmp_path / "clip")


def test_broken_hugging_face_folders_are_named(tmp_path: Path) -> None:
    hf_folder(tmp_path / "clip")
    weights = tmp_path / "clip" / "model.safetensors"
    whole = load_file(weights)
    for change in ({"text_model.new": torch.zeros(1)}, {"text_model.encoder.layers.0.other.weight": torch.zeros(1)}):
        save_file(whole | change, weights)
        with pytest.raises(UserError, match=rf"model\.safetensors is torn or foreign .*{next(iter(change))}"):
            load_clip(tmp_path / "clip")
    weights.write_bytes(b"torn")
    with pytest.raises(UserError, match=r"model\.safetensors is torn or foreign"):
        load_clip(tmp_path / "clip")
    weights.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors is missing; save the model as safetensors"):
        load_clip(tmp_path / "clip")
