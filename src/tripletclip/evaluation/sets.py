"""The data of a benchmark: pictures, strings and what belongs together. Six shapes serve every benchmark.

A set knows what must be encoded for it (``pictures()``, ``texts()``), its hash (``digest()``), and what its benchmark
lists but could not be used: ``left_out``, reason to items. An item is what is counted in ``n``: an image with its
captions; a caption in a :class:`RetrievalSet`; an image in a :class:`ClassSet`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias

from tripletclip.errors import UserError
from tripletclip.evaluation.hashing import column_digest
from tripletclip.evaluation.pairs import AGGREGATES, ORDER_ONLY
from tripletclip.evaluation.pictures import Picture

UNREADABLE = "image unreadable"
"""Reason in ``left_out`` for items whose image does not open."""


@dataclass(frozen=True, kw_only=True)
class ItemSet:
    """What every set has. ``name`` is the benchmark's whole name or, where the class says so, a part of it."""

    name: str
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """Share of the benchmark's items that are measured, 0..1."""
        listed = len(self) + sum(self.left_out.values())
        return len(self) / listed

    def __len__(self) -> int:
        raise NotImplementedError

    def _lose(self, items: int) -> dict[str, int]:
        """``left_out`` with so many more items whose image is unreadable."""
        counts = dict(self.left_out)
        return counts | {UNREADABLE: counts.get(UNREADABLE, 0) + items} if items else counts


@dataclass(frozen=True, kw_only=True)
class ColumnSet(ItemSet):
    """A set whose columns have one value an item. Lists of N; ``keys`` are unique."""

    keys: list[str]
    splits: list[str]
    images: list[Picture]

    PICTURES: ClassVar[tuple[str, ...]] = ("images",)
    TEXTS: ClassVar[tuple[str, ...]] = ()
    RESERVED: ClassVar[tuple[str, ...]] = ("micro", "macro")

    def __post_init__(self) -> None:
        _check(self.name, self.keys, list(self.columns().values()))
        if len(set(self.keys)) != len(self.keys):
            twice = next(key for key, count in Counter(self.keys).items() if count > 1)
            raise UserError(f"the benchmark set '{self.name}' has the key '{twice}' twice; give every item its own")
        for split in sorted(set(self.splits)):
            if not split or split in self.RESERVED or split.endswith(ORDER_ONLY):
                raise UserError(
                    f"the benchmark set '{self.name}' has a split named '{split}'; give each item's a name of its own"
                )

    def __len__(self) -> int:
        return len(self.keys)

    def columns(self) -> dict[str, list[Any]]:
        """Every column that is there."""
        names = ("keys", "splits", *self.PICTURES, *self.TEXTS)
        return {name: values for name in names if (values := self.__dict__[name]) is not None}

    def pictures(self) -> list[Picture]:
        """Every image to encode, with repetitions."""
        columns = self.columns()
        return [picture for name in self.PICTURES if name in columns for picture in columns[name]]

    def texts(self) -> list[str]:
        """Every text to encode, with repetitions."""
        return [text for name in self.TEXTS for text in self.__dict__[name]]

    def digest(self) -> str:
        """SHA-256 of everything in the set, in order."""
        names = ("keys", "splits", "images", *self.TEXTS, *self.PICTURES[1:])
        return column_digest(self.__dict__[name] or [] for name in names)

    def without(self, unreadable: Mapping[Picture, str]) -> Self:
        """The set without the items that need one of these pictures; they are counted in ``left_out``."""
        columns = self.columns()
        pictures = [columns[name] for name in self.PICTURES if name in columns]
        lost = {row for column in pictures for row, picture in enumerate(column) if picture in unreadable}
        return self._only([row for row in range(len(self)) if row not in lost], self._lose(len(lost)))

    def _only(self, rows: Sequence[int], left_out: Mapping[str, int]) -> Self:
        changed: dict[str, Any] = {name: [values[row] for row in rows] for name, values in self.columns().items()}
        return replace(self, left_out=left_out, **changed)


