"""The answer of a comparison in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from lrat_sim.comparison.paired import Estimate, Paired
from lrat_sim.comparison.significance import LEVEL


def answer_sentence(arm: str, base: str, measures: dict[str, Paired]) -> str:
    """What an arm gains over the base, for the top of a report.

    "trained finds 11.2 points more than base, 95 % interval 7.9 to 14.6, with 2.1 fewer steps on the 120 tasks both
    solve."  An interval that holds zero is said to tell nothing apart.  With few tasks an interval is too narrow: where
    one without zero stands beside a p-value above .05, that test decides and the sentence says so; the p-value is that
    of the one test, not corrected for others.

    Args:
        arm: its name.
        base: the base's name.
        measures: the paired measures by name; ``success`` and ``steps_both_solve`` are read.
    """
    success, steps = measures["success"], measures["steps_both_solve"]
    if success.difference.value is None:
        return f"{arm} and {base} cannot be compared: no task has a graded answer from both."
    gain = f"{_gain(arm, base, success)}{_interval(success.difference)}{_test(success)}"
    return f"{gain}{_steps(steps)}."


def broken(errors: Mapping[str, int]) -> str | None:
    """A sentence on the runs that broke, by arm; None where none did."""
    told = [f"{count:,} of {arm}" for arm, count in errors.items() if count]
    return f"Runs that broke count as failures: {', '.join(told)}." if told else None


def _is_clear(paired: Paired) -> bool:
    return paired.difference.is_clear and not _test(paired)


def _gain(arm: str, base: str, success: Paired) -> str:
    points = 100 * (success.difference.value or 0.0)
    if _is_clear(success):
        return f"{arm} finds {abs(points):.1f} points {'more' if points > 0 else 'less'} than {base}"
    return f"{arm} is not clearly better or worse than {base}: {points:+z.1f} points"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = 100 * estimate.low, 100 * estimate.high
    # an end beside zero shows on which side it lies
    digits = next((each for each in range(1, 6) if all(end == 0 or round(end, each) for end in (low, high))), 6)
    return f", 95 % interval {low:z.{digits}f} to {high:z.{digits}f}"


_TESTS = {"mcnemar": "McNemar's exact test", "permutation": "the permutation test"}


def _test(paired: Paired) -> str:
    """Which test decided, where it was not the interval."""
    if paired.test is None or paired.p is None or paired.p <= LEVEL or not paired.difference.is_clear:
        return ""
    small = f"the sample is small, {paired.wins + paired.losses} of {paired.tasks} tasks differ"
    return f" ({_TESTS[paired.test]} decided, p = {paired.p:.3g}: {small})"


def _steps(steps: Paired) -> str:
    if steps.difference.value is None:
        return ", and there is no task that both solve"
    where = "the one task" if steps.tasks == 1 else f"the {steps.tasks} tasks"
    value = steps.difference.value
    if not _is_clear(steps):
        return f", with no clear difference in steps ({value:+z.1f}) on {where} both solve{_test(steps)}"
    change = f"{abs(value):.1f} {'fewer' if value < 0 else 'more'} steps"
    return f", with {change} on {where} both solve{_test(steps)}"
