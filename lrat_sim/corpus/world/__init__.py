"""The generated world: a seeded encyclopedia of invented people, towns, guilds, ships and books.

Documents and tasks follow from :class:`WorldSettings` alone, to the byte, on any machine.  What makes searching
it hard is mostly learnable: askers and writers use different words for the same relations, all over the world.
"""

from lrat_sim.corpus.world.article import world_documents
from lrat_sim.corpus.world.settings import SPLITS, WorldSettings
from lrat_sim.corpus.world.tasks import world_tasks

__all__ = ["SPLITS", "WorldSettings", "world_documents", "world_tasks"]
