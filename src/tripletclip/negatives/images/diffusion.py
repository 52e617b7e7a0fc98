"""Pictures by any diffusers text-to-image pipeline: the painter ``diffusion``.

The defaults are the paper's: SDXL-Turbo, one step, no guidance, 512 pixels. Noise comes from a generator on the CPU for
each picture, so that a picture depends on its own seed and caption, not on its batch or machine.
"""

import contextlib
import gc
import inspect
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tripletclip.errors import UserError, unknown_name
from tripletclip.extras import require
from tripletclip.negatives.contract import Cost, Failed, PaintRequest, Rejected

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
BLACK = 2 / 255
"""A picture whose brightest value is no more than this shows nothing."""

BLACK_IMAGE, OUT_OF_MEMORY, FLAGGED = "black image", "out of memory", "flagged by the safety checker"


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """What paints and how."""

    model: str = "stabilityai/sdxl-turbo"
    """A name on the Hugging Face Hub, or a folder written by save_pretrained."""
    revision: str = "main"
    variant: str = ""
    """Suffix of the weight files, such as fp16; empty for none."""
    steps: int = 1
    guidance: float = 0.0
    resolution: int = 512
    """Side in pixels that the model paints."""
    size: int = 512
    """Side in pixels that is kept."""
    batch_size: int = 8
    dtype: str = "auto"
    """float32, float16, bfloat16, or auto: float16 on a GPU, float32 on a CPU."""
    device: str = "auto"
    """auto (a GPU if there is one), or torch's name of a device."""
    compile: bool = False
    safety_checker: bool = True
    """False takes out the pipeline's safety checker, where it has one; what it flags is rejected otherwise."""
    local: bool = False
    """Never ask the Hub."""

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", *DTYPES):
            raise unknown_name("diffusion.dtype", self.dtype, ("auto", *DTYPES))
        for name, number, least in (
            ("steps", self.steps, 1),
            ("batch_size", self.batch_size, 1),
            ("size", self.size, 1),
        ):
            if number < least:
                raise UserError(f"diffusion.{name} is {number}; give at least {least}")
        if self.resolution < 8 or self.resolution % 8:
            raise UserError(f"diffusion.resolution is {self.resolution}; give a multiple of 8")
        if not self.model:
            raise UserError("diffusion.model is empty; name a folder or a model of the Hugging Face Hub")


class DiffusionPainter:
    """Paints in batches; a batch that does not fit into memory is halved, and later ones keep the smaller size."""

    name = "diffusion"

    def __init__(self, config: DiffusionConfig) -> None:
        require("hf", "the 'diffusion' painter", "diffusers", "transformers")
        self.config = config
        self.model = (
            f"{config.model}@{config.revision} {config.steps} steps guidance {config.guidance:g} {config.resolution}px"
        )
        self.batch_size = config.batch_size
        self.device = _device(config.device)
        self._pipeline = load_pipeline(config, self.device)
        self._cost = Cost()

    def paint(self, requests: Sequence[PaintRequest]) -> list[Image.Image | Rejected | Failed]:
        """A square RGB picture of each caption, or why there is none."""
        start = time.perf_counter()
        results: list[Image.Image | Rejected | Failed] = []
        while len(results) < len(requests):
            batch = requests[len(results) : len(results) + self.batch_size]
            painted = self._batch(batch)
            if painted is not None:
                results += painted
            elif len(batch) > 1:
                self.batch_size = len(batch) // 2
            else:
                results.append(Failed(reason=OUT_OF_MEMORY))
            if painted is None:
                _free_memory()
        self._cost += Cost(calls=len(requests), seconds=time.perf_counter() - start)
        return results

    def cost(self) -> Cost:
        """Pictures asked for as calls, and the seconds they took."""
        return self._cost

    def _batch(self, requests: Sequence[PaintRequest]) -> list[Image.Image | Rejected | Failed] | None:
        """The pictures of one batch; None where it did not fit into memory."""
        try:
            with torch.inference_mode():
                output = self._pipeline(
                    prompt=[request.caption for request in requests],
                    num_inference_steps=self.config.steps,
                    guidance_scale=self.config.guidance,
                    height=self.config.resolution,
                    width=self.config.resolution,
                    generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
                    output_type="np",
                )
        except RuntimeError as error:  # torch.cuda.OutOfMemoryError is one
            if "out of memory" not in str(error).lower():
                raise
            return None
        # Pipelines without a safety checker have no such field, those with one switched off say None.
        flags = output.get("nsfw_content_detected") or [False] * len(requests)
        return [
            Rejected(reason=FLAGGED) if flagged else self._picture(pixels)
            for pixels, flagged in zip(output["images"], flags, strict=True)
        ]

    def _picture(self, pixels_HWC: NDArray[np.float32]) -> Image.Image | Rejected:
        """Floats in 0..1 to a picture of the size that is kept."""
        if not np.isfinite(pixels_HWC).all() or pixels_HWC.max() <= BLACK:
            return Rejected(reason=BLACK_IMAGE)
        picture = Image.fromarray((np.clip(pixels_HWC, 0, 1) * 255).round().astype(np.uint8)).convert("RGB")
        side = (self.config.size, self.config.size)
        return picture if picture.size == side else picture.resize(side, Image.Resampling.LANCZOS)


