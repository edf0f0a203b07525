"""How well the queries that an agent issued find a task's evidence: retrieval alone, by ``ir-measures``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean

import ir_measures

from lrat_sim.records import Hit, Task, Trajectory

_AT_ONCE = 5_000
"""Queries that are measured together; bounds memory."""


class Queries:
    """Gathers the searches of trajectories as they pass, and measures them.

    Every search that ran is a query, its hits as the agent got them; one that found nothing counts as 0.  A multi-hop
    question's query is measured against all of the task's evidence, although it asks for one hop: the figures compare
    retrievers, they are not those of a test collection.

    Args:
        tasks: those asked; the searches of others, and of tasks without evidence, are passed over.
        k: the rank at which nDCG, recall and reciprocal rank are cut off.
    """

    def __init__(self, tasks: Mapping[str, Task], k: int):
        self._tasks = tasks
        names = {"ndcg": f"nDCG@{k}", "recall": f"R@{k}", "mrr": f"RR@{k}"}
        self._measures = {ir_measures.parse_measure(text): name for name, text in names.items()}
        self._waiting: list[tuple[str, str, list[Hit]]] = []
        self._values: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(dict)

    def add(self, trajectory: Trajectory) -> None:
        """Takes in the searches of one trajectory; of one that was recorded again under its id, the last count."""
        task = self._tasks.get(trajectory.task_id)
        if task is None or not task.evidence:
            return
        self._values[task.id][trajectory.id] = {name: [] for name in self._measures.values()}
        self._waiting += [(task.id, trajectory.id, call.hits) for call in trajectory.calls() if call.hits is not None]
        if len(self._waiting) >= _AT_ONCE:
            self._measure()

    def by_task(self) -> Iterator[tuple[str, dict[str, float | None]]]:
        """Each task with its ``ndcg``, ``recall`` and ``mrr``: mean over a run's searches, then over its runs."""
        self._measure()
        for task, runs in self._values.items():
            means = {name: [fmean(run[name]) for run in runs.values() if run[name]] for name in self._measures.values()}
            yield task, {name: fmean(values) if values else None for name, values in means.items()}

    def _measure(self) -> None:
        if not self._waiting:
            return
        judged = [
            ir_measures.Qrel(str(number), docid, 1)
            for number, (task, _, _) in enumerate(self._waiting)
            for docid in set(self._tasks[task].evidence)
        ]
        # by rank, since ir-measures would break ties of scores in its own way
        ranked = [
            ir_measures.ScoredDoc(str(number), hit.docid, -float(hit.rank))
            for number, (_, _, hits) in enumerate(self._waiting)
            for hit in hits
        ]
        values = {name: [0.0] * len(self._waiting) for name in self._measures.values()}
        for measured in ir_measures.iter_calc(list(self._measures), judged, ranked):
            values[self._measures[measured.measure]][int(measured.query_id)] = float(measured.value)
        for name, of_queries in values.items():
            for (task, trajectory, _), value in zip(self._waiting, of_queries, strict=True):
                self._values[task][trajectory][name].append(value)
        self._waiting = []
