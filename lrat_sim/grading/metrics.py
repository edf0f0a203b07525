"""Success, evidence, steps, tokens and cost of a trajectory, a task and a run; and what judging a run came to.

Definitions.  A *step* is an executed call (LRAT, Table 1).  ``success`` is that of :mod:`lrat_sim.success`.
``evidence_recall`` = mean over tasks of |shown and evidence| / |evidence|, ``evidence_opened`` the same for
browsed documents, ``evidence_hit`` = share of tasks with any evidence shown; tasks without evidence are left out of
these, and counted.  Steps, tokens and the like are means over the runs that did not break.  With several samples a
task counts once, with the mean of its samples.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from statistics import fmean
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.grading.answers import task_of
from lrat_sim.grading.confidence import calibration_error
from lrat_sim.grading.samples import SampleMetrics, sample_metrics
from lrat_sim.records import EndReason, Grade, GradeState, Status, Task, Trajectory, Usage, Verdict, known_sum
from lrat_sim.success import run_success, success, task_success


class TrajectoryMetrics(Struct, frozen=True, kw_only=True):
    """One run in numbers.

    ``success`` is None where the answer is ungraded, evidence None where the task has none, ``confidence`` (0 to 100)
    None where the agent stated none.
    """

    trajectory_id: str
    task_id: str
    sample: int
    status: Status
    end_reason: EndReason
    success: float | None
    confidence: float | None
    evidence_recall: float | None
    evidence_opened: float | None
    evidence_hit: float | None
    turns: int
    steps: int
    searches: int
    browses: int
    tokens: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None
    seconds: float


TaskTable = dict[str, dict[str, float | None]]
"""Task id to metric to value, None where the task has none; a task that was never run has no row.

