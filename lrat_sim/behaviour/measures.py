"""Every measure of behaviour under its name: LRAT's Table 1, Figure 4 (a to d), its judge's filter, and later audits.

A measure's name is what it counts and, after a dot, of which runs or documents: ``searches.correct``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from lrat_sim.behaviour.observed import FIRST_SEARCHES, ObservedRuns
from lrat_sim.behaviour.resample import MeasureEstimate, auc, log_spread, quantile, share
from lrat_sim.catalog import read_yaml

OUTCOMES = ("all", "correct", "incorrect")
RANKS = 10
EVIDENCE_BINS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
LENGTHS = ("all", "correct", "incorrect", "evidence", "other", "relevant", "irrelevant", "pairs")

Measures = dict[str, MeasureEstimate]
Named = Iterator[tuple[str, MeasureEstimate]]


def layout(part: str) -> dict[str, Any]:
    """What tables and plots show: a part of tables.yaml, from title to measures."""
    return cast(dict[str, Any], read_yaml(Path(__file__).with_name("tables.yaml"))[part])


def measures(runs: ObservedRuns) -> Measures:
    """All measures of a group of runs, each with its interval over tasks; None where there is nothing to count."""
    parts = (_outcomes, _table_1, _transitions, _ranks, _lengths, _by_evidence, _judge, _audits)
    return dict(named for part in parts for named in part(runs))


def _outcomes(runs: ObservedRuns) -> Named:
    ran = runs.tasks.indices([run.task for run in runs.everything])
    yield "completed", runs.tasks.ratio(ran, [run.completed for run in runs.everything])
    yield "success", runs.tasks.ratio(runs.tasks.indices(list(runs.success)), list(runs.success.values()))
    yield "forced_of_completed", runs.tasks.ratio(runs.task, runs.per_run("forced"), runs.per_run("completed"))
    yield "silent_turns", runs.tasks.ratio(runs.task, runs.per_run("silent_turns"), runs.per_run("turns"))
    right, wrong = runs.those("correct"), runs.those("incorrect")
    yield "correct_of_completed", runs.tasks.ratio(runs.task, right, (right | wrong) & (runs.per_run("completed") == 1))


def _table_1(runs: ObservedRuns) -> Named:
    searches, browses = runs.per_run("searches"), runs.per_run("browses")
    for outcome in OUTCOMES:
        mask = runs.those(outcome)
        for name, count in {"searches": searches, "browses": browses, "steps": searches + browses}.items():
            yield f"{name}.{outcome}", runs.tasks.ratio(runs.task, count * mask, mask)
        yield f"browses_per_search.{outcome}", runs.tasks.ratio(runs.task, browses * mask, searches * mask)
    counts = [count * runs.those(outcome) for outcome in ("correct", "incorrect") for count in (browses, searches)]
    gap = runs.tasks.of_sums(
        runs.task, counts, lambda sums: share(sums[:, 0], sums[:, 1]) - share(sums[:, 2], sums[:, 3]), len(runs.runs)
    )
    yield "browses_per_search.correct_minus_incorrect", gap


def _transitions(runs: ObservedRuns) -> Named:
    """Figure 4 (a): what follows a search, and what follows a browse; the answer is no step."""
    counts = np.array([run.moves for run in runs.runs], np.float64).reshape(-1, 4)
    for outcome in OUTCOMES:
        moves = counts * runs.those(outcome)[:, None]
        for after, first in (("after_search", 0), ("after_browse", 2)):
            total = moves[:, first] + moves[:, first + 1]
            for column, step in enumerate(("search", "browse"), first):
                yield f"{after}.{step}.{outcome}", runs.tasks.ratio(runs.task, moves[:, column], total)


def _ranks(runs: ObservedRuns) -> Named:
    """Figure 4 (b): the rank at which the latest list showed what was opened."""
    rank = runs.per_browse("rank")
    known = np.isfinite(rank)
    tasks, ranks = runs.browse_task[known], rank[known]
    for number in range(1, RANKS + 1):
        yield f"rank.{number}", runs.tasks.ratio(tasks, ranks == number)
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
    (evidence, evidence_tasks), (other, other_tasks) = runs.lengths("evidence"), runs.lengths("other")
    values, tasks = np.concatenate([evidence, other]), np.concatenate([evidence_tasks, other_tasks])
    is_evidence = np.arange(len(values)) < len(evidence)
    both = len(evidence) and len(other)
    yield "length_auc", runs.tasks.statistic(tasks, auc(values, is_evidence)) if both else MeasureEstimate(value=None)


def _by_evidence(runs: ObservedRuns) -> Named:
    """Figure 4 (d): accuracy by the number of different evidence documents opened."""
    right, opened = runs.those("correct"), runs.per_run("evidence_opened")
    graded = right | runs.those("incorrect")
    for low, high in EVIDENCE_BINS:
        inside = graded & (opened >= low) & (opened <= high)
        yield f"accuracy.{low}-{high}", runs.tasks.ratio(runs.task, right & inside, inside)


def _judge(runs: ObservedRuns) -> Named:
    """The relevance judge's filter: the share of browses that it keeps, by whether the document is evidence."""
    kept, dropped = runs.verdict("relevant"), runs.verdict("irrelevant")
    for name, evidence in (("evidence", 1), ("other", 0)):
        mask = (kept | dropped) & (runs.per_browse("evidence") == evidence)
        yield f"kept.{name}", runs.tasks.ratio(runs.browse_task[mask], kept[mask])


def _audits(runs: ObservedRuns) -> Named:
    for number in range(FIRST_SEARCHES):
        counts = [run.new[number] if number < len(run.new) else (0, 0) for run in runs.runs]
        yield f"new_results.{number + 1}", runs.tasks.ratio(runs.task, *np.array(counts, np.float64).reshape(-1, 2).T)
    yield "returned_again", runs.tasks.ratio(runs.browse_task, runs.per_browse("again"))
    terms = np.array([run.terms for run in runs.runs], np.float64).reshape(-1, 2)
    yield "terms_adopted", runs.tasks.ratio(runs.task, *terms.T)
