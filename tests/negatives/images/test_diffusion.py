"""The painter ``diffusion`` on real diffusers pipelines with random weights."""

import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipeline import build

from tripletclip.errors import UserError
from tripletclip.negatives.contract import Failed, PaintRequest, Rejected
from tripletclip.negatives.images.diffusion import DiffusionConfig, DiffusionPainter

pytest.importorskip("diffusers", reason="the extra 'hf' is not installed")

CAPTIONS = ("a dog on a mat", "two cats under a table", "a red bus", "")


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp(request.param) / "pipeline", request.param)


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("one") / "pipeline", "sd")


def painter(folder: Path, **settings: Any) -> DiffusionPainter:
    small: dict[str, Any] = {"model": str(folder), "resolution": 32, "size": 32, "batch_size": 4}
    return DiffusionPainter(DiffusionConfig(**(small | settings)))


def asked(count: int) -> list[PaintRequest]:
    return [PaintRequest(key=str(at), caption=CAPTIONS[at % 4], seed=(at + 1) * 2**52 + 7) for at in range(count)]


def pixels(picture: object) -> np.ndarray:
    assert isinstance(picture, Image.Image) and picture.mode == "RGB", picture
    return np.asarray(picture).astype(int)


def test_a_picture_is_the_same_in_any_batch(folder: Path) -> None:
    requests = asked(7)
    torch.manual_seed(1)
    together = painter(folder).paint(requests)
    torch.manual_seed(2)
    alone = painter(folder, batch_size=1).paint(requests[::-1])[::-1]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(pixels(one) - pixels(other)).max() <= 1, "rounding to 8 bits may differ by one step"


def test_seed_and_caption_both_matter(folder: Path) -> None:
    dog, same, other_seed, cats = (
        PaintRequest(key="k", caption=caption, seed=seed)
        for caption, seed in ((CAPTIONS[0], 1), (CAPTIONS[0], 1), (CAPTIONS[0], 2), (CAPTIONS[1], 1))
    )
    first, second, third, fourth = (pixels(picture) for picture in painter(folder).paint([dog, same, other_seed, cats]))
    assert np.abs(first - second).max() <= 1
    assert np.abs(first - third).mean() > 10
    assert np.abs(first - fourth).max() > 1


def test_pictures_are_kept_at_the_size_asked_for(sd: Path) -> None:
    made = painter(sd, size=20)
    assert pixels(made.paint(asked(1))[0]).shape == (20, 20, 3)
    assert made.cost().calls == 1 and made.cost().seconds > 0
    assert made.model == f"{sd}@main 1 steps guidance 0 32px"
    assert made.paint([]) == []


def limited(made: DiffusionPainter, fits: int, error: Callable[[], Exception]) -> list[int]:
    """Make the pipeline fail on batches of more than ``fits``; returns the sizes that were tried."""
    tried: list[int] = []
    pipeline = made._pipeline

    def paint(**settings: Any) -> Any:
        tried.append(len(settings["prompt"]))
        if tried[-1] > fits:
            raise error()
        return pipeline(**settings)

    made._pipeline = paint
    return tried


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"),
        lambda: RuntimeError("MPS backend out of memory"),
    ],
)
def test_out_of_memory_halves_the_batch_for_good(sd: Path, error: Callable[[], Exception]) -> None:
    requests = asked(9)
    expected = painter(sd, batch_size=1).paint(requests)
    made = painter(sd, batch_size=8)
    tried = limited(made, 2, error)
    found = made.paint(requests)
    assert tried == [8, 4, 2, 2, 2, 2, 1] and made.batch_size == 2
    assert all(np.abs(pixels(one) - pixels(other)).max() <= 1 for one, other in zip(found, expected, strict=True))
    tried.clear()
    made.paint(requests[:3])
    assert tried == [2, 1], "the smaller batch is remembered"


def test_a_single_picture_that_does_not_fit_has_failed(sd: Path) -> None:
    made = painter(sd)
    limited(made, 0, lambda: torch.cuda.OutOfMemoryError("out of memory"))
    assert made.paint(asked(2)) == [Failed(reason="out of memory")] * 2


def test_other_errors_are_not_swallowed(sd: Path) -> None:
    made = painter(sd)
    limited(made, 0, lambda: RuntimeError("device-side assert"))
    with pytest.raises(RuntimeError, match="device-side"):
        made.paint(asked(1))


def test_pictures_that_show_nothing_are_rejected(sd: Path) -> None:
    made = painter(sd)
    pictures = np.full((4, 32, 32, 3), 0.5, np.float32)
    pictures[0] = 0
    pictures[1, 5, 5, 0] = np.nan
    flags = [False, False, True, False]
    made._pipeline = lambda **_: {"images": pictures, "nsfw_content_detected": flags}
    black, broken, flagged, fine = made.paint(asked(4))
    assert black == broken == Rejected(reason="black image")
    assert flagged == Rejected(reason="flagged by the safety checker")
    assert (pixels(fine) == 128).all()


def test_noise_from_torchs_global_generator_is_left_alone(sd: Path) -> None:
    made = painter(sd)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    made.paint(asked(1))
    assert torch.equal(torch.rand(4), expected)


def test_the_safety_checker_goes_only_when_the_user_says_so(sd: Path) -> None:
    from tripletclip.negatives.images.diffusion import _without_checker

    diffusers: Any = import_module("diffusers")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(sd)
    checker = torch.nn.Identity()
    for keeps in (True, False):
        pipeline.register_modules(safety_checker=checker)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _without_checker(pipeline, DiffusionConfig(safety_checker=keeps))
        assert (pipeline.safety_checker is checker) == keeps


def test_nothing_is_printed_while_loading(sd: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        painter(sd).paint(asked(1))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "./nowhere"}, r"diffusion\.model is './nowhere', which has no model_index\.json"),
        ({"model": "/no/such/folder"}, r"diffusion\.model is '/no/such/folder'"),
        ({"model": "nobody/no-such-model", "local": True}, r"cannot load diffusion\.model 'nobody/no-such-model'"),
        ({"model": ""}, r"diffusion\.model is empty"),
        ({"dtype": "float61"}, r"unknown diffusion\.dtype 'float61'; did you mean 'float16'"),
        ({"steps": 0}, r"diffusion\.steps is 0"),
        ({"batch_size": 0}, r"diffusion\.batch_size is 0"),
        ({"size": 0}, r"diffusion\.size is 0"),
        ({"resolution": 100}, r"diffusion\.resolution is 100; give a multiple of 8"),
        ({"device": "gpu"}, r"diffusion\.device is 'gpu'"),
        ({"device": "cuda:99"}, r"diffusion\.device is 'cuda:99'"),
    ],
)
def test_bad_settings_are_said_in_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        DiffusionPainter(DiffusionConfig(**settings))
    assert "\n" not in str(caught.value)


def test_torn_and_foreign_folders_are_said_in_one_line(sd: Path, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}'
    )
    with pytest.raises(UserError, match=r"cannot load diffusion\.model") as caught:
        painter(tmp_path)
    assert "\n" not in str(caught.value)
    index = (sd / "model_index.json").read_text()
    (sd / "model_index.json").write_text(index.replace("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"))
    try:
        with pytest.raises(UserError, match="is a StableDiffusionImg2ImgPipeline; give a text-to-image one"):
            painter(sd)
    finally:
        (sd / "model_index.json").write_text(index)
