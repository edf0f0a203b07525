"""Improve a retriever on 2WikiMultihopQA in one round. LRAT_SIM_DATA names the folder with the local copies."""

import lrat_sim as ls

data = ls.prepare("2wikimultihopqa", "runs/2wiki/data")
result = ls.flywheel(data, "runs/2wiki/flywheel", samples=1, k=5)
for name, comparison in result.comparisons.items():
    print(name, comparison.answer)
