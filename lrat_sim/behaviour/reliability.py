"""An agent as a tester of retrievers: does it put retrievers in the order that is known?

That an agent behaves like a real one and that it ranks retrievers as it should are two things, so both are measured.
An order is known by construction where one retriever is spoiled at growing rates
(:class:`lrat_sim.behaviour.altered.Degraded`), and else from a real agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from lrat_sim.behaviour.observed import names_of
from lrat_sim.behaviour.resample import RESAMPLES, MeasureEstimate, TaskResamples, Values, estimate
from lrat_sim.errors import InputError
from lrat_sim.formats import read_any, recognise
from lrat_sim.progress import ProgressCallback
from lrat_sim.success import runs_by_task, task_success
from lrat_sim.tables import Table, with_interval

if TYPE_CHECKING:
    from rich.console import RenderableType


class RetrieverStep(Struct, frozen=True, kw_only=True):
    """Two retrievers next to one another in the known order; ``gain`` is in success, over the tasks both ran."""

    worse: str
    better: str
    gain: MeasureEstimate

    @property
    def clear(self) -> bool:
        """Whether the agent tells them apart, the right way round."""
        return self.gain.low is not None and self.gain.low > 0

    @property
    def reversed(self) -> bool:
        """Whether the agent is sure of the wrong order."""
        return self.gain.high is not None and self.gain.high < 0


class Ordering(Struct, frozen=True, kw_only=True):
    """How an agent ordered retrievers.

    Attributes:
        names: in the known order, the worst first.
        success: of each.
        errors: runs of each that broke, which are failures.
        tau: Kendall's tau between the known order and that by success: 1 where they are the same, -1 where one is
            the other reversed; runs with equal success count neither way.
        steps: each retriever beside the next.
    """

    names: list[str]
    tasks: int
    success: list[MeasureEstimate]
    errors: list[int]
    tau: MeasureEstimate
    steps: list[RetrieverStep]

    def table(self) -> Table:
        """Success by retriever, the worst first, and whether each is told from the one before."""
        rows = []
        steps = [None, *self.steps]
        for name, success, errors, step in zip(self.names, self.success, self.errors, steps, strict=True):
            verdict = "" if step is None else "yes" if step.clear else "reversed" if step.reversed else "no"
            rows.append([name, _percent(success), str(errors), "" if step is None else _percent(step.gain), verdict])
        tau = with_interval(self.tau.value, self.tau.low, self.tau.high, 3)
        return Table.of(
            f"order of {len(self.names)} retrievers on {self.tasks} tasks: Kendall's tau {tau}",
            ["retriever, worst first", "success, %", "errors", "gain over the one\nbefore, points", "told apart"],
            rows,
            text_columns=(0, 4),
        )

    def __rich__(self) -> RenderableType:
        return self.table().to_terminal()


def _percent(found: MeasureEstimate) -> str:
    return with_interval(found.value, found.low, found.high, scale=100)


def ordering(
    runs: Sequence[Path],
    names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    progress: ProgressCallback | None = None,
) -> Ordering:
    """How the agent of some runs orders their retrievers by success, paired by task.

    Args:
        runs: one a retriever, the worst first, all on the same tasks.
        names: of the retrievers; by default those of the runs.
        seed: of the resampling of tasks.
        resamples: how often.
        progress: told the trajectories read.

    Raises:
        InputError: fewer than two runs, no task that all of them ran, or an answer that is not graded.
    """
    if len(runs) < 2:
        raise InputError("an order needs two runs or more; give one a retriever, the worst first.")
    table, errors = _successes(runs, progress)
    shared = sorted(set.intersection(*(set(column) for column in table)))
    if not shared:
        raise InputError("the runs share no graded task; give runs on the same tasks, and grade them first.")
    values = np.array([[column[task] for column in table] for task in shared])
    drawn = TaskResamples(shared, seed=seed, resamples=resamples).weights
    means = np.concatenate([values.mean(axis=0, keepdims=True), drawn @ values / len(shared)])

    def found(rows: Values) -> MeasureEstimate:
        return estimate(float(rows[0]), rows[1:], len(shared))

    called = list(names or names_of(runs))
    return Ordering(
        names=called,
        tasks=len(shared),
        success=[found(column) for column in means.T],
        errors=errors,
        tau=found(_tau(means)),
        steps=[
            RetrieverStep(worse=worse, better=better, gain=found(means[:, index + 1] - means[:, index]))
            for index, (worse, better) in enumerate(pairwise(called))
        ],
    )


def _successes(runs: Sequence[Path], progress: ProgressCallback | None) -> tuple[list[dict[str, float]], list[int]]:
    """The success of each task under each run, and how many of its trajectories broke."""
    columns: list[dict[str, float]] = []
    errors: list[int] = []
    done = 0
    for run in runs:
        outcomes: list[tuple[str, str, str | None]] = []
        for entry in read_any(run):
            done += 1
            if progress is not None:
                progress(done, None, "trajectories")
            state = entry.grade.state if entry.grade is not None else None
            outcomes.append((entry.trajectory.task_id, entry.trajectory.status, state))
        ran = {task for task, _, _ in outcomes}
        by_task = runs_by_task(outcomes, (task.id for task in recognise(run).tasks(run) if task.id not in ran))
        known = {task: task_success(samples).value for task, samples in by_task.items()}
        columns.append({task: value for task, value in known.items() if value is not None})
        errors.append(sum(status == "error" for _, status, _ in outcomes))
        if not outcomes or not columns[-1]:
            raise InputError(f"{run} holds no graded run; grade it first (lrat-sim grade).")
    return columns, errors


def _tau(means: Values) -> Values:
    """Kendall's tau-a of each row with the order of its columns."""
    pairs = combinations(range(means.shape[1]), 2)
    tau: Values = np.mean([np.sign(means[:, later] - means[:, earlier]) for earlier, later in pairs], axis=0)
    return tau
