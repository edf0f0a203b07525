"""Improve a retriever on a small generated world: no key, no network, no files."""

from lrat_sim.corpus import prepare
from lrat_sim.study import FlywheelSettings, flywheel

OUT = "runs/world"
sizes = {"documents": 1000, "train_tasks": 40, "dev_tasks": 5, "test_tasks": 30, "ood_tasks": 5}
data = prepare("world", f"{OUT}/data", options=sizes)
result = flywheel(data, f"{OUT}/flywheel", FlywheelSettings(rounds=1))
print(result.comparisons["test-k5"].answer)
