"""What is compared, and over which tasks: the list that the statistics, the tables and the saved file all follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from lrat_sim.comparison.paired import Better
from lrat_sim.grading.metrics import MAY_BE_UNKNOWN

TaskMetrics = Mapping[str, float | None]
"""The metrics of one task under one arm."""

ArmMetrics = Mapping[str, TaskMetrics]
"""The metrics of one arm by task id."""

Population = Literal["asked", "evidence", "ran", "both_solve", "searched", "stated"]


class Measure(Struct, frozen=True):
    """One metric of a comparison, and the tasks that count.

    ``asked``: all tasks; one that an arm never ran is a failure (0), one whose value is None (an ungraded answer) is
    left out and counted.  ``evidence``: tasks with evidence; one that an arm never ran shows none of it (0).  ``ran``:
    tasks that ran.  ``both_solve``: tasks that both arms solve, so that an arm is not praised for giving up early.
    ``searched``: tasks with evidence that an arm searched for.  ``stated``: tasks whose answer states a confidence; the
    measure is of all of them together, not a mean over tasks.
    """

    name: str
    metric: str
    title: str
    better: Better
    population: Population
    unit: Literal["share", "count", "dollar"]
    definition: str

    @property
    def scale(self) -> float:
        """What a value is multiplied by where it is shown: shares in percent or points."""
        return 100.0 if self.unit == "share" else 1.0


MEASURES = msgspec.yaml.decode(Path(__file__).with_name("measures.yaml").read_bytes(), type=tuple[Measure, ...])


def unreported(row: TaskMetrics, metric: str) -> bool:
    """Whether a provider did not report tokens or cost of a task; the tokens of a run that broke do not matter."""
    return metric in MAY_BE_UNKNOWN and row.get(metric) is None and (metric == "cost" or row.get("steps") is not None)


def values_of(
    measure: Measure, arms: Sequence[ArmMetrics], tasks: Sequence[str], evidence: set[str]
) -> dict[str, list[float]]:
    """The tasks that count for a measure, each with one value an arm.

    Args:
        measure: a mean over tasks (not ``stated``).
        arms: one (for its own mean) or several (paired).
        tasks: ids of the tasks asked, in order.
        evidence: ids of those that have evidence.

    Returns:
        Nothing at all where tokens or cost of some task are unknown, since a mean over the known ones would mislead.
    """
    counted: dict[str, list[float]] = {}
    absent = 0.0 if measure.population in ("asked", "evidence") else None
    for task in tasks:
        rows = [arm.get(task) for arm in arms]
        if measure.population in ("evidence", "searched") and task not in evidence:
            continue
        # solved: correct in at least half of the graded samples
        if measure.population == "both_solve" and any(((row or {}).get("success") or 0.0) < 0.5 for row in rows):
            continue
        values = [absent if row is None else row.get(measure.metric, absent) for row in rows]
        known = [value for value in values if value is not None]
        if len(known) == len(rows):
            counted[task] = known
        # a run that did not take place is no unknown cost
        elif None not in rows and any(unreported(row, measure.metric) for row in rows if row):
            return {}
    return counted
