"""The speed table of training: each line beside a named peer in this process, as a ratio, with its goal.

    python benchmarks/speed.py                                                  # made captions and pictures
    python benchmarks/speed.py --captions SUGARCREPE_FOLDER --photos FOLDER     # real ones

The other scripts of this folder print each measurement in full. Lines that need a GPU say "not measured" without one.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gpu
import loader
import objectives
import step
import torch
from rich.console import Console
from rich.table import Table

from tripletclip.models import fresh_clip

NOT_MEASURED = "not measured"
GPU_MIN_MFU = 0.5


@dataclass(frozen=True, kw_only=True)
class Line:
    """A ratio and its goal: at least or at most. ``ratio`` is None where nothing was measured."""

    what: str
    against: str
    goal: float
    at_most: bool = False
    ratio: float | None = None
    remark: str = ""

    def cells(self) -> tuple[str, str, str, str, str, str]:
        sign = "≤" if self.at_most else "≥"
        if self.ratio is None:
            return self.what, self.against, f"{sign} {self.goal:g}", NOT_MEASURED, "", self.remark
        met = self.ratio <= self.goal if self.at_most else self.ratio >= self.goal
        return (
            self.what,
            self.against,
            f"{sign} {self.goal:g}",
            f"{self.ratio:.3g}",
            "yes" if met else "no",
            self.remark,
        )


def step_lines(captions: Path | None, batch: int, rounds: int) -> Iterator[Line]:
    """Processor time of a step, forward and backward, one thread."""
    clip = fresh_clip(step.MODEL)
    data, warm_up = step.draw_data(clip, batch, captions), step.draw_data(clip, 2, None)
    peers = {
        "clip": ("open_clip's model and ClipLoss", step.open_clip_step),
        "tripletclip": ("official: two forwards, six products", step.official_triplet_step),
    }
    for objective, (peer, theirs) in peers.items():
        ways = {"theirs": theirs, "ours": step.our_step(objective, 1)}
        step.measure(clip, warm_up, ways, 1)
        found = step.measure(clip, data, ways, rounds)
        ratio = min(found["theirs"].seconds) / min(found["ours"].seconds)
        remark = f"features off by {found['ours'].off['features']:.0e}"
        yield Line(what=f"training step, {objective}", against=peer, goal=1.4, ratio=ratio, remark=remark)


def loader_lines(photos: Path | None, rounds: int) -> Iterator[Line]:
    """Processor time of a picture, from a JPEG's bytes to what a batch holds."""
    pictures, found = loader.photos(photos), loader.ways()
    name = "ours, fast, centre"
    chosen = {key: found[key] for key in (loader.EVALUATION, name)}
    large = loader.seconds(chosen, pictures, rounds)
    small = loader.seconds(chosen, [loader.stored(data) for data in pictures], rounds)
    peer = "open_clip's transform"
    yield Line(what="loader, 500 px files", against=peer, goal=2, ratio=large[loader.EVALUATION] / large[name])
    yield Line(
        what="loader, 256 px files", against=f"{peer}, same files", goal=4, ratio=small[loader.EVALUATION] / small[name]
    )
    yield Line(
        what="loader, 256 px files",
        against=f"{peer}, 500 px files",
        goal=4,
        ratio=large[loader.EVALUATION] / small[name],
    )


def loss_lines(pairs: int, chunk: int) -> Iterator[Line]:
    """Memory and processor time of the triplet loss, forward and backward."""
    turns = {}
    for name, loss in {"published": objectives.published, "chunked": objectives.ours(chunk)}.items():
        objectives.turn(loss, objectives.made(64, 512, "cpu"), "cpu")
        turns[name] = objectives.turn(loss, objectives.made(pairs, 512, "cpu"), "cpu")
    ours, theirs = turns["chunked"], turns["published"]
    remark = f"{pairs:,} pairs, value off by {abs(ours.value - theirs.value) / abs(theirs.value):.0e}"
    memory = None if ours.peak is None or theirs.peak is None else ours.peak / theirs.peak
    peer = "official formula"
    yield Line(what="loss, memory", against=peer, goal=1 / 8, at_most=True, ratio=memory, remark=remark)
    yield Line(
        what="loss, time",
        against=peer,
        goal=1.1,
        at_most=True,
        ratio=ours.cpu_seconds / theirs.cpu_seconds,
        remark=remark,
    )


def gpu_lines(batch: int) -> Iterator[Line]:
    """Figures of a GPU, or lines that say that there was none."""
    found = None
    if torch.cuda.is_available():
        found = gpu.measure(torch.device("cuda"), batch=batch, rounds=10, largest=65_536, chunk=4096)
    device = found.device if found else "no GPU here"
    what = f"GPU step, bf16, {batch:,} triplets"
    ratio = found.theirs / found.ours if found else None
    yield Line(what=what, against="open_clip's step", goal=1.4, ratio=ratio, remark=device)
    mfu = found.mfu if found else None
    yield Line(what=f"{what}, MFU", against="measured bf16 product", goal=GPU_MIN_MFU, ratio=mfu, remark=device)
    share = found.loss_share if found else None
    yield Line(
        what="GPU loss, share of the step", against="the step", goal=0.05, at_most=True, ratio=share, remark=device
    )
    fits = found.largest_bytes / 1e9 if found and found.largest_bytes else None
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9 if found else 80
    yield Line(
        what="GPU chunked loss of 65,536, GB",
        against="the GPU's memory",
        goal=memory,
        at_most=True,
        ratio=fits,
        remark=device,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, help="folder of SugarCrepe's *.json")
    parser.add_argument("--photos", type=Path, help="folder of JPEG photos")
    parser.add_argument("--batch", type=int, default=8, help="pairs of a step on the CPU")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=8192, help="pairs in the loss; 8,192 take about 5 GB")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title=f"Speed of training, {step.MODEL}, one thread, side by side in one process")
    for heading in ("what", "against", "goal", "ratio", "met", ""):
        table.add_column(heading, justify="right" if heading in ("goal", "ratio") else "left")
    for lines in (
        step_lines(options.captions, options.batch, options.rounds),
        loader_lines(options.photos, options.rounds),
        loss_lines(options.pairs, 256),
        gpu_lines(1024),
    ):
        for line in lines:
            table.add_row(*line.cells())
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
