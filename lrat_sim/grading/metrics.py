"""Success, evidence, steps, tokens and cost of a trajectory, a task and a run; and the result of judging a run.

A *step* is an executed call (LRAT, Table 1).  ``evidence_recall`` = mean over tasks of |shown and evidence| /
|evidence|, ``evidence_opened`` the same for browsed documents, ``evidence_hit`` = share of tasks with any evidence
shown; tasks without evidence are left out of these, and counted.  Steps, tokens and the like are means over the runs
that did not break.  A task counts once, with the mean of its samples.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from math import comb
from statistics import fmean, stdev
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.grading.answers import task_of
from lrat_sim.records import Grade, GradeState, Status, Task, Trajectory, Usage, Verdict, known_sum
from lrat_sim.success import run_success, success, task_success


class TrajectoryMetrics(Struct, frozen=True, kw_only=True):
    """One run in numbers."""

    trajectory_id: str
    task_id: str
    sample: int
    status: Status
    success: float | None  # None where the answer is ungraded
    confidence: float | None  # 0 to 100; None where the agent stated none
    values: dict[str, float | None]  # the other METRICS by name; evidence is None where the task has none
    forced: bool = False  # the answer was given at a limit
    silent_turns: int = 0  # turns without reasoning


TaskTable = dict[str, dict[str, float | None]]
"""Task id to metric to value, None where the task has none; a task that was never run has no row.

