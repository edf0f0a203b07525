"""Compare retrievers head to head: the same agent on the same tasks, paired by task."""

from lrat_sim.experiment import compare_retrievers, opened
from rich.console import Console

from lrat_sim.agent import load_agent
from lrat_sim.comparison.table import render
from lrat_sim.corpus import prepare

OUT = "runs/compare"
data = prepare("world", f"{OUT}/data", options={"documents": 1000, "train_tasks": 5, "test_tasks": 30})
arms = {spec: opened(spec, data) for spec in ("bm25", "bm25:b=0.75", "oracle")}
comparison = compare_retrievers(arms, data.tasks("test"), load_agent("simulated"), f"{OUT}/runs", base="bm25")
Console().print(render(comparison))
