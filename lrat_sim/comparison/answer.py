"""The answer of a comparison in plain sentences; it begins with what its arms should have in common but do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lrat_sim.comparison.paired import LEVEL, Estimate, Paired
from lrat_sim.comparison.record import Comparison, Pairing
from lrat_sim.retrieval.query_text import PLAIN
from lrat_sim.tables import interval, number, percent

Described = Mapping[str, Any]
"""How a retriever describes itself: :meth:`lrat_sim.retrieval.base.Retriever.describe`."""

_TESTS = {"mcnemar": "McNemar's exact test", "permutation": "the permutation test"}
_LENGTH, _QUERY_LENGTH = "text length in tokens", "query length in tokens"
_SHARED = {
    "max_length": _LENGTH,
    "max_query_length": _QUERY_LENGTH,
    "query_text": "query text",
    "query_prompt": "query prompt",
    "document_prompt": "document prompt",
    "dtype": "vector precision",
    "corpus": "corpus",
}
# characters of a value that are shown
_MOST = 40


def describe_gain(arm: str, base: str, measures: Mapping[str, Paired]) -> str:
    """What an arm gains over the base: success and its difference, whether that is clear, and the steps.

    A difference is clear where its interval excludes zero.  With few tasks an interval is too narrow: where it stands
    beside a p-value above .05, of the one test and not corrected for others, that test decides.
    """
    success, steps = measures["success"], measures["steps_both_solve"]
    if success.difference.value is None:
        return f"{arm} and {base} cannot be compared: no task has a graded answer from both."
    tasks = "the one task" if success.tasks == 1 else f"{success.tasks:,} tasks"
    solved = f"{arm} solves {percent(success.arm)} of {tasks}, {base} {percent(success.base)}"
    return f"{solved}: {_difference(success)}. {_steps(steps)}"


def gains(pairings: Sequence[Pairing], base: str, oracle: str | None) -> dict[str, str]:
    """What each arm gains over the base, by arm; the oracle's only if there is no other."""
    against = [pairing for pairing in pairings if pairing.base == base]
    shown = [pairing for pairing in against if pairing.arm != oracle] or against
    return {pairing.arm: describe_gain(pairing.arm, base, pairing.measures) for pairing in shown}


def sentences(comparison: Comparison) -> dict[str, str]:
    """The answer by arm, as it was recorded; what holds for all arms comes first, under an empty name."""
    by_arm = gains(comparison.pairings, comparison.base, comparison.oracle)
    joined = " ".join(by_arm.values())
    if not comparison.answer.endswith(joined):
        # sentences are made anew from the figures; an answer that was worded otherwise stands as it was recorded
        return {"": comparison.answer}
    first = comparison.answer.removesuffix(joined).strip()
    return ({"": first} if first else {}) | by_arm or {"": "There are no two retrievers to compare."}


def text_lengths(arms: Mapping[str, Described]) -> dict[str, int]:
    """How many tokens of a text each arm's encoder reads; arms that cut no text are left out."""
    lengths = {arm: _settings(described).get(_LENGTH, ()) for arm, described in arms.items()}
    return {arm: max(values) for arm, values in lengths.items() if values}


def differences(arms: Mapping[str, Described], others: Mapping[str, Mapping[str, Any]] | None = None) -> str | None:
    """A sentence on what differs between arms beside their retriever, such as the length of texts; None where nothing
    does.

    A setting that an arm's retriever does not have, such as an encoder's prompt in BM25, does not count; of the
    ``others``, with which an arm was run, one that it lacks is ``none``.
    """
    by_arm, others = {arm: _settings(described) for arm, described in arms.items()}, others or {}
    for what in dict.fromkeys(key for settings in others.values() for key in settings):
        for arm, settings in by_arm.items():
            settings[what] = {others.get(arm, {}).get(what)}
    if all(settings.get(_QUERY_LENGTH) == settings.get(_LENGTH) for settings in by_arm.values()):
        for settings in by_arm.values():  # one limit holds for both
            settings.pop(_QUERY_LENGTH, None)
    parts = []
    for what in dict.fromkeys(what for settings in by_arm.values() for what in settings):
        by_value: dict[str, list[str]] = {}
        for arm, settings in by_arm.items():
            if what in settings:
                by_value.setdefault(" and ".join(map(_shown, sorted(settings[what], key=str))), []).append(arm)
        if len(by_value) > 1:
            values = "; ".join(f"{', '.join(names)}: {value}" for value, names in by_value.items())
            parts.append(f"{what} ({values})")
    return f"The arms differ in more than their retriever: {', '.join(parts)}." if parts else None


def _difference(paired: Paired) -> str:
    value, bounds = paired.difference.value or 0.0, _interval(paired.difference)
    points = number(abs(value), scale=100)
    if points == "0.0" and not paired.difference.is_clear:
        return f"no difference{bounds}{_too_few(paired)}"
    if not paired.difference.is_clear:
        verdict = f"not a clear difference{_too_few(paired)}"
    elif _test_decides(paired):
        differ = f"only {paired.wins + paired.losses} of {paired.tasks} tasks differ"
        verdict = f"not a clear difference by {_TESTS[paired.test or '']} (p = {paired.p:.3g}): {differ}"
    else:
        verdict = "a clear gain" if value > 0 else "a clear loss"
    return f"{points} points {'more' if value > 0 else 'less'}{bounds}, {verdict}"


def _too_few(paired: Paired) -> str:
    """What difference so many tasks can show, where theirs is smaller."""
    smallest = paired.smallest
    if not smallest or abs(paired.difference.value or 0.0) >= smallest:
        return ""
    return f": {paired.tasks:,} tasks can show one of {number(smallest, scale=100)} points and more"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    # as many digits as show on which side of zero an end lies
    ends = 100 * estimate.low, 100 * estimate.high
    digits = next((count for count in range(1, 6) if all(end == 0 or round(end, count) for end in ends)), 6)
    return f" (95 % interval {interval(*ends, digits)})"


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


def _settings(described: Described) -> dict[str, set[Any]]:
    """The values of the settings that should be shared, those of the retrievers that one is made of included."""
    settings: dict[str, set[Any]] = {}
    for part in _parts(described):
        for key, what in _SHARED.items():
            value = part.get(key, part.get("max_length") if key == "max_query_length" else None)
            if key == "query_text" and "query_prompt" in part:  # an encoder does not say that it reads the query alone
                value = value or PLAIN
            if isinstance(value, str | int) and part.get("kind") != "rerank":  # whose length is that of a pair
                settings.setdefault(what, set()).add(value)
    return settings


def _parts(described: Any) -> Iterator[Described]:
    if isinstance(described, Mapping):
        yield described
        described = list(described.values())
    if isinstance(described, list | tuple):
        for value in described:
            yield from _parts(value)


def _shown(value: Any) -> str:
    if isinstance(value, str) and value:
        return repr(value if len(value) <= _MOST else f"{value[: _MOST - 3]}...")
    return "none" if value in (None, "") else str(value)