@dataclass(frozen=True, kw_only=True)
class PairSet(ColumnSet):
    """Images with a true and a hard-negative caption, and, for group scores, the negative's own image.

    Gives the benchmarks ``sugarcrepe`` and, with negative images, ``winoground``; ``sugarcrepe-NAME`` with a name.
    ``family`` is another word than ``sugarcrepe`` for pairs that are not in its form.
    """

    captions: list[str]
    neg_captions: list[str]
    neg_images: list[Picture] | None = None
    family: str = "sugarcrepe"

    PICTURES: ClassVar[tuple[str, ...]] = ("images", "neg_images")
    TEXTS: ClassVar[tuple[str, ...]] = ("captions", "neg_captions")
    RESERVED: ClassVar[tuple[str, ...]] = AGGREGATES


@dataclass(frozen=True, kw_only=True)
class ChoiceSet(ColumnSet):
    """Images with captions of which the first is true: ``options`` [N] lists of at least two.

    ``means``     metric to the splits whose plain mean it is (ARO's mean over asymmetric relations).
    ``teams``     metric to a team's name for each item: a team is right if all of its items are (What'sUp's pairs and
                  sets). Items with the name ``""`` are in no team.
    ``headline``  the metric that tables show; "" takes the first of ``means``, or ``macro`` where there are several
                  splits, or ``micro``.
    """

    options: list[list[str]]
    means: Mapping[str, list[str]] = field(default_factory=dict)
    teams: Mapping[str, list[str]] = field(default_factory=dict)
    headline: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.name, self.keys, [self.options, *self.teams.values()])
        for key, choices in zip(self.keys, self.options, strict=True):
            if len(choices) < 2:
                raise UserError(f"item '{key}' of '{self.name}' has {len(choices)} captions; give at least two")
        splits, own = set(self.splits), [*self.means, *self.teams]
        for metric in own:
            if metric in splits or metric in self.RESERVED or own.count(metric) > 1:
                raise UserError(f"'{self.name}' has two metrics named '{metric}'; give each a name of its own")
        for metric, members in self.means.items():
            if not members or not splits >= set(members):
                raise UserError(f"the mean '{metric}' of '{self.name}' is over splits that it does not have")
        if self.headline and self.headline not in {*self.RESERVED, *splits, *own}:
            raise UserError(f"'{self.name}' has no metric '{self.headline}' to stand in tables")

    def columns(self) -> dict[str, list[Any]]:
        return super().columns() | {"options": self.options}

    def texts(self) -> list[str]:
        return [text for choices in self.options for text in choices]

    def digest(self) -> str:
        teams = [[name, *values] for name, values in sorted(self.teams.items())]
        means = [[name, *values] for name, values in sorted(self.means.items())]
        return column_digest([self.keys, self.splits, self.images, self.options, teams, means])

    def _only(self, rows: Sequence[int], left_out: Mapping[str, int]) -> Self:
        """A team that lost an item is no team any more, and a mean goes over the splits that are left."""
        kept = set(rows)
        teams = {}
        for metric, names in self.teams.items():
            broken = {name for row, name in enumerate(names) if row not in kept}
            teams[metric] = ["" if names[row] in broken else names[row] for row in rows]
        splits = {self.splits[row] for row in rows}
        means = {metric: [split for split in members if split in splits] for metric, members in self.means.items()}
        return replace(
            self,
            keys=[self.keys[row] for row in rows],
            splits=[self.splits[row] for row in rows],
            images=[self.images[row] for row in rows],
            options=[self.options[row] for row in rows],
            teams={metric: names for metric, names in teams.items() if any(names)},
            means={metric: members for metric, members in means.items() if members},
            left_out=left_out,
        )


@dataclass(frozen=True, kw_only=True)
class GroupSet(ColumnSet):
    """Two images and two captions an item, each image with its own: Winoground, Cola. ``headline`` is what counts."""

    captions: list[str]
    neg_images: list[Picture]
    neg_captions: list[str]
    headline: Literal["text", "image", "group"] = "group"

    PICTURES: ClassVar[tuple[str, ...]] = ("images", "neg_images")
    TEXTS: ClassVar[tuple[str, ...]] = ("captions", "neg_captions")


@dataclass(frozen=True, kw_only=True)
class ParaphraseSet(ColumnSet):
    """Images with two true captions in different words and a hard negative of both: SugarCrepe++."""

    captions: list[str]
    paraphrases: list[str]
    neg_captions: list[str]

    TEXTS: ClassVar[tuple[str, ...]] = ("captions", "paraphrases", "neg_captions")


