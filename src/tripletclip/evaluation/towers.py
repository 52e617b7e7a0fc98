"""Encoders of one kind only: pictures by timm or transformers (DINOv2), texts by transformers (GTE).

They show what a model that never saw a pair makes of an item and its hard negative (Figures 4 and 5 of the paper, by
``similarity.one_tower``). Weights are safetensors, or timm's read with ``weights_only``; no code of a repository runs.

Shapes: N items, D features, B batch, L tokens.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from PIL import Image
from torch import Tensor, nn

from tripletclip.data.index import first_line
from tripletclip.data.transforms import ImageError, decode_rgb
from tripletclip.errors import UserError
from tripletclip.evaluation.encoder import UnreadableImages
from tripletclip.extras import require
from tripletclip.models.identity import digest_of

Pooling: TypeAlias = Literal["mean", "cls"]

TIMM, HUB, HUB_LONG = "timm:", "hf:", "hf-hub:"
WITH_CLASS_TOKEN = ("dinov2", "dinov2_with_registers", "dinov3_vit", "vit", "deit")
"""Kinds of transformers' image models whose first place is the picture's own, as their papers use it."""
POOLING_FILE = "1_Pooling/config.json"
"""Where sentence-transformers writes how token features become one:
https://github.com/huggingface/sentence-transformers/blob/v5.1.2/sentence_transformers/models/Pooling.py"""


class ImageTower:
    """Pictures to unit features by ``model``, after ``prepare`` has made pixels [3, H, W] of each."""

    def __init__(
        self,
        model: nn.Module,
        prepare: Callable[[Image.Image], Tensor],
        features: Callable[[nn.Module, Tensor], Tensor],
        *,
        settings: Any,
        device: torch.device | str = "cpu",
        batch_size: int = 64,
    ) -> None:
        self.model = model.to(device).eval()
        self.device = torch.device(device)
        self.batch_size = batch_size
        self._prepare = prepare
        self._features = features
        self._settings = settings

    def encode_images(self, images: list[bytes]) -> Tensor:
        """Encoded images to unit features [N, D]. Those that do not decode are named in
        :class:`~tripletclip.evaluation.encoder.UnreadableImages`."""
        batches, reasons = [], dict[int, str]()
        for start in range(0, len(images), self.batch_size):
            pixels = []
            for place, data in enumerate(images[start : start + self.batch_size], start):
                try:
                    pixels.append(self._prepare(decode_rgb(data)))
                except ImageError as error:
                    reasons[place] = error.reason
            if pixels and not reasons:
                with torch.inference_mode():
                    batches.append(_unit(self._features(self.model, torch.stack(pixels).to(self.device))))
        if reasons:
            raise UnreadableImages(reasons)
        return torch.cat(batches) if batches else torch.zeros(0, 0)

    def digest(self) -> str:
        """SHA-256 over everything that the features depend on."""
        return digest_of(self.model, self._settings)


class TextTower:
    """Texts to unit features: token features of a transformers model, their mean or the first of them."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        pooling: Pooling,
        max_length: int,
        device: torch.device | str = "cpu",
        batch_size: int = 64,
    ) -> None:
        self.model = model.to(device).eval()
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_length = max_length
        self.device = torch.device(device)
        self.batch_size = batch_size

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Strings to unit features [N, D], each encoded once; longer ones are cut at ``max_length`` tokens."""
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        batches = [
            self._encode(distinct[start : start + self.batch_size])
            for start in range(0, len(distinct), self.batch_size)
        ]
        row_of = {text: row for row, text in enumerate(distinct)}
        return torch.cat(batches)[[row_of[text] for text in texts]] if batches else torch.zeros(0, 0)

    def digest(self) -> str:
        """SHA-256 over everything that the features depend on."""
        words = sorted(self.tokenizer.get_vocab().items())
        return digest_of(self.model, [self.pooling, self.max_length, type(self.tokenizer).__name__, words])

    def _encode(self, texts: Sequence[str]) -> Tensor:
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            features_BLD = self.model(**tokens).last_hidden_state
        if self.pooling == "cls":
            return _unit(features_BLD[:, 0])
        mask_BL1 = tokens["attention_mask"].unsqueeze(-1)
        return _unit((features_BLD * mask_BL1).sum(1) / mask_BL1.sum(1))


