"""The authors' checkpoints, two folders of one tower each: features as transformers' two classes give them."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from made_models import TEXTS, authors_config, authors_folder, images, tower_models
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from tripletclip.errors import UserError
from tripletclip.models import Clip, image_features, load_clip, save_clip, text_features, weights_hash

TINY_VISION = {
    "hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16,
    "patch_size": 8, "projection_dim": 12,
}  # fmt: skip
TINY_TEXT = {
    "hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4, "projection_dim": 12,
    "max_position_embeddings": 20,
}  # fmt: skip
TRUE_IMAGES, TRUE_TEXTS, TRUE_SCALE = 87_849_216, 63_428_096, 1  # 87.8M and 63.4M; the scale is ours


@pytest.fixture(scope="module")
def towers() -> tuple[nn.Module, nn.Module]:
    return tower_models(TINY_VISION, TINY_TEXT)


def made(folder: Path, towers: tuple[nn.Module, nn.Module], **changes: Any) -> Path:
    return authors_folder(folder, towers, **{"text": TINY_TEXT} | changes)


def assert_tower_features(clip: Clip, towers: tuple[nn.Module, nn.Module], pixels: Tensor) -> None:
    """transformers pads with the end token, whose first place counts."""
    clip.model.eval()
    text_BL = clip.tokenizer(TEXTS)
    with torch.no_grad():
        image: Tensor = towers[0](pixel_values=pixels).image_embeds
        text: Tensor = towers[1](input_ids=torch.where(text_BL == 0, 49407, text_BL)).text_embeds
        close: dict[str, Any] = {"rtol": 0, "atol": 1e-5}
        torch.testing.assert_close(image_features(clip.model, pixels), functional.normalize(image), **close)
        torch.testing.assert_close(text_features(clip.model, text_BL, 9), functional.normalize(text), **close)


@pytest.mark.parametrize("wrapped", [True, False])
def test_two_towers_have_the_features_of_transformers(
    tmp_path: Path, towers: tuple[nn.Module, nn.Module], wrapped: bool
) -> None:
    """The image tower's configuration says no sizes: they are read off the tensors (heads of 64)."""
    clip = load_clip(made(tmp_path / "model", towers, wrapped=wrapped))
    assert_tower_features(clip, towers, images())
    assert clip.cfg["quick_gelu"] and clip.mean == open_clip.OPENAI_DATASET_MEAN
    assert clip.model.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    assert clip.notes == (
        "logit_scale is CLIP's first value, ln(1/0.07): the two towers hold none, and no cosine depends on it",
    )
    save_clip(clip, tmp_path / "ours")
    assert_tower_features(load_clip(tmp_path / "ours"), towers, images())


def test_the_name_of_two_towers_is_the_hash_of_both(tmp_path: Path, towers: tuple[nn.Module, nn.Module]) -> None:
    folder = made(tmp_path / "model", towers)
    files = [folder / tower / "model.safetensors" for tower in ("vision-encoder", "text-encoder")]
    assert weights_hash(folder) == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_the_true_shapes(tmp_path: Path) -> None:
    towers = tower_models({}, {})
    counts = [sum(p.numel() for p in tower.parameters()) for tower in towers]
    assert counts == [TRUE_IMAGES, TRUE_TEXTS]
    clip = load_clip(authors_folder(tmp_path / "model", towers))
    assert sum(p.numel() for p in clip.model.parameters()) == TRUE_IMAGES + TRUE_TEXTS + TRUE_SCALE
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert_tower_features(clip, towers, pixels)
    assert clip.cfg["vision_cfg"]["patch_size"] == 32 and clip.tokenizer.context_length == 77


def test_the_configurations_are_as_large_as_the_published_files() -> None:
    """394 and 787 bytes, the sizes that the Hub lists: the reconstruction of what we test with is exact."""
    for tower, size in (("vision", 394), ("text", 787)):
        assert len(json.dumps(authors_config(tower), indent=2, sort_keys=True)) + 1 == size


def test_old_configurations_take_the_highest_token(tmp_path: Path, towers: tuple[nn.Module, nn.Module]) -> None:
    old = tower_models(TINY_VISION, TINY_TEXT | {"eos_token_id": 2})
    clip = load_clip(made(tmp_path / "model", old, text=TINY_TEXT | {"eos_token_id": 2}))
    assert_tower_features(clip, old, images())


def test_files_for_pixels_are_read_where_they_are(tmp_path: Path, towers: tuple[nn.Module, nn.Module]) -> None:
    folder = made(tmp_path / "model", towers)
    for place, mean in ((folder / "vision-encoder", 0.4), (folder, 0.3)):
        (place / "preprocessor_config.json").write_text(json.dumps({"image_mean": [mean] * 3, "image_std": [0.2] * 3}))
        assert load_clip(folder).mean == (mean,) * 3


def test_a_scale_of_its_own_is_kept(tmp_path: Path, towers: tuple[nn.Module, nn.Module]) -> None:
    folder = made(tmp_path / "model", towers, wrapped=False)
    path = folder / "text-encoder" / "model.safetensors"
    save_file(load_file(path) | {"logit_scale": torch.tensor(4.0)}, path)
    clip = load_clip(folder)
    assert clip.model.logit_scale.item() == 4.0 and clip.notes == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision": {"hidden_act": "gelu"}}, "uses gelu and quick_gelu; .* the same in both towers"),
        ({"text": TINY_TEXT | {"eos_token_id": 7}}, "ends texts with token 7; .* here 49407"),
        ({"vision": {"lora": {"r": 4}}}, r"vision-encoder/config.json has an adapter \(lora\); merge it"),
    ],
)
def test_what_one_model_cannot_be_is_refused(
    tmp_path: Path, towers: tuple[nn.Module, nn.Module], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_clip(made(tmp_path / "model", towers, **changes))


def test_towers_of_two_widths_are_refused(tmp_path: Path, towers: tuple[nn.Module, nn.Module]) -> None:
    wide = tower_models(TINY_VISION, TINY_TEXT | {"projection_dim": 10})[1]
    with pytest.raises(UserError, match="disagree: vision-encoder gives 12 features and text-encoder 10; take both"):
        load_clip(made(tmp_path / "model", (towers[0], wide)))


def test_missing_and_torn_files_are_named(tmp_path: Path, towers: tuple[nn.Module, nn.Module]) -> None:
    folder = made(tmp_path / "model", towers)
    weights = folder / "text-encoder" / "model.safetensors"
    whole = load_file(weights)
    save_file({name: whole[name] for name in whole if name != "model.text_projection.weight"}, weights)
    with pytest.raises(UserError, match="has a tower without text_projection"):
        load_clip(folder)
    weights.write_bytes(b"torn")
    with pytest.raises(UserError, match=r"text-encoder/model\.safetensors is torn or foreign"):
        load_clip(folder)
    shutil.rmtree(folder / "vision-encoder")
    with pytest.raises(UserError, match=r"vision-encoder/config\.json is missing; a model of two towers has"):
        load_clip(folder)
