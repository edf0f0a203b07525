"""The answer of a comparison in a sentence."""

from __future__ import annotations

from lrat_sim.comparison.paired import Estimate, Paired
from lrat_sim.comparison.significance import LEVEL


def answer_sentence(arm: str, base: str, measures: dict[str, Paired]) -> str:
    """What an arm gains over the base, for the top of a report.

    "trained finds 11.2 points more than base, 95 % interval 7.9 to 14.6, with 2.1 fewer steps on the 120 tasks both
    solve."  An interval that holds zero, or a p-value above .05 (few tasks make an interval too narrow), is said to
    tell nothing apart; the p-value here is that of the one test, not corrected for others.

    Args:
        arm: its name.
        base: the base's name.
        measures: the paired measures by name; ``success`` and ``steps_both_solve`` are read.
    """
    success, steps = measures["success"], measures["steps_both_solve"]
    if success.difference.value is None:
        return f"{arm} and {base} cannot be compared: no task has a graded answer from both."
    points = Estimate(
        value=100 * success.difference.value,
        low=None if success.difference.low is None else 100 * success.difference.low,
        high=None if success.difference.high is None else 100 * success.difference.high,
    )
    return f"{_gain(arm, base, points, _is_clear(success))}{_interval(points)}{_steps(steps)}."


def _is_clear(paired: Paired) -> bool:
    return paired.difference.is_clear and (paired.p is None or paired.p <= LEVEL)


def _gain(arm: str, base: str, points: Estimate, is_clear: bool) -> str:
    value = points.value or 0.0
    if is_clear:
        return f"{arm} finds {abs(value):.1f} points {'more' if value > 0 else 'less'} than {base}"
    return f"{arm} is not clearly better or worse than {base}: {value:+z.1f} points"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f", 95 % interval {estimate.low:z.1f} to {estimate.high:z.1f}"


def _steps(steps: Paired) -> str:
    if steps.difference.value is None:
        return ", and there is no task that both solve"
    where = "the one task" if steps.tasks == 1 else f"the {steps.tasks} tasks"
    if not _is_clear(steps):
        return f", with no clear difference in steps ({steps.difference.value:+z.1f}) on {where} both solve"
    change = f"{abs(steps.difference.value):.1f} {'fewer' if steps.difference.value < 0 else 'more'} steps"
    return f", with {change} on {where} both solve"
