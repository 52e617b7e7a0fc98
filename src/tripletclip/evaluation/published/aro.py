"""ARO's VG-Relation and VG-Attribution: a box of a Visual Genome image, a true caption and one with the parts swapped.

Files and fields:
https://github.com/mertyg/vision-language-models-are-bows/blob/81fdd20dc5b6f434aa5a4a971717bc80d1cedb0d/dataset_zoo/aro_datasets.py
The averages that the paper reports, from the notebook beside it:
https://github.com/mertyg/vision-language-models-are-bows/tree/81fdd20dc5b6f434aa5a4a971717bc80d1cedb0d/notebooks
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripletclip.errors import UserError
from tripletclip.evaluation.pictures import Box
from tripletclip.evaluation.published.benchmark import Benchmark
from tripletclip.evaluation.published.files import (
    Wanted,
    gather,
    int_of,
    place,
    places,
    read_json,
    records,
    text_of,
)
from tripletclip.evaluation.sets import BenchmarkSet, ChoiceSet

RELATION = "{aro,ARO}/visual_genome_relation.json"
ATTRIBUTION = "{aro,ARO}/visual_genome_attribution.json"
IMAGES = "{aro,ARO}/images"
LEAST_OF_PAIR = 25
"""Attribute pairs with fewer items do not count in the mean (``evaluate_scores`` of VG_Attribution)."""

SYMMETRIC = frozenset(
    """
adjusting; around; attached to; beside; between; bigger than; biting; boarding; brushing; by; chewing;
cleaning; climbing; close to; coming from; coming out of; contain; crossing; dragging; draped over; drinking;
drinking from; driving; driving down; driving on; eating from; eating in; enclosing; exiting; facing; filled
with; floating in; floating on; flying; flying above; flying in; flying over; flying through; full of; going
down; going into; going through; grazing in; growing in; growing on; guiding; hanging from; hanging in;
hanging off; hanging over; higher than; holding onto; hugging; in between; jumping off; jumping on; jumping
over; kept in; larger than; leading; leaning over; leaving; licking; longer than; looking in; looking into;
looking out; looking over; looking through; lying next to; lying on top of; making; mixed with; mounted on;
moving; near; next to; of; on the back of; on the edge of; on the front of; on the other side of; on the side
of; opening; painted on; parked at; parked beside; parked by; parked in; parked in front of; parked near;
parked next to; perched on; petting; piled on; playing; playing in; playing on; playing with; pouring;
reaching for; reading; reflected on; riding on; running in; running on; running through; seen through; sitting
behind; sitting beside; sitting by; sitting in front of; sitting near; sitting next to; sitting under; skiing
down; skiing on; sleeping in; sleeping on; smiling at; sniffing; splashing; sprinkled on; stacked on; standing
against; standing around; standing behind; standing beside; standing in front of; standing near; standing next
to; staring at; stuck in; surrounding; swimming in; swinging; talking to; topped with; touching; traveling
down; traveling on; tying; typing on; underneath; wading in; waiting for; walking across; walking by; walking
down; walking next to; walking through; with; working in; working on; worn on; wrapped around; wrapped in
""".replace("\n", " ")
    .strip()
    .split("; ")
)
"""Relations that the notebook leaves out of the mean: swapping their parts may leave the caption true."""


@dataclass(frozen=True, kw_only=True)
class _Item:
    split: str
    image: str
    box: Box
    caption: str
    swapped: str


def read_relation(root: Path) -> list[BenchmarkSet]:
    """Splits are relations; ``relations`` is the mean over those that are not symmetric."""
    items, path = _items(root, RELATION, _relation)
    return [_set("aro-relation", root, items, path, "relations", lambda split, _: split not in SYMMETRIC)]


def read_attribution(root: Path) -> list[BenchmarkSet]:
    """Splits are pairs of attributes; ``attributes`` is the mean over those with at least 25 items."""
    items, path = _items(root, ATTRIBUTION, _attributes)
    return [_set("aro-attribution", root, items, path, "attributes", lambda _, count: count >= LEAST_OF_PAIR)]


def _set(
    name: str, root: Path, items: list[_Item], path: Path, metric: str, counts: Callable[[str, int], bool]
) -> ChoiceSet:
    place(root, IMAGES)
    folders = tuple(places(root, IMAGES))
    got = gather(list(enumerate(items)), lambda one: [Wanted(folders=folders, name=one[1].image, box=one[1].box)], path)
    sizes = Counter(item.split for item in items)
    members = [split for split in dict.fromkeys(item.split for _, item in got.items) if counts(split, sizes[split])]
    return ChoiceSet(
        name=name,
        keys=[str(number) for number, _ in got.items],
        splits=[item.split for _, item in got.items],
        images=got.column(),
        options=[[item.caption, item.swapped] for _, item in got.items],
        means={metric: members} if members else {},
        left_out=got.left_out,
    )


def _items(root: Path, pattern: str, split_of: Callable[[dict[str, Any], str], str]) -> tuple[list[_Item], Path]:
    path = place(root, pattern)
    items = []
    for number, record in enumerate(records(read_json(path), path)):
        where = f"item {number} of {path}"
        x, y, width, height = (int_of(record, f"bbox_{side}", where) for side in "xywh")
        items.append(
            _Item(
                split=split_of(record, where),
                image=text_of(record, "image_path", where),
                box=(x, y, width, height),
                caption=text_of(record, "true_caption", where),
                swapped=text_of(record, "false_caption", where),
            )
        )
    return items, path


def _relation(record: dict[str, Any], where: str) -> str:
    return text_of(record, "relation_name", where)


def _attributes(record: dict[str, Any], where: str) -> str:
    pair = record.get("attributes")
    if not isinstance(pair, list) or len(pair) < 2 or not all(isinstance(name, str) for name in pair[:2]):
        raise UserError(f"{where} needs two 'attributes'")
    return f"{pair[0]}_{pair[1]}"


_CODE = "https://github.com/mertyg/vision-language-models-are-bows/blob/81fdd20dc5b6f434aa5a4a971717bc80d1cedb0d"
_LICENCE = "MIT; images of Visual Genome, CC BY 4.0"

BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="aro-relation",
        title="ARO VG-Relation",
        tests="the caption against the one with subject and object exchanged",
        family="aro",
        files=(RELATION, IMAGES),
        source=f"{_CODE}/dataset_zoo/aro_datasets.py (file numbers of Google Drive; images in vgr_vga_images.zip)",
        licence=_LICENCE,
        read=read_relation,
    ),
    Benchmark(
        name="aro-attribution",
        title="ARO VG-Attribution",
        tests="the caption against the one with two attributes exchanged",
        family="aro",
        files=(ATTRIBUTION, IMAGES),
        source=f"{_CODE}/dataset_zoo/aro_datasets.py (file numbers of Google Drive; images in vgr_vga_images.zip)",
        licence=_LICENCE,
        read=read_attribution,
    ),
)
