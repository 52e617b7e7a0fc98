"""Models of others: open_clip's by name, from folders and from the Hub; features equal to open_clip's own."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from made_models import (
    SIGLIP,
    TEXTS,
    TINY,
    assert_hf_features,
    assert_same_features,
    authors_folder,
    hf_folder,
    images,
    open_clip_folder,
    tower_models,
)
from PIL import Image

from tripletclip.data.transforms import TransformConfig
from tripletclip.errors import UserError
from tripletclip.models import ModelConfig, fresh_clip, image_features, load_clip, new_clip, save_clip
from tripletclip.screening.score_models import load_score_model


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a tiny architecture in open_clip's registry, for the length of a test."""
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [*open_clip.factory._MODEL_CONFIG_PATHS])
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    (tmp_path / "configs").mkdir()
    for name, cfg in (("tiny", TINY), ("tiny-quickgelu", TINY | {"quick_gelu": True})):
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps(cfg))
    open_clip.add_model_config(tmp_path / "configs")
    return "tiny"


# ---- open_clip's folders -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
@pytest.mark.parametrize("cfg", [TINY, TINY | {"quick_gelu": True}, SIGLIP])
def test_any_local_dir_loads(tmp_path: Path, cfg: dict[str, Any], weights: str) -> None:
    theirs = open_clip_folder(tmp_path / "model", cfg, weights)
    for source in (tmp_path / "model", str(tmp_path / "model"), f"local-dir:{tmp_path / 'model'}"):
        clip = load_clip(source)
        assert_same_features(clip, theirs)
        assert (clip.mean, clip.std, clip.image_size) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 16)
        assert clip.transform == TransformConfig(interpolation="bilinear", resize_mode="squash")
        assert torch.equal(clip.tokenizer(TEXTS), open_clip.SimpleTokenizer(context_length=20)(TEXTS))


@pytest.mark.parametrize("cfg", [TINY, SIGLIP])
def test_what_was_loaded_is_saved_again(tmp_path: Path, cfg: dict[str, Any]) -> None:
    theirs = open_clip_folder(tmp_path / "first", cfg)
    save_clip(load_clip(tmp_path / "first"), tmp_path / "second")
    again = load_clip(tmp_path / "second")
    assert_same_features(again, theirs)
    assert (again.cfg, again.transform.resize_mode, again.mean) == (cfg, "squash", (0.1, 0.2, 0.3))
    whole, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'second'}")
    assert_same_features(again, whole.eval())
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    torch.testing.assert_close(preprocess(picture), again.pixels(pixels, "cpu")[0], rtol=0, atol=1e-5)


def test_scores_prepare_pictures_as_open_clip_does(tmp_path: Path) -> None:
    """A model that squashes; pixels within 1 of 255, times 1/0.4 for the deviation."""
    open_clip_folder(tmp_path / "model", TINY)
    _, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'model'}")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    picture.save(tmp_path / "picture.png")
    scorer = load_score_model(str(tmp_path / "model"), torch.device("cpu"))
    ours = scorer.prepare((tmp_path / "picture.png").read_bytes())
    torch.testing.assert_close(ours, preprocess(picture), rtol=0, atol=0.01)


def test_words_of_a_model_that_was_there_before_do_not_stay(tmp_path: Path) -> None:
    small = ModelConfig(image_size=16, patch_size=8, vision_width=16, text_width=16, heads=2)
    save_clip(new_clip(small, ["a", "dog"], seed=0), tmp_path / "model")
    open_clip_folder(tmp_path / "other", TINY)
    save_clip(load_clip(tmp_path / "other"), tmp_path / "model")
    assert type(load_clip(tmp_path / "model").tokenizer) is open_clip.SimpleTokenizer


