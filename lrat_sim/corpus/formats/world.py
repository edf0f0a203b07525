"""The generated world as a task set: documents and tasks come from settings and a seed, not from files."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReadTask
from lrat_sim.corpus.world import WorldSettings, world_documents, world_tasks
from lrat_sim.records import Document


class WorldReader(Reader):
    """Options are the fields of :class:`lrat_sim.corpus.world.WorldSettings`; the splits are the world's own."""

    options_type = WorldSettings
    needs_source = False

    def configure(self, options: Struct) -> None:
        """Keeps the world's settings."""
        assert isinstance(options, WorldSettings)
        self._settings = options

    def files(self) -> list[Path]:
        """The wordings that the world is told in; all else comes from its settings."""
        return sorted(Path(str(resources.files("lrat_sim.corpus.world"))).glob("*.yaml"))

    def documents(self) -> Iterator[Document]:
        """The documents of the world, streaming."""
        yield from world_documents(self._settings)

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The tasks of the world, by its own splits."""
        for split, tasks in world_tasks(self._settings).items():
            for task in tasks:
                _, missing = self.evidence(corpus, task.evidence)
                yield ReadTask(task, split, f"the {split} tasks of the world", missing)
