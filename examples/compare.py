"""Compare retrievers head to head: the same agent on the same tasks, paired by task."""

from rich.console import Console

from lrat_sim.comparison.table import render
from lrat_sim.corpus import prepare
from lrat_sim.study import compare

OUT = "runs/compare"
data = prepare("world", f"{OUT}/data", options={"documents": 1000, "train_tasks": 5, "test_tasks": 30})
arms = {spec: spec for spec in ("bm25", "bm25:b=0.75", "oracle")}
result = compare(arms, data, f"{OUT}/runs")
print(result.answer)
Console().print(render(result.comparisons["."]))
