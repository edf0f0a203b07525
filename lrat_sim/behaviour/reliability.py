"""An agent as a tester of retrievers: does it put retrievers in the order that is known?

That an agent behaves like a real one and that it ranks retrievers as it should are two things, so both are measured.
An order is known by construction where one retriever is spoiled at growing rates
(:class:`lrat_sim.behaviour.altered.Degraded`), and else from a real agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from msgspec import Struct
from rich import box
from rich.table import Table

from lrat_sim.behaviour.observed import names_of, unrun_of
from lrat_sim.behaviour.resample import RESAMPLES, Estimate, Tasks, Values, estimate
from lrat_sim.errors import InputError
from lrat_sim.formats import read_any
from lrat_sim.progress import ProgressCallback
from lrat_sim.success import runs_by_task, task_success


class Step(Struct, frozen=True, kw_only=True):
    """Two retrievers next to one another in the known order; ``gain`` is in success, over the tasks both ran."""

    worse: str
    better: str
    gain: Estimate

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
    success: list[Estimate]
    errors: list[int]
    tau: Estimate
    steps: list[Step]

    def __rich__(self) -> Table:
        table = Table(
            title=f"order of {len(self.names)} retrievers on {self.tasks} tasks: Kendall's tau {_shown(self.tau)}",
            title_justify="left",
            box=box.SIMPLE_HEAD,
        )
        table.add_column("retriever, worst first")
        table.add_column("success, %", justify="right", no_wrap=True)
        table.add_column("errors", justify="right", no_wrap=True)
        table.add_column("gain over the one\nbefore, points", justify="right", no_wrap=True)
        table.add_column("told apart")
        for place, name in enumerate(self.names):
            step = self.steps[place - 1] if place else None
            verdict = "" if step is None else "yes" if step.clear else "reversed" if step.reversed else "no"
            gain = _percent(step.gain) if step else ""
            table.add_row(name, _percent(self.success[place]), str(self.errors[place]), gain, verdict)
        return table


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
    drawn = Tasks(shared, seed=seed, resamples=resamples).weights
    means = np.concatenate([values.mean(axis=0, keepdims=True), drawn @ values / len(shared)])

    def found(rows: Values) -> Estimate:
        return estimate(float(rows[0]), rows[1:], len(shared))

    called = list(names or names_of(runs))
    return Ordering(
        names=called,
        tasks=len(shared),
        success=[found(means[:, place]) for place in range(len(called))],
        errors=errors,
        tau=found(_tau(means)),
        steps=[
            Step(worse=worse, better=better, gain=found(means[:, place + 1] - means[:, place]))
            for place, (worse, better) in enumerate(pairwise(called))
        ],
    )


def _successes(runs: Sequence[Path], progress: ProgressCallback | None) -> tuple[list[dict[str, float]], list[int]]:
    """The success of each task under each run, and how many of its trajectories broke."""
    columns: list[dict[str, float]] = []
    errors: list[int] = []
    done = 0
    for run in runs:
        errors.append(0)
        outcomes: list[tuple[str, str, str | None]] = []
        for entry in read_any(run):
            done += 1
            if progress is not None:
                progress(done, None, "trajectories")
            state = entry.grade.state if entry.grade is not None else None
            outcomes.append((entry.trajectory.task_id, entry.trajectory.status, state))
            errors[-1] += entry.trajectory.status == "error"
        by_task = runs_by_task(outcomes, (task.id for task in unrun_of(run)))
        known = {task: task_success(samples).value for task, samples in by_task.items()}
        columns.append({task: value for task, value in known.items() if value is not None})
        if not outcomes or not columns[-1]:
            raise InputError(f"{run} holds no graded run; grade it first (lrat-sim grade).")
    return columns, errors


def _tau(means: Values) -> Values:
    """Kendall's tau-a of each row with the order of its columns."""
    pairs = list(combinations(range(means.shape[1]), 2))
    signs = [np.sign(means[:, later] - means[:, earlier]) for earlier, later in pairs]
    tau: Values = np.mean(signs, axis=0)
    return tau


def _percent(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "-" if found.value is None else f"{100 * found.value:.1f}"
    return f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _shown(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return "-" if found.value is None else f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
