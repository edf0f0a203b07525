"""Calibration error under two arms, which is no mean over tasks.

The expected calibration error is sum_b |sum over answers in bin b of (confidence - right)| / answers.  Both sums add up
over tasks, so that a task is described by its ``bins`` sums and its count of answers, and a set of tasks by their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lrat_sim.comparison.paired import Paired, pair, resampled
from lrat_sim.comparison.significance import Exchange, Values
from lrat_sim.grading.confidence import confidence_bins

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
    """The calibration error of summed parts, shape (..., parts), from 0 to 1; 0 where nothing was stated."""
    wrong, stated = np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1]
    # rounded, so that errors that are equal are so to the last bit
    return np.asarray(np.round(wrong / np.where(stated > 0, stated, 1.0), 12))


def compare_calibration(base: Values, arm: Values, *, seed: int, resamples: int) -> Paired:
    """Difference of the calibration errors, with its interval from resampled tasks.

    A task is won or lost where both arms state a confidence, by the error of its own answers.  Few answers make the
    error itself too large, under both arms alike.

    Args:
        base: what each task adds, shape (tasks, parts).
        arm: the other arm's, same tasks in the same order.
        seed: of the resampling.
        resamples: bootstrap resamples of the tasks.

    Returns:
        Empty where one of the arms never states a confidence.
    """
    sums = base.sum(axis=0), arm.sum(axis=0)
    if not sums[0][-1] or not sums[1][-1]:
        return Paired()
    start, end = (error_of(resampled(values, seed=seed, resamples=resamples).T) for values in (base, arm))
    own = (base[:, -1] > 0) & (arm[:, -1] > 0)
    gain = error_of(base[own]) - error_of(arm[own])
    tasks = int(((base[:, -1] > 0) | (arm[:, -1] > 0)).sum())
    return pair((float(error_of(sums[0])), float(error_of(sums[1]))), (start, end), gain, tasks=tasks)


def exchange_of(base: Values, arm: Values) -> Exchange:
    """The difference of the calibration errors, as what the permutation test exchanges by task.

    Args:
        base: what each task adds, shape (tasks, parts).
        arm: the other arm's, same tasks in the same order.
    """
    both = (base + arm).sum(axis=0)

    def difference(sums: Values) -> Values:
        # a task's parts under the arm are half their sum over both arms plus half their difference; exchanged, minus it
        return error_of((both + sums) / 2) - error_of((both - sums) / 2)

    return Exchange(differences=arm - base, difference=difference)