A row has the means over samples of :data:`METRICS`, ``success`` with its bounds, and the sums of :data:`COUNTS`.
"""

_EVIDENCE = ("evidence_recall", "evidence_opened", "evidence_hit")
_LENGTHS = ("turns", "steps", "searches", "browses")
MAY_BE_UNKNOWN = ("tokens", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "cost")
"""What a provider may leave out; a mean over the calls for which it is known would mislead."""
COUNTS = ("answered", "forced", "unanswered", "errors", "ungraded", "all_turns", "silent_turns")
"""Runs of a task by how they ended, ``forced`` of those answered; and turns, ``silent_turns`` without reasoning."""
METRICS = (*_EVIDENCE, *_LENGTHS, *MAY_BE_UNKNOWN, "seconds")
_OF_BROKEN_RUNS = {*_EVIDENCE, "cost"}  # the length of a run that broke says nothing


class PassAtK(Struct, frozen=True, kw_only=True):
    """The share of tasks that k samples solve, over the ``tasks`` of which it can be said."""

    k: int
    value: float
    tasks: int


class SampleMetrics(Struct, frozen=True, kw_only=True):
    """What several samples of each task say."""

    samples: int  # the most that a task has
    pass_at: list[PassAtK]  # for each k from 1; a task counts for the k that its graded samples reach
    # standard deviation of success between sample numbers: how much one whole run would differ from another
    between: float | None
    within: float | None  # its mean within a task, over the tasks with two graded samples or more


class JudgeMetrics(Struct, frozen=True, kw_only=True):
    """The result of judging a run: browses by their latest verdict, and the usage of all judges, repeated calls too."""

    relevant: int
    irrelevant: int
    unjudged: int
    unjudged_failed: int  # unjudged because the judge failed; asked again, it may succeed
    ungraded_failed: int  # answers that are ungraded because the judge failed
    usage: Usage


class RunMetrics(Struct, frozen=True, kw_only=True):
    """One run folder in numbers; means are None where there is nothing to average.

    ``success_low`` and ``success_high`` are success with every ungraded answer wrong and right.  Tokens and ``cost``
    (US dollars) are the agent's in total, None where any is unknown.  ``calibration_error`` (0 to 1) is over the
    ``confident`` answers: those graded whose agent stated a confidence.
    """

    tasks: int  # those asked
    missing: int  # those of them that have no trajectory
    trajectories: int
    answered: int
    forced: int = 0  # of those answered, at a limit
    unanswered: int
    errors: int
    ungraded: int
    silent_turns: float | None = None  # the share of turns without reasoning
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
    cached_tokens: int | None
    cost: float | None
    confident: int = 0
    calibration_error: float | None = None
    samples: SampleMetrics | None = None  # where a task has several
    judges: JudgeMetrics | None = None


def measure(
    trajectories: Iterable[Trajectory],
    tasks: Iterable[Task],
    grades: Mapping[str, Grade] | Mapping[str, GradeState],
) -> list[TrajectoryMetrics]:
    """The metrics of every run; of a trajectory that was recorded again under one id, the last.

    Trajectories are read once, one at a time; one of no task asked is an input error.
    """
    by_id = {task.id: task for task in tasks}
    rows = {run.id: _trajectory_metrics(run, task_of(run, by_id), grades.get(run.id)) for run in trajectories}
    return list(rows.values())


def _trajectory_metrics(trajectory: Trajectory, task: Task, grade: Grade | GradeState | None) -> TrajectoryMetrics:
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
        success=run_success(trajectory.status, state),
        confidence=grade.confidence if isinstance(grade, Grade) else None,
        values={
            "evidence_recall": len(shown & evidence) / len(evidence) if evidence else None,
            "evidence_opened": len(opened & evidence) / len(evidence) if evidence else None,
            "evidence_hit": float(bool(shown & evidence)) if evidence else None,
            "turns": len(trajectory.turns),
            "steps": searches + browses,
            "searches": searches,
            "browses": browses,
            "tokens": trajectory.usage.tokens,
            **msgspec.structs.asdict(trajectory.usage),
            "seconds": trajectory.seconds,
        },
        forced=trajectory.is_forced,
        silent_turns=sum(turn.is_silent for turn in trajectory.turns),
    )


def task_table(rows: Iterable[TrajectoryMetrics], tasks: Iterable[Task]) -> TaskTable:
    """The mean over samples of every metric, by task asked: what comparisons pair."""
    runs: dict[str, list[TrajectoryMetrics]] = defaultdict(list)
    for row in rows:
        runs[row.task_id].append(row)
    table: TaskTable = {}
    for task in (task.id for task in tasks if task.id in runs):
        of_task = task_success([run.success for run in runs[task]])
        table[task] = {
            "success": of_task.value,
            "success_low": of_task.low,
            "success_high": of_task.high,
            **_counts(runs[task]),
            **{metric: _mean(runs[task], metric) for metric in METRICS},
        }
    return table


def _counts(runs: list[TrajectoryMetrics]) -> dict[str, float]:
    statuses = Counter(run.status for run in runs)
    counts = {
        "answered": statuses["answered"],
        "forced": sum(run.forced for run in runs),
        "unanswered": statuses["unanswered"],
        "errors": statuses["error"],
        "ungraded": sum(run.success is None for run in runs),
        "all_turns": sum(run.values["turns"] or 0 for run in runs),
        "silent_turns": sum(run.silent_turns for run in runs),
    }
    return {name: float(counts[name]) for name in COUNTS}


def _mean(runs: list[TrajectoryMetrics], metric: str) -> float | None:
    counted = [run for run in runs if run.status != "error" or metric in _OF_BROKEN_RUNS]
    values = _known(run.values[metric] for run in counted)
    if metric in MAY_BE_UNKNOWN and len(values) < len(counted):
        return None  # a part of the cost is not the cost
    return fmean(values) if values else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def run_metrics(
    rows: Iterable[TrajectoryMetrics], tasks: Iterable[Task], judges: JudgeMetrics | None = None
) -> RunMetrics:
    """The metrics of a whole run, over the tasks asked; ``judges`` is passed on."""
    asked = list(tasks)
    if not asked:
        raise InputError("a run cannot be measured over no tasks; give the tasks that were asked.")
    of_task: dict[str, list[float | None]] = {task.id: [] for task in asked}
    runs = [row for row in rows if row.task_id in of_task]
    for run in runs:
        of_task[run.task_id].append(run.success)
    of_all = success(of_task.values())
    table = task_table(runs, asked)
    missing = [task for task in asked if task.id not in table]
    # evidence of a task that was not run was not found; how long its run would have been is unknown
    failed = {**dict.fromkeys(_EVIDENCE, sum(bool(task.evidence) for task in missing)), **dict.fromkeys(_LENGTHS, 0)}
    fields: dict[str, Any] = {field: known_sum(run.values[field] for run in runs) for field in Usage.__struct_fields__}
    for metric, failures in failed.items():
        values = _known(row[metric] for row in table.values()) + [0.0] * failures
        fields[metric] = fmean(values) if values else None
    counts = {name: round(sum(row[name] or 0 for row in table.values())) for name in COUNTS}
    stated = [(run.confidence, run.success) for run in runs if run.confidence is not None and run.success is not None]
    return RunMetrics(
        tasks=len(asked),
        missing=len(missing),
        trajectories=len(runs),
        **{name: counts[name] for name in ("answered", "forced", "unanswered", "errors", "ungraded")},
        silent_turns=counts["silent_turns"] / counts["all_turns"] if counts["all_turns"] else None,
        tasks_without_evidence=sum(not task.evidence for task in asked),
        success=of_all.value,
        success_low=of_all.low,
        success_high=of_all.high,
        **fields,
        confident=len(stated),
        calibration_error=calibration_error([confidence for confidence, _ in stated], [right for _, right in stated]),
        samples=sample_metrics(((run.task_id, run.sample, run.success) for run in runs), len(missing)),
        judges=judges,
    )


def sample_metrics(success: Iterable[tuple[str, int, float | None]], missing: int) -> SampleMetrics | None:
    """The metrics of the samples of a run, from (task id, sample, success); None where no task has more than one.

    A sample that broke or gave no answer is a failure; one that is ungraded or was never run is left out, so that its
    task has one sample fewer.  The ``missing`` tasks, of which no sample was run, are failures at every k.
    """
    by_task: dict[str, dict[int, float | None]] = defaultdict(dict)
    for task, sample, value in success:
        by_task[task][sample] = value
    samples = max((len(values) for values in by_task.values()), default=0)
    if samples < 2:
        return None
    graded = [_known(values.values()) for values in by_task.values()]
    by_number: dict[int, list[float]] = defaultdict(list)
    for values in by_task.values():
        for sample, value in values.items():
            if value is not None:
                by_number[sample].append(value)
    means = [sum(values) / (len(values) + missing) for values in by_number.values()]
    spreads = [stdev(values) for values in graded if len(values) > 1]
    pass_at = []
    for k in range(1, max(map(len, graded)) + 1):
        chances = [pass_at_k(len(values), round(sum(values)), k) for values in graded if len(values) >= k]
        tasks = len(chances) + missing
        pass_at.append(PassAtK(k=k, value=sum(chances) / tasks, tasks=tasks))
    return SampleMetrics(
        samples=samples,
        pass_at=pass_at,
        between=stdev(means) if len(means) > 1 else None,
        within=fmean(spreads) if spreads else None,
    )


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The chance that one at least of k samples is correct: 1 - C(n - c, k) / C(n, k) for c correct ones of n.

    The estimate is unbiased (Chen et al. 2021, arXiv 2107.03374, equation 1).
    """
    return 1 - comb(samples - correct, k) / comb(samples, k)


