"""Drop the negatives that words alone give away, until a probe that has not chosen them is near chance.

Adversarial refinement as in SugarCrepe (https://arxiv.org/abs/2306.14610, section 4): held-out scores of a blind
model say which items are tell-tale. SugarCrepe evens out positive and negative score gaps once; here the items with
the largest gap go, a few at a time, and the probe is trained anew on what is left. Measured on NegCLIP's rule
negatives for the same final AUC of 0.58, that keeps 63 % of the items where evening out keeps 48 %.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from tripletclip.errors import UserError
from tripletclip.screening.items import Item
from tripletclip.screening.probing import ProbeResult, judged
from tripletclip.screening.text_probe import ProbeConfig, probe_scores, text_probe

FRESH = 1_000_003
"""Added to a round's seed for the probe that judges what the round's own probe has chosen."""


@dataclass(frozen=True, kw_only=True)
class BalanceConfig:
    """``max_text_auc`` is the target, ``min_share`` the smallest part of the items that may be left.

    A round drops half of the distance to the target as a share of the items, within ``drop_least`` and ``drop_most``.
    The ``probe`` is the strongest one, which counts every gram.
    """

    max_text_auc: float = 0.6
    min_share: float = 0.1
    drop_least: float = 0.02
    drop_most: float = 0.1
    seed: int = 0
    probe: ProbeConfig = field(default_factory=lambda: ProbeConfig(min_count=1))

    def __post_init__(self) -> None:
        if not 0.5 < self.max_text_auc <= 1:
            raise UserError(f"max_text_auc is {self.max_text_auc}; give a number above 0.5 (chance), at most 1")
        if not 0 <= self.min_share < 1:
            raise UserError(f"min_share is {self.min_share}; give a share from 0 to below 1")
        if not 0 < self.drop_least <= self.drop_most < 1:
            raise UserError(f"drop_least {self.drop_least} and drop_most {self.drop_most} must rise between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class BalanceResult:
    """``kept`` keys in the order of the items; ``rounds`` items and AUC at the start of each round.

    ``before`` and ``after`` are by the balancing probe, ``after`` with folds that chose nothing; ``after_default`` is
    the audit's default probe on what is kept. ``reached`` says whether ``after`` meets the target.
    """

    kept: tuple[str, ...]
    n: int
    before: ProbeResult
    after: ProbeResult
    after_default: ProbeResult
    rounds: tuple[tuple[int, float], ...]
    reached: bool
    config: BalanceConfig

    def to_json(self) -> dict[str, Any]:
        """Everything but the keys."""
        return {
            "n": self.n,
            "kept": len(self.kept),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "after_default": self.after_default.to_json(),
            "rounds": [list(entry) for entry in self.rounds],
            "reached": self.reached,
            "config": asdict(self.config),
        }


def balance(items: Sequence[Item], config: BalanceConfig | None = None) -> BalanceResult:
    """Choose the items to keep. All captions are in memory, with their grams: meant for up to some 100,000 items.

    Raises :class:`UserError` for too few items to train a probe on.
    """
    config = config or BalanceConfig()
    left = list(items)
    fewest = max(math.ceil(config.min_share * len(items)), 2 * config.probe.folds)
    rounds: list[tuple[int, float]] = []
    before: ProbeResult | None = None
    while True:
        probe = replace(config.probe, seed=config.seed + len(rounds))
        positive_N, negative_N = probe_scores(left, probe)
        measured = judged(positive_N, negative_N)
        before = before or measured
        rounds.append((len(left), measured.auc))
        if measured.auc <= config.max_text_auc:
            measured = text_probe(left, replace(probe, seed=probe.seed + FRESH))
        reached = measured.auc <= config.max_text_auc
        kept = [] if reached else _without_tell_tales(left, negative_N - positive_N, measured.auc, config)
        if reached or len(kept) < fewest or len(kept) == len(left):
            break
        left = kept
    return BalanceResult(
        kept=tuple(item.key for item in left),
        n=len(items),
        before=before,
        after=measured if reached else text_probe(left, replace(probe, seed=probe.seed + FRESH)),
        after_default=text_probe(left, ProbeConfig(seed=probe.seed + FRESH)),
        rounds=tuple(rounds),
        reached=reached,
        config=config,
    )


def _without_tell_tales(
    items: list[Item], gap_N: "np.ndarray[Any, np.dtype[np.float64]]", auc: float, config: BalanceConfig
) -> list[Item]:
    """The items without those whose negative scores furthest above its positive, in their order.

    Only items that the probe gets right may go; equal gaps go by key.
    """
    share = min(max((auc - config.max_text_auc) / 2, config.drop_least), config.drop_most)
    order = sorted(range(len(items)), key=lambda row: (-gap_N[row], items[row].key))
    dropped = {row for row in order[: max(1, round(share * len(items)))] if gap_N[row] > 0}
    return [item for row, item in enumerate(items) if row not in dropped]