def test_a_model_with_hugging_face_words_keeps_them(tmp_path: Path) -> None:
    """A WordLevel tokenizer as the ``tokenizers`` library writes it, without network."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "red": 2, "dog": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    cfg = TINY | {"text_cfg": TINY["text_cfg"] | {"vocab_size": 4, "hf_tokenizer_name": "org/words"}}
    open_clip_folder(tmp_path / "model", cfg)
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>").save_pretrained(
        tmp_path / "model"
    )
    save_clip(load_clip(tmp_path / "model"), tmp_path / "again")
    again = load_clip(tmp_path / "again").tokenizer(["red dog", "red cat"])
    assert again.shape == (2, 20) and again[:, :3].tolist() == [[2, 3, 0], [2, 1, 0]]


class Sly:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_foreign_pickle_is_not_run(tmp_path: Path) -> None:
    open_clip_folder(tmp_path / "model", TINY, "open_clip_pytorch_model.bin")
    torch.save({"weights": Sly(tmp_path / "run")}, tmp_path / "model" / "open_clip_pytorch_model.bin")
    with pytest.raises(UserError, match=r"open_clip_pytorch_model\.bin is torn or foreign"):
        load_clip(tmp_path / "model")
    assert not (tmp_path / "run").exists()


def test_a_captioner_is_refused(tmp_path: Path) -> None:
    open_clip_folder(tmp_path / "model", TINY)
    config = {"model_cfg": TINY | {"multimodal_cfg": {}}}
    (tmp_path / "model" / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="the model is a CoCa"):
        load_clip(tmp_path / "model")


# ---- names ---------------------------------------------------------------------------------------------------------


def test_a_name_with_a_file_of_weights(named: str, tmp_path: Path) -> None:
    theirs = open_clip_folder(tmp_path / "model", TINY)
    clip = load_clip(f"{named}:{tmp_path / 'model' / 'open_clip_model.safetensors'}")
    assert_same_features(clip, theirs)
    assert clip.cfg == TINY
    assert clip.mean == open_clip.OPENAI_DATASET_MEAN and clip.transform == TransformConfig()


def test_fresh_weights_are_those_of_open_clip_and_of_the_seed(named: str) -> None:
    torch.manual_seed(3)
    theirs = open_clip.create_model(named)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    clip = fresh_clip(named, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_features(clip, theirs.eval())
    assert clip.model.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    other = load_clip(named, fresh=True, seed=4)
    assert not torch.equal(other.model.token_embedding.weight, clip.model.token_embedding.weight)
    assert torch.equal(
        load_clip(named, fresh=True, seed=3).model.token_embedding.weight, clip.model.token_embedding.weight
    )


@pytest.mark.parametrize("tag", ["openai", "metaclip_400m"])
def test_weights_trained_with_quick_gelu_are_refused_under_the_plain_name(tag: str) -> None:
    with pytest.raises(UserError, match=rf"'{tag}' were trained with QuickGELU .* write ViT-B-32-quickgelu:{tag}"):
        load_clip(f"ViT-B-32:{tag}")


def test_quick_gelu_can_be_mended(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For scores: the weights get the activation that they were trained with, and keep it when they are saved."""
    theirs = open_clip_folder(tmp_path / "model", TINY | {"quick_gelu": True})
    weights = str(tmp_path / "model" / "open_clip_model.safetensors")
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: {"quick_gelu": True})
    with pytest.raises(UserError, match=f"write {named}-quickgelu:"):
        load_clip(f"{named}:{weights}")
    clip = load_clip(f"{named}:{weights}", mend_gelu=True)
    assert_same_features(clip, theirs)
    save_clip(clip, tmp_path / "again")
    assert_same_features(load_clip(tmp_path / "again"), theirs)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ViT-B-23:openai", "unknown open_clip model 'ViT-B-23'; did you mean 'ViT-B-32'"),
        ("ViT-B-32:laion2b_s34b_b79", "did you mean 'laion2b_s34b_b79k'"),
        ("ViT-B-32", "no weights without a tag; write ViT-B-32:TAG, one of .*laion2b_s34b_b79k.* fresh"),
        ("runs/nowhere", "model folder runs/nowhere does not exist"),
        ("local-dir:nowhere", r"nowhere is no model folder: open_clip_config\.json is missing"),
        (Path("ViT-B-32"), "ViT-B-32 is no model folder"),
    ],
)
def test_unknown_sources_are_named(source: str | Path, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_clip(source)


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(UserError, match="unknown open_clip model 'ViT-B-23'; did you mean 'ViT-B-32'"):
        fresh_clip("ViT-B-23")


# ---- the Hub, played by folders ------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Repositories are folders in ``hub``; what is fetched is copied to ``cache``."""
    hub, cache = tmp_path / "hub", tmp_path / "cache"

    def snapshot(repository: str, allow_patterns: list[str]) -> str:
        if not (hub / repository).is_dir():
            raise LocalEntryNotFoundError("no network")
        (cache / repository).mkdir(parents=True, exist_ok=True)
        for pattern in allow_patterns:
            for path in (hub / repository).rglob(pattern):
                copied(repository, str(path.relative_to(hub / repository)))
        return str(cache / repository)

    def download(repository: str, name: str) -> str:
        if not (hub / repository / name).is_file():
            raise EntryNotFoundError(name)
        return copied(repository, name)

    def copied(repository: str, name: str) -> str:
        (cache / repository / name).parent.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(hub / repository / name, cache / repository / name))

    monkeypatch.setattr("tripletclip.models.named.snapshot_download", snapshot)
    monkeypatch.setattr("tripletclip.models.named.hf_hub_download", download)
    return hub


