"""SigLIP: open_clip's architecture builds and encodes; what needs the network, and transformers' form, say so."""

import importlib
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from made_models import open_clip_folder

from tripletclip.errors import UserError
from tripletclip.models import fresh_clip, image_features, load_clip, text_features
from tripletclip.models.build import build_model

TRUE_PARAMETERS = 203_155_970
"""ViT-B/16 with map pooling (92,884,224) and a text tower of width 768 with 32,000 words (110,271,744), a scale and a
bias."""


@pytest.fixture
def tiny_timm(monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny image tower of SigLIP's kind in timm's registry, for the length of a test."""
    name = "vit_tiny_siglip_for_tests"

    def make(num_classes: int, global_pool: str, **_: Any) -> Any:
        sizes: dict[str, Any] = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
        head: dict[str, Any] = {"num_classes": num_classes, "global_pool": global_pool, "class_token": False}
        return timm.models.VisionTransformer(**sizes, **head)

    monkeypatch.setitem(timm.models._registry._model_entrypoints, name, make)
    return name


def siglip(name: str) -> dict[str, Any]:
    """open_clip's ViT-B-16-SigLIP in small, with CLIP's tokenizer in place of one from the Hub."""
    true: dict[str, Any] = open_clip.get_model_config("ViT-B-16-SigLIP")
    sizes = {"width": 16, "heads": 2, "layers": 1, "vocab_size": 49408, "context_length": 20}
    text = {key: value for key, value in true["text_cfg"].items() if key != "hf_tokenizer_name"} | sizes
    return true | {
        "embed_dim": 16,
        "vision_cfg": true["vision_cfg"] | {"image_size": 16, "timm_model_name": name},
        "text_cfg": text,
    }


def test_a_folder_of_open_clips_siglip_has_its_features(tmp_path: Path, tiny_timm: str) -> None:
    """Texts of a SigLIP are pooled at the last place, so they keep all columns; and it is cleaned as SigLIP's are."""
    theirs: Any = open_clip_folder(tmp_path / "siglip", siglip(tiny_timm))
    clip = load_clip(tmp_path / "siglip")
    clip.model.eval()
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    tokens = clip.tokenizer(["A red dog!", "cat"])
    assert torch.equal(tokens, open_clip.SimpleTokenizer(context_length=20, clean="canonicalize")(["a red dog", "cat"]))
    with torch.no_grad():
        close: dict[str, Any] = {"rtol": 0, "atol": 1e-5}
        image, text = theirs.encode_image(pixels, normalize=True), theirs.encode_text(tokens, normalize=True)
        torch.testing.assert_close(image_features(clip.model, pixels), image, **close)
        torch.testing.assert_close(text_features(clip.model, tokens[:, :5], 5), text, **close)
    assert clip.model.logit_bias.item() == -10


def test_the_true_architecture_builds() -> None:
    with torch.device("meta"):
        model = build_model(open_clip.get_model_config("ViT-B-16-SigLIP"))
    assert sum(parameter.numel() for parameter in model.parameters()) == TRUE_PARAMETERS


def test_a_tokenizer_that_cannot_be_fetched_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str) -> None:
        raise OSError("We couldn't connect\nmore")

    monkeypatch.setattr(open_clip, "get_tokenizer", offline)
    module = importlib.import_module("tripletclip.models.build")
    monkeypatch.setattr(module, "build_model", lambda cfg: torch.nn.Identity())
    with pytest.raises(UserError, match=r"tokenizer of ViT-B-16-SigLIP, 'timm/ViT-B-16-SigLIP' of .*couldn't connect;"):
        fresh_clip("ViT-B-16-SigLIP")


def test_transformers_siglip_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    with pytest.raises(UserError, match=r"tanh form of GELU.*ViT-B-16-SigLIP:webli"):
        load_clip(tmp_path)
    assert "webli" in open_clip.list_pretrained_tags_by_model("ViT-B-16-SigLIP")
