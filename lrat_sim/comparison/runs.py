"""A graded run folder as the rows that a comparison pairs, and several of them as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from lrat_sim.artifact import Store
from lrat_sim.comparison.calibration import STATED, calibration_parts
from lrat_sim.comparison.measures import MEASURES, ArmMetrics, TaskMetrics, untold
from lrat_sim.comparison.queries import Queries
from lrat_sim.grading.answers import latest_grades
from lrat_sim.grading.metrics import TaskTable, measure, task_table
from lrat_sim.grading.run import GRADES
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.rollout.index import read_trajectories

_FAILED_IF_ABSENT = {measure.metric for measure in MEASURES if measure.population in ("asked", "evidence")}
_FAILED_IF_ABSENT |= {"success_low", "success_high"}


def run_table(run: Path, tasks: Sequence[Task], k: int, judge: str | None = None) -> TaskTable:
    """The metrics of a graded run by task: those of :func:`lrat_sim.grading.run.run_tables`, those of the issued
    queries, and what each task adds to the calibration error.  Reads the trajectories once, one at a time.

    Args:
        run: the run folder; a run that was not graded has its answers ungraded.
        tasks: those that count; trajectories of others are passed over.
        k: hits a search, at which the issued queries are measured.
        judge: the name of the judge whose grades count; by default the latest of any.

    Raises:
        InputError: it is no run folder.
    """
    by_id = {task.id: task for task in tasks}
    queries = Queries(by_id, k)

    def passing() -> Iterator[Trajectory]:
        for trajectory in read_trajectories(run):
            if trajectory.task_id in by_id:
                queries.add(trajectory)
                yield trajectory

    rows = measure(passing(), tasks, latest_grades(Store(run / GRADES, Grade), judge))
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
    """One row a task from the rows that several seeds gave it: the mean of every metric.

    A seed in which a task was not run is a failure of that seed: no success, no evidence; lengths are means over the
    seeds that ran.  Tokens and cost that one seed does not know are unknown.

    Args:
        tables: one a seed, of one arm.
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
        if any(untold(row, metric) for row in ran):
            values = []  # a mean over the seeds that tell would pass for that of all
        elif metric in _FAILED_IF_ABSENT and (values or metric == "success"):
            values += [0.0] * (len(rows) - len(ran))
        elif metric == STATED or metric.startswith("calibration_"):  # sums: a seed without an answer adds nothing
            values += [0.0] * (len(rows) - len(values))
        means[metric] = fmean(values) if values else None
    return means
