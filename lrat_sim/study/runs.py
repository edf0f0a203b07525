"""A run folder, filled and graded: what every study does with a retriever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.comparison import run_table
from lrat_sim.grading.answers import AnswerJudge, MatchJudge, match_grade
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.grading.run import grade_run
from lrat_sim.models.budget import Budget, LimitReached
from lrat_sim.records import Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.rollout.run import rollout


def graded_rollout(
    tasks: Sequence[Task],
    agent: AgentSettings,
    retriever: Retriever,
    folder: Path,
    *,
    seed: int = 0,
    samples: int = 1,
    judge: AnswerJudge | None = None,
    calls: CallOptions | None = None,
    budget: Budget | None = None,
) -> TaskTable:
    """Runs and grades what is missing in a run folder, and gives its metrics by task.

    Args:
        tasks: those asked.
        agent: who runs.
        retriever: what it searches with.
        folder: the run folder.
        seed: of the runs.
        samples: runs of each task.
        judge: of answers; by default the offline match.
        calls: how model calls are sent.
        budget: what they may cost; by default that of ``calls``, for this rollout alone.

    Raises:
        LimitReached: the budget is spent; what was run is kept and graded.
        NothingCame: every run broke, or the judge failed on every answer.
    """
    judge = judge or MatchJudge()
    summary = rollout(
        tasks,
        agent,
        retriever,
        folder,
        seed=seed,
        samples=samples,
        calls=calls,
        budget=budget,
        grade=match_grade if type(judge) is MatchJudge else None,
    )
    summary.check(agent.name or agent.model)
    grade_run(folder, judge)
    if summary.stopped is not None:
        raise LimitReached(
            summary.stopped, f"the limit on {summary.stopped} is reached; rerun with a higher one to resume."
        )
    return run_table(folder, tasks, agent.limits.k, judge.name)
