"""Fits the simulated agent's habits to how a real agent was seen to behave, on training questions.

A local search: a few traits are moved at a time, and a change is kept where the runs come nearer to the targets that
the agent is held to.  What it finds is rounded by hand into agents/simulated-paper.yaml; the test questions are looked
at once, at the end.  Ranks under shuffling and long snippets are not fitted: ``lrat-sim probe`` shows them.

    python benchmarks/fit_behaviour.py --tries 60 --tasks 80 --out runs/fit
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer
import yaml
from rich.console import Console

from lrat_sim.agent import load_agent
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.behaviour import behaviour
from lrat_sim.behaviour.report import BehaviourGroup
from lrat_sim.corpus import prepare
from lrat_sim.grading.run import grade_run
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.run import rollout

RANGES = {
    "patience": (15.0, 40.0),
    "pickiness": (1.2, 2.2),
    "satiety": (0.0, 0.3),
    "snippet_noise": (0.2, 0.6),
    "trust": (0.3, 0.7),
    "rambling": (0.3, 0.9),
    "verbosity": (60.0, 150.0),
    "verbosity_spread": (0.6, 1.0),
    "habits.consensus": (0.8, 3.0),
    "habits.caution": (1.0, 4.0),
    "habits.conviction": (0.6, 1.0),
    "habits.momentum": (0.3, 1.2),
    "habits.diligence": (0.0, 0.6),
    "habits.doubt": (0.2, 1.0),
    "habits.discovery": (0.8, 1.5),
    "habits.elaboration": (0.0, 1.6),
    "habits.fatigue": (0.0, 0.6),
}
"""The traits that are fitted, and how far each may go."""

_STEP = 0.2
"""Standard deviation of a move, as a share of the range."""


class Remembering(Retriever):
    """Another retriever, with its answers kept: the same questions are asked again and again."""

    def __init__(self, base: Retriever):
        self.base, self._kept = base, dict[tuple[str, int], list[Hit]]()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        for query in queries:
            if (query, k) not in self._kept:
                self._kept[query, k] = self.base.search([query], k)[0]
        return [self._kept[query, k] for query in queries]

    def document(self, docid: str) -> Document:
        return self.base.document(docid)

    def describe(self) -> dict[str, Any]:
        return self.base.describe()


def changed(agent: AgentSettings, traits: dict[str, float]) -> AgentSettings:
    """The agent with some traits of its personality set."""
    simulation: dict[str, Any] = msgspec.to_builtins(agent.simulation or {})
    for name, value in traits.items():
        *parents, last = name.split(".")
        place = simulation
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = round(value, 3)
    return msgspec.structs.replace(agent, simulation=simulation)


def observed(tasks: list[Task], agent: AgentSettings, retriever: Retriever, folder: Path) -> BehaviourGroup:
    """What an agent does on some tasks."""
    shutil.rmtree(folder, ignore_errors=True)
    rollout(tasks, agent, retriever, folder, table=False)
    grade_run(folder)
    return behaviour([folder], resamples=2).groups[0]


def loss(group: BehaviourGroup) -> float:
    """How far a run is from the targets it is held to: nothing is gained within a third of what is allowed."""
    total = 0.0
    for gap in group.gaps:
        if gap.target.held and gap.state != "not comparable":
            value, wanted = gap.found.value, gap.target.value or 0.0
            reach = gap.target.within or (gap.target.relative or 0.0) * wanted or 0.1
            total += 9.0 if value is None else max(0.0, abs(value - wanted) / reach - 1 / 3) ** 2
    return total


def main(
    out: Path = Path("runs/fit"),
    agent: str = "simulated-paper",
    retriever: str = "dense",
    tries: int = 60,
    tasks: int = 80,
    test_tasks: int = 300,
    seed: int = 0,
) -> None:
    """Fits on training questions of the default world, then shows the targets on its test questions."""
    console, rng = Console(), random.Random(seed)
    dataset = prepare("world", out / "world")
    served = Remembering(open_retriever(retriever, dataset.corpus, out / "index"))
    best = load_agent(agent)
    persona = msgspec.to_builtins(best.resolved().simulation)
    traits = {name: (persona["habits"] if "." in name else persona)[name.rpartition(".")[2]] for name in RANGES}
    train = dataset.tasks("train")[:tasks]
    least = loss(observed(train, best, served, out / "try"))
    console.print(f"start: {least:.2f}")
    for number in range(1, tries + 1):
        moved = dict(traits)
        for name in rng.sample(list(RANGES), rng.choice((1, 2, 3))):
            low, high = RANGES[name]
            moved[name] = min(high, max(low, moved[name] + rng.gauss(0, _STEP) * (high - low)))
        candidate = changed(best, moved)
        distance = loss(observed(train, candidate, served, out / "try"))
        if distance < least:
            least, traits, best = distance, moved, candidate
            console.print(f"try {number}: {least:.2f}")
    console.print(yaml.safe_dump({"simulation": best.simulation}, sort_keys=False))
    held_out = observed(dataset.tasks("test")[:test_tasks], best, served, out / "test")
    console.print(f"on test questions: {loss(held_out):.2f}")
    console.print(behaviour([out / "test"], out=out / "behaviour"))


if __name__ == "__main__":
    typer.run(main)
