"""The settings of a generated world."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from lrat_sim.settings import Settings, Share

ENTITIES = 20  # of a region

SPLITS = ("train", "dev", "test", "ood")
_ROTA = ("train", "test", "ood", "dev", "train", "test", "train", "test", "ood", "train")
"""The split of each region, over and over; ``ood`` is written in the second dialect."""

_Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class WorldSettings(Settings, frozen=True, kw_only=True):
    """A generated world.

    The difficulty sets how seldom writers use askers' words for a fact, and how often elsewhere; how many entities
    have look-alikes; how many documents an entity has.
    """

    documents: Annotated[int, Meta(ge=1000, le=5_000_000, description="How many documents.")] = 3000
    seed: Annotated[_Count, Meta(description="Random seed of the whole world.")] = 0
    difficulty: Annotated[Share, Meta(description="How hard the world is to search, from 0 to 1.")] = 0.35
    train_tasks: Annotated[_Count, Meta(description="Tasks of the split train.")] = 300
    dev_tasks: Annotated[_Count, Meta(description="Tasks of the split dev.")] = 50
    test_tasks: Annotated[_Count, Meta(description="Tasks of the split test.")] = 300
    ood_tasks: Annotated[_Count, Meta(description="Tasks of the split ood, in the second dialect.")] = 100

    def tasks(self, split: str) -> int:
        """How many tasks a split is to have."""
        return int(getattr(self, f"{split}_tasks"))

    @property
    def documents_an_entity(self) -> int:
        """8 at difficulty 0, 12 at 1."""
        return 8 + round(4 * self.difficulty)

    @property
    def regions(self) -> int:
        """How many regions are whole; a last, partial one only adds distractors."""
        return self.documents // (ENTITIES * self.documents_an_entity)


def split_of(region: int) -> str:
    """The split that a region's entities belong to."""
    return _ROTA[region % len(_ROTA)]
