"""Is the answer of a run right? By normalised match offline, or by a language model.

Only runs that answered are graded.  A judge that fails, or whose reply cannot be read, leaves the answer ungraded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from lrat_sim.agent.answer import read_answer, states_answer
from lrat_sim.artifact import Store
from lrat_sim.errors import InputError
from lrat_sim.grading.judging import RULE, VotingJudge, judge_all, named_model
from lrat_sim.grading.match import can_be_covered, covered_answer, is_match, is_text
from lrat_sim.grading.replies import one_of, polarity, stated, stated_confidence
from lrat_sim.models.client import Client
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Failure, Grade, GradeState, Task, Trajectory, Usage

T = TypeVar("T")


def response(trajectory: Trajectory) -> str:
    """The message that gave the answer in full, where it was kept; else the answer."""
    text = trajectory.turns[-1].text if trajectory.turns else None
    return text if text and text.strip() else trajectory.answer or ""


class Ruling(Struct, frozen=True, kw_only=True):
    """What a judge says of one answer."""

    state: GradeState
    votes: list[GradeState] = []
    extracted: str | None = None
    confidence: float | None = None
    rationale: str | None = None
    error: Failure | None = None
    usage: Usage = Usage.zero()


class AnswerJudge(Protocol):
    """Compares an answer with the accepted ones; never raises for what a model or a network does."""

    @property
    def name(self) -> str:
        """The judge's identity, recorded with each grade."""

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        """The ruling on the answer of one run; the task has at least one accepted answer."""


class MatchJudge:
    """The offline judge: the rule of :mod:`lrat_sim.grading.match`.

    A text that states no exact answer is correct where it holds an accepted one (cover exact match), and the rationale
    says so; it is ungraded where yes, no, a number or a date is asked for.
    """

    name = "match:4"

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        """Correct or incorrect by normalised match."""
        return self.rule(task, trajectory)

    def rule(self, task: Task, trajectory: Trajectory) -> Ruling:
        """:meth:`ruling` for callers without an event loop."""
        message, answer = response(trajectory), read_answer(trajectory.answer)
        accepted = [name for name in task.answers if name.strip()]
        state: GradeState = "incorrect"
        extracted, rationale = answer, None
        if not answer or states_answer(message) or not is_text(answer, task.answers):
            state = "correct" if answer and is_match(answer, task.answers) else "incorrect"
        elif (extracted := covered_answer(answer, accepted)) is not None:
            state, rationale = "correct", "cover match: the answer is a text, which holds an accepted answer"
        elif all(map(can_be_covered, accepted)):
            rationale = "cover match: the answer is a text, which holds no accepted answer"
        else:
            state = "ungraded"
            rationale = "the answer is a text, and its words do not tell whether it gives that yes, no, number or date"
        return Ruling(state=state, extracted=extracted, confidence=stated_confidence(message), rationale=rationale)


class ModelAnswerJudge(VotingJudge):
    """A language model as judge of answers; its prompt has the slots ``{question}``, ``{accepted}``, ``{response}``.

    The extracted answer is the one that most winning votes name, and so is the confidence, unless the response itself
    states one (:func:`stated_confidence`).
    """

    default_prompt = "judge-answer"
    slots = ("question", "accepted", "response")

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        """The majority of the votes; ungraded where there is none."""
        message = response(trajectory)
        slots = {"question": task.question, "accepted": "\n".join(task.answers), "response": message}
        undecided: GradeState = "ungraded"
        opinion, winners = await self.poll(read_ruling, undecided, **slots)
        confidence = stated_confidence(message)
        if confidence is None:
            confidence = _commonest(map(stated_confidence, winners))
        return Ruling(
            state=opinion.state,
            votes=opinion.votes,
            extracted=_commonest(map(_extracted, winners)),
            confidence=confidence,
            rationale=winners[0] if winners else opinion.reason,
            error=opinion.error,
            usage=opinion.usage,
        )


def answer_judge(
    name: str = RULE, *, votes: int = 1, options: Mapping[str, Any] | None = None, client: Client | None = None
) -> AnswerJudge:
    """The judge of answers behind a name: ``rule`` is the offline match, any other a model.

    For the arguments see :func:`~lrat_sim.grading.judging.named_model`.
    """
    model = named_model(name, votes, options)
    return MatchJudge() if model is None else ModelAnswerJudge(model, votes=votes, client=client)