@pytest.mark.parametrize("weights", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_an_open_clip_repository(hub: Path, tmp_path: Path, weights: str) -> None:
    theirs = open_clip_folder(hub / "org" / "model", TINY, weights)
    (hub / "org" / "model" / "pytorch_model.bin").write_bytes(b"another format")
    assert_same_features(load_clip("hf-hub:org/model"), theirs)
    assert not (tmp_path / "cache" / "org" / "model" / "pytorch_model.bin").exists()


def test_a_repository_of_hugging_faces_clip(hub: Path) -> None:
    theirs = hf_folder(hub / "org" / "clip")
    assert_hf_features(load_clip("hf-hub:org/clip"), theirs)


def test_a_repository_of_two_towers_by_the_short_prefix(hub: Path) -> None:
    small = {"hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = small | {"projection_dim": 12, "max_position_embeddings": 20}
    towers = tower_models(small | {"projection_dim": 12, "image_size": 16, "patch_size": 8}, text)
    authors_folder(hub / "org" / "two", towers, text=text)
    clip = load_clip("hf:org/two")
    clip.model.eval()
    with torch.no_grad():
        theirs: Any = towers[0](pixel_values=images()).image_embeds
        ours = image_features(clip.model, images())
    torch.testing.assert_close(ours, torch.nn.functional.normalize(theirs), rtol=0, atol=1e-5)


def test_a_repository_whose_name_contradicts_its_activation(hub: Path) -> None:
    hf_folder(hub / "openai" / "clip-vit-tiny", hidden_act="gelu")
    with pytest.raises(UserError, match="openai/clip-vit-tiny names openai/clip-vit-tiny as its origin"):
        load_clip("hf:openai/clip-vit-tiny")


def test_another_kind_of_model_is_named(hub: Path) -> None:
    (hub / "org" / "bert").mkdir(parents=True)
    (hub / "org" / "bert" / "config.json").write_text('{"model_type": "bert"}')
    (hub / "org" / "bert" / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="holds a 'bert' of Hugging Face's"):
        load_clip("hf-hub:org/bert")


def test_hub_errors_are_one_line(hub: Path) -> None:
    with pytest.raises(UserError, match="cannot load the model 'hf-hub:org/none': no network; check the name"):
        load_clip("hf-hub:org/none")
    (hub / "org" / "empty").mkdir(parents=True)
    with pytest.raises(UserError, match=r"hf-hub:org/empty has no weights that we read \(model.safetensors\)"):
        load_clip("hf-hub:org/empty")