@dataclass(frozen=True, kw_only=True)
class RetrievalSet(ItemSet):
    """N images and M captions; ``image_of_caption`` [M] is the index of each caption's image, every image has one.

    Gives the benchmark ``retrieval``, or ``retrieval-NAME``.
    """

    images: list[Picture]
    captions: list[str]
    image_of_caption: list[int]

    def __post_init__(self) -> None:
        _check(self.name, self.captions, [self.image_of_caption])
        if set(self.image_of_caption) != set(range(len(self.images))):
            raise UserError(f"retrieval set '{self.name}': every image needs a caption, and every caption an image")

    def __len__(self) -> int:
        return len(self.captions)

    def pictures(self) -> list[Picture]:
        """Every image to encode."""
        return self.images

    def texts(self) -> list[str]:
        """Every text to encode, with repetitions."""
        return self.captions

    def digest(self) -> str:
        """SHA-256 of everything in the set, in order."""
        return column_digest([self.images, self.captions, list(map(str, self.image_of_caption))])

    def without(self, unreadable: Mapping[Picture, str]) -> "RetrievalSet":
        """The set without these images and their captions."""
        kept = [place for place, picture in enumerate(self.images) if picture not in unreadable]
        new_place = {old: new for new, old in enumerate(kept)}
        rows = [row for row, image in enumerate(self.image_of_caption) if image in new_place]
        return replace(
            self,
            images=[self.images[place] for place in kept],
            captions=[self.captions[row] for row in rows],
            image_of_caption=[new_place[self.image_of_caption[row]] for row in rows],
            left_out=self._lose(len(self.captions) - len(rows)),
        )


@dataclass(frozen=True, kw_only=True)
class ClassSet(ItemSet):
    """N images, the class index of each, K class names, and T prompt templates with one ``{}`` each.

    Gives the benchmark ``zeroshot``, or ``zeroshot-NAME``.
    """

    images: list[Picture]
    labels: list[int]
    class_names: list[str]
    templates: list[str]

    def __post_init__(self) -> None:
        _check(self.name, self.images, [self.labels])
        if len(set(self.class_names)) != len(self.class_names) or len(self.class_names) < 2:
            raise UserError(f"class set '{self.name}' needs at least two classes, each named once")
        if not set(self.labels) <= set(range(len(self.class_names))):
            raise UserError(f"class set '{self.name}' has labels outside 0..{len(self.class_names) - 1}")
        if not self.templates or any(template.count("{}") != 1 for template in self.templates):
            raise UserError(f"class set '{self.name}' needs prompt templates with one {{}} each")

    def __len__(self) -> int:
        return len(self.images)

    def prompts(self) -> list[str]:
        """Every class in every template, [K * T], the templates of a class side by side."""
        return [template.replace("{}", name) for name in self.class_names for template in self.templates]

    def pictures(self) -> list[Picture]:
        """Every image to encode."""
        return self.images

    def texts(self) -> list[str]:
        """Every text to encode."""
        return self.prompts()

    def digest(self) -> str:
        """SHA-256 of everything in the set, in order."""
        return column_digest([self.images, list(map(str, self.labels)), self.class_names, self.templates])

    def without(self, unreadable: Mapping[Picture, str]) -> "ClassSet":
        """The set without these images."""
        rows = [row for row, picture in enumerate(self.images) if picture not in unreadable]
        return replace(
            self,
            images=[self.images[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            left_out=self._lose(len(self.images) - len(rows)),
        )


BenchmarkSet: TypeAlias = PairSet | ChoiceSet | GroupSet | ParaphraseSet | RetrievalSet | ClassSet


def _check(name: str, items: Sequence[object], columns: Sequence[Sequence[object]]) -> None:
    if name.startswith("-") or "/" in name:
        raise UserError(f"a set is named '{name}'; leave out dashes in front and slashes: '' or 'heldout'")
    if not items:
        raise UserError(f"the benchmark set '{name}' is empty; give it at least one item")
    if any(len(column) != len(items) for column in columns):
        raise UserError(f"the columns of the benchmark set '{name}' have different lengths; give one value per item")
