"""The generated world as a task set: documents and tasks come from settings and a seed, not from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReadTask
from lrat_sim.corpus.world import WorldSettings, world_documents, world_tasks
from lrat_sim.corpus.world.dialect import dialect_file
from lrat_sim.records import Document


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
        return world_documents(self._settings)

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The tasks of the world, by its own splits."""
        for split, tasks in world_tasks(self._settings).items():
            for task in tasks:
                yield ReadTask(task, split, f"the {split} tasks of the world")
