"""SugarCrepe by `tripletclip` and by clip_benchmark: same files, same weights, same process, in turns.

    pip install 'tripletclip[bench]'
    python benchmarks/evaluate.py --sugarcrepe DIR-OF-JSON [--images DIR] [--model ViT-B-32] [--items 60] [--rounds 3]

Without --images, made JPEGs of COCO's usual size stand under the real names. --items takes so many items a split (0:
all); items that share an image come together, as they do in the whole files. Weights are random: speed does not depend
on them. Both run in fp32 on the CPU, clip_benchmark with its own data loader in this process. Prints the seconds of
every round, the ratio of medians, and the largest difference of a split's accuracy: clip_benchmark lets ties win.
"""

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import open_clip
import torch
from clip_benchmark.datasets.sugar_crepe import SugarCrepe
from clip_benchmark.metrics.image_caption_selection import evaluate as their_evaluate
from PIL import Image

from tripletclip.evaluation.cache import FeatureCache
from tripletclip.evaluation.encoder import clip_encoder
from tripletclip.evaluation.pairs import SPLITS
from tripletclip.evaluation.published.registry import benchmark_named
from tripletclip.evaluation.suite import evaluate as our_evaluate
from tripletclip.models import Clip
from tripletclip.models.clip import preprocessing

Accuracies = dict[str, float]


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms(arguments.model)
    model.eval()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        items, images = write_data(root, arguments)
        print(f"{arguments.model}, {arguments.threads} threads: {items} items of {len(SPLITS)} splits, {images} images")
        runs: dict[str, Callable[[], Accuracies]] = {
            "tripletclip": lambda: ours(model, arguments.model, root),
            "clip_benchmark": lambda: theirs(model, arguments, transform, root),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        found: dict[str, Accuracies] = {}
        for turn in range(arguments.rounds):
            for name in sorted(runs, reverse=bool(turn % 2)):
                start = time.perf_counter()
                found[name] = runs[name]()
                seconds[name].append(time.perf_counter() - start)
    for name, taken in seconds.items():
        print(
            f"{name:<15} median {statistics.median(taken):6.1f} s   rounds {', '.join(f'{one:.1f}' for one in taken)}"
        )
    ratio = statistics.median(seconds["clip_benchmark"]) / statistics.median(seconds["tripletclip"])
    apart = max(abs(found["tripletclip"][split] - found["clip_benchmark"][split]) for split in SPLITS)
    print(f"ratio {ratio:.2f}   largest difference of a split {apart:.2f} points")


def ours(model: torch.nn.Module, name: str, root: Path) -> Accuracies:
    """From the files to the metrics, nothing kept from the round before, features written to a new cache."""
    clip = Clip(
        model=model,
        cfg=open_clip.get_model_config(name),
        tokenizer=open_clip.get_tokenizer(name),
        **preprocessing(model.visual.preprocess_cfg),
    )
    with tempfile.TemporaryDirectory() as folder:
        (result,) = our_evaluate(
            clip_encoder(clip, batch_size=64),
            benchmark_named("sugarcrepe").read(root),
            method="",
            seed=0,
            step=0,
            checkpoint="",
            budget={},
            config={},
            cache=FeatureCache(Path(folder), "0" * 64),
        )
    return {split: result.metrics[split].value for split in SPLITS}


def theirs(model: torch.nn.Module, arguments: argparse.Namespace, transform: object, root: Path) -> Accuracies:
    """Its data set, loader and metric, a split at a time, as its command line does."""
    tokenizer = open_clip.get_tokenizer(arguments.model)
    accuracies = {}
    for split in SPLITS:
        data = SugarCrepe(str(root / "coco" / "val2017"), str(root / "sugarcrepe" / f"{split}.json"), transform)
        loader = torch.utils.data.DataLoader(
            data, batch_size=64, num_workers=arguments.workers, collate_fn=lambda batch: collated(batch)
        )
        with redirect_stderr(io.StringIO()):
            found = their_evaluate(model, loader, tokenizer, "cpu", amp=False)
        accuracies[split] = 100 * found["text_acc"]
    return accuracies


def collated(batch: list[tuple[torch.Tensor, list[str]]]) -> tuple[torch.Tensor, list[list[str]]]:
    """Pictures in a tensor, captions as lists: what its ``image_captions_collate_fn`` gives."""
    return torch.stack([image for image, _ in batch]), [captions for _, captions in batch]


def write_data(root: Path, arguments: argparse.Namespace) -> tuple[int, int]:
    """The JSON files, cut to ``items`` a split, and the images that they name; the numbers of both."""
    names: set[str] = set()
    total = 0
    (root / "sugarcrepe").mkdir()
    (root / "coco" / "val2017").mkdir(parents=True)
    for split in SPLITS:
        whole = json.loads((arguments.sugarcrepe / f"{split}.json").read_text("utf8"))
        by_image = sorted(whole.items(), key=lambda item: item[1]["filename"])
        kept = dict(by_image[: arguments.items or None])
        names |= {item["filename"] for item in kept.values()}
        total += len(kept)
        (root / "sugarcrepe" / f"{split}.json").write_text(json.dumps(kept))
    for seed, name in enumerate(sorted(names)):
        path = root / "coco" / "val2017" / name
        if arguments.images is not None:
            path.symlink_to((arguments.images / name).resolve())
            continue
        coarse = np.random.default_rng(seed).integers(0, 256, size=(30, 40, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC).save(path, "JPEG", quality=90)
    return total, len(names)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sugarcrepe", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="processes of clip_benchmark's data loader")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