Beside the means over samples (:data:`METRICS`) a row has the bounds ``success_low`` and ``success_high``, and the
counts ``errors``, of runs that broke, and ``ungraded``, of answers.
"""

MAY_BE_UNTOLD = ("tokens", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cost")
"""What a provider may not tell of a call; a mean over those that it told would mislead."""
METRICS = (
    *("success", "evidence_recall", "evidence_opened", "evidence_hit", "turns", "steps", "searches", "browses"),
    *(*MAY_BE_UNTOLD, "seconds"),
)
_OF_BROKEN_RUNS = {"success", "evidence_recall", "evidence_opened", "evidence_hit", "cost"}
"""What is known of a run that broke, too; its length says nothing."""


class JudgeMetrics(Struct, frozen=True, kw_only=True):
    """What judging a run came to.

    Attributes:
        relevant, irrelevant, unjudged: browses by their latest verdict.
        unjudged_failed: of the unjudged, those where the judge failed; asked again, they may be judged.
        ungraded_failed: answers that are ungraded because the judge failed.
        prompt_tokens, completion_tokens, reasoning_tokens: of all judges, repeated calls too; None where any is
            unknown.
        cost: likewise, in US dollars.
    """

    relevant: int
    irrelevant: int
    unjudged: int
    unjudged_failed: int
    ungraded_failed: int
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None


class RunMetrics(Struct, frozen=True, kw_only=True):
    """One run folder in numbers.

    ``success_low`` and ``success_high`` are success with every ungraded answer wrong and right.  ``tasks`` are those
    asked; ``missing`` of them have no trajectory.  Tokens and ``cost`` (US dollars) are totals, None where any is
    unknown.  Means are None where there is nothing to average.  Tokens and cost are the agent's; those of the judges
    stand in ``judges``.  ``calibration_error`` (0 to 1) is over the ``confident`` answers: those graded whose agent
    stated a confidence.  ``samples`` is None where no task has more than one.
    """

    tasks: int
    missing: int
    trajectories: int
    answered: int
    unanswered: int
    errors: int
    ungraded: int
    tasks_without_evidence: int
    success: float | None
    success_low: float
    success_high: float
    evidence_recall: float | None
    evidence_opened: float | None
    evidence_hit: float | None
    turns: float | None
    steps: float | None
    searches: float | None
    browses: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None
    confident: int = 0
    calibration_error: float | None = None
    samples: SampleMetrics | None = None
    judges: JudgeMetrics | None = None


def trajectory_metrics(trajectory: Trajectory, task: Task, grade: Grade | GradeState | None) -> TrajectoryMetrics:
    """The metrics of one run.

    Args:
        trajectory: the run.
        task: what was asked.
        grade: its grade, or the state of it alone; None where it has none, which is ungraded for a run that answered.
    """
    state = grade.state if isinstance(grade, Grade) else grade
    calls = list(trajectory.calls())
    opened = {call.docid for call in calls if call.docid is not None}
    # a document may be opened that no list showed, by an id from the question
    shown = {hit.docid for call in calls for hit in call.hits or ()} | opened
    evidence = set(task.evidence)
    searches, browses = sum(call.is_search for call in calls), sum(call.is_browse for call in calls)
    return TrajectoryMetrics(
        trajectory_id=trajectory.id,
        task_id=trajectory.task_id,
        sample=trajectory.sample,
        status=trajectory.status,
        end_reason=trajectory.end_reason,
        success=run_success(trajectory.status, state),
        confidence=grade.confidence if isinstance(grade, Grade) else None,
        evidence_recall=len(shown & evidence) / len(evidence) if evidence else None,
        evidence_opened=len(opened & evidence) / len(evidence) if evidence else None,
        evidence_hit=float(bool(shown & evidence)) if evidence else None,
        turns=len(trajectory.turns),
        steps=searches + browses,
        searches=searches,
        browses=browses,
        tokens=trajectory.usage.tokens,
        **msgspec.structs.asdict(trajectory.usage),
        seconds=trajectory.seconds,
    )


def measure(
    trajectories: Iterable[Trajectory],
    tasks: Iterable[Task] | Mapping[str, Task],
    grades: Mapping[str, Grade] | Mapping[str, GradeState],
) -> list[TrajectoryMetrics]:
    """The metrics of every run; of a trajectory that was recorded again under one id, the last.

    Args:
        trajectories: read once, one at a time.
        tasks: those asked.
        grades: by trajectory id, as :func:`lrat_sim.grading.answers.latest_grades` gives, or their states alone,
            as :func:`lrat_sim.grading.answers.grade_table` does; without grades no confidence is known.

    Raises:
        InputError: a trajectory belongs to none of the tasks.
    """
    by_id = tasks if isinstance(tasks, Mapping) else {task.id: task for task in tasks}
    rows: dict[str, TrajectoryMetrics] = {}
    for trajectory in trajectories:
        task = task_of(trajectory, by_id)
        rows[trajectory.id] = trajectory_metrics(trajectory, task, grades.get(trajectory.id))
    return list(rows.values())


def task_table(rows: Iterable[TrajectoryMetrics], tasks: Iterable[Task] | Mapping[str, Task]) -> TaskTable:
    """The mean over samples of every metric, by task asked: what comparisons pair.

    Success and evidence take all samples in, the rest those that did not break.
    """
    asked = tasks.values() if isinstance(tasks, Mapping) else tasks
    runs: dict[str, list[TrajectoryMetrics]] = defaultdict(list)
    for row in rows:
        runs[row.task_id].append(row)
    return {task.id: _row(runs[task.id]) for task in asked if task.id in runs}


def _row(runs: list[TrajectoryMetrics]) -> dict[str, float | None]:
    found = task_success([run.success for run in runs])
    return {
        **{metric: _mean_of(runs, metric) for metric in METRICS},
        "success": found.value,
        "success_low": found.low,
        "success_high": found.high,
        "errors": float(sum(run.status == "error" for run in runs)),
        "ungraded": float(sum(run.success is None for run in runs)),
    }


def _mean_of(rows: list[TrajectoryMetrics], metric: str) -> float | None:
    if metric not in _OF_BROKEN_RUNS:
        rows = [row for row in rows if row.status != "error"]
    values = [value for row in rows if (value := getattr(row, metric)) is not None]
    if metric in MAY_BE_UNTOLD and len(values) < len(rows):
        return None  # a part of the cost is not the cost
    return fmean(values) if values else None


def run_metrics(
    rows: Iterable[TrajectoryMetrics],
    tasks: Iterable[Task] | Mapping[str, Task],
    judges: JudgeMetrics | None = None,
) -> RunMetrics:
    """The metrics of a whole run, over the tasks asked.

    Args:
        rows: every run.
        tasks: those asked.
        judges: what judging came to, passed on.

    Raises:
        InputError: no tasks are given.
    """
    asked = list(tasks.values() if isinstance(tasks, Mapping) else tasks)
    if not asked:
        raise InputError("a run cannot be measured over no tasks; give the tasks that were asked.")
    named = {task.id for task in asked}
    runs = [row for row in rows if row.task_id in named]
    table = task_table(runs, asked)
    of_task: dict[str, list[float | None]] = {task.id: [] for task in asked}
    for run in runs:
        of_task[run.task_id].append(run.success)
    found = success(of_task.values())
    missing = [task for task in asked if task.id not in table]

    def mean(metric: str, of_missing: int = 0) -> float | None:
        values = [value for row in table.values() if (value := row[metric]) is not None] + [0.0] * of_missing
        return fmean(values) if values else None

    with_evidence = sum(bool(task.evidence) for task in missing)
    statuses = Counter(run.status for run in runs)
    means: dict[str, Any] = {
        **{metric: mean(metric, with_evidence) for metric in ("evidence_recall", "evidence_opened", "evidence_hit")},
        **{metric: mean(metric) for metric in ("turns", "steps", "searches", "browses")},
    }
    stated = [(run.confidence, run.success) for run in runs if run.confidence is not None and run.success is not None]
    return RunMetrics(
        tasks=len(asked),
        missing=len(missing),
        trajectories=len(runs),
        answered=statuses["answered"],
        unanswered=statuses["unanswered"],
        errors=statuses["error"],
        ungraded=sum(run.success is None for run in runs),
        tasks_without_evidence=sum(not task.evidence for task in asked),
        success=found.value,
        success_low=found.low,
        success_high=found.high,
        **means,
        **{field: known_sum(getattr(run, field) for run in runs) for field in Usage.__struct_fields__},
        confident=len(stated),
        calibration_error=calibration_error([confidence for confidence, _ in stated], [right for _, right in stated]),
        samples=sample_metrics(((run.task_id, run.sample, run.success) for run in runs), len(missing)),
        judges=judges,
    )


def judge_metrics(grades: Iterable[Grade], verdicts: Iterable[Verdict], trajectories: Container[str]) -> JudgeMetrics:
    """What the judges of a run said and used.

    Args:
        grades: in the order in which they were written.
        verdicts: likewise.
        trajectories: the ids of those that count.
    """
    usage = Usage.zero()
    failed_grades: dict[str, bool] = {}
    latest: dict[tuple[str, int, int], tuple[str, bool]] = {}
    for grade in grades:
        if grade.trajectory_id in trajectories:
            usage = usage + grade.usage
            failed_grades[grade.trajectory_id] = grade.error is not None
    for verdict in verdicts:
        if verdict.trajectory_id in trajectories:
            usage = usage + verdict.usage
            browse = (verdict.trajectory_id, verdict.turn, verdict.call)
            latest[browse] = (verdict.state, verdict.error is not None)
    states = Counter(state for state, _ in latest.values())
    return JudgeMetrics(
        relevant=states["relevant"],
        irrelevant=states["irrelevant"],
        unjudged=states["unjudged"],
        unjudged_failed=sum(failed for _, failed in latest.values()),
        ungraded_failed=sum(failed_grades.values()),
        **msgspec.structs.asdict(usage),
    )
