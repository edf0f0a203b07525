"""Improve a retriever on 2WikiMultihopQA in one round. LRAT_SIM_DATA names the folder with the local copies."""

from lrat_sim.corpus import prepare
from lrat_sim.study import FlywheelSettings, flywheel

OUT = "runs/2wiki"
data = prepare("2wikimultihopqa", f"{OUT}/data")
result = flywheel(data, f"{OUT}/flywheel", FlywheelSettings(rounds=1, samples=1, k=5))
for name, comparison in result.comparisons.items():
    print(name, comparison.answer)
