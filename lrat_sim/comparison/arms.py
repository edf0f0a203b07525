"""Any number of arms, each against each, paired by task: over the tasks *asked*, not those that happened to finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from msgspec.structs import replace

from lrat_sim.comparison.answer import Described, differences, gains, text_lengths
from lrat_sim.comparison.measures import (
    MEASURES,
    ArmMetrics,
    Measure,
    TaskMetrics,
    exchange_of,
    parts_of,
    values_of,
)
from lrat_sim.comparison.paired import (
    CONFIDENCE,
    PERMUTATIONS,
    Exchange,
    Paired,
    Values,
    compare_pair,
    gap_closed,
    holm,
    permutation_tests,
    standard_error,
    value_of,
)
from lrat_sim.comparison.record import Comparison, Pairing, Summary
from lrat_sim.comparison.runs import mean_over_seeds
from lrat_sim.errors import InputError
from lrat_sim.grading.metrics import COUNTS

RESAMPLES = 10_000

_SUCCESS = MEASURES[0]
# exchanges for each test of the family: the more are corrected, the further down the smallest p-value must reach
_PER_TEST, _AT_MOST = 200, 50_000


def compare(
    arms: Mapping[str, ArmMetrics | Sequence[ArmMetrics]],
    base: str,
    oracle: str | None,
    tasks_asked: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    setting: Mapping[str, Any] | None = None,
    runs: Mapping[str, Sequence[str]] | None = None,
    retrievers: Mapping[str, Described] | None = None,
    others: Mapping[str, Mapping[str, Any]] | None = None,
) -> Comparison:
    """Compares every arm with every other.

    Args:
        arms: name to {task id: {metric: value}}, as :func:`lrat_sim.comparison.runs.run_table` makes them, or to a list
            of these, one a seed: a task then counts once, with the mean over its seeds.  A task without a row was not
            run: a failure.  A success of None is an ungraded answer; an evidence metric of None, a task without
            evidence; a cost of None, an unknown one; steps of None, a task whose runs broke.
        base: the arm that the others are measured against first.
        oracle: the arm that bounds all, for the share of the gap closed; None where there is none.
        tasks_asked: ids of the tasks, each once; rows of other tasks are not looked at.
        seed: of the resampling and the exchanges.
        resamples: bootstrap resamples.
        permutations: exchanges of the permutation tests; more, where a large family needs them.
        setting: what is compared; see :class:`Comparison`.
        runs: the run folders of each arm, one a seed, relative to where the comparison will lie.
        retrievers: how each arm's retriever describes itself; the answer begins with what differs beside it.
        others: further settings of each arm that should be the same for all, by name.
    """
    tables = {name: [arm] if isinstance(arm, Mapping) else list(arm) for name, arm in arms.items()}
    for role, name in (("base", base), ("oracle", oracle)):
        if name is not None and name not in tables:
            raise InputError(f"the {role} {name!r} is none of the arms ({', '.join(arms)}); name one of them.")
    if empty := [name for name, seeds in tables.items() if not seeds]:
        raise InputError(f"the arm {empty[0]!r} has no table of metrics; give one a seed.")
    if not tasks_asked or len(set(tasks_asked)) != len(tasks_asked):
        raise InputError("the tasks asked must be one or more ids, each once; correct the list of tasks.")
    if resamples < 1 or permutations < 1:
        raise InputError(f"resamples is {resamples} and permutations {permutations}; give 1 or more of each.")
    measured = _Arms(tables, oracle, tasks_asked, seed=seed, resamples=resamples)
    # pairs against the base first: they are what the answer is about
    pairs = [(base, name) for name in tables if name != base]
    pairs += combinations([name for name in tables if name != base], 2)
    pairings = [measured.pairing(first, second, base) for first, second in pairs]
    # tested last, since the correction needs to know the whole family
    tests, permutations = _test(measured, pairings, permutations)
    summaries = [measured.summary(name, list((runs or {}).get(name, ()))) for name in tables]
    counts = ", ".join(f"{summary.errors:,} of {summary.name}" for summary in summaries if summary.errors)
    broken = f"Runs that broke count as failures: {counts}." if counts else None
    lengths, first_sentences = (
        text_lengths(retrievers or {}),
        filter(None, [differences(retrievers or {}, others), broken]),
    )
    return Comparison(
        answer=" ".join([*first_sentences, *gains(pairings, base, oracle).values()]),
        base=base,
        oracle=oracle,
        tasks_asked=len(tasks_asked),
        tasks_with_evidence=len(measured.evidence),
        seed=seed,
        resamples=resamples,
        confidence=CONFIDENCE,
        permutations=permutations,
        tests=tests,
        setting={**(setting or {}), **({"text_length": lengths} if lengths else {})},
        summaries=summaries,
        pairings=pairings,
        measures=list(MEASURES),
    )


class _Arms:
    """The arms of one comparison, and how to measure them."""

    def __init__(
        self, tables: Mapping[str, Sequence[ArmMetrics]], oracle: str | None, tasks: Sequence[str], **drawn: int
    ):
        self.tables, self.oracle, self.tasks, self.drawn = tables, oracle, tasks, drawn
        self.arms = {name: mean_over_seeds(seeds) for name, seeds in tables.items()}
        arms = self.arms.values()
        self.evidence = {
            task for task in tasks if any(arm.get(task, {}).get("evidence_recall") is not None for arm in arms)
        }

    def values(self, measure: Measure, *arms: ArmMetrics) -> tuple[Sequence[str], list[Values]]:
        """The tasks that count under all arms, and the values of a measure over them, one array an arm."""
        if measure.population == "stated":
            return self.tasks, [parts_of(arm, self.tasks) for arm in arms]
        by_task = values_of(measure, arms, self.tasks, self.evidence)
        table = np.array(list(by_task.values()), dtype=np.float64).reshape(-1, len(arms))
        return list(by_task), [np.ascontiguousarray(column) for column in table.T]

    def summary(self, name: str, runs: list[str]) -> Summary:
        arm, seeds = self.arms[name], self.tables[name]
        own = [measure for measure in MEASURES if measure.population != "both_solve"]  # that one is of two arms
        rows = [arm[task] for task in self.tasks if task in arm]
        # runs are counted over all seeds, shares over the tasks, which count once
        every = [table[task] for table in seeds for task in self.tasks if task in table]
        return Summary(
            name=name,
            means={measure.name: self._mean(measure, arm) for measure in own},
            ran=len(rows),
            not_run=len(self.tasks) - len(rows),
            errors=sum(_count(row, "errors", "steps") for row in every),
            ungraded=sum(_count(row, "ungraded", "success") for row in every),
            success_low=sum(_bound(row, "success_low", 0.0) for row in rows) / len(self.tasks),
            success_high=sum(_bound(row, "success_high", 1.0) for row in rows) / len(self.tasks),
            seeds=len(seeds),
            counts={name: sum(_count(row, name, "") for row in every) for name in COUNTS} if _counted(every) else {},
            over_tasks={
                measure.name: standard_error(self.values(measure, arm)[1][0])
                for measure in own
                if measure.statistic is None
            },
            over_seeds={measure.name: _spread([self._mean(measure, table) for table in seeds]) for measure in own},
            runs=runs,
        )

    def pairing(self, first: str, second: str, base: str) -> Pairing:
        """``second`` against ``first``, before the permutation tests."""
        start, end = self.arms[first], self.arms[second]
        closed = None
        if self.oracle is not None and second != self.oracle and first == base != self.oracle:
            _, (low, reached, high) = self.values(_SUCCESS, start, end, self.arms[self.oracle])
            closed = gap_closed(low, reached, high, **self.drawn)
        tasks, (before, after) = self.values(_SUCCESS, start, end)
        gains = dict(zip(tasks, after - before, strict=True))
        return Pairing(
            arm=second,
            base=first,
            measures={measure.name: self._paired(measure, first, second) for measure in MEASURES},
            gap_closed=closed,
            won=[task for task, gain in gains.items() if gain > 0],
            lost=[task for task, gain in gains.items() if gain < 0],
            tied=[task for task, gain in gains.items() if gain == 0],
        )

    def exchange(self, measure: Measure, first: str, second: str) -> Exchange:
        """What the permutation test of a measure exchanges, over all the tasks asked."""
        tasks, (before, after) = self.values(measure, self.arms[first], self.arms[second])
        if measure.statistic is not None:
            return exchange_of(before, after)
        gains = dict(zip(tasks, after - before, strict=True))
        return Exchange(differences=np.array([[gains.get(task, 0.0)] for task in self.tasks]))

    def _paired(self, measure: Measure, first: str, second: str) -> Paired:
        _, (before, after) = self.values(measure, self.arms[first], self.arms[second])
        paired = compare_pair(before, after, better=measure.better, statistic=measure.statistic, **self.drawn)
        seeds = self.tables[first], self.tables[second]
        # the spread of the difference needs seeds that go together one by one
        if min(map(len, seeds)) < 2 or len(seeds[0]) != len(seeds[1]):
            return paired
        differences = []
        for arms in zip(*seeds, strict=True):
            start, end = (value_of(values, measure.statistic) for values in self.values(measure, *arms)[1])
            differences.append(None if start is None or end is None else end - start)
        return replace(paired, over_seeds=_spread(differences))

    def _mean(self, measure: Measure, arm: ArmMetrics) -> float | None:
        return value_of(self.values(measure, arm)[1][0], measure.statistic)


def _test(arms: _Arms, pairings: Sequence[Pairing], permutations: int) -> tuple[int, int]:
    """Adds p-values to the pairings, all from the same exchanges and corrected together.

    Returns the number of tests, and that of exchanges, of which a large family needs more.
    """
    tests = [(pairing, measure) for pairing in pairings for measure in MEASURES if pairing.measures[measure.name].test]
    permutations = max(permutations, min(_PER_TEST * len(tests), _AT_MOST))
    by_mcnemar = [pairing.measures[measure.name].p for pairing, measure in tests]
    exchanges = [
        arms.exchange(measure, pairing.base, pairing.arm)
        for (pairing, measure), p in zip(tests, by_mcnemar, strict=True)
        if p is None
    ]
    permuted = iter(permutation_tests(exchanges, seed=arms.drawn["seed"], permutations=permutations))
    p_values = [next(permuted) if p is None else p for p in by_mcnemar]
    for (pairing, measure), p, p_holm in zip(tests, p_values, holm(p_values), strict=True):
        pairing.measures[measure.name] = replace(pairing.measures[measure.name], p=p, p_holm=p_holm)
    return len(tests), permutations


def _count(row: TaskMetrics, what: str, absent: str) -> int:
    """How many of a task's runs are so; by default one whose metric ``absent`` is unknown."""
    return round(row.get(what, float(row.get(absent) is None)) or 0)


def _counted(rows: Sequence[TaskMetrics]) -> bool:
    """Whether the rows say how runs ended; those of a comparison made by hand need not."""
    return bool(rows) and all(name in row for row in rows for name in COUNTS)


def _bound(row: TaskMetrics, end: str, ungraded: float) -> float:
    """A bound of a task's success, by its success where the row has none."""
    value = row.get(end, row.get("success"))
    return ungraded if value is None else value


def _spread(values: Sequence[float | None]) -> float | None:
    """The standard deviation between seeds; None below two, or where one is unknown."""
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) == len(values) > 1 else None
