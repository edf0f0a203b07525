"""What travels between formats: a trajectory with what is known beside it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.formats.observations import RANKS_AS_SCORES
from lrat_sim.records import EndReason, Grade, Status, Task, Trajectory, Verdict

EndWords = tuple[tuple[EndReason, tuple[str, ...]], ...]
"""Words by which another tool says why a run ended; the first reason with a word in the text counts."""


class Entry(Struct, frozen=True, kw_only=True):
    """A trajectory with its task, grades and verdicts, as far as the source has them (latest last)."""

    trajectory: Trajectory
    task: Task | None = None
    grades: list[Grade] = []
    verdicts: list[Verdict] = []

    @property
    def grade(self) -> Grade | None:
        """The latest grade."""
        return self.grades[-1] if self.grades else None

    @property
    def asked(self) -> Task:
        """The task, or what the trajectory itself says of it."""
        return self.task or Task(id=self.trajectory.task_id, question=self.trajectory.question)

    @property
    def canary(self) -> str | None:
        """The canary of the question's benchmark, where that asks not to be republished in plain text."""
        if self.task is not None and self.task.canary is not None:
            return self.task.canary
        named = self.trajectory.extra.get("canary")
        return named if isinstance(named, str) else None

    @property
    def agent_name(self) -> str:
        """What people call the agent: its name, else its model."""
        agent = self.trajectory.agent
        return str(agent.get("name") or agent.get("model") or "unknown")

    @property
    def retriever_name(self) -> str:
        """What people call the retriever: its kind."""
        return str(self.trajectory.retriever.get("kind") or "unknown")


def imported(
    task: Task,
    agent: dict[str, Any],
    *,
    scored: bool,
    retriever: str = "unknown",
    grades: list[Grade] | None = None,
    extra: dict[str, Any] | None = None,
    **fields: Any,
) -> Entry:
    """An entry of a run that another tool recorded.

    Args:
        task: what was asked; its id, question and canary go into the trajectory.
        agent: its settings, without a fingerprint.
        scored: whether the scores of the hits are the source's own, not 1/rank.
        retriever: its kind.
        grades: as the source has them.
        extra: what has no place in a trajectory.
        fields: further fields of :class:`lrat_sim.records.Trajectory`.
    """
    described = {"kind": retriever, **({} if scored else {"scores": RANKS_AS_SCORES})}
    trajectory = Trajectory(
        task_id=task.id,
        question=task.question,
        agent={**agent, "fingerprint": fingerprint(agent)},
        retriever={**described, "fingerprint": fingerprint(described)},
        extra={**(extra or {}), **({} if task.canary is None else {"canary": task.canary})},
        **{"sample": 0, "seed": 0, **fields},
    )
    return Entry(trajectory=trajectory, task=task, grades=grades or [])


def reason_in(said: str, words: EndWords) -> EndReason | None:
    """The reason that a text names; None where it names none."""
    said = said.lower()
    return next((reason for reason, named in words if any(word in said for word in named)), None)


def ended(answer: str | None, reason: EndReason | None = None) -> tuple[Status, EndReason]:
    """How a run that did not break ended; ``reason`` is the limit that it met, None where it met none."""
    if answer is None:
        return "unanswered", reason or "gave_up"
    return "answered", "answer" if reason in (None, "gave_up") else reason


def model_name(model: str | None) -> str:
    """The last part of a model's id or folder."""
    return (model or "unknown").rstrip("/").rsplit("/", 1)[-1] or "unknown"