def judge_metrics(grades: Iterable[Grade], verdicts: Iterable[Verdict], trajectories: Container[str]) -> JudgeMetrics:
    """What the judges said and used on the trajectories with these ids; records come in the order they were written."""
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
        usage=usage,
    )


def calibration_error(confidences: Sequence[float], right: Sequence[float], *, bins: int = 10) -> float | None:
    """The expected calibration error: sum over bins of n_b / n * abs(mean confidence - share right), from 0 to 1.

    All bins count, the most confident one too, which the public script of BrowseComp-Plus leaves out.
    """
    if not confidences:
        return None
    # n_b times the difference of the means is the difference of the sums
    return float(np.abs(confidence_bins(confidences, right, bins=bins)).sum() / len(confidences))


def confidence_bins(confidences: Sequence[float], right: Sequence[float], *, bins: int = 10) -> npt.NDArray[np.float64]:
    """The sum of confidence - right in each of equally wide bins, shape (bins,); the sums of sets of answers add up.

    ``confidences`` are stated ones, from 0 to 100; ``right`` is 1 where the answer is correct, else 0.
    """
    share, hit = np.asarray(confidences, dtype=float) / 100, np.asarray(right, dtype=float)
    bin_of = np.minimum((share * bins).astype(int), bins - 1)
    return np.bincount(bin_of, share - hit, bins).astype(np.float64)
