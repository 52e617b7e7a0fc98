"""The demo's report: tables, summary.json, and the page with the reference curves and a gallery."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from tripletclip.data.shards import Shards
from tripletclip.demo import DemoConfig, revision
from tripletclip.evaluation.encoder import clip_encoder, encode_distinct
from tripletclip.models import load_clip
from tripletclip.objectives.losses import COMPARED
from tripletclip.reporting.curves import RunSet
from tripletclip.reporting.gallery import Choice, GalleryItem
from tripletclip.reporting.page import write_page
from tripletclip.reporting.results import load_results
from tripletclip.reporting.summary import write_summary
from tripletclip.reporting.tables import print_report
from tripletclip.training.state import DONE_FILE

EXAMPLES_PER_SPLIT = 6


def demo_report(config: DemoConfig, *, control: Path | None, command: str) -> None:
    """Print the tables and write ``summary.json`` and ``report.html`` into the demo's folder."""
    results = load_results(config.out / "results" / config.world)
    beside = load_results(control / "results") if control else []
    write_summary(config.out / "summary.json", results)
    write_page(
        config.out / "report.html",
        title=f"tripletclip demo: the {config.world} world",
        results=results,
        control=beside,
        reference=reference_runs(),
        gallery=gallery(config),
        settings={
            "world": config.world,
            "budget": asdict(config.budget),
            "seeds": config.seeds,
            "device": config.device,
            "revision": revision(),
        },
        commands=[
            ("This demo", command),
            ("The control world", "tripletclip demo --world dense --out runs/dense"),
            ("One run of the reference curves", "tripletclip demo --budget full --methods tripletclip --out runs/full"),
        ],
    )
    print_report(results, title=f"tripletclip demo · {config.world} world · budget {config.budget.name}")
    print(f"page:    {config.out / 'report.html'}\nnumbers: {config.out / 'summary.json'}")


def reference_runs() -> RunSet | None:
    """The committed result files of the long runs; None if this installation has none."""
    folder = Path(str(files("tripletclip"))) / "reference"
    if not (folder / "natural").is_dir():
        return None
    note = json.loads((folder / "about.json").read_text("utf8"))["note"]
    dense = load_results(folder / "dense") if (folder / "dense").is_dir() else []
    return RunSet(label="reference", results=load_results(folder / "natural"), control=dense, note=note)


def gallery(config: DemoConfig) -> list[GalleryItem]:
    """Test triplets with what each method of the first seed chose; the first items of each split, not picked."""
    shards = Shards(config.out / "data" / "test-pairs")
    splits = [str(split) for split in shards.column("split")]
    chosen: list[int] = []
    for split in sorted(set(splits)):
        chosen += [index for index, name in enumerate(splits) if name == split][:EXAMPLES_PER_SPLIT]
    trained = [method for method in COMPARED if (_model(config, method) / DONE_FILE).exists()]
    choices = {method: _choices(config, method, shards, chosen) for method in trained}
    return [
        GalleryItem(
            split=splits[index],
            caption=shards.caption(index),
            neg_caption=shards.neg_caption(index),
            image=shards.read(index, "image"),
            neg_image=shards.read(index, "neg_image"),
            choices={method: row[place] for method, row in choices.items()},
        )
        for place, index in enumerate(chosen)
    ]


def _model(config: DemoConfig, method: str) -> Path:
    return config.out / "runs" / f"{method}-seed0"


def _choices(config: DemoConfig, method: str, shards: Shards, rows: Sequence[int]) -> list[Choice]:
    encoder = clip_encoder(load_clip(_model(config, method)))
    image_ND = encode_distinct(encoder.encode_images, [shards.read(row, "image") for row in rows])
    text_ND = encode_distinct(encoder.encode_texts, [shards.caption(row) for row in rows])
    neg_text_ND = encode_distinct(encoder.encode_texts, [shards.neg_caption(row) for row in rows])
    margins = ((image_ND * text_ND).sum(1) - (image_ND * neg_text_ND).sum(1)).tolist()
    return [Choice(correct=margin > 0, margin=margin) for margin in margins]
