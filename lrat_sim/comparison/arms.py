"""Any number of arms against a base, paired by task.

An arm is one retriever (with one agent) that ran on the tasks; its table holds one row of metrics a task, as
``lrat_sim.grading`` makes them.  The comparison is over the tasks *asked*, not over those that happened to finish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from lrat_sim.comparison.answer import answer_sentence
from lrat_sim.comparison.measures import MEASURES, Arm, Measure, values_of
from lrat_sim.comparison.paired import CONFIDENCE, Estimate, Paired, Values, compare_pair, gap_closed
from lrat_sim.errors import InputError

RESAMPLES = 10_000

_SUCCESS = MEASURES[0]


class Summary(Struct, frozen=True, kw_only=True):
    """One arm by itself.

    ``errors`` counts the tasks whose runs all broke, ``ungraded`` those without a graded answer.
    ``means`` holds the mean of every measure over the arm's own tasks, None where it is unknown.  ``success_low``
    and ``success_high`` bound success were all ungraded answers wrong, or right.
    """

    name: str
    means: dict[str, float | None]
    ran: int
    not_run: int
    errors: int
    ungraded: int
    success_low: float
    success_high: float


class Pairing(Struct, frozen=True, kw_only=True):
    """One arm against the base; ``won`` and ``lost`` name the tasks by success."""

    arm: str
    measures: dict[str, Paired]
    gap_closed: Estimate | None
    won: list[str]
    lost: list[str]


class Comparison(Struct, frozen=True, kw_only=True):
    """What the arms did, how each differs from the base, and how that was computed."""

    schema_version: int = 1
    answer: str
    base: str
    oracle: str | None
    tasks_asked: int
    tasks_with_evidence: int
    seed: int
    resamples: int
    confidence: float
    interval: str = "percentile bootstrap over tasks, paired"
    summaries: list[Summary]
    pairings: list[Pairing]
    measures: list[Measure]


def compare(
    arms: Mapping[str, Arm],
    base: str,
    oracle: str | None,
    tasks_asked: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compares every arm with the base.

    Args:
        arms: name to {task id: {metric: value}}, as :func:`lrat_sim.grading.metrics.task_table` makes them.  A task
            without a row was not run: a failure.  A success of None is an ungraded answer; an evidence metric of
            None, a task without evidence; a cost of None, an unknown one; steps of None, a task whose runs broke.
        base: the arm that the others are measured against.
        oracle: the arm that bounds all, for the share of the gap closed; None where there is none.
        tasks_asked: ids of the tasks, each once; rows of other tasks are not looked at.
        seed: of the resampling.
        resamples: bootstrap resamples.

    Raises:
        InputError: an arm that is not there, no task, or a task twice.
    """
    for role, name in (("base", base), ("oracle", oracle)):
        if name is not None and name not in arms:
            raise InputError(f"the {role} {name!r} is none of the arms ({', '.join(arms)}); name one of them.")
    if not tasks_asked or len(set(tasks_asked)) != len(tasks_asked):
        raise InputError("the tasks asked must be one or more ids, each once; correct the list of tasks.")
    if resamples < 1:
        raise InputError(f"resamples is {resamples}; give 1 or more.")
    evidence = {
        task
        for task in tasks_asked
        if any(arm.get(task, {}).get("evidence_recall") is not None for arm in arms.values())
    }
    pairings = [
        _pairing(name, arms, base, oracle, tasks_asked, evidence, seed, resamples) for name in arms if name != base
    ]
    return Comparison(
        answer=" ".join(answer_sentence(each.arm, base, each.measures) for each in pairings if each.arm != oracle),
        base=base,
        oracle=oracle,
        tasks_asked=len(tasks_asked),
        tasks_with_evidence=len(evidence),
        seed=seed,
        resamples=resamples,
        confidence=CONFIDENCE,
        summaries=[_summary(name, arm, tasks_asked, evidence) for name, arm in arms.items()],
        pairings=pairings,
        measures=list(MEASURES),
    )


def _summary(name: str, arm: Arm, tasks: Sequence[str], evidence: set[str]) -> Summary:
    means: dict[str, float | None] = {}
    for measure in MEASURES:
        if measure.population != "both_solve":  # a matter of two arms
            values = values_of(measure, [arm], tasks, evidence)
            means[measure.name] = float(np.mean(values)) if values else None
    rows = [arm[task] for task in tasks if task in arm]
    graded = values_of(_SUCCESS, [arm], tasks, evidence)
    correct, ungraded = sum(value for (value,) in graded), len(tasks) - len(graded)
    return Summary(
        name=name,
        means=means,
        ran=len(rows),
        not_run=len(tasks) - len(rows),
        errors=sum(row.get("steps") is None for row in rows),
        ungraded=ungraded,
        success_low=correct / len(tasks),
        success_high=(correct + ungraded) / len(tasks),
    )


def _pairing(
    name: str,
    arms: Mapping[str, Arm],
    base: str,
    oracle: str | None,
    tasks: Sequence[str],
    evidence: set[str],
    seed: int,
    resamples: int,
) -> Pairing:
    paired = {}
    for measure in MEASURES:
        start, end = _columns(values_of(measure, [arms[base], arms[name]], tasks, evidence), 2)
        paired[measure.name] = compare_pair(start, end, better=measure.better, seed=seed, resamples=resamples)
    closed = None
    if oracle is not None and name != oracle:
        trio = values_of(_SUCCESS, [arms[base], arms[name], arms[oracle]], tasks, evidence)
        closed = gap_closed(*_columns(trio, 3), seed=seed, resamples=resamples)
    gains = {}
    for task in tasks:
        for start_value, end_value in values_of(_SUCCESS, [arms[base], arms[name]], [task], evidence):
            gains[task] = end_value - start_value
    return Pairing(
        arm=name,
        measures=paired,
        gap_closed=closed,
        won=[task for task, gain in gains.items() if gain > 0],
        lost=[task for task, gain in gains.items() if gain < 0],
    )


def _columns(values: list[tuple[float, ...]], arms: int) -> list[Values]:
    table = np.array(values, dtype=np.float64).reshape(-1, arms)
    return [np.ascontiguousarray(column) for column in table.T]
