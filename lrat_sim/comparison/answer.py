"""The answer of a comparison in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lrat_sim.comparison.paired import Estimate, Paired
from lrat_sim.comparison.record import Comparison, Pairing
from lrat_sim.comparison.significance import LEVEL
from lrat_sim.tables import interval, number, percent

_TESTS = {"mcnemar": "McNemar's exact test", "permutation": "the permutation test"}


def describe_gain(arm: str, base: str, measures: Mapping[str, Paired]) -> str:
    """What an arm gains over the base: success and its difference, whether that is clear, and the steps.

    A difference is clear where its interval excludes zero.  With few tasks an interval is too narrow: where one without
    zero stands beside a p-value above .05, that test decides and the sentence says so; the p-value is that of the one
    test, not corrected for others.

    Args:
        arm: its name.
        base: the base's name.
        measures: the paired measures by name; ``success`` and ``steps_both_solve`` are read.
    """
    success = measures["success"]
    if success.difference.value is None:
        return f"{arm} and {base} cannot be compared: no task has a graded answer from both."
    tasks = "the one task" if success.tasks == 1 else f"{success.tasks:,} tasks"
    solved = f"{arm} solves {percent(success.arm)} of {tasks}, {base} {percent(success.base)}"
    return f"{solved}: {_difference(success)}. {_steps(measures['steps_both_solve'])}"


def gains(pairings: Sequence[Pairing], base: str, oracle: str | None) -> dict[str, str]:
    """What each arm gains over the base, by arm; the oracle's only if there is no other."""
    against = [pairing for pairing in pairings if pairing.base == base]
    told = [pairing for pairing in against if pairing.arm != oracle] or against
    return {pairing.arm: describe_gain(pairing.arm, base, pairing.measures) for pairing in told}


def sentences(comparison: Comparison) -> dict[str, str]:
    """The answer by arm, as it was recorded; what holds for all arms comes first, under an empty name."""
    told = gains(comparison.pairings, comparison.base, comparison.oracle)
    joined = " ".join(told.values())
    if not comparison.answer.endswith(joined):
        return {"": comparison.answer}
    # sentences are made anew from the figures; an answer that was worded otherwise stands as it was recorded
    first = comparison.answer.removesuffix(joined).strip()
    return ({"": first} if first else {}) | told or {"": "There are no two retrievers to compare."}


def broken(errors: Mapping[str, int]) -> str | None:
    """A sentence on the runs that broke, by arm; None where none did."""
    told = [f"{count:,} of {arm}" for arm, count in errors.items() if count]
    return f"Runs that broke count as failures: {', '.join(told)}." if told else None


def _difference(paired: Paired) -> str:
    value, bounds = paired.difference.value or 0.0, _interval(paired.difference)
    points = number(abs(value), scale=100)
    if points == "0.0" and not paired.difference.is_clear:
        return f"no difference{bounds}"
    return f"{points} points {'more' if value > 0 else 'less'}{bounds}, {_verdict(paired)}"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    # an end beside zero shows on which side it lies
    ends = 100 * estimate.low, 100 * estimate.high
    digits = next((count for count in range(1, 6) if all(end == 0 or round(end, count) for end in ends)), 6)
    return f" (95 % interval {interval(*ends, digits)})"


def _verdict(paired: Paired) -> str:
    if not paired.difference.is_clear:
        return "not a clear difference"
    if paired.test is not None and _test_decides(paired):
        differ = f"only {paired.wins + paired.losses} of {paired.tasks} tasks differ"
        return f"not a clear difference by {_TESTS[paired.test]} (p = {paired.p:.3g}): {differ}"
    return "a clear gain" if (paired.difference.value or 0) > 0 else "a clear loss"


def _test_decides(paired: Paired) -> bool:
    """Whether the test finds nothing where the interval alone would."""
    return paired.test is not None and paired.p is not None and paired.p > LEVEL and paired.difference.is_clear


def _steps(steps: Paired) -> str:
    value = steps.difference.value
    if value is None:
        return "No task is solved by both."
    where = "the one task" if steps.tasks == 1 else f"the {steps.tasks:,} tasks"
    if not steps.difference.is_clear or _test_decides(steps):
        return f"Steps on {where} that both solve do not clearly differ ({number(value, sign=True)})."
    return f"It takes {number(abs(value))} {'fewer' if value < 0 else 'more'} steps on {where} that both solve."
