"""Tiny models as others leave them on disk, and what their features must be equal to."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tripletclip.models import Clip, image_features, text_features

TINY: dict[str, Any] = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
SIGLIP: dict[str, Any] = {
    "embed_dim": 16,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": TINY["vision_cfg"],
    "text_cfg": TINY["text_cfg"] | {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
}
PIXELS = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear", "resize_mode": "squash"}
TEXTS = ["a red dog on a mat", "cat", "two blue balls"]


def open_clip_folder(folder: Path, cfg: dict[str, Any], weights: str = "open_clip_model.safetensors") -> nn.Module:
    """A folder as open_clip's ``push_to_hf_hub`` leaves it, and the model in it."""
    folder.mkdir(parents=True)
    settings = {name: value for name, value in cfg.items() if name != "custom_text"}
    torch.manual_seed(1)
    model: nn.Module = (open_clip.CustomTextCLIP if "custom_text" in cfg else open_clip.CLIP)(**settings)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if weights.endswith(".safetensors"):
        save_file(state, folder / weights)
    else:
        torch.save(state, folder / weights)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": PIXELS}))
    return model.eval()


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(4))


def assert_same_features(clip: Clip, theirs: nn.Module) -> None:
    """Images, whole texts, and texts cut to the longest as the loader gives them."""
    clip.model.eval()
    text_BL = clip.tokenizer(TEXTS)
    length = int(text_BL.ne(0).sum(1).max())
    assert length < text_BL.shape[1]
    with torch.no_grad():
        encode: Any = theirs
        image_BD, text_BD = encode.encode_image(images(), normalize=True), encode.encode_text(text_BL, normalize=True)
        torch.testing.assert_close(image_features(clip.model, images()), image_BD, rtol=0, atol=1e-5)
        torch.testing.assert_close(text_features(clip.model, text_BL[:, :length], length), text_BD, rtol=0, atol=1e-5)


def hf_config(**changes: Any) -> Any:
    from transformers import CLIPConfig

    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3}
    act = {"hidden_act": changes.pop("hidden_act", "quick_gelu")}
    text = sizes | act | {"max_position_embeddings": 20, "bos_token_id": 49406, "eos_token_id": 49407}
    return CLIPConfig(
        text_config=text | changes.pop("text", {}),
        vision_config=sizes | act | {"image_size": 16, "patch_size": 8} | changes.pop("vision", {}),
        projection_dim=12,
        **changes,
    )


def hf_folder(folder: Path, **changes: Any) -> nn.Module:
    """A random CLIPModel with weights large enough that every one of them counts."""
    from transformers import CLIPModel

    torch.manual_seed(2)
    model = CLIPModel(hf_config(**changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    found: nn.Module = model
    return found


def assert_hf_features(clip: Clip, theirs: nn.Module) -> None:
    """transformers pads with the end token; the first one counts, so tokens of ours are padded so for it."""
    clip.model.eval()
    text_BL = clip.tokenizer(TEXTS)
    with torch.no_grad():
        padded = torch.where(text_BL == 0, 49407, text_BL)
        output: Any = theirs(input_ids=padded, pixel_values=images())
        torch.testing.assert_close(image_features(clip.model, images()), output.image_embeds, rtol=0, atol=1e-5)
        torch.testing.assert_close(text_features(clip.model, text_BL, 20), output.text_embeds, rtol=0, atol=1e-5)
        torch.testing.assert_close(text_features(clip.model, text_BL, 9), output.text_embeds, rtol=0, atol=1e-5)
        scale: Any = theirs.logit_scale
        assert clip.model.logit_scale.item() == scale.item()


def authors_config(tower: str, **changes: Any) -> dict[str, Any]:
    """``config.json`` of a tower as the authors' repositories have it, with tiny sizes where ``changes`` says so.

    https://huggingface.co/TripletCLIP/CC12M_TripletCLIP_ViTB12/commit/1f8b01920bccf9bb33d6ae51f12d3f1c2fc90845
    """
    name = tower.capitalize()
    shared = {
        "architectures": [f"CLIP{name}EncoderOnly"],
        "auto_map": {
            "AutoConfig": f"utils.CLIP{name}EncoderOnlyConfig",
            "AutoModel": f"utils.CLIP{name}EncoderOnly",
        },
        "frozen": False,
        "lora": None,
        "model_name": "openai/clip-vit-base-patch32",
        "model_type": f"clip_custom_{tower}_model",
        "pretrained": False,
        "torch_dtype": "float32",
        "transformers_version": "4.40.0",
    }
    text = {
        "attention_dropout": 0.0, "bos_token_id": 49406, "eos_token_id": 49407, "hidden_act": "quick_gelu",
        "hidden_size": 512, "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 2048,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 77, "num_attention_heads": 8, "num_hidden_layers": 12,
        "pad_token_id": 1, "projection_dim": 512, "vocab_size": 49408,
    }  # fmt: skip
    return shared | (text if tower == "text" else {}) | changes


def tower_models(vision: dict[str, Any], text: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
    """transformers' two classes with random weights, large enough that every one of them counts."""
    from transformers import (
        CLIPTextConfig,
        CLIPTextModelWithProjection,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    torch.manual_seed(6)
    towers = (
        CLIPVisionModelWithProjection(CLIPVisionConfig(**vision)).eval(),
        CLIPTextModelWithProjection(CLIPTextConfig(**text)).eval(),
    )
    with torch.no_grad():
        for parameter in (p for tower in towers for p in tower.parameters()):
            parameter.add_(0.02 * torch.randn_like(parameter))
    return towers


def authors_folder(
    folder: Path, towers: tuple[nn.Module, nn.Module], *, wrapped: bool = True, **configs: dict[str, Any]
) -> Path:
    """The two folders with the tensors of ``towers``; ``configs`` holds changes of ``vision`` and ``text``."""
    for name, tower in zip(("vision", "text"), towers, strict=True):
        place = folder / f"{name}-encoder"
        place.mkdir(parents=True)
        prefix = "model." if wrapped else ""
        save_file({prefix + key: tensor.contiguous() for key, tensor in tower.state_dict().items()}, place / HF_WEIGHTS)
        (place / "config.json").write_text(json.dumps(authors_config(name, **configs.get(name, {}))))
    return folder


HF_WEIGHTS = "model.safetensors"
