"""Yes or no about a picture, by a model of visual question answering: ViLT picks an answer, BLIP writes one."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from PIL import Image

from tripletclip.errors import UserError
from tripletclip.extras import require

YES, NO, OTHER = "yes", "no", "other"


@dataclass(frozen=True, kw_only=True)
class VqaModelConfig:
    """A name on the Hugging Face Hub or a folder; ``batch_size`` counts pairs of picture and question."""

    model: str = "dandelin/vilt-b32-finetuned-vqa"
    revision: str = "main"
    batch_size: int = 32
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"vqa.batch_size is {self.batch_size}; give at least 1")


class VqaModel:
    """Answers questions about pictures."""

    def __init__(self, config: VqaModelConfig) -> None:
        require("hf", "the VQA check", "transformers")
        library: Any = import_module("transformers")
        classes: dict[str, Any] = {
            "vilt": library.ViltForQuestionAnswering,
            "blip": library.BlipForQuestionAnswering,
        }
        try:
            kind = library.AutoConfig.from_pretrained(config.model, revision=config.revision).model_type
            if kind not in classes:
                raise UserError(f"vqa.model '{config.model}' is a {kind} model; give one of {', '.join(classes)}")
            self._processor = library.AutoProcessor.from_pretrained(config.model, revision=config.revision)
            model = classes[kind].from_pretrained(config.model, revision=config.revision, use_safetensors=True)
        except UserError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            fault = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UserError(
                f"cannot load vqa.model '{config.model}' ({fault}); check the name, or give a folder"
            ) from error
        self.config = config
        self._model = model.to(config.device).eval()
        self._labels = _yes_and_no(model.config.id2label, config.model) if kind == "vilt" else None

    def answers(self, pictures: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
        """``yes``, ``no`` or ``other`` for each picture with its question. ViLT always says yes or no."""
        found: list[str] = []
        for start in range(0, len(questions), self.config.batch_size):
            stop = start + self.config.batch_size
            found += self._batch(list(pictures[start:stop]), list(questions[start:stop]))
        return found

    @torch.inference_mode()
    def _batch(self, pictures: list[Image.Image], questions: list[str]) -> list[str]:
        rgb = [picture.convert("RGB") for picture in pictures]
        inputs = self._processor(images=rgb, text=questions, return_tensors="pt", padding=True, truncation=True)
        inputs = inputs.to(self.config.device)
        if self._labels is None:
            said = self._processor.batch_decode(
                self._model.generate(**inputs, max_new_tokens=5), skip_special_tokens=True
            )
            return [_word(text) for text in said]
        # ViLT draws the order of its patches from torch's global generator; nobody else shall notice.
        with torch.random.fork_rng():
            torch.manual_seed(0)
            logits_BA = self._model(**inputs).logits
        yes, no = self._labels
        return [YES if row[yes] > row[no] else NO for row in logits_BA.float().cpu()]


def _yes_and_no(labels: dict[int, str], model: str) -> tuple[int, int]:
    by_name = {name.lower(): index for index, name in labels.items()}
    if YES not in by_name or NO not in by_name:
        raise UserError(f"vqa.model '{model}' has no answers 'yes' and 'no'; give one that was trained on VQA")
    return by_name[YES], by_name[NO]


def _word(text: str) -> str:
    words = text.lower().split()
    return words[0] if words and words[0] in (YES, NO) else OTHER
