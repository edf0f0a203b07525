"""An agent as a tester of retrievers: does it put retrievers in the order that is known?

That an agent behaves like a real one and that it ranks retrievers as it should are two things, so both are measured.
An order is known by construction where one retriever is spoiled at growing rates
(:class:`lrat_sim.behaviour.altered.Degraded`), and else from a real agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from lrat_sim.behaviour.observed import names_of, observe
from lrat_sim.behaviour.resample import RESAMPLES, MeasureEstimate, TaskResamples, Values
from lrat_sim.errors import InputError
from lrat_sim.tables import Table

if TYPE_CHECKING:
    from rich.console import RenderableType


class Ordering(Struct, frozen=True, kw_only=True):
    """How an agent ordered retrievers, which are named from the worst to the best.

    ``errors`` are runs that broke, which are failures.  ``gains`` are those in success of each retriever over the one
    before.  ``tau`` is Kendall's tau between the known order and that by success: 1 where they are the same, -1 where
    one is the other reversed; ties in success count neither way.
    """

    names: list[str]
    tasks: int
    success: list[MeasureEstimate]
    errors: list[int]
    tau: MeasureEstimate
    gains: list[MeasureEstimate]

    def told_apart(self) -> list[str]:
        """Whether the agent tells each retriever from the one before: yes, no, or sure of the reversed order."""
        return [
            "yes" if (gain.low or 0.0) > 0 else "reversed" if (gain.high or 0.0) < 0 else "no" for gain in self.gains
        ]

    def table(self) -> Table:
        """Success by retriever, the worst first, and whether each is told from the one before."""
        gains, verdicts = ["", *(gain.text(scale=100) for gain in self.gains)], ["", *self.told_apart()]
        rows = [
            [name, success.text(scale=100), str(errors), gain, verdict]
            for name, success, errors, gain, verdict in zip(
                self.names, self.success, self.errors, gains, verdicts, strict=True
            )
        ]
        return Table.of(
            f"order of {len(self.names)} retrievers on {self.tasks} tasks: Kendall's tau {self.tau.text(3)}",
            ["retriever, worst first", "success, %", "errors", "gain over the one\nbefore, points", "told apart"],
            rows,
            text_columns=(0, 4),
        )

    def __rich__(self) -> RenderableType:
        return self.table().to_terminal()


def ordering(runs: Sequence[Path], *, seed: int = 0, resamples: int = RESAMPLES) -> Ordering:
    """How the agent of some runs orders their retrievers by success, paired by task.

    Args:
        runs: one a retriever, the worst first, all on the same tasks.
        seed: of the resampling of tasks.
        resamples: how often.

    Raises:
        InputError: fewer than two runs, no task that all of them ran, or an answer that is not graded.
    """
    if len(runs) < 2:
        raise InputError("an order needs two runs or more; give one a retriever, the worst first.")
    names, groups = names_of(runs), {group.name: group for group in observe(runs, resamples=0)}
    for run, name in zip(runs, names, strict=True):
        if name not in groups or not groups[name].success:
            raise InputError(f"{run} holds no graded run; grade it first (lrat-sim grade).")
    shared = sorted(set.intersection(*(set(group.success) for group in groups.values())))
    if not shared:
        raise InputError("the runs share no graded task; give runs on the same tasks, and grade them first.")
    values = np.array([[groups[name].success[task] for task in shared] for name in names])
    tasks = TaskResamples(shared, seed=seed, resamples=resamples)
    index = tasks.indices(shared)
    return Ordering(
        names=names,
        tasks=len(shared),
        success=[tasks.ratio(index, column) for column in values],
        errors=[groups[name].outcomes.get("error", 0) for name in names],
        tau=tasks.of_sums(index, list(values), _tau, len(shared)),
        gains=[tasks.ratio(index, gain) for gain in np.diff(values, axis=0)],
    )


def _tau(sums: Values) -> Values:
    """Kendall's tau-a of each row with the order of its columns."""
    pairs = combinations(range(sums.shape[1]), 2)
    tau: Values = np.mean([np.sign(sums[:, later] - sums[:, earlier]) for earlier, later in pairs], axis=0)
    return tau
