"""Work on many machines, by Ray (the extra ``ray``).

One mechanism serves every station.  The process that was called divides the work into items, hands each to a worker
process on some machine, and alone writes what comes back, by the same code and into the same files as when it does all
itself.  So a result cannot depend on the number of machines; a worker that is lost costs only what it had under way,
which another one does again; and what was done twice is written once.
"""

from lrat_sim.cluster.actors import actors_on_all_machines, ask_all
from lrat_sim.cluster.connection import Cluster, ClusterSettings, connected, current
from lrat_sim.cluster.workers import Workers

__all__ = ["Cluster", "ClusterSettings", "Workers", "actors_on_all_machines", "ask_all", "connected", "current"]
