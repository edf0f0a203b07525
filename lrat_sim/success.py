"""What success is: correct / tasks asked, each task once with the mean over its runs.  Everything takes it from here.

A run that gave no answer or broke is a failure, and so is a task without a run.  Ungraded answers are left out; the
bounds say what they could change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from msgspec import Struct

Runs = Sequence[float | None]
"""The runs of one task, each as :func:`run_success` has it; none where it was not run."""


class Success(Struct, frozen=True):
    """Success over tasks: ``value`` is None where nothing is known; ``low`` and ``high`` take every ungraded answer
    as wrong and as right."""

    value: float | None
    low: float
    high: float


def run_success(status: str, grade: str | None) -> float | None:
    """1 where a run's answer is correct, 0 where it is wrong or missing, None where it is not graded."""
    return 0.0 if status != "answered" else {"correct": 1.0, "incorrect": 0.0}.get(grade or "ungraded")


def task_success(runs: Runs) -> Success:
    """The success of one task."""
    known = [value for value in runs if value is not None] if runs else [0.0]
    unknown = len(runs) - len(known) if runs else 0
    low, high = (sum(known, unknown * guess) / (len(known) + unknown) for guess in (0.0, 1.0))
    return Success(fmean(known) if known else None, low, high)


def success(tasks: Iterable[Runs]) -> Success:
    """The success of all tasks asked, one or more, from the runs of each; those that were not run are included."""
    by_task = [task_success(runs) for runs in tasks]
    known = [task.value for task in by_task if task.value is not None]
    low, high = fmean(task.low for task in by_task), fmean(task.high for task in by_task)
    return Success(fmean(known) if known else None, low, high)


def runs_by_task(
    runs: Iterable[tuple[str, str, str | None]], asked: Iterable[str] = ()
) -> Mapping[str, list[float | None]]:
    """The success of runs, given as task, status and grade, by task; tasks asked count even where they have no run."""
    by_task: dict[str, list[float | None]] = {task: [] for task in asked}
    for task, status, grade in runs:
        by_task.setdefault(task, []).append(run_success(status, grade))
    return by_task
