"""Compare retrievers head to head: the same agent on the same tasks, paired by task."""

from rich.console import Console

import lrat_sim as ls
from lrat_sim.comparison.table import render

data = ls.prepare("world", "runs/compare/data", documents=1000, train_tasks=5, test_tasks=30)
result = ls.compare(["bm25", "bm25:b=0.75", "oracle"], data, "runs/compare/runs")
print(result.answer)
Console().print(render(result.comparisons["."]))
