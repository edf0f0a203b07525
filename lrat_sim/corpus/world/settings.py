"""The settings of a generated world, and how its regions are laid out."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from lrat_sim.corpus.world.article import Article, Wording, articles
from lrat_sim.corpus.world.dialect import dialect
from lrat_sim.corpus.world.region import ENTITIES, Region
from lrat_sim.errors import InputError
from lrat_sim.records import Document

SPLITS = ("train", "dev", "test", "ood")
MAX_DOCUMENTS = 5_000_000
_ROTA = ("train", "test", "ood", "dev", "train", "test", "train", "test", "ood", "train")
"""The split of each region, over and over; ``ood`` is told in the second dialect."""


class WorldSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generated world.

    Args:
        documents: how many, from 1,000 to 5,000,000.
        seed: any whole number from 0; decides everything that the other settings leave open.
        difficulty: from 0 to 1: how seldom writers use askers' words for a fact, and how often elsewhere; how many
            entities have look-alikes; how many documents an entity has.
        train_tasks, dev_tasks, test_tasks, ood_tasks: how many tasks a split has.

    Raises:
        InputError: a value is not allowed.
    """

    documents: int = 3000
    seed: int = 0
    difficulty: float = 0.35
    train_tasks: int = 300
    dev_tasks: int = 50
    test_tasks: int = 300
    ood_tasks: int = 100

    def __post_init__(self) -> None:
        if not 1000 <= self.documents <= MAX_DOCUMENTS:
            raise InputError(f"documents is {self.documents}; give a number from 1000 to {MAX_DOCUMENTS}.")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; give a whole number from 0.")
        if not 0 <= self.difficulty <= 1:
            raise InputError(f"difficulty is {self.difficulty}; give a number from 0 to 1.")
        for split in SPLITS:
            if self.tasks(split) < 0:
                raise InputError(f"{split}_tasks is {self.tasks(split)}; give a whole number from 0.")

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