def image_tower(spec: str, device: torch.device | str = "cpu", batch_size: int = 64) -> ImageTower:
    """The encoder of pictures that ``spec`` names: ``timm:NAME`` (``timm:vit_small_patch14_dinov2.lvd142m``), or a
    folder or ``hf:ORG/NAME`` of transformers with safetensors (``hf:facebook/dinov2-base``).

    timm's features are those before its classifier, transformers' the first place of the last layer. Raises
    :class:`UserError` for a missing extra, a model that cannot be loaded, or one whose first place means nothing.
    """
    if spec.startswith(TIMM):
        return _timm_tower(spec.removeprefix(TIMM), device, batch_size)
    require("hf", f"the image encoder {spec}", "transformers")
    from transformers import AutoConfig, AutoImageProcessor, AutoModel

    source = _source(spec)
    with _loading(spec):
        config = AutoConfig.from_pretrained(source)
        if config.model_type not in WITH_CLASS_TOKEN:
            raise UserError(
                f"{spec} is a '{config.model_type}', whose first place is not the picture's own; known are "
                f"{', '.join(WITH_CLASS_TOKEN)}, and timm:NAME for others"
            )
        processor = AutoImageProcessor.from_pretrained(source)
        model = AutoModel.from_pretrained(source, use_safetensors=True)

    def prepare(image: Image.Image) -> Tensor:
        pixels: Tensor = processor(image, return_tensors="pt")["pixel_values"][0]
        return pixels

    def features(module: nn.Module, pixels_BCHW: Tensor) -> Tensor:
        first_BD: Tensor = module(pixel_values=pixels_BCHW).last_hidden_state[:, 0]
        return first_BD

    settings = ["transformers", processor.to_json_string()]
    return ImageTower(model, prepare, features, settings=settings, device=device, batch_size=batch_size)


def text_tower(
    spec: str, *, pooling: Pooling | None = None, device: torch.device | str = "cpu", batch_size: int = 64
) -> TextTower:
    """The encoder of texts of a transformers folder or ``hf:ORG/NAME`` with safetensors (``hf:thenlper/gte-base``).

    How token features become one is what the model's own ``1_Pooling/config.json`` says, unless ``pooling`` does.
    Raises :class:`UserError` for a missing extra, a model that cannot be loaded, or a pooling that nobody says.
    """
    require("hf", f"the text encoder {spec}", "transformers")
    from transformers import AutoModel, AutoTokenizer

    source = _source(spec)
    with _loading(spec):
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModel.from_pretrained(source, use_safetensors=True)
    places = int(model.config.max_position_embeddings)
    return TextTower(
        model,
        tokenizer,
        pooling=pooling or _saved_pooling(spec, source),
        max_length=min(places, tokenizer.model_max_length),
        device=device,
        batch_size=batch_size,
    )


def _timm_tower(name: str, device: torch.device | str, batch_size: int) -> ImageTower:
    import timm  # open_clip brings it

    with _loading(f"{TIMM}{name}"):
        model = timm.create_model(name, pretrained=True, num_classes=0)
    data: Any = timm.data
    config = data.resolve_model_data_config(model)
    transform = data.create_transform(**config, is_training=False)

    def features(module: nn.Module, pixels_BCHW: Tensor) -> Tensor:
        found: Tensor = module(pixels_BCHW)
        return found

    settings = ["timm", {key: str(value) for key, value in config.items()}]
    return ImageTower(model, transform, features, settings=settings, device=device, batch_size=batch_size)


def _source(spec: str) -> str:
    """The folder or repository that ``spec`` names, as transformers wants it."""
    for prefix in (HUB_LONG, HUB):
        if spec.startswith(prefix):
            return spec.removeprefix(prefix)
    if not Path(spec).is_dir():
        raise UserError(f"encoder folder {spec} does not exist; give a folder, hf:ORG/NAME or timm:NAME")
    return spec


def _saved_pooling(spec: str, source: str) -> Pooling:
    """The pooling of a folder's or repository's own configuration."""
    from transformers.utils import cached_file

    with _loading(spec):
        path = cached_file(source, POOLING_FILE, _raise_exceptions_for_missing_entries=False)
    if path is None:
        raise UserError(f"{spec} does not say how its tokens are pooled ({POOLING_FILE} is missing); say mean or cls")
    try:
        saved = json.loads(Path(path).read_text("utf8"))
        chosen = sorted(key for key, value in saved.items() if key.startswith("pooling_mode") and value is True)
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is torn or foreign ({first_line(error)}); fetch the model again") from error
    known: dict[str, Pooling] = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    if len(chosen) != 1 or chosen[0] not in known:
        raise UserError(f"{spec} pools by {', '.join(chosen) or 'nothing'}; known are {', '.join(sorted(known))}")
    return known[chosen[0]]


@contextlib.contextmanager
def _loading(spec: str) -> Iterator[None]:
    """What goes wrong while a library loads ``spec`` is one line."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise UserError(f"cannot load the encoder '{spec}': {first_line(error)}; check the name and network") from error


def _unit(features_BD: Tensor) -> Tensor:
    return nn.functional.normalize(features_BD.float(), dim=1).cpu()
