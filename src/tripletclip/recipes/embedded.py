"""Recipes of the embedded world: the model, the data and the budgets of ``tripletclip demo``."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tripletclip.errors import unknown_name
from tripletclip.models import ModelConfig
from tripletclip.scenes.benchmark import SetConfig

MODEL = ModelConfig()
"""Two small transformers, 9 patches of 16 px, 32 tokens: what a laptop core trains at hundreds of pairs a second."""

TEST_SEED, VALIDATION_SEED, TRAIN_SEED = 3, 2, 1


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much the demo trains and measures.

    train_rows       distinct triplets
    start_steps      steps of plain CLIP from which every method goes on; 0: every method starts from scratch
    steps            steps of every method
    passes_per_step  images plus texts encoded in a step, equal for every method
    curve_points     measurements on the validation part during a run
    most_warmup      steps of warm-up; a tenth of the run where that is less
    test_rows        items in each part of the test
    """

    name: str
    train_rows: int
    start_steps: int
    steps: int
    passes_per_step: int = 192
    learning_rate: float = 2e-3
    most_warmup: int = 200
    curve_points: int = 5
    test_rows: int = 3500

    def warmup(self, steps: int) -> int:
        """Steps of warm-up of a run of ``steps``."""
        return min(self.most_warmup, steps // 10)

    def sets(self, world: str) -> dict[str, SetConfig]:
        """The data sets of a demo by their folder's name."""
        test, check = self.test_rows, max(700, self.test_rows // 3)
        return {
            "train": SetConfig(world=world, part="train", rows=self.train_rows, seed=TRAIN_SEED),
            "test-pairs": SetConfig(world=world, part="pairs", rows=test, seed=TEST_SEED),
            "test-pairs-heldout": SetConfig(world=world, part="pairs-heldout", rows=test, seed=TEST_SEED),
            "test-retrieval": SetConfig(world=world, part="retrieval", rows=1000, seed=TEST_SEED),
            "test-classes": SetConfig(world=world, part="classes", rows=1120, seed=TEST_SEED),
            "validation-pairs": SetConfig(world=world, part="pairs", rows=check, seed=VALIDATION_SEED),
            "validation-retrieval": SetConfig(world=world, part="retrieval", rows=500, seed=VALIDATION_SEED),
        }


def quick() -> Budget:
    """A first look; too short for the differences to be more than a hint. Goal: 90 seconds on two cores."""
    return Budget(name="quick", train_rows=4_000, start_steps=120, steps=80, curve_points=1, test_rows=700)


def standard() -> Budget:
    """The demo: a short phase of plain CLIP, then every method from the same start. Goal: 8 minutes on two cores."""
    return Budget(name="standard", train_rows=20_000, start_steps=500, steps=700)


def full() -> Budget:
    """The reference curves: every method from scratch on 4 million passes (2 million images in plain CLIP)."""
    return Budget(name="full", train_rows=60_000, start_steps=0, steps=20_834, curve_points=20)


BUDGETS: dict[str, Callable[[], Budget]] = {"quick": quick, "standard": standard, "full": full}


def budget_named(name: str) -> Budget:
    """The budget called ``name``."""
    if name not in BUDGETS:
        raise unknown_name("budget", name, BUDGETS)
    return BUDGETS[name]()


def scaled(budget: Budget, images: int) -> Budget:
    """``budget`` with as many steps as make ``images`` images in plain CLIP, whose passes are images by half."""
    return replace(budget, steps=-(-2 * images // budget.passes_per_step))
