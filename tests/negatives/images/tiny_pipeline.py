"""Text-to-image pipelines small enough for one core, with random weights but the real code path."""

import json
import string
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

START, END = "<|startoftext|>", "<|endoftext|>"


def build(folder: Path, style: str = "sd", seed: int = 0) -> Path:
    """Write a pipeline into ``folder`` with ``save_pretrained`` (safetensors); ``style`` is ``sd`` or ``sdxl``.

    It paints any size that is a multiple of 8; 64 pixels take a few milliseconds.
    """
    diffusers: Any = import_module("diffusers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = _vae()
        if style == "sd":
            parts: dict[str, Any] = {
                "unet": _unet(), "scheduler": diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
                "text_encoder": _text_encoder(), "tokenizer": _tokenizer(folder),
            }  # fmt: skip
            nothing = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
            pipeline = diffusers.StableDiffusionPipeline(vae=vae, **parts, **nothing)
        elif style == "sdxl":
            parts = {
                "unet": _unet(xl=True),
                "scheduler": diffusers.EulerAncestralDiscreteScheduler(timestep_spacing="trailing"),
                "text_encoder": _text_encoder(), "text_encoder_2": _text_encoder(projected=True),
                "tokenizer": _tokenizer(folder), "tokenizer_2": _tokenizer(folder),
            }  # fmt: skip
            pipeline = diffusers.StableDiffusionXLPipeline(vae=vae, **parts)
        else:
            raise ValueError(style)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer with single letters for a vocabulary."""
    from transformers import CLIPTokenizer

    letters = [*string.ascii_lowercase, *string.digits, *",.'-!?:"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocab, merges = folder / "letters.json", folder / "merges.txt"
    vocab.write_text(json.dumps({word: index for index, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    files = {"vocab": str(vocab), "merges": str(merges)}
    tokenizer = CLIPTokenizer(
        **files, unk_token=END, bos_token=START, eos_token=END, pad_token=END, model_max_length=77
    )
    vocab.unlink()
    merges.unlink()
    return tokenizer


def _text_encoder(projected: bool = False) -> Any:
    transformers: Any = import_module("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=88, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=16, bos_token_id=86, eos_token_id=87, pad_token_id=87,
    )  # fmt: skip
    kind = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    model = getattr(transformers, kind)(config)
    return model.eval()


def _unet(xl: bool = False) -> Any:
    diffusers: Any = import_module("diffusers")
    more: dict[str, Any] = {}
    if xl:
        # Pooled text of 16 and six numbers of 8 sines and cosines each.
        more = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 64,
        }
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(16, 32),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32 if xl else 16, attention_head_dim=8, **more,
    )  # fmt: skip
    with torch.no_grad():  # at random weights the caption would hardly be seen
        for name, weight in unet.named_parameters():
            if "attn2.to_out" in name or "attn2.to_v" in name:
                weight.mul_(8)
    return unet


def _vae() -> Any:
    diffusers: Any = import_module("diffusers")
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
