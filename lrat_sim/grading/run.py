"""Grading of run folders: RUN/grades.jsonl, RUN/verdicts.jsonl, and the tables made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from zlib import crc32

from lrat_sim.artifact import Store
from lrat_sim.errors import NothingCame
from lrat_sim.grading.answers import AnswerJudge, MatchJudge, grade_answers, latest_grades
from lrat_sim.grading.metrics import RunMetrics, TaskTable, judge_metrics, measure, run_metrics, task_table
from lrat_sim.grading.relevance import RelevanceJudge, RuleJudge, judge_browses
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Grade, Task, Trajectory, Verdict, known_sum
from lrat_sim.rollout.index import TRAJECTORIES, asked_tasks, read_trajectories, regrade, run_file
from lrat_sim.tables import NONE, Table, dollars, number, percent
from lrat_sim.work import SHARDS, Shard

GRADES, VERDICTS = "grades.jsonl", "verdicts.jsonl"

_EVERY_K = 8  # the k up to which each pass@k is shown; beyond, the powers of two and the number of samples


def grade_run(
    run: Path,
    judge: AnswerJudge | None = None,
    *,
    concurrency: int = 16,
    shard: Shard | None = None,
    progress: ProgressCallback | None = None,
) -> int:
    """Grades what a run folder answered and this judge has not graded; returns how many grades were added.

    If interrupted, call it again to finish the rest.

    Args:
        run: the run folder.
        judge: by default the offline match.
        concurrency: answers under way at once.
        shard: grades a share of the runs alone, into RUN/shards; the run folder itself may be one still to be joined.
        progress: told the runs done.

    Raises:
        InputError: it is not a run folder.
        NothingCame: the judge failed on every answer.
    """
    judge = judge or MatchJudge()
    run, target, runs = _shard_of(run, shard, GRADES, Grade, judge.name)
    tasks = asked_tasks(run)
    with Store(target / GRADES, Grade) as store:
        new = grade_answers(runs, tasks, judge, store=store, concurrency=concurrency, progress=progress)
        added = _counted(new, store, judge.name, f"answers of {run}")
        regrade(target, {name: grade.state for name, grade in latest_grades(store).items()})
    return added


def judge_run(
    run: Path,
    judge: RelevanceJudge | None = None,
    *,
    concurrency: int = 16,
    shard: Shard | None = None,
    progress: ProgressCallback | None = None,
) -> int:
    """Judges the browses of a run folder as :func:`grade_run` grades its answers, by default by the offline rules."""
    judge = judge or RuleJudge()
    run, target, runs = _shard_of(run, shard, VERDICTS, Verdict, judge.name)
    run_file(run, TRAJECTORIES)  # before a store makes the folder
    with Store(target / VERDICTS, Verdict) as store:
        new = judge_browses(runs, judge, store=store, concurrency=concurrency, progress=progress)
        return _counted(new, store, judge.name, f"browses of {run}")


def _shard_of(
    run: Path, shard: Shard | None, name: str, kind: type[Grade] | type[Verdict], judge: str
) -> tuple[Path, Path, Iterable[Trajectory]]:
    """The run folder that is read, the folder that is written to, and the runs that are a shard's to judge."""
    if shard is None:
        return run, run, read_trajectories(run)
    target = run / SHARDS / shard.folder
    if (target / TRAJECTORIES).is_file():  # it was run in shards, too
        return target, target, read_trajectories(target)
    run_file(run, TRAJECTORIES)
    # not twice what the whole run's file has already
    done = {record.trajectory_id for record in Store(run / name, kind) if record.judge == judge and not record.error}
    runs = (each for each in read_trajectories(run) if shard.takes(crc32(each.id.encode())) and each.id not in done)
    return run, target, runs


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

    ``tasks`` are those that count, by default all that were asked; ``judge`` names the one whose grades count, by
    default the latest of any.  The answers of a run that was not graded are ungraded.
    """
    by_id = {task.id: task for task in (asked_tasks(run) if tasks is None else tasks)}
    grades = latest_grades(Store(run / GRADES, Grade), judge)
    counted = (trajectory for trajectory in read_trajectories(run) if trajectory.task_id in by_id)
    rows = measure(counted, by_id.values(), grades)
    ids = {row.trajectory_id for row in rows}
    judges = judge_metrics(Store(run / GRADES, Grade), Store(run / VERDICTS, Verdict), ids)
    return task_table(rows, by_id.values()), run_metrics(rows, by_id.values(), judges)


def runs_table(runs: Mapping[str, RunMetrics]) -> Table:
    """One column for each run: how it ended, success with its bounds, evidence, steps, tokens, cost.

    A row that no run has is left out: pass@k and spread need several samples, calibration stated confidences, the
    judges' tokens a model as judge.
    """
    every_k = {
        sample.k
        for run in runs.values()
        for sample in (run.samples.pass_at if run.samples else ())
        if sample.k <= _EVERY_K or not sample.k & (sample.k - 1) or (run.samples and sample.k == run.samples.samples)
    }
    columns = [_column(run, sorted(every_k)) for run in runs.values()]
    rows = []
    for row in columns[0] if columns else ():
        values = [column[row] for column in columns]
        if any(value is not None for value in values):
            rows.append([row, *(NONE if value is None else value for value in values)])
    return Table.of("Runs", ["", *runs], rows, slug="runs")


def _column(run: RunMetrics, every_k: Iterable[int]) -> dict[str, str | None]:
    """Row to value; None where the run has no such thing."""
    samples, judges = run.samples, run.judges
    pass_at = {sample.k: percent(sample.value) for sample in samples.pass_at} if samples else {}
    browses = judges.relevant + judges.irrelevant + judges.unjudged if judges else 0
    paid = judges.usage if judges and judges.usage.tokens != 0 else None
    return {
        "tasks asked": f"{run.tasks:,}" + (f" ({run.missing:,} not run)" if run.missing else ""),
        "success": percent(run.success),
        "  if ungraded were wrong, right": f"{percent(run.success_low)}, {percent(run.success_high)}",
        **{f"  pass@{k}": pass_at.get(k) for k in every_k},
        "  deviation between samples": percent(samples.between) if samples else None,
        "  deviation within a task": percent(samples.within) if samples else None,
        "calibration error": f"{percent(run.calibration_error)} of {run.confident:,}" if run.confident else None,
        "evidence recall": percent(run.evidence_recall),
        "evidence opened": percent(run.evidence_opened),
        "evidence hit": percent(run.evidence_hit),
        "steps": number(run.steps),
        "  searches": number(run.searches),
        "  browses": number(run.browses),
        "answered": f"{run.answered:,}",
        "  forced at a limit": f"{run.forced:,}" if run.forced else None,
        "unanswered": f"{run.unanswered:,}",
        "errors": f"{run.errors:,}",
        "ungraded": f"{run.ungraded:,}" + _failed(judges.ungraded_failed if judges else 0),
        "turns without reasoning": percent(run.silent_turns) if run.silent_turns else None,
        "browses unjudged": (
            f"{judges.unjudged:,} of {browses:,}" + _failed(judges.unjudged_failed) if judges and browses else None
        ),
        "agent tokens": _tokens(known_sum((run.prompt_tokens, run.completion_tokens))),
        "agent cost": dollars(run.cost),
        "judge tokens": _tokens(paid.tokens) if paid else None,
        "judge cost": dollars(paid.cost) if paid else None,
    }


def _failed(count: int) -> str:
    return f" (judge failed on {count:,})" if count else ""


def _tokens(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,}"
