"""Improve a retriever on a small generated world: no key, no network, no files."""

import lrat_sim as ls

sizes = {"documents": 1000, "train_tasks": 40, "dev_tasks": 20, "test_tasks": 30, "ood_tasks": 5}
data = ls.prepare("world", "runs/world/data", **sizes)
print(ls.flywheel(data, "runs/world/flywheel").answer)