def load_pipeline(config: DiffusionConfig, device: torch.device) -> Any:
    """The pipeline on ``device``, without progress bars. Only safetensors are read; no code of a repository is run.

    Raises:
        UserError: the folder is missing or torn, or the Hub has no such model or cannot be reached, or it is no
            text-to-image pipeline.
    """
    diffusers: Any = import_module("diffusers")
    for library in ("diffusers", "transformers"):
        logging: Any = import_module(f"{library}.utils.logging")
        logging.disable_progress_bar()  # a job has one progress display, its own
        logging.set_verbosity_error()  # a warning a batch about long captions would bury it
    folder = Path(config.model).expanduser()
    is_path = config.model.startswith((".", "/", "~")) or config.model.count("/") > 1 or folder.exists()
    if is_path and not (folder / "model_index.json").is_file():
        raise UserError(
            f"diffusion.model is '{config.model}', which has no model_index.json; give a folder of save_pretrained"
        )
    with _readable(config.model), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # old schedulers' files, and names that diffusers is changing
        pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(
            str(folder) if is_path else config.model,
            revision=config.revision,
            variant=config.variant or None,
            torch_dtype=_dtype(config.dtype, device),
            use_safetensors=True,
            local_files_only=config.local or is_path,
        )
    asked = set(inspect.signature(pipeline.__call__).parameters)
    if not {"prompt", "height", "width", "generator"} <= asked or "image" in asked:
        raise UserError(f"diffusion.model '{config.model}' is a {type(pipeline).__name__}; give a text-to-image one")
    _without_checker(pipeline, config)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    if config.compile:
        denoiser = "transformer" if "transformer" in pipeline.components else "unet"
        setattr(pipeline, denoiser, torch.compile(pipeline.components[denoiser]))
    return pipeline


def _without_checker(pipeline: Any, config: DiffusionConfig) -> None:
    """Take the safety checker out if there is one and the user said so."""
    if not config.safety_checker and pipeline.components.get("safety_checker") is not None:
        pipeline.register_to_config(requires_safety_checker=False)
        pipeline.register_modules(safety_checker=None)


@contextlib.contextmanager
def _readable(model: str) -> Iterator[None]:
    """What goes wrong inside is the fault of the folder or of the way to the Hub; the user hears one line."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError) as error:
        fault = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"cannot load diffusion.model '{model}' ({fault}); check the name, the network, or give a local folder"
        ) from error


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"diffusion.device is '{name}'; use auto, cpu, cuda or cuda:0") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"diffusion.device is '{name}', but torch finds no GPU; use cpu")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return DTYPES[name]


def _free_memory() -> None:
    """What a batch that did not fit has left behind goes back to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
