"""Every measure of behaviour under its name: LRAT's Table 1, Figure 4 (a to d), its judge's filter, and later audits.

A measure's name is what it counts and, after a dot, of which runs or documents: ``searches.correct``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lrat_sim.behaviour.observed import ObservedRuns
from lrat_sim.behaviour.resample import MeasureEstimate, Values, auc, log_spread, quantile
from lrat_sim.behaviour.steps import FIRST_SEARCHES

OUTCOMES = ("all", "correct", "incorrect")
RANKS = 10
EVIDENCE_BINS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
LENGTHS = ("all", "correct", "incorrect", "evidence", "other", "relevant", "irrelevant", "pairs")

Measures = dict[str, MeasureEstimate]
Named = Iterator[tuple[str, MeasureEstimate]]


def measures(runs: ObservedRuns) -> Measures:
    """All measures of a group of runs, each with its interval over tasks; None where there is nothing to count."""
    parts = (_outcomes, _table_1, _transitions, _ranks, _lengths, _by_evidence, _judge, _audits)
    return dict(named for part in parts for named in part(runs))


def _outcomes(runs: ObservedRuns) -> Named:
    yield "completed", runs.tasks.ratio(runs.tasks_with_broken, runs.answered_with_broken)
    known = np.array([value is not None for value in runs.success], np.bool_)
    yield "success", runs.tasks.ratio(runs.asked_tasks, [value or 0.0 for value in runs.success], known)
    right, wrong = runs.those("correct"), runs.those("incorrect")
    yield "correct_of_completed", runs.tasks.ratio(runs.task, right, (right | wrong) & runs.completed)


def _table_1(runs: ObservedRuns) -> Named:
    counts = {"searches": runs.searches, "browses": runs.browses, "steps": runs.searches + runs.browses}
    for outcome in OUTCOMES:
        mask = runs.those(outcome)
        for name, count in counts.items():
            yield f"{name}.{outcome}", runs.tasks.ratio(runs.task, count * mask, mask)
        rate = runs.tasks.ratio(runs.task, runs.browses * mask, runs.searches * mask)
        yield f"browses_per_search.{outcome}", rate
    yield "browses_per_search.correct_minus_incorrect", _rate_gap(runs)


def _rate_gap(runs: ObservedRuns) -> MeasureEstimate:
    right, wrong = runs.those("correct"), runs.those("incorrect")

    def compute(weights: Values) -> Values:
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = [(weights @ (runs.browses * mask)) / (weights @ (runs.searches * mask)) for mask in (right, wrong)]
        gap: Values = rates[0] - rates[1]
        return gap

    return runs.tasks.statistic(runs.task, compute)


def _transitions(runs: ObservedRuns) -> Named:
    """Figure 4 (a): what follows a search, and what follows a browse; the answer is no step."""
    for outcome in OUTCOMES:
        moves = runs.moves * runs.those(outcome)[:, None]
        for after, first in (("after_search", 0), ("after_browse", 2)):
            total = moves[:, first] + moves[:, first + 1]
            for column, step in enumerate(("search", "browse"), first):
                yield f"{after}.{step}.{outcome}", runs.tasks.ratio(runs.task, moves[:, column], total)


def _ranks(runs: ObservedRuns) -> Named:
    """Figure 4 (b): the rank at which the latest list showed what was opened."""
    known = np.isfinite(runs.rank)
    tasks, ranks = runs.browse_task[known], runs.rank[known]
    for rank in range(1, RANKS + 1):
        yield f"rank.{rank}", runs.tasks.ratio(tasks, ranks == rank)
    yield "rank_top3", runs.tasks.ratio(tasks, ranks <= 3)
    yield "rank_unknown", runs.tasks.ratio(runs.browse_task, ~known)


def _lengths(runs: ObservedRuns) -> Named:
    """Figure 4 (c): the reasoning right after a browse, in tokens."""
    for of in LENGTHS:
        values, tasks = runs.lengths(of)
        yield f"length.{of}", runs.tasks.ratio(tasks, values)
        if of in ("all", "pairs"):
            yield f"length_median.{of}", runs.tasks.statistic(tasks, quantile(values, 0.5))
            yield f"length_p95.{of}", runs.tasks.statistic(tasks, quantile(values, 0.95))
            yield f"length_sigma.{of}", runs.tasks.statistic(tasks, log_spread(values))
    evidence, evidence_tasks = runs.lengths("evidence")
    other, other_tasks = runs.lengths("other")
    if len(evidence) and len(other):
        values, tasks = np.concatenate([evidence, other]), np.concatenate([evidence_tasks, other_tasks])
        is_evidence = np.arange(len(values)) < len(evidence)
        yield "length_auc", runs.tasks.statistic(tasks, auc(values, is_evidence))
    else:
        yield "length_auc", MeasureEstimate(value=None)


def _by_evidence(runs: ObservedRuns) -> Named:
    """Figure 4 (d): accuracy by the number of different evidence documents opened."""
    right = runs.those("correct")
    graded = right | runs.those("incorrect")
    for low, high in EVIDENCE_BINS:
        inside = graded & (runs.evidence_opened >= low) & (runs.evidence_opened <= high)
        yield f"accuracy.{low}-{high}", runs.tasks.ratio(runs.task, right & inside, inside)


def _judge(runs: ObservedRuns) -> Named:
    """The relevance judge's filter: the share of browses that it keeps, by whether the document is evidence."""
    for name, evidence in (("evidence", 1), ("other", 0)):
        mask = (runs.verdict >= 0) & (runs.evidence == evidence)
        yield f"kept.{name}", runs.tasks.ratio(runs.browse_task[mask], runs.verdict[mask] == 1)


def _audits(runs: ObservedRuns) -> Named:
    for number in range(FIRST_SEARCHES):
        fresh, shown = runs.new[:, number, 0], runs.new[:, number, 1]
        yield f"new_results.{number + 1}", runs.tasks.ratio(runs.task, fresh, shown)
    yield "returned_again", runs.tasks.ratio(runs.browse_task, runs.again)
    yield "terms_adopted", runs.tasks.ratio(runs.task, runs.terms[:, 0], runs.terms[:, 1])
