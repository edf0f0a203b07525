"""Every measure of behaviour under its name: LRAT's Table 1, Figure 4 (a to d), its judge's filter, and later audits.

A measure's name is what it counts and, after a dot, of which runs or documents: ``searches.correct``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lrat_sim.behaviour.observed import Observed
from lrat_sim.behaviour.resample import Estimate, Values, auc, log_spread, quantile
from lrat_sim.behaviour.walk import FIRST_SEARCHES

OUTCOMES = ("all", "correct", "incorrect")
RANKS = 10
EVIDENCE_BINS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
LENGTHS = ("all", "correct", "incorrect", "evidence", "other", "relevant", "irrelevant", "pairs")

Measures = dict[str, Estimate]


def measures(observed: Observed) -> Measures:
    """All measures of a group of runs, each with its interval over tasks; None where there is nothing to count."""
    return dict(
        pair
        for part in (_outcomes, _table_1, _transitions, _ranks, _lengths, _by_evidence, _judge, _audits)
        for pair in part(observed)
    )


Named = Iterator[tuple[str, Estimate]]


def _outcomes(seen: Observed) -> Named:
    graded = (seen.outcome == "correct") | (seen.outcome == "incorrect")
    right = seen.outcome == "correct"
    asked, answered = seen.asked
    yield "completed", seen.tasks.ratio(asked, answered)
    known = np.array([value is not None for value in seen.success], np.bool_)
    yield "success", seen.tasks.ratio(seen.asked_tasks, [value or 0.0 for value in seen.success], known)
    yield "correct_of_completed", seen.tasks.ratio(seen.place, right, graded & seen.completed)


def _table_1(seen: Observed) -> Named:
    for outcome in OUTCOMES:
        mask = seen.those(outcome)
        for name, counts in (
            ("searches", seen.searches),
            ("browses", seen.browses),
            ("steps", seen.searches + seen.browses),
        ):
            yield f"{name}.{outcome}", seen.tasks.ratio(seen.place, counts * mask, mask)
        yield (
            f"browses_per_search.{outcome}",
            seen.tasks.ratio(seen.place, seen.browses * mask, seen.searches * mask),
        )
    yield "browses_per_search.correct_minus_incorrect", _gap(seen)


def _gap(seen: Observed) -> Estimate:
    right, wrong = seen.those("correct"), seen.those("incorrect")

    def compute(weights: Values) -> Values:
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = [(weights @ (seen.browses * mask)) / (weights @ (seen.searches * mask)) for mask in (right, wrong)]
        gap: Values = rates[0] - rates[1]
        return gap

    return seen.tasks.statistic(seen.place, compute)


def _transitions(seen: Observed) -> Named:
    """Figure 4 (a): what follows a search, and what follows a browse; the answer is no step."""
    for outcome in OUTCOMES:
        moves = seen.moves * seen.those(outcome)[:, None]
        for after, first in (("after_search", 0), ("after_browse", 2)):
            total = moves[:, first] + moves[:, first + 1]
            for place, step in enumerate(("search", "browse")):
                yield f"{after}.{step}.{outcome}", seen.tasks.ratio(seen.place, moves[:, first + place], total)


def _ranks(seen: Observed) -> Named:
    """Figure 4 (b): the rank at which the latest list showed what was opened."""
    known = np.isfinite(seen.rank)
    places = seen.place[seen.owner[known]]
    ranks = seen.rank[known]
    for rank in range(1, RANKS + 1):
        yield f"rank.{rank}", seen.tasks.ratio(places, ranks == rank)
    yield "rank_top3", seen.tasks.ratio(places, ranks <= 3)
    yield "rank_unknown", seen.tasks.ratio(seen.place[seen.owner], ~known)


def _lengths(seen: Observed) -> Named:
    """Figure 4 (c): the reasoning right after a browse, in tokens."""
    for of in LENGTHS:
        values, places = seen.lengths(of)
        yield f"length.{of}", seen.tasks.ratio(places, values)
        if of in ("all", "pairs"):
            yield f"length_median.{of}", seen.tasks.statistic(places, quantile(values, 0.5))
            yield f"length_p95.{of}", seen.tasks.statistic(places, quantile(values, 0.95))
            yield f"length_sigma.{of}", seen.tasks.statistic(places, log_spread(values))
    used, used_places = seen.lengths("evidence")
    other, other_places = seen.lengths("other")
    if len(used) and len(other):
        values, places = np.concatenate([used, other]), np.concatenate([used_places, other_places])
        yield "length_auc", seen.tasks.statistic(places, auc(values, np.arange(len(values)) < len(used)))
    else:
        yield "length_auc", Estimate(value=None)


def _by_evidence(seen: Observed) -> Named:
    """Figure 4 (d): accuracy by the number of different evidence documents opened."""
    graded = (seen.outcome == "correct") | (seen.outcome == "incorrect")
    for low, high in EVIDENCE_BINS:
        inside = graded & (seen.evidence_opened >= low) & (seen.evidence_opened <= high)
        yield f"accuracy.{low}-{high}", seen.tasks.ratio(seen.place, (seen.outcome == "correct") & inside, inside)


def _judge(seen: Observed) -> Named:
    """The relevance judge's filter: the share of browses that it keeps, by whether the document is evidence."""
    judged = seen.verdict >= 0
    for name, evidence in (("evidence", 1), ("other", 0)):
        mask = judged & (seen.evidence == evidence)
        yield f"kept.{name}", seen.tasks.ratio(seen.place[seen.owner[mask]], seen.verdict[mask] == 1)


def _audits(seen: Observed) -> Named:
    for number in range(FIRST_SEARCHES):
        fresh, shown = seen.new[:, number, 0], seen.new[:, number, 1]
        yield f"new_results.{number + 1}", seen.tasks.ratio(seen.place, fresh, shown)
    yield "returned_again", seen.tasks.ratio(seen.place[seen.owner], seen.again)
    yield "terms_adopted", seen.tasks.ratio(seen.place, seen.terms[:, 0], seen.terms[:, 1])
