"""The digest of a model: the same for the same features, another for anything that changes them."""

from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from made_models import TINY, hf_folder, open_clip_folder

from tripletclip.errors import UserError
from tripletclip.models import Clip, ModelConfig, WordTokenizer, load_clip, model_digest, new_clip, save_clip

SMALL = ModelConfig(image_size=16, patch_size=8, vision_width=16, text_width=16, heads=2)


def made() -> Clip:
    return new_clip(SMALL, ["red", "dog"], seed=0)


def test_the_same_model_has_the_same_digest_wherever_it_lies(tmp_path: Path) -> None:
    clip = made()
    digest = model_digest(clip)
    assert len(digest) == 64 and digest == model_digest(made())
    save_clip(clip, tmp_path / "model")
    assert model_digest(load_clip(tmp_path / "model")) == digest
    clip.model.train()
    assert model_digest(clip) == digest


def test_one_bit_of_one_weight_counts() -> None:
    clip, digest = made(), model_digest(made())
    with torch.no_grad():
        weight = clip.model.token_embedding.weight
        weight[3, 2] = torch.nextafter(weight[3, 2], torch.tensor(9.0))
    assert model_digest(clip) != digest


@pytest.mark.parametrize(
    "change",
    [
        {"mean": (0.5, 0.5, 0.51)},
        {"std": (0.27, 0.27, 0.28)},
        {"interpolation": "bilinear"},
        {"resize_mode": "squash"},
        {"fill_color": 1},
        {"cfg": {"quick_gelu": True}},
        {"tokenizer": WordTokenizer(["dog", "red"], 32)},
        {"tokenizer": WordTokenizer(["red", "dog"], 31)},
    ],
)
def test_whatever_changes_an_input_counts(change: dict[str, object]) -> None:
    clip = made()
    assert model_digest(replace(clip, **change)) != model_digest(clip)  # type: ignore[arg-type]


def test_tokenizers_that_clean_otherwise_are_others(tmp_path: Path) -> None:
    open_clip_folder(tmp_path / "model", TINY)
    clip = load_clip(tmp_path / "model")
    digests = {
        model_digest(replace(clip, tokenizer=open_clip.SimpleTokenizer(context_length=20, **settings)))
        for settings in ({}, {"clean": "canonicalize"}, {"clean": "whitespace"}, {"reduction_mask": "simple"})
    }
    assert len(digests) == 4 and model_digest(clip) in digests


def test_activation_counts_though_no_weight_shows_it(tmp_path: Path) -> None:
    for act in ("gelu", "quick_gelu"):
        hf_folder(tmp_path / act, hidden_act=act)
    assert model_digest(load_clip(tmp_path / "gelu")) != model_digest(load_clip(tmp_path / "quick_gelu"))


def test_half_precision_and_scalars_have_a_digest() -> None:
    """``logit_scale`` has no dimension, bfloat16 no numpy type."""
    clip, digest = made(), model_digest(made())
    clip.model.bfloat16()
    assert model_digest(clip) not in (digest, "")


def test_a_foreign_tokenizer_is_refused() -> None:
    class Odd:
        context_length = 4

        def __call__(self, texts: str | list[str], context_length: int | None = None) -> torch.Tensor:
            return torch.zeros(1, 4, dtype=torch.long)

    with pytest.raises(UserError, match="a Odd has no identity"):
        model_digest(replace(made(), tokenizer=Odd()))
