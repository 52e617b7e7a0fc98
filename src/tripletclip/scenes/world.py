"""What exists in the embedded world, how often, and what is never shown in training.

Two presets of one world:

``natural``  16 nouns, each with a colour and a shape of its own, so a noun is easy to see and enough to tell a batch
             apart. The attribute is a texture: said in half of the captions and mostly predictable from the noun, as is
             which of two objects stands left or on top. These priors make the bag-of-words shortcut that real captions
             have; plain CLIP takes it.
``dense``    the control: 6 shapes x 6 colours, every attribute said, everything uniform. Random batches of so few words
             already hold compositional negatives, so hard negatives are hardly needed.
"""

import hashlib
import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from tripletclip.errors import unknown_name

Words = TypeVar("Words", bound=tuple[str, ...])

TEXTURES = ("plain", "striped", "dotted", "checked")
COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
BACKGROUNDS = ("grass", "sand", "snow", "stone")
PLACES = ("left", "right", "top", "bottom")
NOUNS = ("star", "apple", "ball", "box", "cloud", "cross", "drop", "flower",
         "gear", "heart", "house", "kite", "leaf", "moon", "ring", "tent")  # fmt: skip


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed that depends on the parts alone: the same on every machine, in any batch, in any run."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True, kw_only=True)
class World:
    """The parameters of a world. Rates are probabilities in [0, 1].

    nouns, attributes    the words; ``attribute_is`` says what the attribute paints: the ``texture`` or the ``colour``
    noun_exponent        nouns are drawn by Zipf's law, rank ** -exponent; 0 is uniform. Relations are first learned
                         from the frequent nouns; a long tail of equals would hide them for long (docs/log.md)
    attribute_rate       how often an object's attribute is said in the caption
    attribute_prior      how often an object has the typical attribute of its noun; 1/len(attributes) is no prior
    place_prior          how often things stand where their nouns typically do: one in its typical place, two in their
                         typical order along their typical axis; otherwise anywhere. 0 is no prior
    background_rate      how often the background is said
    counted_rate         share of scenes with one kind of object, two or three times
    alone_rate           share of scenes with one object and its place
    extra_rate           how often a scene has one more object, said last and without a place
    heldout_rate         share of noun x attribute and noun x relation x noun combinations never shown in training
    radius               object radius as a share of the image side (smallest, largest)
    noise                standard deviation of the pixel noise, of 255
    """

    name: str
    nouns: tuple[str, ...]
    attributes: tuple[str, ...]
    attribute_is: str
    noun_exponent: float = 1.2
    attribute_rate: float = 0.5
    attribute_prior: float = 0.95
    place_prior: float = 0.95
    background_rate: float = 0.3
    counted_rate: float = 0.1
    alone_rate: float = 0.3
    extra_rate: float = 0.2
    heldout_rate: float = 0.12
    radius: tuple[float, float] = (0.18, 0.22)
    noise: float = 6.0

    @cached_property
    def typical(self) -> dict[str, str]:
        """Noun to its typical attribute; the attributes are spread evenly over the nouns."""
        ranked = sorted(self.nouns, key=lambda noun: seed_of("typical", noun))
        return {noun: self.attributes[place % len(self.attributes)] for place, noun in enumerate(ranked)}

    @cached_property
    def typical_place(self) -> dict[str, str]:
        """Noun to the place where it typically stands alone; the places are spread evenly over the nouns."""
        ranked = sorted(self.nouns, key=lambda noun: seed_of("place", noun))
        return {noun: PLACES[index % len(PLACES)] for index, noun in enumerate(ranked)}

    def typical_places(self, first: str, second: str) -> tuple[str, str]:
        """Where two nouns typically stand together; the same for (a, b) and (b, a)."""
        low, high = sorted((first, second))
        left, right = ("left", "right") if seed_of("axis", low, high) % 2 else ("top", "bottom")
        low_is_left = seed_of("order", low, high) % 2 == 0
        return (left, right) if (first == low) == low_is_left else (right, left)

    @cached_property
    def cumulative_frequency(self) -> tuple[float, ...]:
        """Running sum of the nouns' relative frequencies, in the order of ``nouns``."""
        return tuple(itertools.accumulate((rank + 1) ** -self.noun_exponent for rank in range(len(self.nouns))))

    @cached_property
    def heldout_things(self) -> frozenset[tuple[str, str]]:
        """(noun, attribute) pairs never shown in training; never a typical pair."""
        rare = [(n, a) for n in self.nouns for a in self.attributes if a != self.typical[n]]
        return _share(rare, self.heldout_rate, "thing")

    @cached_property
    def heldout_relations(self) -> frozenset[tuple[str, str, str]]:
        """(noun, axis, noun) never shown in training: the first stands left of or above the second."""
        pairs = [(a, axis, b) for a in self.nouns for axis in ("across", "down") for b in self.nouns if a != b]
        return _share(pairs, self.heldout_rate, "relation")


def _share(combinations: list[Words], rate: float, salt: str) -> frozenset[Words]:
    ranked = sorted(combinations, key=lambda combination: seed_of(salt, *combination))
    return frozenset(ranked[: round(rate * len(ranked))])


def natural() -> World:
    """Captions with the priors of real ones: the default world."""
    return World(name="natural", nouns=NOUNS, attributes=TEXTURES, attribute_is="texture")


def dense() -> World:
    """No priors and every attribute said: the control in which random batches are compositional already."""
    return World(
        name="dense",
        nouns=("ball", "box", "cross", "heart", "star", "tent"),
        attributes=COLOURS,
        attribute_is="colour",
        noun_exponent=0.0,
        attribute_rate=1.0,
        attribute_prior=1 / len(COLOURS),
        place_prior=0.0,
    )


WORLDS = {"natural": natural, "dense": dense}


def world_named(name: str) -> World:
    """The preset called ``name``."""
    if name not in WORLDS:
        raise unknown_name("world", name, WORLDS)
    return WORLDS[name]()
