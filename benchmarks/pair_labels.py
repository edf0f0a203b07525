"""Whether mined pairs are right, by the plans of the tasks that they come from.

A pair is right where its document states the fact that its query asks for.  Which hop a query is for is guessed from
the names in it, so that some pairs are called wrong that are not: the figures are for comparing recipes on the same
runs.  Mining reads no plan; this does, and with training runs alone it chooses a recipe without a held-out task.

    python benchmarks/pair_labels.py runs/data/2wikimultihopqa runs/pairs-paper runs/pairs-recommended

The first argument is the prepared task set, the others are folders of pairs that `lrat-sim mine` made.  Where it is a
run folder, whose tasks need no plan, a pair is right where its document is evidence of its task.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lrat_sim.artifact import read_records
from lrat_sim.corpus.dataset import Dataset, open_dataset
from lrat_sim.corpus.plans import Passage, reference, states
from lrat_sim.records import Pair, Task
from lrat_sim.rollout.index import TASKS, asked_tasks
from lrat_sim.text import normalise

Hop = tuple[str, int]
"""A task and the place of one of its hops."""

_NO_NAME = {"film", "the", "of"}
_ENOUGH = 0.5
"""The share of a subject's words that a query must hold to be about it."""


class Labels:
    """What a task set's plans say of pairs."""

    def __init__(self, dataset: Dataset):
        self.corpus = dataset.corpus
        self.tasks = {task.id: task for tasks in dataset.splits.values() for task in tasks}
        self._stating: dict[Hop, frozenset[str]] = {}

    def hop(self, pair: Pair) -> Hop | None:
        """The hop whose subject a pair's query names best, the later of two; None where none is named."""
        task = self.tasks[pair.provenance.task]
        words = set(normalise(pair.query).split())
        best, most = None, _ENOUGH
        for place, subject in enumerate(subjects(task)):
            name = set(normalise(subject).split()) - _NO_NAME
            held = len(name & words) / max(1, len(name))
            if held >= most:
                best, most = (task.id, place), held
        return best

    def stating(self, hop: Hop) -> frozenset[str]:
        """The task's evidence that states the fact of a hop."""
        if hop not in self._stating:
            task = self.tasks[hop[0]]
            subject, found = subjects(task)[hop[1]], task.plan.hops[hop[1]].object
            documents = [self.corpus.document(docid) for docid in task.evidence]
            self._stating[hop] = frozenset(
                document.id for document in documents if states(Passage(document.title, document.text), subject, found)
            )
        return self._stating[hop]


class EvidenceLabels:
    """What tasks say of pairs without a plan: a task counts as one hop, which its evidence states."""

    def __init__(self, run: Path):
        self.evidence = {task.id: frozenset(task.evidence) for task in asked_tasks(run)}

    def hop(self, pair: Pair) -> Hop | None:
        return (pair.provenance.task, 0)

    def stating(self, hop: Hop) -> frozenset[str]:
        return self.evidence[hop[0]]


def subjects(task: Task) -> list[str]:
    """What each hop of a task is about, what earlier ones found filled in."""
    hops = task.plan.hops if task.plan else []
    places = [reference(hop.subject) for hop in hops]
    return [hop.subject if place is None else hops[place - 1].object for hop, place in zip(hops, places, strict=True)]


def main(
    dataset: Annotated[Path, typer.Argument(exists=True, help="A prepared task set, or a run folder.")],
    folders: Annotated[list[Path], typer.Argument(exists=True, help="Folders of mined pairs.")],
) -> None:
    """Print a row for each folder of pairs."""
    by_plan = not (dataset / TASKS).is_file()
    labels = Labels(open_dataset(dataset)) if by_plan else EvidenceLabels(dataset)
    table = Table(title=f"pairs by the {'plans' if by_plan else 'evidence'} of {dataset}")
    table.add_column("folder", overflow="fold")
    for name in ("pairs", "labelled", "right", "of chains", "hops", "negatives", "false", "rejected", "false"):
        table.add_column(name, justify="right")
    for folder in folders:
        table.add_row(str(folder), *row(labels, folder))
    Console().print(table)


def row(labels: Labels | EvidenceLabels, folder: Path) -> list[str]:
    count: Counter[str] = Counter()
    taught: set[Hop] = set()
    for pair in read_records(folder / "pairs.jsonl", Pair):
        count["pairs"] += 1
        hop = labels.hop(pair)
        stating = labels.stating(hop) if hop else frozenset[str]()
        if hop is None or not stating:
            continue
        count["labelled"] += 1
        chained = pair.provenance.rank == 0
        count["chained"] += chained
        if pair.positive in stating:
            count["right"] += 1
            count["chained right"] += chained
            taught.add(hop)
        for negative in pair.negatives:
            for kind in {"negatives", negative.tier} & {"negatives", "rejected"}:
                count[kind] += 1
                count[f"{kind} false"] += negative.docid in stating

    def share(part: str, whole: str) -> str:
        return f"{count[part] / count[whole]:.1%}" if count[whole] else "-"

    return [
        f"{count['pairs']:,}",
        f"{count['labelled']:,}",
        share("right", "labelled"),
        share("chained right", "chained"),
        f"{len(taught):,}",
        f"{count['negatives']:,}",
        share("negatives false", "negatives"),
        f"{count['rejected']:,}",
        share("rejected false", "rejected"),
    ]


if __name__ == "__main__":
    typer.run(main)
