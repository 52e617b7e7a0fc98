"""The chunked forms hold nothing of the size of the batch squared, forward or backward, in any objective."""

import pytest
import torch
from running import losses_of
from slow_references import HALVES, drawn, drawn_for
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tripletclip.objectives.losses import Objective, objective_named

N, D, CHUNK = 64, 4, 8


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the largest number of elements that any operation returns, those of the backward pass included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def measured(objective: Objective, texts: int, chunk: int | None) -> tuple[int, int]:
    """Elements of the largest tensor that was made and of the largest that was kept for the backward pass."""
    batch = drawn(objective.image_halves, texts, n=N, d=D)
    kept = [0]

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with LargestTensor() as largest, torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        losses = losses_of(objective, batch, chunk=chunk)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    return largest.elements, max(kept)


@pytest.mark.parametrize("name", HALVES)
def test_chunked_holds_no_square_of_the_batch(name: str) -> None:
    """At N = 64, D = 4 and chunks of 8 the largest tensor is a chunk against one half, 8 x N; dense has N x N."""
    objective = objective_named(name)
    largest, kept = measured(objective, HALVES[name][1], CHUNK)
    assert largest <= CHUNK * N < N * N
    assert kept <= 2 * N * D
    largest, _ = measured(objective, HALVES[name][1], None)
    assert largest >= N * N, "the measure itself must see a square where there is one"


def test_negative_captions_do_not_widen_the_chunks() -> None:
    assert measured(objective_named("negclip", neg_captions=4), 5, CHUNK)[0] <= CHUNK * N


@pytest.mark.parametrize("name", HALVES)
def test_sum_of_what_is_kept_grows_with_the_batch_not_its_square(name: str) -> None:
    """Twice the pairs at the same chunk: at most twice the numbers kept."""

    def kept(n: int) -> int:
        numbers: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            numbers[tensor.data_ptr()] = tensor.numel()
            return tensor

        batch = drawn_for(name, n=n, d=D)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            losses = losses_of(objective_named(name), batch, chunk=CHUNK)
        assert losses
        return sum(numbers.values())

    assert kept(2 * N) <= 2 * kept(N) + 64
