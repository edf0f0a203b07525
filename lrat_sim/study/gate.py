"""The gate: whether a round's model takes the place of the one in use.

Both run on the same frozen tasks, which are never trained or evaluated on, and are paired by task.  By the rule
``mean`` the new one must win: succeed more often, or as often while its searches show more of the evidence; keeping the
model in use costs nothing, so a tie is no win.  By ``clear`` the 95 % interval of the difference in success must lie
above zero.

``mean`` is the default.  The gate protects later rounds against harm: a spoilt model loses tens of points, which
any rule sees.  The gain of a later round is a point or two, for which some hundred tasks have no clear interval, so
``clear`` would end most flywheels after the first round.  The price is that of two equal models the new one is taken
half the time, and that the best of several rounds looks better on these tasks than it is; the evaluation on other tasks
shows its true value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.comparison import Estimate, compare
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.records import Task
from lrat_sim.study.arms import runnable_tasks
from lrat_sim.text import normalise

Rule = Literal["none", "mean", "clear"]

# means over tasks that are equal may differ by so much
_ROUNDING = 1e-9


class Decision(Struct, frozen=True, kw_only=True):
    """What the gate decided on a round's model; differences are paired by task."""

    rule: Rule
    against: str  # the model in use
    tasks: int
    success: float | None  # of the new model
    evidence_recall: float | None
    success_difference: Estimate
    recall_difference: Estimate
    errors: int = 0  # runs of both models that broke, which are failures
    accepted: bool


def frozen_tasks(
    dataset: Dataset, split: str, others: Sequence[str], agent: AgentSettings, limit: int | None = None
) -> list[Task]:
    """The gate's tasks, at most ``limit``; an InputError where one of the ``others`` splits asks a question of its."""
    if split not in dataset.splits:
        raise InputError(
            f"the gate needs held-out tasks of its own, and {dataset.name} has no split {split!r} (it has "
            f"{', '.join(dataset.splits)}); name another with gate_split, prepare the task set with the option dev, or "
            "set gate to none."
        )
    tasks = runnable_tasks(dataset.tasks(split), agent, limit)
    questions = {normalise(task.question) for task in tasks}
    for other in others:
        for task in dataset.tasks(other):
            if normalise(task.question) in questions:
                raise InputError(
                    f"the gate's split {split!r} and the split {other!r} both ask {task.question!r}; "
                    "name another gate_split, with tasks of its own."
                )
    return tasks


def decide(
    rule: Rule, against: str, in_use: TaskTable, new: TaskTable, tasks: Sequence[Task], *, seed: int = 0
) -> Decision:
    """Holds a new model against the one in use, called ``against``, by their metrics on the tasks asked."""
    comparison = compare({"in use": in_use, "new": new}, "in use", None, [task.id for task in tasks], seed=seed)
    measures = comparison.pairings[0].measures
    success, recall = measures["success"], measures["evidence_recall"]
    return Decision(
        rule=rule,
        against=against,
        tasks=len(tasks),
        success=success.arm,
        evidence_recall=recall.arm,
        success_difference=success.difference,
        recall_difference=recall.difference,
        errors=sum(summary.errors for summary in comparison.summaries),
        accepted=wins(rule, success.difference, recall.difference),
    )


def wins(rule: Rule, success: Estimate, recall: Estimate) -> bool:
    """Whether differences from the model in use are a win by a rule."""
    if rule == "none":
        return True
    if rule == "clear":
        return success.low is not None and success.low > 0
    gain = success.value or 0.0
    return gain > _ROUNDING or (abs(gain) <= _ROUNDING and (recall.value or 0.0) > _ROUNDING)
