"""What a rollout was asked, and what it did."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.errors import InputError, NothingCame
from lrat_sim.models.budget import Limit
from lrat_sim.models.facts import model_facts
from lrat_sim.records import Task


class RolloutSummary(Struct, frozen=True, kw_only=True):
    """What a rollout did.

    ``asked`` runs (tasks times samples) were wanted, ``reused`` of them were there already, ``ran`` were run now;
    ``answered``, ``unanswered`` and ``errors`` count all that were asked; ``cause`` is that of the first error.
    ``left_out`` names the tasks without a plan.  ``success`` is known with a grader, ``tokens`` and ``cost`` (US
    dollars) where those of every call are; ``unknown_usage`` counts the calls whose tokens the provider did not tell.
    ``stopped`` names the limit of the whole rollout that ended it before all was done; ``cached`` counts the model
    calls that were answered from the cache.
    """

    folder: Path
    asked: int
    reused: int
    ran: int
    answered: int
    unanswered: int
    errors: int
    left_out: list[str]
    success: float | None
    mean_steps: float | None
    tokens: int | None
    cost: float | None
    unknown_usage: int = 0
    stopped: Limit | None = None
    cached: int = 0
    cause: str | None = None

    def check(self, agent: str) -> None:
        """Refuses a rollout of which nothing came.

        Args:
            agent: the name of its profile.

        Raises:
            NothingCame: every run that there is broke.
        """
        if self.errors and not self.answered + self.unanswered:
            raise NothingCame(
                f"all {self.errors:,} runs in {self.folder} failed; first error: {self.cause}; test the agent with "
                f"`lrat-sim check {agent}`, then rerun the same command."
            )


def runnable(tasks: list[Task], agent: AgentSettings) -> tuple[list[Task], list[str]]:
    """The tasks that this agent can run, and the ids of those left out for want of a plan.

    Raises:
        InputError: there is none, two have one id, or the limit on the cost of a run cannot be kept.
    """
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise InputError(f"two tasks have the id {task.id!r}; give each its own.")
        seen.add(task.id)
    if agent.limits.cost is not None and model_facts(agent.model).price is None:
        raise InputError(
            f"`limits.cost` cannot be kept: the price of {agent.model!r} is unknown; limit tokens instead."
        )
    runnable = [task for task in tasks if not agent.simulated or task.plan is not None]
    if not runnable:
        why = (
            f"none of the {len(tasks):,} tasks has a plan, which a sim/ agent needs" if tasks else "there are no tasks"
        )
        raise InputError(f"nothing to run: {why}; choose another task set or agent.")
    return runnable, [task.id for task in tasks if agent.simulated and task.plan is None]


def left_out_sentence(left_out: list[str], total: int) -> str:
    """Says which tasks were left out of how many."""
    named = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
    return f"left out {len(left_out):,} of {total:,} tasks, without a plan: {named}"
