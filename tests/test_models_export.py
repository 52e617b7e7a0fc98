"""Exports: the same features in open_clip and in transformers, the same pixels and tokens, or a refusal beforehand."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import tokenizers
import torch
from made_models import SIGLIP, TEXTS, TINY, assert_same_features, images, open_clip_folder
from PIL import Image
from torch import Tensor
from torch.nn import functional

from tripletclip import cli
from tripletclip.data.transforms import decode_image
from tripletclip.errors import UserError
from tripletclip.models import Clip, ModelConfig, WordTokenizer, image_features, load_clip, new_clip, save_clip
from tripletclip.models import text_features as features_of_texts
from tripletclip.models.export import export_clip
from tripletclip.models.hf_export import obstacles

CLOSE: dict[str, Any] = {"rtol": 0.0, "atol": 1e-5}
WORDS = ["a", "red", "blue", "dog", "_x1"]
ODD_TEXTS = ["A red, RED dog!", "", "zebra dog", "a_b <end> <pad>", "blue\tdog\n a", "red " * 40, "_x1 naïve", "<unk>"]


def plain_clip(**changes: Any) -> Clip:
    """A CLIP that Hugging Face's class can hold, with weights large enough that every one of them counts."""
    cfg = TINY | changes
    torch.manual_seed(1)
    model = open_clip.CLIP(**cfg).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.logit_scale.fill_(3.5)
    tokenizer = open_clip.SimpleTokenizer(context_length=cfg["text_cfg"]["context_length"])
    return Clip(model=model, cfg=cfg, tokenizer=tokenizer, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def word_clip() -> Clip:
    tokenizer = WordTokenizer(WORDS, 20)
    clip = plain_clip(text_cfg=TINY["text_cfg"] | {"vocab_size": tokenizer.vocab_size})
    return replace(clip, tokenizer=tokenizer)


def ours(clip: Clip, texts: list[str]) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return image_features(clip.model, images()), features_of_texts(clip.model, clip.tokenizer(texts), 20)


def transformers_model(folder: Path) -> Any:
    from transformers import CLIPModel

    model, report = CLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def transformers_features(folder: Path, texts: list[str]) -> tuple[Tensor, Tensor]:
    """By transformers' own model and tokenizer of the folder."""
    from transformers import AutoTokenizer

    model, tokenize = transformers_model(folder), AutoTokenizer.from_pretrained(folder)
    tokens = tokenize(texts, padding="max_length", truncation=True, return_tensors="pt")
    with torch.no_grad():
        output = model(pixel_values=images(), input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
    return output.image_embeds, output.text_embeds


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_transformers_reads_the_same_features(tmp_path: Path, quick_gelu: bool) -> None:
    clip = plain_clip(quick_gelu=quick_gelu)
    export_clip(clip, tmp_path / "hf", to="hf", name="mine")
    for mine, theirs in zip(ours(clip, TEXTS), transformers_features(tmp_path / "hf", TEXTS), strict=True):
        torch.testing.assert_close(mine, theirs, **CLOSE)
    assert transformers_model(tmp_path / "hf").logit_scale.item() == 3.5
    again = load_clip(tmp_path / "hf")
    for mine, back in zip(ours(clip, TEXTS), ours(again, TEXTS), strict=True):
        torch.testing.assert_close(mine, back, **CLOSE)
    assert (again.mean, again.std, again.transform) == (clip.mean, clip.std, clip.transform)


def test_open_clip_reads_the_same_features(tmp_path: Path) -> None:
    clip = plain_clip(quick_gelu=True)
    export_clip(clip, tmp_path / "open_clip", to="open_clip", name="mine")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'open_clip'}")
    assert_same_features(clip, model.eval())
    assert tuple(preprocess.transforms[-1].mean) == clip.mean


def test_two_towers_are_read_by_their_two_classes(tmp_path: Path) -> None:
    from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

    clip = plain_clip(quick_gelu=True)
    export_clip(clip, tmp_path / "two", to="authors", name="mine")
    image, text = ours(clip, TEXTS)
    tokens = clip.tokenizer(TEXTS)
    with torch.no_grad():
        towers: list[Any] = [
            kind.from_pretrained(tmp_path / "two", subfolder=folder)
            for kind, folder in (
                (CLIPVisionModelWithProjection, "vision-encoder"),
                (CLIPTextModelWithProjection, "text-encoder"),
            )
        ]
        theirs = (towers[0](images()).image_embeds, towers[1](torch.where(tokens == 0, 49407, tokens)).text_embeds)
    for mine, their in zip((image, text), theirs, strict=True):
        torch.testing.assert_close(mine, functional.normalize(their), **CLOSE)
    again = load_clip(tmp_path / "two")
    assert again.notes and again.mean == clip.mean
    torch.testing.assert_close(ours(again, TEXTS)[1], text, **CLOSE)


# ---- tokens --------------------------------------------------------------------------------------------------------


def test_words_become_a_tokenizer_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    clip = word_clip()
    export_clip(clip, tmp_path / "hf", to="hf", name="mine")
    tokenize = AutoTokenizer.from_pretrained(tmp_path / "hf")
    theirs = tokenize(ODD_TEXTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert theirs.tolist() == clip.tokenizer(ODD_TEXTS).tolist()
    found = transformers_features(tmp_path / "hf", ODD_TEXTS)[1]
    torch.testing.assert_close(found, ours(clip, ODD_TEXTS)[1], **CLOSE)
    again = load_clip(tmp_path / "hf")
    assert isinstance(again.tokenizer, WordTokenizer) and again.tokenizer.words == clip.tokenizer.words  # type: ignore[attr-defined]


def test_clips_own_tokens_are_those_of_transformers(tmp_path: Path) -> None:
    """Up to the end token; transformers pads with the end token, open_clip with 0. Both ways to read the files."""
    from transformers import AutoTokenizer, CLIPTokenizer

    clip = plain_clip()
    texts = [*TEXTS, "", "A Red Dog's 12 cats, naïve!", "don't  3,000 m²", "straße 東京", "long " * 40]
    export_clip(clip, tmp_path / "hf", to="hf", name="mine")
    whole = AutoTokenizer.from_pretrained(tmp_path / "hf")
    alone = tokenizers.Tokenizer.from_file(str(tmp_path / "hf" / "tokenizer.json"))
    for text in texts[:-1]:  # as it is, without cutting and padding
        row = clip.tokenizer([text])[0]
        assert alone.encode(text).ids == row[row != 0].tolist()
    (tmp_path / "hf" / "tokenizer.json").unlink()
    parts = CLIPTokenizer.from_pretrained(tmp_path / "hf")
    for tokenize in (whole, parts):
        theirs = tokenize(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        expected = clip.tokenizer(texts)
        assert torch.equal(theirs, torch.where(expected == 0, 49407, expected))


# ---- pixels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
def test_pixels_are_those_of_transformers(tmp_path: Path, interpolation: str, resize_mode: str) -> None:
    """Equal to transformers' Pillow processor, within 1 of 255 of its torchvision one on a smooth picture.

    The sizes leave an even number of pixels to cut; of an odd number transformers cuts the smaller half first.
    """
    from transformers import CLIPImageProcessor, CLIPImageProcessorPil

    clip = replace(plain_clip(), interpolation=interpolation, resize_mode=resize_mode)
    export_clip(clip, tmp_path / "hf", to="hf", name="mine")
    for width, height in ((16, 16), (48, 32), (40, 80)):
        y, x = np.mgrid[:height, :width]
        waves = np.stack([127 + 120 * np.sin(x / 9 + y / 7), 127 + 120 * np.cos(x / 15), 127 + 9 * np.sin(y)], -1)
        picture = Image.fromarray(waves.astype(np.uint8))
        data = io.BytesIO()
        picture.save(data, "PNG")
        mine = clip.pixels(decode_image(data.getvalue(), 16, clip.transform)[None], "cpu")
        for kind, steps in ((CLIPImageProcessorPil, 0.0), (CLIPImageProcessor, 1.0)):
            theirs = kind.from_pretrained(tmp_path / "hf")(picture, return_tensors="pt").pixel_values
            difference = (mine - theirs).abs() * torch.tensor(clip.std).view(3, 1, 1) * 255
            assert difference.max() <= steps + 1e-3, (kind, width, height)


# ---- what cannot be, and what is left behind -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (new_clip(ModelConfig(), ["red"], 0), "pool_type=avg of the image tower, pos_embed_type=sin_cos_2d of the im"),
        (plain_clip(vision_cfg=TINY["vision_cfg"] | {"no_ln_pre": True}), "no_ln_pre=True of the image tower"),
        (plain_clip(text_cfg=TINY["text_cfg"] | {"no_causal_mask": True}), "no_causal_mask=True of the text tower"),
        (plain_clip(text_cfg=TINY["text_cfg"] | {"proj_bias": True}), "proj_bias=True of the text tower"),
        (plain_clip(init_logit_bias=-10.0), "a logit_bias"),
        (replace(plain_clip(), resize_mode="longest"), r"by their longest side \(longest\)"),
    ],
)
@pytest.mark.parametrize("to", ["hf", "authors"])
def test_what_hugging_face_cannot_hold_is_refused_beforehand(tmp_path: Path, clip: Clip, message: str, to: Any) -> None:
    with pytest.raises(UserError, match=f"mine cannot be written for .*{message}.*--to open_clip"):
        export_clip(clip, tmp_path / "hf", to=to, name="mine")
    assert not list(tmp_path.iterdir())
    export_clip(clip, tmp_path / "open_clip", to="open_clip", name="mine")


def test_another_class_cannot_be_held(tmp_path: Path) -> None:
    open_clip_folder(tmp_path / "siglip", SIGLIP)
    assert obstacles(load_clip(tmp_path / "siglip")) == ["it is open_clip's CustomTextCLIP, not CLIP"]
    assert obstacles(plain_clip()) == []


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that gives other features when it is read again, and a disk that fills."""
    save_clip(plain_clip(), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def attempt(message: str) -> None:
        with pytest.raises(UserError, match=message):
            export_clip(plain_clip(), tmp_path / "out", to="hf", name="mine", overwrite=True)
        assert os.listdir(tmp_path) == ["out"]
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        attempt("cannot write .*out: No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr("tripletclip.models.hf_export.hf_names", turned)
        attempt("exported mine gives image features that differ by .*; nothing was written")


def turned(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A wrong conversion: the projection of images not transposed."""
    from tripletclip.models.hf_names import hf_names

    found = hf_names(state)
    found["visual_projection.weight"] = found["visual_projection.weight"].flip(0).contiguous()
    return found


def test_an_existing_folder_is_kept_unless_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="out exists; give --overwrite"):
        export_clip(plain_clip(), tmp_path / "out", to="hf", name="mine")
    export_clip(plain_clip(), tmp_path / "out", to="open_clip", name="mine", overwrite=True)
    assert os.listdir(tmp_path) == ["out"]
    assert sorted(os.listdir(tmp_path / "out")) == ["open_clip_config.json", "open_clip_model.safetensors"]


def test_export_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_clip(plain_clip(), tmp_path / "run")
    out = tmp_path / "new" / "two"
    cli.main(["export", "--model", str(tmp_path / "run"), "--to", "authors", "--out", str(out)])
    said = capsys.readouterr().out
    assert "note: logit_scale is not in it" in said and "vision-encoder/model.safetensors" in said
    cli.main(["export", "--model", str(out), "--to", "hf", "--out", str(tmp_path / "hf")])
    assert "note: logit_scale is CLIP's first value" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        cli.main(["export", "--model", str(out), "--to", "hf", "--out", str(tmp_path / "hf")])
    assert stop.value.code == 2 and "hf exists; give --overwrite" in capsys.readouterr().err


def test_a_model_in_training_stays_in_training(tmp_path: Path) -> None:
    clip = plain_clip(vision_cfg=TINY["vision_cfg"] | {"patch_dropout": 0.5})
    clip.model.train()
    export_clip(clip, tmp_path / "hf", to="hf", name="mine")
    assert clip.model.training
