"""Improve a retriever over five rounds on a small generated world, with a gate on tasks of its own."""

from rich.console import Console

from lrat_sim.corpus import prepare
from lrat_sim.study import FlywheelSettings, flywheel

OUT = "runs/rounds"
sizes = {"documents": 1000, "train_tasks": 60, "dev_tasks": 40, "test_tasks": 60, "ood_tasks": 5}
data = prepare("world", f"{OUT}/data", options=sizes)
settings = FlywheelSettings(
    rounds=5,
    gate="mean",
    patience=None,
    collect_with={"bm25": 0.2},
    samples=1,
    training_options={"max_document_length": 64},
)
result = flywheel(data, f"{OUT}/flywheel", settings)
Console().print(result.rounds.table().to_terminal())
print(result.comparisons["test-k5"].answer)
