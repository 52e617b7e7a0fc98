"""The open_clip adapter: trimmed texts, distinct encoding, pixels, modes. The model is small, random and causal."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_clip import CONTEXT, MEAN, STD, encoder, png, small_clip, tokenize
from PIL import Image
from torch import Tensor, nn

from tripletclip.errors import UserError
from tripletclip.evaluation.encoder import (
    ConstantEncoder,
    FeatureTable,
    UnreadableImages,
    clip_encoder,
    encode_distinct,
    text_lengths,
)
from tripletclip.models import ModelConfig, new_clip

TEXTS = ["abcdefghijklmnop", "zyx", "a", "qqqqqqq", "", "zyxw", "cdcd", "bb", "ab"]  # no order here is its own inverse


def watch_lengths(model: nn.Module) -> list[int]:
    lengths: list[int] = []
    transformer = model.get_submodule("transformer")
    transformer.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    return lengths


def test_trimmed_texts_equal_full_texts() -> None:
    model = small_clip()
    with torch.no_grad():
        full_MD = model(text=tokenize(TEXTS))[1]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lengths = watch_lengths(model)
    features_MD = encoder(model).encode_texts(TEXTS)
    assert torch.allclose(features_MD, full_MD, atol=1e-5)
    assert lengths == [4, 6, 18]  # sorted by length, three a batch, each cut to its longest
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_texts_without_causal_mask_are_not_cut() -> None:
    model = small_clip(no_causal_mask=True)
    with torch.no_grad():
        full_MD = model(text=tokenize(TEXTS))[1]
    lengths = watch_lengths(model)
    assert torch.allclose(encoder(model).encode_texts(TEXTS), full_MD, atol=1e-5)
    assert set(lengths) == {CONTEXT}


def test_same_tokens_same_vector_whatever_the_batch() -> None:
    texts = ["ab", "zyxwvuts", "AB", "q", "aB", "cdcdcdcdcd"]
    features_MD = encoder(small_clip(), batch_size=2).encode_texts(texts)
    assert torch.equal(features_MD[0], features_MD[2])
    assert torch.equal(features_MD[0], features_MD[4])
    assert not torch.equal(features_MD[0], features_MD[1])


def test_lengths_of_texts() -> None:
    assert text_lengths(torch.tensor([[5, 0, 7, 0], [1, 2, 3, 4], [0, 0, 0, 0]])).tolist() == [3, 4, 1]


def test_images_are_normalised_unit_vectors_in_their_order() -> None:
    model = small_clip()
    images = [png(seed) for seed in range(5)]
    features_ND = encoder(model, batch_size=2).encode_images(images)
    with torch.no_grad():
        for data, feature_D in zip(images, features_ND, strict=True):
            pixels = np.asarray(Image.open(io.BytesIO(data)), dtype=np.float32) / 255
            normal = torch.tensor((pixels - np.array(MEAN)) / np.array(STD), dtype=torch.float32).permute(2, 0, 1)
            expected_D = nn.functional.normalize(model(image=normal[None])[0], dim=1)[0]
            assert torch.allclose(feature_D, expected_D, atol=1e-5)
    assert features_ND.dtype == torch.float32
    assert torch.allclose(features_ND.norm(dim=1), torch.ones(5), atol=1e-6)


def test_a_model_gets_the_square_that_it_was_trained_on() -> None:
    """A picture of 32 by 16 whose white quarter lies outside the middle square: only a model that squashes sees it."""
    wide = np.zeros((16, 32, 3), dtype=np.uint8)
    wide[:, 24:] = 255
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "PNG")
    squashed = io.BytesIO()
    Image.fromarray(wide).resize((16, 16), Image.Resampling.BICUBIC).save(squashed, "PNG")
    clip = new_clip(ModelConfig(image_size=16, patch_size=8), ["a"], 0)
    found = clip_encoder(replace(clip, resize_mode="squash")).encode_images([file.getvalue()])
    torch.testing.assert_close(found, clip_encoder(clip).encode_images([squashed.getvalue()]), rtol=0, atol=1e-6)
    assert (found - clip_encoder(clip).encode_images([file.getvalue()])).abs().max() > 1e-3


def test_dictionary_output_is_read_too() -> None:
    as_tuple, as_dict = encoder(small_clip()), encoder(small_clip(output_dict=True))
    assert torch.equal(as_tuple.encode_texts(["ab"]), as_dict.encode_texts(["ab"]))
    assert torch.equal(as_tuple.encode_images([png(1)]), as_dict.encode_images([png(1)]))


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_comes_back(training: bool) -> None:
    model = small_clip().train(training)
    modes: list[bool] = []
    model.get_submodule("transformer").register_forward_pre_hook(lambda module, _: modes.append(module.training))
    encoder(model).encode_texts(["ab"])
    assert modes == [False]
    assert model.training is training
    with pytest.raises(UserError):
        encoder(model).encode_images([b"nothing"])
    assert model.training is training


def test_texts_that_are_cut_are_named() -> None:
    """Eighteen letters fill the context of twenty with start and end; a nineteenth is cut off."""
    fits, longer, short = "a" * 18, "a" * 19, "abc"
    assert encoder(small_clip()).cut_texts([fits, longer, short, "b" * 40]) == [longer, "b" * 40]
    assert encoder(small_clip()).cut_texts([short]) == []


def test_texts_of_one_tokenization_have_one_key() -> None:
    same, also, other = encoder(small_clip()).text_keys(["ab", "AB", "abc"])
    assert same == also != other


def test_every_broken_image_of_a_batch_is_named_with_its_reason() -> None:
    with pytest.raises(UnreadableImages) as stop:
        encoder(small_clip()).encode_images([png(0), b"", png(1), png(2), b"no image", b""])
    assert stop.value.reasons == {1: "empty"}  # of the first batch of three; the rest is found when that one is out
    with pytest.raises(UnreadableImages) as stop:
        encoder(small_clip(), batch_size=8).encode_images([png(0), b"", png(1), png(2), b"no image", b""])
    assert stop.value.reasons == {1: "empty", 4: "not an image", 5: "empty"}


def test_a_broken_image_is_named() -> None:
    with pytest.raises(UserError, match="image 3 of those to encode does not decode"):
        encoder(small_clip()).encode_images([png(0), png(1), png(2), b"no image"])


def test_nothing_to_encode() -> None:
    assert len(encoder(small_clip()).encode_texts([])) == 0
    assert len(encoder(small_clip()).encode_images([])) == 0


def counting(calls: list[list[str]]) -> Callable[[list[str]], Tensor]:
    def encode(items: list[str]) -> Tensor:
        calls.append(items)
        return torch.tensor([[float(len(item)), float(ord(item[0]))] for item in items])

    return encode


def test_distinct_items_are_encoded_once_and_come_back_in_order() -> None:
    calls: list[list[str]] = []
    features = encode_distinct(counting(calls), ["bb", "a", "bb", "ccc", "a"])
    assert calls == [["bb", "a", "ccc"]]
    assert features[:, 0].tolist() == [2, 1, 2, 3, 1]
    assert features[:, 1].tolist() == [98, 97, 98, 99, 97]


def test_a_table_knows_only_its_items() -> None:
    table = FeatureTable({"a": 0, "bb": 1}, torch.tensor([[1.0], [2.0]]))
    assert table.rows(["bb", "bb"])[:, 0].tolist() == [2, 2]
    with pytest.raises(KeyError):
        table.rows(["c"])


def test_an_encoder_that_drops_items_is_refused() -> None:
    with pytest.raises(ValueError, match="gave shape"):
        encode_distinct(lambda items: torch.zeros(1, 4), ["a", "b"])


def test_the_constant_encoder_is_constant() -> None:
    blind = ConstantEncoder()
    features = torch.cat([blind.encode_images([b"x", b"y"]), blind.encode_texts(["p", "q", "r"])])
    assert (features == features[0]).all()
    assert features.norm(dim=1).tolist() == pytest.approx([1] * 5)
