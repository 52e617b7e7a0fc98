"""The tensors of a CLIP under Hugging Face's names and under open_clip's.

Both write the same network: ``q_proj``, ``k_proj`` and ``v_proj`` stand in one matrix, and the two output projections
are transposed. Names and places:
https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/models/clip/modeling_clip.py
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_IN_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OUTSIDE = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "logit_scale": "logit_scale",
}
_PROJECTIONS = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}
_THEIR_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_OUR_LAYER = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)")
_IDLE = re.compile(r".*\.position_ids")


def open_clip_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Hugging Face's tensors under open_clip's names. Raises ``ValueError`` for a name that no CLIP has."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name in _OUTSIDE:
            renamed[_OUTSIDE[name]] = tensor
        elif name in _PROJECTIONS:
            renamed[_PROJECTIONS[name]] = tensor.T.contiguous()
        elif match := _THEIR_LAYER.fullmatch(name):
            tower, number, module, kind = match.groups()
            block = f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{number}"
            if module in _IN_LAYER:
                renamed[f"{block}.{_IN_LAYER[module]}.{kind}"] = tensor
            elif module == "self_attn.q_proj":
                parts = [weights[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
                renamed[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
            elif module not in ("self_attn.k_proj", "self_attn.v_proj"):
                raise ValueError(f"no CLIP has '{name}'")
        elif not _IDLE.fullmatch(name):
            raise ValueError(f"no CLIP has '{name}'")
    return renamed


def hf_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's tensors under Hugging Face's names, each with storage of its own.

    Raises ``ValueError`` for a name that Hugging Face's ``CLIPModel`` does not have.
    """
    outside = {ours: theirs for theirs, ours in _OUTSIDE.items()}
    projections = {ours: theirs for theirs, ours in _PROJECTIONS.items()}
    modules = {ours: theirs for theirs, ours in _IN_LAYER.items()}
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name in outside:
            renamed[outside[name]] = tensor.reshape(()) if name == "logit_scale" else tensor
        elif name in projections:
            renamed[projections[name]] = tensor.T
        elif match := _OUR_LAYER.fullmatch(name):
            tower, number, module, kind = match.groups()
            layer = f"{'vision' if tower else 'text'}_model.encoder.layers.{number}"
            if module == "attn.in_proj":
                parts = zip("qkv", tensor.chunk(3), strict=True)
                renamed |= {f"{layer}.self_attn.{letter}_proj.{kind}": part for letter, part in parts}
            elif module in modules:
                renamed[f"{layer}.{modules[module]}.{kind}"] = tensor
            else:
                raise ValueError(f"Hugging Face's CLIPModel has no '{name}'")
        else:
            raise ValueError(f"Hugging Face's CLIPModel has no '{name}'")
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in renamed.items()}
