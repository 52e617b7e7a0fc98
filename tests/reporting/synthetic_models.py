"""Results of made-up models on published benchmarks, with decisions, examples and thumbnails."""

import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from tripletclip.intervals import mean_of_proportions, wilson
from tripletclip.reporting.results import Example, Metric, Result

OPENAI = "ViT-B-32-quickgelu:openai"
AUTHORS = "hf:TripletCLIP/CC12M_TripletCLIP_ViTB12"
OURS = "tripletclip"
SUGARCREPE = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
DIGEST = "ab" * 32
BUDGET = {"images": 4e8, "texts": 4e8, "steps": 1e5}


def decided(benchmark: str, split: str, model: str, share: float, n: int) -> str:
    """``n`` answers of which ``share`` are right; models agree on most items."""
    items = random.Random(f"{benchmark} {split}")
    own = random.Random(f"{benchmark} {split} {model}")
    hardness = [0.8 * items.random() + 0.2 * own.random() for _ in range(n)]
    line = sorted(hardness)[min(n - 1, round(share * n))] if share < 1 else 2.0
    return "".join("1" if value < line else "0" for value in hardness)


def result(
    model: str,
    benchmark: str,
    shares: Mapping[str, float],
    *,
    mean: str = "",
    seed: int = 0,
    n: int = 300,
    blind: float = 0.5,
    examples: Sequence[Example] = (),
    histogram: bool = False,
    **more: object,
) -> Result:
    """A result with a metric per split and, if ``mean`` has a name, their plain mean as the headline."""
    name = f"{model}-{seed}" if seed else model
    decisions = {split: decided(benchmark, split, name, share, n) for split, share in shares.items()}
    counts = {split: (bits.count("1"), n) for split, bits in decisions.items()}
    estimates = {split: wilson(*count) for split, count in counts.items()}
    if mean:
        estimates[mean] = mean_of_proportions(list(counts.values()))
    metrics = {key: Metric(value=e.value, low=e.low, high=e.high, n=e.n) for key, e in estimates.items()}
    bins = {"edges": [0.0, 0.2, 0.4, 0.6], "positive": [10.0, 60.0, 30.0], "negative": [20.0, 60.0, 20.0]}
    fields: dict[str, object] = {
        "method": model,
        "seed": seed,
        "step": 0,
        "benchmark": benchmark,
        "checkpoint": "0123456789abcdef" * 4,
        "metrics": metrics,
        "decisions": decisions,
        "groups": {mean: list(shares)} if mean else {},
        "blind": {"random": dict.fromkeys(metrics, 100 * blind), "constant encoder": dict.fromkeys(metrics, 0.0)},
        "histograms": {"cross": bins, "text": bins} if histogram else {},
        "items": {"n": n * len(shares), "listed": n * len(shares), "sha256": f"data of {benchmark}"},
        "headline": mean or next(iter(shares)),
        "examples": examples,
        "config": {"model": model, "preprocess": {"size": 224, "interpolation": "bicubic"}, "revision": "abc1234"},
        "versions": {"torch": "2.6.0", "open_clip": "3.2.0"},
    }
    return Result(**(fields | more))  # type: ignore[arg-type]


def example(key: str, split: str, margin: float, *, other: str = "a white cat next to a black dog") -> Example:
    """A made item that is right for a positive margin."""
    return Example(
        key=key,
        split=split,
        image=DIGEST,
        caption="a black cat next to a white dog",
        other=other,
        score=0.25,
        other_score=0.25 - margin,
    )


LEVELS = {OPENAI: (0.72, 0.09, 0.30, 0.62), AUTHORS: (0.75, 0.16, 0.27, 0.24), OURS: (0.82, 0.22, 0.29, 0.46)}
"""Composition, group score, recall, top-1."""


def model_results(
    model: str, *, seed: int = 0, levels: tuple[float, float, float, float] | None = None
) -> list[Result]:
    """Five benchmarks of one model."""
    composition, group, recall, top1 = levels or LEVELS[model]
    offsets = dict(zip(SUGARCREPE, (0.12, 0.16, 0.02, 0.18, -0.02, -0.12, -0.14), strict=True))
    shares = {split: min(0.99, composition - 0.03 + offset) for split, offset in offsets.items()}
    shown = [
        example(f"i{n}", split, 0.05 if n % 2 and model == OURS else -0.02 * n) for n, split in enumerate(SUGARCREPE)
    ]
    words = {"fewer words, ties half": dict.fromkeys([*shares, "macro"], 63.9)}
    words["text-only probe"] = dict.fromkeys([*shares, "macro"], 76.0)
    crepe = result(
        model, "sugarcrepe", shares, mean="macro", seed=seed, examples=shown, histogram=True, budget=BUDGET,
        notes={"texts longer than the context": 3.0} if model == OPENAI else {},
    )  # fmt: skip
    object.__setattr__(crepe, "blind", dict(crepe.blind) | words)
    group_shares = {"group": group, "image": group + 0.1, "text": group + 0.2}
    recalls = {"i2t_r1": recall + 0.2, "i2t_r5": recall + 0.4, "t2i_r1": recall, "t2i_r5": recall + 0.25}
    return [
        crepe,
        result(model, "winoground", group_shares, seed=seed, n=400, blind=1 / 6),
        result(model, "aro-relation", {"on": composition - 0.2, "left of": 0.5}, mean="macro", seed=seed),
        result(model, "retrieval-coco", recalls, seed=seed, n=900, blind=0.0002),
        result(
            model, "zeroshot-imagenet", {"top1": top1, "top5": min(0.97, top1 + 0.25)}, seed=seed, n=900, blind=0.001
        ),
    ]


def three_models() -> list[Result]:
    """OpenAI's, the authors', and three seeds of ours under the names of their folders."""
    ours = []
    for seed in range(3):
        c, g, r, t = LEVELS[OURS]
        found = model_results(OURS, seed=seed, levels=(c + 0.006 * seed, g, r + 0.004 * seed, t))
        for one in found:
            object.__setattr__(one, "method", f"{OURS}-seed{seed}")
            object.__setattr__(one, "seed", 0)
        ours += found
    return [*model_results(OPENAI), *model_results(AUTHORS), *ours]


def curve(model: str) -> list[Result]:
    """Three validation points."""
    return [
        result(model, "validation", {"macro": 0.5 + step / 1000}, budget={"images": 10.0 * step, "texts": 10.0 * step})
        for step in (100, 200, 300)
    ]


def write_thumbnail(folder: Path) -> None:
    """The thumbnail of :func:`example`."""
    image = Image.linear_gradient("L").resize((256, 192)).convert("RGB")
    image.paste((40, 90, 200), (60, 40, 140, 130))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    (folder / "thumbnails").mkdir(parents=True, exist_ok=True)
    (folder / "thumbnails" / f"{DIGEST}.jpg").write_bytes(buffer.getvalue())
