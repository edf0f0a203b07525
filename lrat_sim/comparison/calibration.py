"""Calibration error under two arms, which is not a mean over tasks.

The expected calibration error is sum_b |sum over answers in bin b of (confidence - right)| / answers.  Both sums add up
over tasks, so that a task is described by its ``bins`` sums and its count of answers, and a set of tasks by their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lrat_sim.comparison.significance import Exchange, Values
from lrat_sim.grading.metrics import confidence_bins

BINS = 10
STATED = "stated"
_PARTS = (*(f"calibration_{number}" for number in range(BINS)), STATED)


def calibration_parts(answers: Iterable[tuple[float, float]]) -> dict[str, float]:
    """What a task adds to the calibration error, as metrics of its row.

    Args:
        answers: (confidence from 0 to 100, 1 where right else 0) of each graded answer that states one.

    Returns:
        ``calibration_0`` ... ``calibration_9``, the sums of the bins, and ``stated``, the count of answers.
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
