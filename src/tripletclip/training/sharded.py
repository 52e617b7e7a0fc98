"""Models too large for one device: the towers' blocks divided among the processes (FSDP2), everything else whole.

A block's weights, gradients and moments of Adam live on the ranks in equal parts; the weights come together for the
block's own forward and backward pass. What stands outside the blocks (embeddings, positions, projections,
``logit_scale``) is small, stays on every rank and is averaged as ever: texts are cut to the longest of a batch by
exchanging position embeddings for a call, which parts of a tensor would not allow for. Numbers are those of an
undivided run, and states on disk have its form: a run may go on with other processes, divided or not.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tripletclip.errors import UserError


def shard_blocks(model: nn.Module, device: torch.device, group: dist.ProcessGroup) -> None:
    """Divide the residual blocks of both towers in place. All ranks must hold equal weights.

    Raises :class:`UserError` for a model without open_clip's transformer blocks.
    """
    blocks = [module for name, module in model.named_modules() if _is_block(name)]
    if not blocks:
        raise UserError(
            "only the blocks of open_clip's transformers can be sharded, and the model has none; leave out shard"
        )
    mesh = DeviceMesh.from_group(group, device.type)
    inside = {parameter for block in blocks for parameter in block.parameters()}
    outside = {parameter for parameter in model.parameters() if parameter not in inside}
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(
        model, mesh=mesh, ignored_params=outside
    )  # owns nothing: it lets one block's weights come while another runs


def _is_block(name: str) -> bool:
    before, _, number = name.rpartition(".")
    return before.endswith("resblocks") and number.isdigit()


def is_sharded(tensor: Tensor) -> bool:
    """Whether ``tensor`` is divided among the ranks."""
    return isinstance(tensor, DTensor)


def whole_tensors(state: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    """The nested ``state`` with undivided tensors on the CPU, which ranks that do not ``keep`` it drop at once.

    Every rank must call this at the same time: divided tensors are put together one after the other.
    """
    found: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, Mapping):
            found[name] = whole_tensors(value, keep=keep)
        elif isinstance(value, DTensor):
            together = value.full_tensor()
            if keep:
                found[name] = together.cpu()
        elif keep:
            found[name] = value
    return found


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """``tensor``, divided as ``like`` is. Raises ``ValueError`` for another shape."""
    if tensor.shape != like.shape:
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} stands for one of {tuple(like.shape)}")
    moved = tensor.to(device=like.device, dtype=like.dtype)
    return distribute_tensor(moved, like.device_mesh, like.placements) if isinstance(like, DTensor) else moved


def clip_gradients(model: nn.Module, most: float, group: dist.ProcessGroup | None) -> Tensor:
    """Scale gradients down to a norm of ``most``, and return the norm before: that of the undivided model."""
    trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
    divided = [parameter for parameter in trained if is_sharded(parameter)]
    if not divided:
        return torch.nn.utils.clip_grad_norm_(trained, most)
    shared = [parameter for parameter in trained if not is_sharded(parameter)]
    local = [parameter.grad.to_local() for parameter in divided if isinstance(parameter.grad, DTensor)]
    squares = torch.stack([part.pow(2).sum() for part in local]).sum()
    dist.all_reduce(squares, group=group)
    rest = torch.nn.utils.get_total_norm([p.grad for p in shared if p.grad is not None])
    norm = (squares + rest.pow(2)).sqrt()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)  # torch's own formula, so that dividing changes no step
    for part in (*local, *(parameter.grad for parameter in shared if parameter.grad is not None)):
        part.mul_(factor)
    return norm
