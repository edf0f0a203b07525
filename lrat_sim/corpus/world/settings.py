"""The settings of a generated world, and how its regions are laid out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from lrat_sim.corpus.world.article import Article, Wording, articles
from lrat_sim.corpus.world.dialect import dialect
from lrat_sim.corpus.world.region import ENTITIES, Region
from lrat_sim.records import Document
from lrat_sim.settings import Settings, Share

SPLITS = ("train", "dev", "test", "ood")
MAX_DOCUMENTS = 5_000_000
_ROTA = ("train", "test", "ood", "dev", "train", "test", "train", "test", "ood", "train")
"""The split of each region, over and over; ``ood`` is told in the second dialect."""


_Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class WorldSettings(Settings, frozen=True, kw_only=True):
    """A generated world.

    The difficulty sets how seldom writers use askers' words for a fact, and how often elsewhere; how many entities
    have look-alikes; how many documents an entity has.
    """

    documents: Annotated[int, Meta(ge=1000, le=MAX_DOCUMENTS, description="How many documents.")] = 3000
    seed: Annotated[_Count, Meta(description="Random seed of the whole world.")] = 0
    difficulty: Annotated[
        Share, Meta(description="How hard the world is to search, from 0 to 1, mostly by askers' and writers' words.")
    ] = 0.35
    train_tasks: Annotated[_Count, Meta(description="Tasks of the split train.")] = 300
    dev_tasks: Annotated[_Count, Meta(description="Tasks of the split dev.")] = 50
    test_tasks: Annotated[_Count, Meta(description="Tasks of the split test.")] = 300
    ood_tasks: Annotated[_Count, Meta(description="Tasks of the split ood, told in the second dialect.")] = 100

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

    @property
    def wording(self) -> Wording:
        """The difficulty of the prose."""
        hard = self.difficulty
        return Wording(plain=0.7 - 0.6 * hard, stray=0.3 + 0.6 * hard, stray_lead=0.2 + 0.4 * hard)


def split_of(region: int) -> str:
    """The split that a region's entities belong to."""
    return _ROTA[region % len(_ROTA)]


def make_region(settings: WorldSettings, number: int) -> Region:
    """One region of a world, from its number alone."""
    told = dialect("second" if split_of(number) == "ood" else "main")
    # two documents of every entity at least hold no fact of their own
    return Region(told, settings.seed, number, settings.difficulty, settings.documents_an_entity - 2)


def region_documents(settings: WorldSettings, region: Region) -> Iterator[tuple[Document, int, Article]]:
    """The documents of one region, each with its entity's slot and the article it was made from."""
    count = settings.documents_an_entity
    for entity in region.entities:
        first = (region.number * ENTITIES + entity.slot) * count
        for place, article in enumerate(articles(region, entity, count, settings.wording)):
            document = Document(id=_docid(first + place, settings.seed), title=article.title, text=article.text)
            yield document, entity.slot, article


def world_documents(settings: WorldSettings) -> Iterator[Document]:
    """Every document of a world, in order, with the memory of one region."""
    left, number = settings.documents, 0
    while left:
        for document, _, _ in region_documents(settings, make_region(settings, number)):
            yield document
            left -= 1
            if not left:
                return
        number += 1


def _docid(row: int, seed: int) -> str:
    """An id that tells nothing of the order; a one-to-one scramble of the row."""
    return f"{(row * 2_654_435_761 + seed * 97 + 12345) & 0xFFFFFFFF:08x}"
