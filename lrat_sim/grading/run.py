"""Grading of run folders: RUN/grades.jsonl, RUN/verdicts.jsonl, and the tables made from them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lrat_sim.artifact import Store
from lrat_sim.errors import InputError, NothingCame
from lrat_sim.grading.answers import AnswerJudge, MatchJudge, grade_answers, latest_grades
from lrat_sim.grading.metrics import RunMetrics, TaskTable, judge_metrics, measure, run_metrics, task_table
from lrat_sim.grading.relevance import RelevanceJudge, RuleJudge, judge_browses
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Grade, Task, Verdict
from lrat_sim.rollout.index import TRAJECTORIES, asked_tasks, read_trajectories, regrade

GRADES, VERDICTS = "grades.jsonl", "verdicts.jsonl"


def grade_run(
    run: Path,
    judge: AnswerJudge | None = None,
    *,
    concurrency: int = 16,
    progress: ProgressCallback | None = None,
) -> int:
    """Grades what a run folder answered and this judge has not graded; the same call again finishes the rest.

    Args:
        run: the run folder.
        judge: by default the offline match.
        concurrency: answers under way at once.
        progress: told the runs done.

    Returns:
        How many grades were added.

    Raises:
        InputError: it is no run folder.
        NothingCame: the judge failed on every answer.
    """
    judge = judge or MatchJudge()
    runs, tasks = read_trajectories(run), asked_tasks(run)
    with Store(run / GRADES, Grade) as store:
        new = grade_answers(runs, tasks, judge, store=store, concurrency=concurrency, progress=progress)
        added = _counted(new, store, judge.name, f"answers of {run}")
        regrade(run, {name: grade.state for name, grade in latest_grades(store).items()})
    return added


def judge_run(
    run: Path,
    judge: RelevanceJudge | None = None,
    *,
    concurrency: int = 16,
    progress: ProgressCallback | None = None,
) -> int:
    """Judges the browses of a run folder that this judge has not judged; the same call again finishes the rest.

    Args:
        run: the run folder.
        judge: by default the offline rules.
        concurrency: runs under way at once.
        progress: told the runs done.

    Returns:
        How many verdicts were added.

    Raises:
        InputError: there are no trajectories.
        NothingCame: the judge failed on every browse.
    """
    judge = judge or RuleJudge()
    if not (run / TRAJECTORIES).is_file():  # a store would make the folder
        raise InputError(f"{run} holds no {TRAJECTORIES}, so it is no run folder; give one that a rollout made.")
    runs = read_trajectories(run)
    with Store(run / VERDICTS, Verdict) as store:
        new = judge_browses(runs, judge, store=store, concurrency=concurrency, progress=progress)
        return _counted(new, store, judge.name, f"browses of {run}")


def _counted(new: Iterable[Grade | Verdict], store: Store[Grade] | Store[Verdict], judge: str, what: str) -> int:
    """How many were added; refuses where the judge failed on all of them, and never judged another."""
    count, failed, cause = 0, 0, ""
    for record in new:
        count += 1
        if record.error is not None:
            failed, cause = failed + 1, cause or record.error.message
    if count and failed == count and not any(record.judge == judge and record.error is None for record in store):
        raise NothingCame(
            f"the judge {judge} failed on all {count:,} {what}; first error: {cause}; test its endpoint with `lrat-sim "
            "check openai-tools --agent-option model=NAME`, then rerun the same command."
        )
    return count


def run_tables(
    run: Path, tasks: Iterable[Task] | None = None, judge: str | None = None
) -> tuple[TaskTable, RunMetrics]:
    """A graded run in numbers: by task, and as a whole over the tasks asked.

    Args:
        run: the run folder; a run that was not graded has its answers ungraded.
        tasks: those that count; by default all that were asked. Trajectories of others are passed over.
        judge: the name of the judge whose grades count; by default the latest of any.

    Raises:
        InputError: it is no run folder, or there are no tasks.
    """
    by_id = {task.id: task for task in (asked_tasks(run) if tasks is None else tasks)}
    grades = latest_grades(Store(run / GRADES, Grade), judge)
    of_them = (trajectory for trajectory in read_trajectories(run) if trajectory.task_id in by_id)
    rows = measure(of_them, by_id, grades)
    counted = {row.trajectory_id for row in rows}
    judges = judge_metrics(Store(run / GRADES, Grade), Store(run / VERDICTS, Verdict), counted)
    return task_table(rows, by_id), run_metrics(rows, by_id, judges)
