"""Statistics of one metric under two arms, paired by task.

Both arms ran on the same tasks, so the difference is taken task by task; that removes how hard each task is from
the noise.  Intervals come from resampling tasks, never arms apart (``scipy.stats.bootstrap``, paired, percentile).
The percentile method is taken because it costs time linear in the tasks, has no degenerate case where all
differences are equal, and carries over to ratios.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

CONFIDENCE = 0.95

Values = npt.NDArray[np.float64]
Better = Literal["higher", "lower"]

_BATCH_CELLS = 4_000_000
"""Resampled values held at once: bounds memory whatever the number of tasks."""

_UNBOUNDED = 1e100
"""A ratio whose denominator vanished in a resample; finite, also squared, so that quantiles beside it are numbers."""


class Estimate(Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval; ``value`` None where it is undefined.

    ``low`` or ``high`` is None where that side has no bound (a ratio whose denominator may be zero) or where fewer
    than two tasks leave nothing to resample.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return (self.low is not None and self.low > 0) or (self.high is not None and self.high < 0)


class Paired(Struct, frozen=True, kw_only=True):
    """One metric under an arm and the base, over the tasks where both have a value.

    ``difference`` is arm - base; ``relative`` is that divided by the base's mean.  A win is a task where the arm is
    better, whichever direction that is.  ``mcnemar_p`` is the exact two-sided test, where every value is 0 or 1.
    """

    tasks: int
    base: float | None
    arm: float | None
    difference: Estimate
    relative: Estimate
    wins: int
    ties: int
    losses: int
    mcnemar_p: float | None = None


def compare_pair(base: Values, arm: Values, *, better: Better, seed: int, resamples: int) -> Paired:
    """Difference, relative difference, win/tie/loss and, for values of 0 and 1, McNemar's test.

    Args:
        base: one value a task, shape (tasks,).
        arm: the other arm's, same tasks in the same order.
        better: whether a higher or a lower value wins a task.
        seed: of the resampling; the same seed draws the same tasks for every metric over as many tasks.
        resamples: bootstrap resamples of the tasks.
    """
    if len(base) == 0:
        nothing = Estimate(value=None)
        return Paired(tasks=0, base=None, arm=None, difference=nothing, relative=nothing, wins=0, ties=0, losses=0)

    def statistic(a: Values, b: Values, axis: int = -1) -> Values:
        mean_a, mean_b = a.mean(axis=axis), b.mean(axis=axis)
        return np.stack([mean_b - mean_a, _ratio(mean_b - mean_a, mean_a)])

    difference, relative = _bootstrap(statistic, (base, arm), seed=seed, resamples=resamples)
    # equal up to rounding is a tie: means over samples such as 1/3 + 1/3 need not be equal to the last bit
    gain = np.where(np.isclose(arm, base), 0.0, arm - base) * (1 if better == "higher" else -1)
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    is_binary = bool(np.isin(base, (0.0, 1.0)).all() and np.isin(arm, (0.0, 1.0)).all())
    return Paired(
        tasks=len(base),
        base=float(base.mean()),
        arm=float(arm.mean()),
        difference=difference,
        relative=relative,
        wins=wins,
        ties=len(base) - wins - losses,
        losses=losses,
        mcnemar_p=mcnemar(wins, losses) if is_binary else None,
    )


def gap_closed(base: Values, arm: Values, oracle: Values, *, seed: int, resamples: int) -> Estimate:
    """The share of the way from base to oracle that the arm has gone: (arm - base) / (oracle - base), of means.

    Args:
        base: one value a task, shape (tasks,).
        arm: the arm's, same tasks in the same order.
        oracle: the oracle's, same tasks in the same order.
        seed: of the resampling.
        resamples: bootstrap resamples of the tasks; the three arms of a task are drawn together.

    Returns:
        Value None where the oracle does not exceed the base.
    """
    if len(base) == 0 or oracle.mean() <= base.mean():
        return Estimate(value=None)

    def statistic(a: Values, b: Values, c: Values, axis: int = -1) -> Values:
        start = a.mean(axis=axis)
        # a resample in which the oracle does not exceed the base lies beyond the pole: no bound, not a negative share
        return np.stack([_ratio(b.mean(axis=axis) - start, np.maximum(c.mean(axis=axis) - start, 0.0))])

    return _bootstrap(statistic, (base, arm, oracle), seed=seed, resamples=resamples)[0]


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided McNemar test: the p-value of ``wins`` of the discordant pairs if either were as likely."""
    from scipy import stats  # here, since loading it takes longer than all else that a short command does

    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0


def _ratio(numerator: Values, denominator: Values) -> Values:
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, np.sign(numerator) * _UNBOUNDED, numerator / safe)


def _bootstrap(
    statistic: Callable[..., Values], samples: tuple[Values, ...], *, seed: int, resamples: int
) -> list[Estimate]:
    """An estimate for each row of ``statistic``'s result, all from the same resamples of the tasks."""
    values = [_finite(value) for value in statistic(*samples)]
    tasks = len(samples[0])
    if tasks < 2:
        return [Estimate(value=value) for value in values]
    from scipy import stats

    interval = stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        batch=int(np.clip(_BATCH_CELLS // tasks, 1, resamples)),
        vectorized=True,
        paired=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return [
        Estimate(value=value, low=_finite(low), high=_finite(high)) if value is not None else Estimate(value=None)
        for value, low, high in zip(values, interval.low, interval.high, strict=True)
    ]


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < _UNBOUNDED / 1e50 else None
