"""Many tasks at once, each recorded as it ends, resumed where it was stopped."""

from lrat_sim.rollout.index import asked_tasks, read_trajectories
from lrat_sim.rollout.run import RolloutSummary, rollout

__all__ = ["RolloutSummary", "asked_tasks", "read_trajectories", "rollout"]