# after a verb or as the whole opening: "the correct answer is Rome" says nothing of the answer given
_BEFORE = r"(?:(?<=\bis )|(?<=\bas )|(?<=\bnot )|(?<=ly )|^\W*)"
_END = r"(?=\s*(?:[^\w\s]|$)|\s+(?:and|as|because|since)\b)"
_CORRECT = {"yes": rf"{_BEFORE}correct\b{_END}", "no": rf"{_BEFORE}(?:incorrect|wrong)\b{_END}"}
_YES, _NO = r"(yes|true|correct)", r"(no|false|incorrect|wrong|not correct)"
_YES_OR_NO = re.compile(rf"(?:{_YES}|{_NO})\b(?!\s*(?:or\b|[/|?]))", re.IGNORECASE)


def read_ruling(reply: str) -> GradeState | None:
    """Correct or incorrect, as a judge's reply says; None where it says neither, or both.

    The line or JSON field ``Correct: yes`` (or ``Verdict: incorrect``) counts, else the reply where it is one word or a
    sentence such as "The response is incorrect."
    """
    if values := stated(reply, "(?:is[_ ])?correct|verdict|judge?ment|grade"):
        right = one_of([_yes_or_no(value) for value in values])
    elif re.fullmatch(r"\W*\w+\W*", reply):
        right = _yes_or_no(reply)
    else:
        right = polarity(reply, **_CORRECT)
    return None if right is None else "correct" if right else "incorrect"


def _yes_or_no(value: str) -> bool | None:
    word = _YES_OR_NO.match(value.lstrip(" \t\n*_`\"'("))
    return None if word is None else word[1] is not None


def _extracted(reply: str) -> str | None:
    values = stated(reply, "extracted(?:[_ ](?:final[_ ])?answer)?")
    value = values[-1].removesuffix(".") if values else ""
    return None if value.lower() in ("", "none", "null") else value


def _commonest(values: Iterable[T | None]) -> T | None:
    """The commonest value, of equally common ones the first."""
    known = Counter(value for value in values if value is not None)
    return known.most_common(1)[0][0] if known else None


def grade_answers(
    trajectories: Iterable[Trajectory],
    tasks: Iterable[Task],
    judge: AnswerJudge,
    *,
    store: Store[Grade] | None = None,
    concurrency: int = 16,
    progress: ProgressCallback | None = None,
) -> Iterator[Grade]:
    """Grades every run that answered, ``concurrency`` at once, and yields the new grades as they are ready.

    What this judge has graded in the store without failing is not graded again; a trajectory of none of the tasks is an
    input error.
    """
    by_id = {task.id: task for task in tasks}
    done = {grade.trajectory_id for grade in store or () if grade.judge == judge.name and grade.error is None}

    async def worker(trajectory: Trajectory) -> list[Grade]:
        task = task_of(trajectory, by_id)
        ruling = await judge.ruling(task, trajectory) if _has_answer(task) else _NO_ANSWER
        return [Grade(trajectory_id=trajectory.id, judge=judge.name, **msgspec.structs.asdict(ruling))]

    waiting = (run for run in trajectories if run.status == "answered" and run.id not in done)
    yield from judge_all(worker, waiting, store=store, concurrency=concurrency, progress=progress, what="grading")


def match_grade(task: Task, trajectory: Trajectory) -> Grade | None:
    """The grade that :func:`grade_answers` gives a run by the offline match; None where it did not answer."""
    if trajectory.status != "answered":
        return None
    ruling = MatchJudge().rule(task, trajectory) if _has_answer(task) else _NO_ANSWER
    return Grade(trajectory_id=trajectory.id, judge=MatchJudge.name, **msgspec.structs.asdict(ruling))


_NO_ANSWER = Ruling(state="ungraded", rationale="the task has no accepted answer")


def _has_answer(task: Task) -> bool:
    return any(accepted.strip() for accepted in task.answers)


def task_of(trajectory: Trajectory, tasks: Mapping[str, Task]) -> Task:
    """The task of a run; an input error where it is not among the tasks."""
    task = tasks.get(trajectory.task_id)
    if task is None:
        raise InputError(
            f"trajectory {trajectory.id} is of task {trajectory.task_id}, which is not among the tasks given; "
            "give the tasks that it was run on."
        )
    return task


def latest_grades(grades: Iterable[Grade], judge: str | None = None) -> dict[str, Grade]:
    """The latest grade of each trajectory, by its id; of one judge, where its name is given."""
    return {grade.trajectory_id: grade for grade in grades if judge is None or grade.judge == judge}


def grade_table(grades: Iterable[Grade], judge: str | None = None) -> dict[str, GradeState]:
    """The state of the latest grade of each trajectory, as :func:`latest_grades`."""
    return {grade.trajectory_id: grade.state for grade in grades if judge is None or grade.judge == judge}
