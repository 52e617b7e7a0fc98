"""Encoders of pictures or texts alone: features as the model's own library gives them, one item at a time."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from tripletclip.errors import UserError
from tripletclip.evaluation.encoder import UnreadableImages
from tripletclip.evaluation.similarity import one_tower
from tripletclip.evaluation.towers import image_tower, text_tower

CLOSE: dict[str, Any] = {"rtol": 0.0, "atol": 1e-5}
TEXTS = ["red dog", "dog", "a very long text about a red dog and a dog", "dog"]


def pictures(count: int = 3) -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (40 + 9 * n, 50, 3), dtype=np.uint8)) for n in range(count)]


def encoded(images: list[Image.Image]) -> list[bytes]:
    found = []
    for image in images:
        data = io.BytesIO()
        image.save(data, "PNG")
        found.append(data.getvalue())
    return found


def dinov2(folder: Path) -> Any:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    model = Dinov2Model(
        Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
    ).eval()
    model.save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    return model


def bert(folder: Path, **pooling: bool) -> tuple[Any, Any]:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = ["<pad>", "<unk>", "red", "dog", "a", "very", "long", "text", "about", "and"]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    model = BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=8, **sizes)).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if pooling:
        (folder / "1_Pooling").mkdir()
        saved = {"word_embedding_dimension": 16} | pooling
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(saved))
    return model, tokenizer


# ---- pictures ------------------------------------------------------------------------------------------------------


def test_dinov2_by_transformers(tmp_path: Path) -> None:
    from transformers import AutoImageProcessor

    model, images = dinov2(tmp_path / "dino"), pictures()
    processor = AutoImageProcessor.from_pretrained(tmp_path / "dino")
    with torch.no_grad():
        theirs = torch.cat([model(**processor(image, return_tensors="pt")).pooler_output for image in images])
    tower = image_tower(str(tmp_path / "dino"), batch_size=2)
    found = tower.encode_images(encoded(images))
    torch.testing.assert_close(found, functional.normalize(theirs), **CLOSE)
    assert tower.digest() == image_tower(str(tmp_path / "dino")).digest()
    with torch.no_grad():
        next(tower.model.parameters()).add_(1e-3)
    assert tower.digest() != image_tower(str(tmp_path / "dino")).digest()


def test_timm_by_name_or_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"img_size": 32, "embed_dim": 16, "depth": 1, "num_heads": 2}
    small: dict[str, Any] = {"input_size": (3, 32, 32)}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, pretrained_cfg_overlay=small, **sizes).eval()
    timm.models.save_for_hf(model, str(tmp_path / "vit"), model_args=sizes, safe_serialization=True)
    data: Any = timm.data
    transform = data.create_transform(**data.resolve_model_data_config(model), is_training=False)
    images = pictures()
    with torch.no_grad():
        theirs: Tensor = torch.cat([model(transform(image)[None]) for image in images])
    found = image_tower(f"timm:local-dir:{tmp_path / 'vit'}", batch_size=2).encode_images(encoded(images))
    torch.testing.assert_close(found, functional.normalize(theirs), **CLOSE)


def test_unreadable_pictures_are_all_named(tmp_path: Path) -> None:
    dinov2(tmp_path / "dino")
    tower, good = image_tower(str(tmp_path / "dino"), batch_size=2), encoded(pictures(1))[0]
    with pytest.raises(UnreadableImages) as error:
        tower.encode_images([good, b"", good, b"nothing"])
    assert error.value.reasons == {1: "empty", 3: "not an image"}
    assert tower.encode_images([]).shape == (0, 0)


# ---- texts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_texts_are_pooled_as_their_folder_says(tmp_path: Path, mode: str) -> None:
    """Each text alone, without padding; the third is cut at the 8 places that the model has."""
    model, tokenizer = bert(
        tmp_path / "gte", pooling_mode_cls_token=mode == "cls", pooling_mode_mean_tokens=mode == "mean"
    )
    rows = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt").input_ids[:, :8]
        with torch.no_grad():
            tokens = model(input_ids=ids).last_hidden_state[0]
        rows.append(tokens.mean(0) if mode == "mean" else tokens[0])
    tower = text_tower(str(tmp_path / "gte"), batch_size=2)
    found = tower.encode_texts(TEXTS)
    torch.testing.assert_close(found, functional.normalize(torch.stack(rows)), **CLOSE)
    assert torch.equal(found[1], found[3]) and tower.encode_texts([]).shape == (0, 0)
    other = text_tower(str(tmp_path / "gte"), pooling="cls" if mode == "mean" else "mean")
    assert not torch.allclose(other.encode_texts(TEXTS), found) and other.digest() != tower.digest()


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        ({}, r"does not say how its tokens are pooled \(1_Pooling/config.json is missing\); say mean or cls"),
        ({"pooling_mode_max_tokens": True}, "pools by pooling_mode_max_tokens; known are pooling_mode_cls_token, "),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "pools by pooling_mode_cls_token, pool"),
    ],
)
def test_a_pooling_that_nobody_says_is_not_guessed(tmp_path: Path, pooling: dict[str, bool], message: str) -> None:
    bert(tmp_path / "gte", **pooling)
    with pytest.raises(UserError, match=message):
        text_tower(str(tmp_path / "gte"))
    assert text_tower(str(tmp_path / "gte"), pooling="mean").pooling == "mean"


def test_a_histogram_of_one_tower(tmp_path: Path) -> None:
    bert(tmp_path / "gte", pooling_mode_mean_tokens=True)
    tower = text_tower(str(tmp_path / "gte"))
    same = tower.encode_texts(["red dog", "a dog"])
    found = one_tower(["1", "2"], same, same)
    assert found["negative"][-1] == 2.0 and sum(found["positive"]) == 2.0


# ---- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tower", [image_tower, text_tower])
def test_missing_things_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tower: Any) -> None:
    with pytest.raises(UserError, match=r"encoder folder nowhere does not exist; give a folder, hf:ORG/NAME or timm"):
        tower("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"cannot load the encoder .*empty"):
        tower(str(tmp_path / "empty"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs transformers; run: pip install 'tripletclip\[hf\]'"):
        tower("hf:org/name")


def test_models_that_cannot_be_encoders_are_named(tmp_path: Path) -> None:
    from transformers import ResNetConfig

    ResNetConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"is a 'resnet', whose first place is not the picture's own; known are dinov2"):
        image_tower(str(tmp_path))
    with pytest.raises(UserError, match="cannot load the encoder 'timm:no_such_model'"):
        image_tower("timm:no_such_model")


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    dinov2(tmp_path / "dino")
    (tmp_path / "dino" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "dino" / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot load the encoder"):
        image_tower(str(tmp_path / "dino"))
