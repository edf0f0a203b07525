"""Generate a trajectory data set: many tasks, two retrievers, the simulated agent."""

import lrat_sim as ls

data = ls.prepare("world", "runs/generate/data", documents=1000, train_tasks=20, test_tasks=5)
for name in ("bm25", "oracle"):
    run = ls.rollout(data, f"runs/generate/{name}", retriever=name, samples=2)
    print(name, sum(len(trajectory.turns) for trajectory in run.trajectories()), "turns")
