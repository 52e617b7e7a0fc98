"""Small results with numbers that can be checked by hand."""

from collections.abc import Iterable, Mapping

from tripletclip.intervals import mean_of_proportions, wilson
from tripletclip.reporting.results import Metric, Result

SPLITS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
COMPOSITIONAL = ("add_att", "replace_att", "replace_rel", "swap_att", "swap_obj")
METHODS = ("clip", "clip-on-triplets", "negclip", "negimage", "tripletclip")
BUDGET = {"images": 1000.0, "texts": 500.0, "pairs": 500.0, "steps": 10.0, "flops": 2e9}
ITEMS = 200


def answers(right: int, method: str) -> str:
    """``right`` ones among the items, other ones for every method."""
    shift = 37 * len(method)
    return "".join("1" if (place * 7919 + shift) % ITEMS < right else "0" for place in range(ITEMS))


def sugarcrepe(method: str, right: int, *, seed: int = 0, step: int = 10, suffix: str = "") -> Result:
    """``right`` of 200 items in every split."""
    decisions = {split: answers(right, method) for split in SPLITS}
    groups = {"macro": list(SPLITS), "compositional": list(COMPOSITIONAL)}
    one, n = wilson(right, ITEMS), ITEMS
    metrics = {split: Metric(value=one.value, low=one.low, high=one.high, n=n) for split in SPLITS}
    for name, members in groups.items():
        mean = mean_of_proportions([(right, ITEMS)] * len(members))
        metrics[name] = Metric(value=mean.value, low=mean.low, high=mean.high, n=mean.n)
    bins = {"edges": [0.0, 0.5, 1.0], "positive": [1.0, 3.0], "negative": [3.0, 1.0]}
    blind = {"random": dict.fromkeys(metrics, 50.0), "constant encoder": dict.fromkeys(metrics, 0.0)}
    return Result(
        method=method,
        seed=seed,
        step=step,
        benchmark=f"sugarcrepe{suffix}",
        checkpoint=f"{method}-{seed}-{step}",
        metrics=metrics,
        decisions=decisions,
        groups=groups,
        blind=blind,
        histograms={"cross": bins, "text": bins, "image": bins},
        budget=BUDGET,
    )


def plain(method: str, benchmark: str, values: Mapping[str, float], *, seed: int = 0, step: int = 10) -> Result:
    """A result without decisions; each interval is the value ± 2."""
    metrics = {name: Metric(value=value, low=value - 2, high=value + 2, n=100) for name, value in values.items()}
    return Result(
        method=method,
        seed=seed,
        step=step,
        benchmark=benchmark,
        checkpoint="c",
        metrics=metrics,
        budget={"images": 100.0 * step, "texts": 50.0 * step},
    )


def run(rights: Mapping[str, int], *, seeds: Iterable[int] = (0,)) -> list[Result]:
    """Every benchmark, its held-out part, the start and learning curves, for the methods of ``rights``."""
    results = []
    for seed in seeds:
        for method, right in {"start": 100, **rights}.items():
            for suffix in ("", "-heldout"):
                results.append(sugarcrepe(method, right + seed, seed=seed, suffix=suffix))
                results.append(plain(method, f"winoground{suffix}", {"group": right / 4}, seed=seed))
                results.append(plain(method, f"retrieval{suffix}", {"i2t_r1": 40.0, "t2i_r1": 41.0}, seed=seed))
                results.append(plain(method, f"zeroshot{suffix}", {"top1": right / 3}, seed=seed))
            for step in (2, 6, 10):
                curve = {"compositional": right / 4 + step, "loss": 3.0 - step / 5}
                results.append(plain(method, "validation", curve, seed=seed, step=step))
    return results


def full_run() -> list[Result]:
    """All methods, TripletCLIP on top, one seed."""
    return run({"clip": 120, "clip-on-triplets": 124, "negclip": 140, "negimage": 126, "tripletclip": 160})
