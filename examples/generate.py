"""Generate a trajectory data set: many tasks, two retrievers, the simulated agent."""

from lrat_sim.agent import load_agent
from lrat_sim.corpus import prepare
from lrat_sim.retrieval import open_retriever
from lrat_sim.rollout import read_trajectories, rollout

OUT = "runs/generate"
data = prepare("world", f"{OUT}/data", options={"documents": 1000, "train_tasks": 20, "test_tasks": 5})
for name in ("bm25", "oracle"):
    retriever = open_retriever(name, data.corpus, data.folder / "indexes")
    rollout(data.tasks("train"), load_agent("simulated"), retriever, f"{OUT}/{name}", samples=2)
    print(name, sum(len(trajectory.turns) for trajectory in read_trajectories(f"{OUT}/{name}")), "turns")
