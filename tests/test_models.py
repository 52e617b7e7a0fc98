"""Models: a function of the seed, open_clip's own on disk, texts cut without changing a feature."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tripletclip.errors import UserError
from tripletclip.models import (
    CONFIG_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    Clip,
    ModelConfig,
    WordTokenizer,
    build,
    forward_flops,
    image_features,
    load_clip,
    new_clip,
    open_clip_config,
    save_clip,
    text_features,
    weights_hash,
)

SMALL = ModelConfig(
    embed_dim=16,
    image_size=16,
    patch_size=8,
    vision_width=32,
    vision_layers=2,
    text_width=32,
    text_layers=2,
    heads=4,
    context_length=12,
)
WORDS = ["a", "red", "blue", "ball", "cube", "left"]
TEXTS = ["a red ball", "ball", "", "a blue cube left a red ball"]


def pictures(count: int = 3) -> Tensor:
    """uint8 [count, 3, 16, 16]."""
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)


@pytest.fixture
def clip() -> Clip:
    made = new_clip(SMALL, WORDS, seed=3)
    made.model.eval()
    return made


@pytest.fixture
def folder(clip: Clip, tmp_path: Path) -> Path:
    save_clip(clip, tmp_path / "model")
    return tmp_path / "model"


def fingerprint(model: torch.nn.Module) -> dict[str, str]:
    return {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in model.state_dict().items()}


# ---- build ---------------------------------------------------------------------------------------------------------


def test_weights_are_a_function_of_the_seed() -> None:
    torch.manual_seed(1)
    first = fingerprint(build(SMALL, 10, seed=7))
    torch.manual_seed(2)
    assert fingerprint(build(SMALL, 10, seed=7)) == first
    assert fingerprint(build(SMALL, 10, seed=8)) != first


def test_building_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(4)
    torch.manual_seed(11)
    build(SMALL, 10, seed=7)
    assert torch.equal(torch.rand(4), expected)


def test_the_scale_starts_where_the_config_says() -> None:
    assert build(SMALL, 10, seed=0).logit_scale.exp().item() == pytest.approx(SMALL.init_scale, rel=1e-6)


# ---- features ------------------------------------------------------------------------------------------------------


def test_cut_texts_have_the_features_of_whole_ones(clip: Clip) -> None:
    """Also when a batch is cut with room to spare, and in the gradient of the word embeddings."""
    text_BL = clip.tokenizer(TEXTS)
    longest = int((text_BL != 0).sum(1).max())
    assert longest == 9 < clip.tokenizer.context_length
    whole_BD = clip.model.encode_text(text_BL, normalize=True)
    (whole_gradient,) = torch.autograd.grad(whole_BD[:, 0].sum(), clip.model.token_embedding.weight)
    for length in (longest, longest + 1, clip.tokenizer.context_length):
        cut_BD = text_features(clip.model, text_BL[:, :length], length)
        torch.testing.assert_close(cut_BD, whole_BD, rtol=0, atol=1e-5)
        (gradient,) = torch.autograd.grad(cut_BD[:, 0].sum(), clip.model.token_embedding.weight)
        torch.testing.assert_close(gradient, whole_gradient, rtol=0, atol=1e-5)


def test_cutting_computes_fewer_tokens_and_leaves_the_model_whole(clip: Clip) -> None:
    seen: list[int] = []
    hook = clip.model.ln_final.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    text_features(clip.model, clip.tokenizer(TEXTS), 9)
    hook.remove()
    assert seen == [9]
    assert clip.model.positional_embedding.shape == (12, 32)
    assert clip.model.attn_mask.shape == (12, 12)


def test_a_model_whose_texts_cannot_be_cut_gets_all_columns(clip: Clip) -> None:
    """Pooling at the last column depends on where a text is cut."""
    clip.model.text_pool_type = "last"
    text_BL = clip.tokenizer(TEXTS)
    assert torch.equal(text_features(clip.model, text_BL, 9), clip.model.encode_text(text_BL, normalize=True))


def test_features_are_normalised_and_those_of_open_clip(clip: Clip) -> None:
    pixels = clip.pixels(pictures(), "cpu")
    features = image_features(clip.model, pixels)
    assert torch.equal(features, clip.model.encode_image(pixels, normalize=True))
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))


def test_pixels_are_normalised_per_channel_and_the_bytes_kept() -> None:
    clip = Clip(
        model=build(SMALL, 10, 0),
        cfg=open_clip_config(SMALL, 10),
        tokenizer=WordTokenizer(WORDS, 12),
        mean=(0.0, 0.5, 1.0),
        std=(1.0, 0.5, 0.25),
    )
    image = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    assert clip.pixels(image, "cpu")[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]
    assert clip.pixels(torch.zeros_like(image), "cpu")[0, :, 3, 7].tolist() == [0.0, -1.0, -4.0]
    assert (image == 255).all()


@pytest.mark.parametrize("tokens", [4, 12])
def test_flops_equal_counted_products(clip: Clip, tokens: int) -> None:
    """torch counts every matrix product but those of the fused attention, 4 L^2 W a layer; we leave the projections out
    (2 W D a sample). Vision: 5 tokens of width 32, 2 layers. Text: ``tokens`` tokens of width 32, 2 layers."""
    image, text = forward_flops(clip.cfg, tokens)
    projection = 2 * 32 * 16
    assert count(lambda: image_features(clip.model, torch.zeros(1, 3, 16, 16))) == image - 2 * 4 * 25 * 32 + projection
    text_BL = clip.tokenizer("a")
    assert count(lambda: text_features(clip.model, text_BL, tokens)) == text - 2 * 4 * tokens**2 * 32 + projection


def count(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


# ---- tokenizer -----------------------------------------------------------------------------------------------------


def test_tokens_of_a_sentence() -> None:
    """Ids: pad 0, unknown 1, the words 2 to 7, start 8, end 9."""
    tokenizer = WordTokenizer(WORDS, 8)
    assert tokenizer.vocab_size == 10
    expected = [8, 2, 3, 5, 9, 0, 0, 0]
    assert tokenizer(["A red, ball!"]).tolist() == [expected]
    assert tokenizer("a red ball").tolist() == [expected]
    assert tokenizer("a green ball").tolist() == [[8, 2, 1, 5, 9, 0, 0, 0]]
    assert tokenizer("").tolist() == [[8, 9, 0, 0, 0, 0, 0, 0]]


def test_tokenizer_keeps_open_clips_interface() -> None:
    """Same call, shape, type and padding as open_clip's own; the end token is where open_clip's pooling looks."""
    tokenizer, theirs = WordTokenizer(WORDS, 77), open_clip.SimpleTokenizer()
    for texts in ("a red ball", ["a red ball"], TEXTS):
        for length in (None, 6):
            mine, expected = tokenizer(texts, length), theirs(texts, length)
            assert (mine.shape, mine.dtype) == (expected.shape, expected.dtype)
            assert torch.equal(mine.argmax(1), expected.argmax(1))
            assert torch.equal(mine == 0, expected == 0)
    assert tokenizer([]).shape == (0, 77)


@pytest.mark.parametrize("count", [5, 6, 7, 30])
def test_long_texts_are_cut_and_keep_their_end(count: int) -> None:
    tokenizer = WordTokenizer(WORDS, 8)
    (row,) = tokenizer([" ".join(["ball"] * count)]).tolist()
    kept = min(count, 6)
    assert row == [8, *[5] * kept, 9] + [0] * (6 - kept)


@pytest.mark.parametrize("words", [["a", "a"], ["<end>"]])
def test_words_must_differ(words: list[str]) -> None:
    with pytest.raises(ValueError, match="must differ"):
        WordTokenizer(words, 8)


# ---- files ---------------------------------------------------------------------------------------------------------


def test_open_clip_loads_the_folder_and_gives_the_same_features(clip: Clip, folder: Path) -> None:
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    theirs.eval()
    pixels, text_BL = clip.pixels(pictures(), "cpu"), clip.tokenizer(TEXTS)
    with torch.no_grad():
        image_BD, text_BD = theirs.encode_image(pixels, normalize=True), theirs.encode_text(text_BL, normalize=True)
        torch.testing.assert_close(image_features(clip.model, pixels), image_BD, rtol=0, atol=1e-5)
        torch.testing.assert_close(text_features(clip.model, text_BL, 9), text_BD, rtol=0, atol=1e-5)
    assert theirs.logit_scale.item() == clip.model.logit_scale.item()
    (normalise,) = [step for step in preprocess.transforms if type(step).__name__ == "Normalize"]
    assert (tuple(normalise.mean), tuple(normalise.std)) == (clip.mean, clip.std)


def test_open_clips_preprocessing_gives_our_pixels(clip: Clip, folder: Path) -> None:
    from torchvision.transforms.functional import to_pil_image

    _, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    image = pictures(1)
    torch.testing.assert_close(preprocess(to_pil_image(image[0])), clip.pixels(image, "cpu")[0], rtol=0, atol=1e-5)


def test_load_gives_back_what_was_saved(clip: Clip, folder: Path) -> None:
    again = load_clip(folder)
    assert fingerprint(again.model) == fingerprint(clip.model)
    assert (again.cfg, again.mean, again.std, again.image_size) == (clip.cfg, clip.mean, clip.std, 16)
    assert torch.equal(again.tokenizer(TEXTS), clip.tokenizer(TEXTS))


def test_the_hash_names_the_weights(clip: Clip, folder: Path, tmp_path: Path) -> None:
    save_clip(clip, tmp_path / "same")
    assert weights_hash(tmp_path / "same") == weights_hash(folder)
    with torch.no_grad():
        clip.model.logit_scale.add_(1e-6)
    save_clip(clip, tmp_path / "other")
    assert weights_hash(tmp_path / "other") != weights_hash(folder)


def test_a_tokenizer_that_would_not_come_back_is_refused(clip: Clip, tmp_path: Path) -> None:
    class Other:
        context_length = 12

        def __call__(self, texts: str | list[str], context_length: int | None = None) -> Tensor:
            return torch.zeros(1, 12, dtype=torch.int64)

    for tokenizer, message in (
        (open_clip.SimpleTokenizer(), "CLIP's tokenizer cannot be saved with a model of 10 words"),
        (Other(), "a Other cannot be saved"),
    ):
        foreign = Clip(model=clip.model, cfg=clip.cfg, tokenizer=tokenizer)
        with pytest.raises(UserError, match=message):
            save_clip(foreign, tmp_path / "model")
        assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", [CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{folder} is no model folder: {name} is missing"):
        load_clip(folder)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(UserError, match=f"{folder} is no model folder"):
            load_clip(folder)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("name", [CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE])
def test_a_torn_file_is_named(folder: Path, name: str, share: float) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=f"{folder / name} is torn or foreign") as caught:
        load_clip(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"7", b'"text"', b"\xff\xfe\x00", b'{"model_cfg": {"colour": 1}}'])
@pytest.mark.parametrize("name", [CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE])
def test_a_foreign_file_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{folder / name} is torn or foreign"):
        load_clip(folder)


def test_a_tokenizer_of_another_model_is_named(folder: Path) -> None:
    """One word more would give ids that mean something else, or none."""
    (folder / TOKENIZER_FILE).write_bytes(WordTokenizer([*WORDS, "right"], 12).to_json())
    with pytest.raises(UserError, match=rf"{folder / TOKENIZER_FILE} is torn or foreign .*number of words"):
        load_clip(folder)


def rename_a_tensor(weights: dict[str, Tensor]) -> None:
    weights["other"] = weights.pop("ln_final.bias")


def widen_a_tensor(weights: dict[str, Tensor]) -> None:
    weights["ln_final.bias"] = torch.zeros(33)


@pytest.mark.parametrize("change", [rename_a_tensor, widen_a_tensor])
def test_weights_of_another_model_are_named(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    weights = load_file(folder / WEIGHTS_FILE)
    change(weights)
    save_file(weights, folder / WEIGHTS_FILE)
    with pytest.raises(UserError, match=rf"{folder / WEIGHTS_FILE} is torn or foreign .*ln_final\.bias"):
        load_clip(folder)


def test_the_configuration_is_written_last(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a folder that has one is whole, whenever the writer was killed."""
    written: list[str] = []

    def note(path: Path, content: bytes) -> None:
        written.append(path.name)

    monkeypatch.setattr("tripletclip.models.folder.write_atomic", note)
    save_clip(clip, tmp_path)
    assert written[-1] == CONFIG_FILE
    assert set(written) == {CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE}


def test_the_saved_configuration_is_plain_json(folder: Path) -> None:
    saved: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text("utf8"))
    assert saved["model_cfg"] == open_clip_config(SMALL, len(WORDS) + 4)
    assert saved["preprocess_cfg"]["mean"] == [0.5, 0.5, 0.5]
