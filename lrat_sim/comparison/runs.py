"""A graded run folder as the rows that a comparison pairs, and several of them as one.

The queries that an agent issued are measured against the task's evidence, retrieval alone, by ``ir-measures``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import ir_measures

from lrat_sim.artifact import Store
from lrat_sim.comparison.measures import MEASURES, STATED, ArmMetrics, TaskMetrics, calibration_parts, unreported
from lrat_sim.grading.answers import latest_grades
from lrat_sim.grading.metrics import TaskTable, TrajectoryMetrics, measure, task_table
from lrat_sim.grading.run import GRADES
from lrat_sim.records import Grade, Hit, Task, Trajectory
from lrat_sim.rollout.index import read_trajectories

_FAILED_IF_ABSENT = {measure.metric for measure in MEASURES if measure.population in ("asked", "evidence")}
_FAILED_IF_ABSENT |= {"success_low", "success_high"}
# queries that are measured together; bounds memory
_AT_ONCE = 5_000


def run_table(run: Path, tasks: Sequence[Task], k: int, judge: str | None = None) -> TaskTable:
    """The metrics of a run folder by task: those of :func:`lrat_sim.grading.run.run_tables`, those of the issued
    queries at k, and what each task adds to the calibration error.

    Without a grade by the ``judge`` of that name (by default the latest of any) an answer is ungraded.
    """
    by_id = {task.id: task for task in tasks}
    queries = Queries(by_id, k)

    def passing() -> Iterator[Trajectory]:
        for trajectory in read_trajectories(run):
            if trajectory.task_id in by_id:
                queries.add(trajectory)
                yield trajectory

    return table_of(measure(passing(), tasks, latest_grades(Store(run / GRADES, Grade), judge)), tasks, queries)


def table_of(rows: Sequence[TrajectoryMetrics], tasks: Sequence[Task], queries: Queries) -> TaskTable:
    """The metrics by task of runs that are measured already, and of the queries that were taken in of them."""
    table = task_table(rows, tasks)
    answers: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if row.confidence is not None and row.success is not None:
            answers[row.task_id].append((row.confidence, row.success))
    for task, metrics in table.items():
        metrics |= calibration_parts(answers[task])
    for task, values in queries.by_task():
        table[task] |= values
    return table


def mean_over_seeds(tables: Sequence[ArmMetrics]) -> ArmMetrics:
    """One row a task from the rows that several seeds gave it (one table each): the mean of every metric.

    A task that was not run in a seed failed in it: no success, no evidence; lengths are means over the seeds that ran.
    Tokens and cost that one seed does not know are unknown.
    """
    if len(tables) == 1:
        return tables[0]
    tasks = dict.fromkeys(task for table in tables for task in table)
    return {task: _mean([table.get(task) for table in tables]) for task in tasks}


def _mean(rows: Sequence[TaskMetrics | None]) -> dict[str, float | None]:
    ran = [row for row in rows if row is not None]
    means: dict[str, float | None] = {}
    for metric in dict.fromkeys(metric for row in ran for metric in row):
        values = [value for row in ran if (value := row.get(metric)) is not None]
        if any(unreported(row, metric) for row in ran):
            values = []  # a mean over the seeds that know it would pass for that of all
        elif metric in _FAILED_IF_ABSENT and (values or metric == "success"):
            values += [0.0] * (len(rows) - len(ran))
        elif metric == STATED or metric.startswith("calibration_"):  # sums: a seed without an answer adds nothing
            values += [0.0] * (len(rows) - len(values))
        means[metric] = fmean(values) if values else None
    return means


class Queries:
    """Gathers the searches of trajectories as they pass, and measures them by nDCG, recall and reciprocal rank at k.

    Every search that ran for a task with evidence is a query; one that found nothing counts as 0.  A multi-hop
    question's query is measured against all of the task's evidence, although it asks for one hop: the figures compare
    retrievers, they are not those of a test collection.
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
