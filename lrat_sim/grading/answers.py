"""Is the answer of a run right? By normalised match offline, or by a language model.

Only runs that answered are graded; the metrics count the others as failures.  A judge that fails, or whose reply
cannot be read, leaves the answer ungraded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from lrat_sim import catalog
from lrat_sim.agent.answer import read_answer
from lrat_sim.errors import InputError
from lrat_sim.fingerprint import fingerprint
from lrat_sim.grading.judging import judged
from lrat_sim.grading.match import is_match
from lrat_sim.grading.replies import Ask, JudgeModel, ask_model, field, fill
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Failure, Grade, GradeState, Task, Trajectory, Usage
from lrat_sim.store import Store

_CONFIDENCE = re.compile(r"confidence\W*?:\D{0,5}(\d+(?:\.\d+)?)\s*%?", re.IGNORECASE)


def response(trajectory: Trajectory) -> str:
    """The message that gave the answer in full, where it was kept; else the answer."""
    text = trajectory.turns[-1].text if trajectory.turns else None
    return text if text and text.strip() else trajectory.answer or ""


def stated_confidence(text: str) -> float | None:
    """The confidence that a text states as ``Confidence: 80%``, 0 to 100; None where it states none."""
    found = _CONFIDENCE.findall(text)
    value = float(found[-1]) if found else None
    return value if value is not None and value <= 100 else None


class Ruling(Struct, frozen=True, kw_only=True):
    """What a judge says of one answer."""

    state: GradeState
    extracted: str | None = None
    confidence: float | None = None
    rationale: str | None = None
    error: Failure | None = None
    usage: Usage = Usage(cost=0.0)


class AnswerJudge(Protocol):
    """Compares an answer with the accepted ones; never raises for what a model or a network does."""

    @property
    def name(self) -> str:
        """The judge's identity, recorded with each grade."""

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        """The ruling on the answer of one run; the task has at least one accepted answer."""


class MatchJudge:
    """The offline judge: the rule of :mod:`lrat_sim.grading.match`."""

    name = "match:1"

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        """Correct or incorrect by normalised match."""
        extracted = read_answer(trajectory.answer)
        state: GradeState = "correct" if extracted and is_match(extracted, task.answers) else "incorrect"
        return Ruling(state=state, extracted=extracted, confidence=stated_confidence(response(trajectory)))


class ModelAnswerJudge:
    """A language model as judge.

    Args:
        model: the model and how it is called.
        prompt: name or path of the prompt, with the slots ``{question}``, ``{accepted}`` and ``{response}``.
        ask: sends the prompt; by default through the language-model client.

    Raises:
        InputError: the prompt lacks a slot.
    """

    def __init__(self, model: JudgeModel, *, prompt: str = "judge-answer", ask: Ask | None = None):
        self._prompt = catalog.read_text("prompts", prompt)
        fill(self._prompt, question="", accepted="", response="")
        self._ask = ask or ask_model(model)
        self.name = f"{model.model}:{fingerprint([model, self._prompt])}"

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        """The model's ruling; ungraded where it failed or did not say yes or no."""
        accepted = "\n".join(task.answers)
        said = response(trajectory)
        reply = await self._ask(fill(self._prompt, question=task.question, accepted=accepted, response=said))
        if reply.error is not None:
            return Ruling(state="ungraded", rationale="judge failed", error=reply.error, usage=reply.usage)
        word = re.match(r"(yes|no)\b", field(reply.text, "correct") or "", re.IGNORECASE)
        state: GradeState = "ungraded" if word is None else "correct" if word[1].lower() == "yes" else "incorrect"
        extracted = field(reply.text, "extracted")
        return Ruling(
            state=state,
            extracted=None if extracted is None or extracted.lower() == "none" else extracted,
            confidence=stated_confidence(reply.text),
            rationale=reply.text if word else f"unclear reply: {reply.text}",
            usage=reply.usage,
        )


def grade_answers(
    trajectories: Iterable[Trajectory],
    tasks: Iterable[Task] | Mapping[str, Task],
    judge: AnswerJudge,
    *,
    store: Store[Grade] | None = None,
    concurrency: int = 16,
    progress: ProgressCallback | None = None,
) -> Iterator[Grade]:
    """Grades every run that answered, many at once, and yields the new grades as they are ready.

    Args:
        trajectories: drawn lazily, one at a time; those that did not answer are passed over.
        tasks: those that were run; one without an accepted answer leaves its runs ungraded.
        judge: who compares.
        store: an open store; runs that this judge has graded in it are not graded again, unless the judge had
            failed, and each new grade is written to it before it is yielded.
        concurrency: answers under way at once.
        progress: told the runs done.

    Raises:
        InputError: a trajectory belongs to none of the tasks.
    """
    by_id = tasks if isinstance(tasks, Mapping) else {task.id: task for task in tasks}
    done = {grade.trajectory_id for grade in store or () if grade.judge == judge.name and grade.error is None}

    async def worker(trajectory: Trajectory) -> list[Grade]:
        if trajectory.task_id not in by_id:
            raise InputError(
                f"trajectory {trajectory.id} is of task {trajectory.task_id}, which is not among the tasks given; "
                "give the tasks that it was run on."
            )
        return [await _grade(trajectory, by_id[trajectory.task_id], judge)]

    waiting = (t for t in trajectories if t.status == "answered" and t.id not in done)
    yield from judged(worker, waiting, store=store, concurrency=concurrency, progress=progress, what="grading")


async def _grade(trajectory: Trajectory, task: Task, judge: AnswerJudge) -> Grade:
    if any(accepted.strip() for accepted in task.answers):
        ruling = await judge.ruling(task, trajectory)
    else:
        ruling = Ruling(state="ungraded", rationale="the task has no accepted answer")
    return Grade(
        trajectory_id=trajectory.id,
        state=ruling.state,
        judge=judge.name,
        extracted=ruling.extracted,
        confidence=ruling.confidence,
        rationale=ruling.rationale,
        error=ruling.error,
        usage=ruling.usage,
    )


def grade_table(grades: Iterable[Grade], judge: str | None = None) -> dict[str, GradeState]:
    """The latest grade of each trajectory, by its id; of one judge, where its name is given."""
    return {grade.trajectory_id: grade.state for grade in grades if judge is None or grade.judge == judge}
