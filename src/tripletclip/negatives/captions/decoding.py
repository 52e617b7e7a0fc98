"""Small steps of batched decoding: padding, the shared prefix, and choosing tokens row by row.

Legend: B rows, L longest prompt, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor


@dataclass(kw_only=True, eq=False)
class Row:
    """One prompt on its way: its tokens, its own random numbers, and what has been said."""

    caption: str
    tokens: list[int]
    random: Random
    said: list[int] = field(default_factory=list)
    ended: bool = False
    start: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        self.start = self.random.getstate()  # a batch that is done again after out-of-memory draws the same numbers


def shared_prefix(token_lists: Sequence[Sequence[int]]) -> list[int]:
    """What all lists begin with; at least one token of every list is left over, for the model needs one to go on.

    >>> shared_prefix([[1, 2, 3, 4], [1, 2, 5], [1, 2]])
    [1]
    """
    size = 0
    for size, tokens in enumerate(zip(*token_lists, strict=False)):  # noqa: B007
        if len(set(tokens)) > 1:
            break
    return list(token_lists[0][:size])


def left_padded(token_lists: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids (B, L) with ``pad`` on the left, and 1 where a real token stands (B, L)."""
    longest = max(map(len, token_lists))
    ids_BL = torch.tensor([[pad] * (longest - len(tokens)) + list(tokens) for tokens in token_lists])
    seen_BL = torch.tensor([[0] * (longest - len(tokens)) + [1] * len(tokens) for tokens in token_lists])
    return ids_BL, seen_BL


def choose_tokens(logits_BV: Tensor, rows: Sequence[Row], temperature: float, top_p: float) -> list[int]:
    """The next token of each row: the likeliest at temperature 0, else drawn with the row's own random numbers.

    Nucleus sampling (Holtzman et al. 2020, arXiv 1904.09751): only the fewest likeliest tokens whose probabilities sum
    to ``top_p``. One uniform number a row and step, put through the inverse of the cumulated probabilities.
    """
    if temperature == 0:
        return [int(token) for token in logits_BV.argmax(-1).tolist()]
    probabilities_BV, order_BV = (logits_BV / temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    summed_BV = probabilities_BV.double().cumsum(-1)
    size_B1 = (summed_BV < top_p).sum(-1, keepdim=True).clamp(max=logits_BV.shape[1] - 1)
    uniform = torch.tensor([[row.random.random()] for row in rows], dtype=torch.float64, device=logits_BV.device)
    drawn_B1 = torch.searchsorted(summed_BV, uniform * summed_BV.gather(1, size_B1), right=True)
    return [int(token) for token in order_BV.gather(1, torch.minimum(drawn_B1, size_B1)).squeeze(1).tolist()]
