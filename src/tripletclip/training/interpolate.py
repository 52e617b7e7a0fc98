"""Weights between two models: keep what the one knew and what the other learned (WiSE-FT, Wortsman et al. 2022).

theta(alpha) = (1 - alpha) theta_start + alpha theta_end, arXiv 2109.01903, section 3.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from tripletclip.errors import UserError
from tripletclip.models import Clip


@torch.no_grad()
def interpolated(start: Clip, end: Clip, alpha: float) -> Clip:
    """The model at ``alpha``; 0 and 1 give the two ends exactly.

    Raises :class:`UserError` for models whose weights do not fit each other, and an ``alpha`` outside 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha is {alpha}; give numbers between 0 (the start) and 1 (the end)")
    first, last = start.model.state_dict(), end.model.state_dict()
    for name in sorted(first.keys() | last.keys()):
        shapes = [tuple(weights[name].shape) if name in weights else None for weights in (first, last)]
        if shapes[0] != shapes[1]:
            said = " and ".join("absent" if shape is None else str(shape) for shape in shapes)
            raise UserError(f"the two models do not fit each other: {name} is {said}; give two of one architecture")
    mixed = copy.deepcopy(end.model)
    mixed.load_state_dict(
        {
            name: torch.lerp(first[name], last[name], alpha) if last[name].is_floating_point() else last[name]
            for name in last
        }
    )
    return replace(end, model=mixed)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """For each point whether no other is at least as good in both numbers and better in one."""
    return [
        not any(other != point and other[0] >= point[0] and other[1] >= point[1] for other in points)
        for point in points
    ]
