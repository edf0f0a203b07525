"""Any number of arms, each against each, paired by task.

An arm is one retriever (with one agent) that ran on the tasks; its table holds one row of metrics a task, as
:func:`lrat_sim.comparison.runs.run_table` makes them, and there is one table a seed.  The comparison is over the tasks
*asked*, not over those that happened to finish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import msgspec
import numpy as np

from lrat_sim.comparison.answer import answer_sentence, broken
from lrat_sim.comparison.calibration import compare_calibration, error_of, exchange_of, parts_of
from lrat_sim.comparison.fairness import Described, differences, text_lengths
from lrat_sim.comparison.measures import MEASURES, Arm, Measure, Row, values_of
from lrat_sim.comparison.paired import (
    CONFIDENCE,
    NOTHING,
    Paired,
    compare_pair,
    gap_closed,
    standard_error,
)
from lrat_sim.comparison.record import Comparison, Pairing, Summary
from lrat_sim.comparison.runs import mean_over_seeds
from lrat_sim.comparison.significance import PERMUTATIONS, Exchange, Values, holm, permutation_tests
from lrat_sim.errors import InputError

RESAMPLES = 10_000

_SUCCESS = MEASURES[0]
_PER_TEST, _AT_MOST = 200, 50_000
"""Exchanges for each test of the family: the smallest p-value must reach further down, the more are corrected."""


def compare(
    arms: Mapping[str, Arm | Sequence[Arm]],
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
        retrievers: what each arm's retriever says of itself; the answer begins with what differs beside it.
        others: further settings of each arm that should be the same for all, by name.

    Raises:
        InputError: an arm that is not there or has no table, no task, or a task twice.
    """
    tables = {name: [arm] if isinstance(arm, Mapping) else list(arm) for name, arm in arms.items()}
    for role, name in (("base", base), ("oracle", oracle)):
        if name is not None and name not in tables:
            raise InputError(f"the {role} {name!r} is none of the arms ({', '.join(arms)}); name one of them.")
    empty = [name for name, seeds in tables.items() if not seeds]
    if empty:
        raise InputError(f"the arm {empty[0]!r} has no table of metrics; give one a seed.")
    if not tasks_asked or len(set(tasks_asked)) != len(tasks_asked):
        raise InputError("the tasks asked must be one or more ids, each once; correct the list of tasks.")
    if resamples < 1 or permutations < 1:
        raise InputError(f"resamples is {resamples} and permutations {permutations}; give 1 or more of each.")
    work = _Comparing(tables, oracle, tasks_asked, seed, resamples)
    pairs = [(base, name) for name in tables if name != base]
    pairs += combinations([name for name in tables if name != base], 2)
    pairings = [work.pairing(first, second, base) for first, second in pairs]
    tests = sum(paired.test is not None for each in pairings for paired in each.measures.values())
    permutations = max(permutations, min(_PER_TEST * tests, _AT_MOST))
    pairings = _tested(work, pairings, permutations)
    against_base = [each for each in pairings if each.base == base]
    told = [each for each in against_base if each.arm != oracle] or against_base  # the oracle only if there is no other
    summaries = [work.summary(name, list((runs or {}).get(name, ()))) for name in tables]
    first = [differences(retrievers or {}, others), broken({each.name: each.errors for each in summaries})]
    lengths = text_lengths(retrievers or {})
    return Comparison(
        answer=" ".join([*filter(None, first), *(answer_sentence(each.arm, base, each.measures) for each in told)]),
        base=base,
        oracle=oracle,
        tasks_asked=len(tasks_asked),
        tasks_with_evidence=len(work.evidence),
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


class _Comparing:
    """The arms of one comparison, and how to measure them."""

    def __init__(
        self,
        tables: Mapping[str, Sequence[Arm]],
        oracle: str | None,
        tasks: Sequence[str],
        seed: int,
        resamples: int,
    ):
        self.tables, self.oracle, self.tasks = tables, oracle, tasks
        self.seed, self.resamples = seed, resamples
        self.arms = {name: mean_over_seeds(seeds) for name, seeds in tables.items()}
        self.evidence = {
            task
            for task in tasks
            if any(arm.get(task, {}).get("evidence_recall") is not None for arm in self.arms.values())
        }

    def columns(self, measure: Measure, *arms: Arm) -> list[Values]:
        """The values of a measure, one array an arm, over the tasks that count under all of them."""
        return _columns([values for _, values in values_of(measure, arms, self.tasks, self.evidence)], len(arms))

    def summary(self, name: str, runs: list[str]) -> Summary:
        arm, seeds = self.arms[name], self.tables[name]
        means: dict[str, float | None] = {}
        over_tasks: dict[str, float | None] = {}
        over_seeds: dict[str, float | None] = {}
        for measure in MEASURES:
            if measure.population == "both_solve":  # a matter of two arms
                continue
            means[measure.name] = self._value(measure, arm)
            over_seeds[measure.name] = _spread([self._value(measure, each) for each in seeds])
            if measure.population != "stated":
                over_tasks[measure.name] = standard_error(self.columns(measure, arm)[0])
        rows = [arm[task] for task in self.tasks if task in arm]
        every = [table[task] for table in seeds for task in self.tasks if task in table]
        return Summary(
            name=name,
            means=means,
            ran=len(rows),
            not_run=len(self.tasks) - len(rows),
            errors=sum(_count(row, "errors", "steps") for row in every),
            ungraded=sum(_count(row, "ungraded", "success") for row in every),
            success_low=sum(_bound(row, "success_low", 0.0) for row in rows) / len(self.tasks),
            success_high=sum(_bound(row, "success_high", 1.0) for row in rows) / len(self.tasks),
            seeds=len(seeds),
            over_tasks=over_tasks,
            over_seeds=over_seeds,
            runs=runs,
        )

    def pairing(self, first: str, second: str, base: str) -> Pairing:
        """``second`` against ``first``, before the permutation tests."""
        start, end = self.arms[first], self.arms[second]
        closed = None
        if self.oracle is not None and second != self.oracle and first == base != self.oracle:
            closed = gap_closed(
                *self.columns(_SUCCESS, start, end, self.arms[self.oracle]), seed=self.seed, resamples=self.resamples
            )
        gains = {
            task: after - before
            for task, (before, after) in values_of(_SUCCESS, [start, end], self.tasks, self.evidence)
        }
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
        start, end = self.arms[first], self.arms[second]
        if measure.population == "stated":
            return exchange_of(parts_of(start, self.tasks), parts_of(end, self.tasks))
        values = values_of(measure, [start, end], self.tasks, self.evidence)
        gains = {task: after - before for task, (before, after) in values}
        return Exchange(differences=np.array([[gains.get(task, 0.0)] for task in self.tasks]))

    def _paired(self, measure: Measure, first: str, second: str) -> Paired:
        start, end = self.arms[first], self.arms[second]
        if measure.population == "stated":
            parts = [parts_of(arm, self.tasks) for arm in (start, end)]
            paired = compare_calibration(*parts, seed=self.seed, resamples=self.resamples) or NOTHING
        else:
            values = self.columns(measure, start, end)
            paired = compare_pair(*values, better=measure.better, seed=self.seed, resamples=self.resamples)
        seeds = self.tables[first], self.tables[second]
        if min(map(len, seeds)) < 2 or len(seeds[0]) != len(seeds[1]):
            return paired
        differences = [self._difference(measure, *tables) for tables in zip(*seeds, strict=True)]
        return msgspec.structs.replace(paired, over_seeds=_spread(differences))

    def _value(self, measure: Measure, arm: Arm) -> float | None:
        if measure.population == "stated":
            parts = parts_of(arm, self.tasks)
            return float(error_of(parts.sum(axis=0))) if parts[:, -1].any() else None
        (values,) = self.columns(measure, arm)
        return float(values.mean()) if len(values) else None

    def _difference(self, measure: Measure, start: Arm, end: Arm) -> float | None:
        """Of one seed."""
        if measure.population == "stated":
            values = self._value(measure, start), self._value(measure, end)
            return None if values[0] is None or values[1] is None else values[1] - values[0]
        before, after = self.columns(measure, start, end)
        return float(after.mean() - before.mean()) if len(before) else None


def _tested(work: _Comparing, pairings: list[Pairing], permutations: int) -> list[Pairing]:
    """The pairings with their p-values, all from the same exchanges, and corrected together."""
    measures = {measure.name: measure for measure in MEASURES}
    p_values = {
        (place, name): paired.p
        for place, pairing in enumerate(pairings)
        for name, paired in pairing.measures.items()
        if paired.test is not None
    }
    missing = [key for key, p in p_values.items() if p is None]
    exchanges = [work.exchange(measures[name], pairings[place].base, pairings[place].arm) for place, name in missing]
    permuted = permutation_tests(exchanges, seed=work.seed, permutations=permutations)
    known = {key: p for key, p in p_values.items() if p is not None} | dict(zip(missing, permuted, strict=True))
    corrected = dict(zip(known, holm(list(known.values())), strict=True))

    def tested(place: int, pairing: Pairing) -> Pairing:
        found = {
            name: msgspec.structs.replace(paired, p=known.get((place, name)), p_holm=corrected.get((place, name)))
            for name, paired in pairing.measures.items()
        }
        return msgspec.structs.replace(pairing, measures=found)

    return [tested(place, pairing) for place, pairing in enumerate(pairings)]


def _columns(values: list[tuple[float, ...]], arms: int) -> list[Values]:
    table = np.array(values, dtype=np.float64).reshape(-1, arms)
    return [np.ascontiguousarray(column) for column in table.T]


def _count(row: Row, what: str, absent: str) -> int:
    """How many of a task's runs are so; where the row does not count them, one whose metric ``absent`` is unknown."""
    return round(row.get(what, float(row.get(absent) is None)) or 0)


def _bound(row: Row, end: str, ungraded: float) -> float:
    """A bound of a task's success, by its success where the row has none."""
    value = row.get(end, row.get("success"))
    return ungraded if value is None else value


def _spread(values: Sequence[float | None]) -> float | None:
    """The standard deviation between seeds; None below two, or where one is unknown."""
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) == len(values) > 1 else None
