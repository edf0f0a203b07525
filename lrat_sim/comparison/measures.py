"""What is compared, and over which tasks: the list that the statistics, the tables and the saved file all follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from lrat_sim.comparison.paired import Better
from lrat_sim.grading.metrics import MAY_BE_UNTOLD

Row = Mapping[str, float | None]
"""The metrics of one task under one arm."""

Arm = Mapping[str, Row]
"""The rows of one arm by task id."""

Population = Literal["asked", "evidence", "ran", "both_solve", "searched", "stated"]


class Measure(Struct, frozen=True, kw_only=True):
    """One metric of a comparison.

    ``population`` says which tasks count.  ``asked``: all of them, one that an arm never ran is a failure (0), one
    whose value is None (an ungraded answer) is left out and counted.  ``evidence``: tasks with evidence, one that an
    arm never ran shows none of it (0).  ``ran``: tasks that ran.  ``both_solve``: tasks that both arms solve, so that
    an arm is not praised for giving up early.  ``searched``: tasks with evidence that an arm searched for.  ``stated``:
    tasks whose answer states a confidence; the measure is of all of them together, no mean over tasks.
    """

    name: str
    metric: str
    title: str
    better: Better
    population: Population
    unit: Literal["share", "count", "dollar"]
    definition: str


MEASURES = (
    Measure(
        name="success",
        metric="success",
        title="success",
        better="higher",
        population="asked",
        unit="share",
        definition="correct answers / tasks asked; unanswered and error are failures, ungraded ones are left out",
    ),
    Measure(
        name="evidence_recall",
        metric="evidence_recall",
        title="evidence recall",
        better="higher",
        population="evidence",
        unit="share",
        definition="mean over tasks of |shown and evidence| / |evidence|",
    ),
    Measure(
        name="evidence_hit",
        metric="evidence_hit",
        title="evidence hit",
        better="higher",
        population="evidence",
        unit="share",
        definition="share of tasks with any evidence shown",
    ),
    Measure(
        name="evidence_opened",
        metric="evidence_opened",
        title="evidence opened",
        better="higher",
        population="evidence",
        unit="share",
        definition="mean over tasks of |browsed and evidence| / |evidence|",
    ),
    Measure(
        name="steps",
        metric="steps",
        title="steps",
        better="lower",
        population="ran",
        unit="count",
        definition="executed calls, searches and browses, a task that ran",
    ),
    Measure(
        name="steps_both_solve",
        metric="steps",
        title="steps, both solve",
        better="lower",
        population="both_solve",
        unit="count",
        definition="executed calls on tasks that both this arm and the base solve",
    ),
    Measure(
        name="searches",
        metric="searches",
        title="searches",
        better="lower",
        population="ran",
        unit="count",
        definition="executed searches a task that ran",
    ),
    Measure(
        name="tokens",
        metric="tokens",
        title="tokens",
        better="lower",
        population="ran",
        unit="count",
        definition="prompt and completion tokens a task that ran; unknown as soon as those of one call are",
    ),
    Measure(
        name="cost",
        metric="cost",
        title="cost",
        better="lower",
        population="ran",
        unit="dollar",
        definition="US dollars a task that ran; unknown as soon as one price is",
    ),
    Measure(
        name="calibration_error",
        metric="calibration_error",
        title="calibration error",
        better="lower",
        population="stated",
        unit="share",
        definition="expected calibration error, in 10 bins, of the graded answers that state a confidence",
    ),
    Measure(
        name="ndcg",
        metric="ndcg",
        title="nDCG",
        better="higher",
        population="searched",
        unit="share",
        definition="nDCG@k of the issued queries against the task's evidence, mean over searches, then tasks",
    ),
    Measure(
        name="recall",
        metric="recall",
        title="query recall",
        better="higher",
        population="searched",
        unit="share",
        definition="recall@k of the issued queries against the task's evidence, mean over searches, then tasks",
    ),
    Measure(
        name="mrr",
        metric="mrr",
        title="MRR",
        better="higher",
        population="searched",
        unit="share",
        definition="reciprocal rank of the issued queries' first evidence, mean over searches, then tasks",
    ),
)


def solved(row: Row | None) -> bool:
    """Whether a task counts as solved: correct in at least half of its graded samples."""
    success = row.get("success") if row is not None else None
    return success is not None and success >= 0.5


def untold(row: Row, metric: str) -> bool:
    """Whether a provider did not tell tokens or cost of a task; of one whose runs broke, tokens are no matter."""
    return metric in MAY_BE_UNTOLD and row.get(metric) is None and (metric == "cost" or row.get("steps") is not None)


def values_of(
    measure: Measure, arms: Sequence[Arm], tasks: Sequence[str], evidence: set[str]
) -> list[tuple[str, tuple[float, ...]]]:
    """The values of a measure: each task that counts, with one value an arm.

    Args:
        measure: which; not one of all answers together (``stated``).
        arms: one (for its own mean) or several (paired).
        tasks: ids of the tasks asked, in order.
        evidence: ids of those that have evidence.

    Returns:
        Nothing at all where tokens or cost of some task are unknown, since a mean over the known ones would mislead.
    """
    found = []
    for task in tasks:
        rows = [arm.get(task) for arm in arms]
        if measure.population in ("evidence", "searched") and task not in evidence:
            continue
        if measure.population == "both_solve" and not all(solved(row) for row in rows):
            continue
        absent = 0.0 if measure.population in ("asked", "evidence") else None
        values = [absent if row is None else row.get(measure.metric, absent) for row in rows]
        if all(value is not None for value in values):
            found.append((task, tuple(value for value in values if value is not None)))
        elif all(row is not None for row in rows) and any(untold(row, measure.metric) for row in rows if row):
            return []
    return found
