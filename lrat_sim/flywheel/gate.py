"""The gate: whether a round's model takes the place of the one in use.

Both run on the same frozen tasks, which are never trained or evaluated on, and are paired by task.  By the rule
``mean`` the new one must win: succeed more often, or as often while its searches show more of the evidence.  A model
that is equal in both does not win, since to stay costs nothing.  By ``clear`` the 95 % interval of the difference in
success must lie above zero.

``mean`` is the default.  A gate guards the rounds to come against what would harm them, and a model that was spoilt
loses tens of points, which any rule sees; the gain of a later round is a point or two, for which some hundred tasks
have no clear interval, so that ``clear`` would end most flywheels after the first round.  The price is that of two
equal models the new one is taken half the time, and that the best of several rounds looks better on these tasks than
it is: the evaluation on other tasks says what it is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.comparison import compare
from lrat_sim.comparison.measures import ArmMetrics
from lrat_sim.comparison.paired import Estimate
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.experiment import runnable
from lrat_sim.flywheel.settings import Rule
from lrat_sim.records import Task
from lrat_sim.text import normalise


class Decision(Struct, frozen=True, kw_only=True):
    """What the gate decided on a round's model.

    Attributes:
        rule: by which.
        against: the name of the model in use, ``base`` or ``round-N``.
        tasks: on how many tasks.
        errors: runs of both models that broke, which are failures.
        success, evidence_recall: of the new model.
        success_difference, recall_difference: from the model in use, paired by task; the latter's value is None where
            no task has evidence.
        accepted: whether the new model is used from now on.
    """

    rule: Rule
    against: str
    tasks: int
    success: float | None
    evidence_recall: float | None
    success_difference: Estimate
    recall_difference: Estimate
    errors: int = 0
    accepted: bool


def frozen_tasks(
    dataset: Dataset, split: str, others: Sequence[str], agent: AgentSettings, limit: int | None = None
) -> list[Task]:
    """The gate's tasks, none of whose questions is asked in training or in evaluating.

    Args:
        dataset: has them.
        split: theirs.
        others: the splits that are trained or evaluated on.
        agent: who is to run them.
        limit: at most so many; None for all.

    Raises:
        InputError: there is no such split, or another one asks a question of its.
    """
    if split not in dataset.splits:
        raise InputError(
            f"the gate needs held-out tasks of its own, and {dataset.name} has no split {split!r} (it has "
            f"{', '.join(dataset.splits)}); name another with gate_split, prepare the task set with the option dev, or "
            "set gate to none."
        )
    tasks = runnable(dataset.tasks(split), agent, limit)
    asked = {normalise(task.question) for task in tasks}
    for other in others:
        for task in dataset.tasks(other):
            if normalise(task.question) in asked:
                raise InputError(
                    f"the gate's split {split!r} and the split {other!r} both ask {task.question!r}; "
                    "name another gate_split, with tasks of its own."
                )
    return tasks


def decide(
    rule: Rule, against: str, in_use: ArmMetrics, new: ArmMetrics, tasks: Sequence[Task], *, seed: int = 0
) -> Decision:
    """Holds a new model against the one in use.

    Args:
        rule: ``mean`` or ``clear``; ``none`` accepts everything.
        against: the name of the model in use.
        in_use: its metrics by task, as :func:`lrat_sim.experiment.graded_rollout` gives them.
        new: those of the new model.
        tasks: those asked.
        seed: of the intervals.
    """
    arms = {"in use": in_use, "new": new}
    found = compare(arms, "in use", None, [task.id for task in tasks], seed=seed)
    (pairing,) = found.pairings
    success, recall = pairing.measures["success"], pairing.measures["evidence_recall"]
    return Decision(
        rule=rule,
        against=against,
        tasks=len(tasks),
        success=success.arm,
        evidence_recall=recall.arm,
        success_difference=success.difference,
        recall_difference=recall.difference,
        errors=sum(summary.errors for summary in found.summaries),
        accepted=rule == "none" or wins(rule, success.difference, recall.difference),
    )


def wins(rule: Rule, success: Estimate, recall: Estimate) -> bool:
    """Whether differences from the model in use are a win by a rule."""
    if rule == "clear":
        return success.low is not None and success.low > 0
    gain = success.value or 0.0
    return gain > _ROUNDING or (abs(gain) <= _ROUNDING and (recall.value or 0.0) > _ROUNDING)


_ROUNDING = 1e-9
"""Means over tasks that are equal may differ by so much."""
