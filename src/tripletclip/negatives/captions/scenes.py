"""Exact edits of the embedded world: the writer ``scenes``, and scenes as JSON columns.

A row of the embedded world keeps its scene in the column ``scene``; what is written keeps the edited one in
``neg_scene``, from which the painter ``scenes`` paints. The phrasing is not stored: a caption tells it.
"""

import hashlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tripletclip.errors import UserError
from tripletclip.negatives.contract import NEG_SCENE, Answer, Cost, Rejected, Request, Written
from tripletclip.scenes.edits import EDITORS
from tripletclip.scenes.grammar import TEMPLATES, Phrasing, Scene, caption, is_heldout
from tripletclip.scenes.record import SceneError, scene_from_json, scene_to_json

EDIT = "edit"
"""Column: the name of the edit between the two scenes, such as ``swap_att``."""

NO_SCENE, MALFORMED, FOREIGN = "no scene", "malformed scene", "caption is not the scene's"
EDITS_VERSION = 1
"""Goes into the hash; raise it where an edit changes what it does."""

DRAWS = 20
"""Times that every edit is drawn before a scene counts as one without edits: most draws may be held out."""

CATEGORY_OF = {
    "add_att": "attribute", "add_obj": "object", "replace_att": "attribute", "replace_obj": "object",
    "replace_rel": "relation", "swap_att": "swap", "swap_obj": "swap",
}  # fmt: skip

_PHRASINGS = tuple(
    Phrasing(template, (first, second, extra), background)
    for template in range(TEMPLATES)
    for first, second, extra, background in itertools.product((False, True), repeat=4)
)


def phrasings_of(scene: Scene, text: str) -> list[Phrasing]:
    """Every phrasing in which ``scene`` reads ``text``; they differ only in what the scene does not have."""
    return [phrasing for phrasing in _PHRASINGS if caption(scene, phrasing) == text]


@dataclass(frozen=True, kw_only=True)
class ScenesConfig:
    """How many edits a scene gets at most; ``heldout`` allows combinations that training is never to show."""

    per_caption: int = 4
    heldout: bool = False

    def __post_init__(self) -> None:
        if self.per_caption < 1:
            raise UserError(f"scenes.per_caption is {self.per_caption}; give at least 1")


DEFAULT = ScenesConfig()


class ScenesWriter:
    """The edits that a scene offers, said in the words of its caption, in an order drawn from the request's seed."""

    name = "scenes"

    def __init__(self, config: ScenesConfig = DEFAULT) -> None:
        self.config = config
        self.model = f"scenes {EDITS_VERSION}"
        rules = (EDITS_VERSION, sorted(EDITORS), config.heldout)
        self.prompt_hash = hashlib.sha256(repr(rules).encode()).hexdigest()
        self._cost = Cost()

    def write(self, requests: Sequence[Request]) -> list[list[Answer]]:
        """Candidates for each request, or the one answer why there are none."""
        start = time.perf_counter()
        answers = [self._candidates(request) for request in requests]
        self._cost += Cost(calls=len(requests), seconds=time.perf_counter() - start)
        return answers

    def cost(self) -> Cost:
        """Captions as calls, and the seconds they took."""
        return self._cost

    def _candidates(self, request: Request) -> list[Answer]:
        if request.scene is None:
            return [Rejected(reason=NO_SCENE)]
        try:
            world, scene = scene_from_json(request.scene)
        except SceneError:
            return [Rejected(reason=MALFORMED)]
        phrasings = phrasings_of(scene, request.caption)
        if not phrasings:
            return [Rejected(reason=FOREIGN)]
        rng = Random(request.seed)
        phrasing = rng.choice(phrasings)
        found: list[Answer] = []
        names = rng.sample(sorted(EDITORS), len(EDITORS))
        for drawn, name in enumerate(names * DRAWS):
            if drawn >= len(names) and found:
                break  # further draws are for scenes whose first ones were all held out
            edit = EDITORS[name](world, scene, phrasing, rng)
            if edit is None or (not self.config.heldout and is_heldout(world, edit[0])):
                continue
            category = "count" if edit[0].count != scene.count else CATEGORY_OF[name]
            extra = {NEG_SCENE: scene_to_json(world.name, edit[0]), EDIT: name}
            found.append(Written(caption=caption(*edit), category=category, extra=extra))
            if len(found) == self.config.per_caption:
                break
        return found or [Rejected(reason="no edit found")]


assert set(CATEGORY_OF) == set(EDITORS)
