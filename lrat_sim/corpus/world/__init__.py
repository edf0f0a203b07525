"""The generated world: a seeded encyclopedia of invented people, towns, guilds, ships and books.

Documents and tasks follow from :class:`WorldSettings` alone, to the byte, on any machine.  What makes searching
it hard is mostly learnable: askers and writers use different words for the same relations, all over the world.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReadTask
from lrat_sim.corpus.world.article import world_documents
from lrat_sim.corpus.world.dialect import dialect_file
from lrat_sim.corpus.world.settings import SPLITS, WorldSettings
from lrat_sim.corpus.world.tasks import world_tasks
from lrat_sim.records import Document

__all__ = ["SPLITS", "WorldReader", "WorldSettings", "world_documents", "world_tasks"]


class WorldReader(Reader):
    """Options are the fields of :class:`lrat_sim.corpus.world.WorldSettings`; the splits are the world's own."""

    options_type = WorldSettings
    needs_source = False

    def __init__(self, source: Path | None, options: WorldSettings):
        super().__init__(source, options)
        self._settings = options
        self.files = [dialect_file(name) for name in ("main", "second")]

    def documents(self) -> Iterator[Document]:
        """The documents of the world, streaming."""
        return world_documents(self._settings, self.processes)

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The tasks of the world, by its own splits."""
        for split, tasks in world_tasks(self._settings).items():
            for task in tasks:
                yield ReadTask(task, split, f"the {split} tasks of the world")
