"""What is compared, and over which tasks: the list that the statistics, the tables and the saved file all follow.

The expected calibration error is no mean over tasks.  It is sum_b |sum over answers in bin b of (confidence - right)| /
answers; both sums add up over tasks, so that a task is described by its sums by bin and its count of answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct

from lrat_sim.comparison.paired import Better, Exchange, Statistic, Values
from lrat_sim.decoding import convert
from lrat_sim.grading.metrics import MAY_BE_UNKNOWN, confidence_bins

TaskMetrics = Mapping[str, float | None]
"""The metrics of one task under one arm."""

ArmMetrics = Mapping[str, TaskMetrics]
"""The metrics of one arm by task id."""

BINS = 10
STATED = "stated"
_PARTS = (*(f"calibration_{number}" for number in range(BINS)), STATED)

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

    @property
    def statistic(self) -> Statistic | None:
        """How it comes from its tasks, where it is not their mean."""
        return error_of if self.population == "stated" else None


MEASURES = convert(msgspec.yaml.decode(Path(__file__).with_name("measures.yaml").read_bytes()), tuple[Measure, ...])


def unreported(row: TaskMetrics, metric: str) -> bool:
    """Whether a provider did not report tokens or cost of a task; the tokens of a run that broke do not matter."""
    return metric in MAY_BE_UNKNOWN and row.get(metric) is None and (metric == "cost" or row.get("steps") is not None)


def values_of(
    measure: Measure, arms: Sequence[ArmMetrics], tasks: Sequence[str], evidence: set[str]
) -> dict[str, list[float]]:
    """The tasks that count for a measure, each with one value an arm.

    There are none where tokens or cost of some task are unknown, since a mean over the known ones would mislead.

    Args:
        measure: a mean over tasks (not ``stated``).
        arms: one (for its own mean) or several (paired).
        tasks: ids of the tasks asked, in order.
        evidence: ids of those that have evidence.
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


def calibration_parts(answers: Iterable[tuple[float, float]]) -> dict[str, float]:
    """What a task adds to the calibration error, as metrics of its row: ``calibration_0`` ... ``calibration_9``, the
    sums of the bins, and ``stated``, the count of answers.

    Args:
        answers: (confidence from 0 to 100, 1 where right else 0) of each graded answer that states one.
    """
    stated = list(answers)
    sums = confidence_bins([confidence for confidence, _ in stated], [right for _, right in stated], bins=BINS)
    return dict(zip(_PARTS, [*map(float, sums), float(len(stated))], strict=True))


def parts_of(arm: Mapping[str, Mapping[str, float | None]], tasks: Sequence[str]) -> Values:
    """What each task adds under an arm, shape (tasks, parts); zeros where it states nothing."""
    rows = [arm.get(task, {}) for task in tasks]
    return np.array([[row.get(part) or 0.0 for part in _PARTS] for row in rows], dtype=np.float64).reshape(-1, BINS + 1)


def error_of(sums: Values) -> Values:
    """The calibration error, from 0 to 1, of parts summed (or averaged) over tasks, shape (..., parts); 0 where nothing
    was stated."""
    wrong, stated = np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1]
    # rounded, so that errors that are equal are so to the last bit
    return np.asarray(np.round(wrong / np.where(stated > 0, stated, 1.0), 12))


def exchange_of(base: Values, arm: Values) -> Exchange:
    """The difference of the calibration errors, as what the permutation test exchanges by task; both shape
    (tasks, parts), of the same tasks in the same order."""
    both = (base + arm).sum(axis=0)

    def difference(sums: Values) -> Values:
        # a task's parts under the arm are half their sum over both arms plus half their difference; exchanged, minus it
        return error_of((both + sums) / 2) - error_of((both - sums) / 2)

    return Exchange(differences=arm - base, difference=difference)
