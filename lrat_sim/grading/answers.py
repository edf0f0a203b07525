"""Is the answer of a run right? By normalised match offline, or by a language model.

Only runs that answered are graded; the metrics count the others as failures.  A judge that fails, or whose reply
cannot be read, leaves the answer ungraded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from lrat_sim.agent.answer import read_answer, states_answer
from lrat_sim.artifact import Store
from lrat_sim.errors import InputError
from lrat_sim.grading.confidence import stated_confidence
from lrat_sim.grading.judge_model import Ask, JudgeModel, Poll, VotingModel
from lrat_sim.grading.judging import judge_all
from lrat_sim.grading.match import can_be_covered, covered_answer, is_match, is_text
from lrat_sim.grading.replies import one_of, polarity, stated
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

    A text that states no exact answer is correct where it holds an accepted one (cover exact match), which is more
    lenient, so the rationale says so; it is ungraded where yes, no, a number or a date is asked for.
    """

    name = "match:4"

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        """Correct or incorrect by normalised match."""
        return self.rule(task, trajectory)

    def rule(self, task: Task, trajectory: Trajectory) -> Ruling:
        """The same in plain code."""
        said = response(trajectory)
        confidence = stated_confidence(said)
        extracted = read_answer(trajectory.answer)
        if extracted and not states_answer(said) and is_text(extracted, task.answers):
            return _ruling_on_text(extracted, [accepted for accepted in task.answers if accepted.strip()], confidence)
        state: GradeState = "correct" if extracted and is_match(extracted, task.answers) else "incorrect"
        return Ruling(state=state, extracted=extracted, confidence=confidence)


def _ruling_on_text(text: str, accepted: list[str], confidence: float | None) -> Ruling:
    found = covered_answer(text, accepted)
    if found is not None:
        why = "cover match: the answer is a text, which holds an accepted answer"
        return Ruling(state="correct", extracted=found, confidence=confidence, rationale=why)
    if not all(map(can_be_covered, accepted)):
        why = "the answer is a text, and whether it gives that yes, no, number or date its words do not tell"
        return Ruling(state="ungraded", confidence=confidence, rationale=why)
    why = "cover match: the answer is a text, which holds no accepted answer"
    return Ruling(state="incorrect", confidence=confidence, rationale=why)


class ModelAnswerJudge:
    """A language model as judge, asked ``votes`` times, decided by the majority.

    The extracted answer is the one that most of the winning votes name.  The confidence is the one that the response
    states in so many words (:func:`stated_confidence`), else the one that most of them read out of it.

    Args:
        model: the model and how it is called.
        votes: rulings asked for; a tie, or none that can be read, leaves the answer ungraded.
        prompt: name or path of the prompt, with the slots ``{question}``, ``{accepted}`` and ``{response}``.
        client: what the calls share; see :class:`lrat_sim.grading.judge_model.VotingModel`.
        ask: sends the prompts, in place of the language-model client.

    Raises:
        InputError: the prompt lacks a slot, or ``votes`` is below 1.
    """

    def __init__(
        self,
        model: JudgeModel,
        *,
        votes: int = 1,
        prompt: str = "judge-answer",
        client: Client | None = None,
        ask: Ask | None = None,
    ):
        self._model = VotingModel(model, votes, prompt, ("question", "accepted", "response"), client, ask)
        self.name = self._model.name

    async def ruling(self, task: Task, trajectory: Trajectory) -> Ruling:
        """The majority of the votes; ungraded where there is none."""
        said = response(trajectory)
        found: Poll[GradeState] = await self._model.poll(
            read_ruling, question=task.question, accepted="\n".join(task.answers), response=said
        )
        confidence = stated_confidence(said)
        if confidence is None:
            confidence = _most([stated_confidence(reply.text) for reply in found.winners])
        return Ruling(
            state=found.state or "ungraded",
            votes=[vote or "ungraded" for vote in found.votes],
            extracted=_most([_extracted(reply.text) for reply in found.winners]),
            confidence=confidence,
            rationale=found.winners[0].text if found.winners else found.reason,
            error=found.error,
            usage=found.usage,
        )


# after a verb or as the whole opening: "the correct answer is Rome" says nothing of the answer given
_PLACE = r"(?:(?<=\bis )|(?<=\bas )|(?<=\bnot )|(?<=ly )|^\W*)"
_END = r"(?=\s*(?:[^\w\s]|$)|\s+(?:and|as|because|since)\b)"
_CORRECT = {"yes": rf"{_PLACE}correct\b{_END}", "no": rf"{_PLACE}(?:incorrect|wrong)\b{_END}"}
_YES, _NO = r"(yes|true|correct)", r"(no|false|incorrect|wrong|not correct)"
_SAYS = re.compile(rf"(?:{_YES}|{_NO})\b(?!\s*(?:or\b|[/|?]))", re.IGNORECASE)


def read_ruling(reply: str) -> GradeState | None:
    """Correct or incorrect, as a reply says; None where it says neither, or both.

    It is that of the line or JSON field ``Correct: yes`` (or ``Verdict: incorrect``), else of the reply where it is
    one word or a sentence such as "The response is incorrect."

    Args:
        reply: as :func:`lrat_sim.grading.replies.plain` gives it.
    """
    if values := stated(reply, "(?:is[_ ])?correct|verdict|judge?ment|grade"):
        right = one_of([_says(value) for value in values])
    elif re.fullmatch(r"\W*\w+\W*", reply):
        right = _says(reply)
    else:
        right = polarity(reply, **_CORRECT)
    return None if right is None else "correct" if right else "incorrect"


def _says(value: str) -> bool | None:
    word = _SAYS.match(value.lstrip(" \t\n*_`\"'("))
    return None if word is None else word[1] is not None


def _extracted(reply: str) -> str | None:
    values = stated(reply, "extracted(?:[_ ](?:final[_ ])?answer)?")
    value = values[-1].removesuffix(".") if values else ""
    return None if value.lower() in ("", "none", "null") else value


def _most(values: list[T | None]) -> T | None:
    """The commonest value, the first of those as common."""
    known = Counter(value for value in values if value is not None)
    return known.most_common(1)[0][0] if known else None


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
        task = task_of(trajectory, by_id)
        return [_graded(trajectory, judge, await judge.ruling(task, trajectory) if _has_answer(task) else _NO_ANSWER)]

    waiting = (run for run in trajectories if run.status == "answered" and run.id not in done)
    yield from judge_all(worker, waiting, store=store, concurrency=concurrency, progress=progress, what="grading")


def task_of(trajectory: Trajectory, tasks: Mapping[str, Task]) -> Task:
    """The task of a run.

    Raises:
        InputError: it is not among the tasks.
    """
    task = tasks.get(trajectory.task_id)
    if task is None:
        raise InputError(
            f"trajectory {trajectory.id} is of task {trajectory.task_id}, which is not among the tasks given; "
            "give the tasks that it was run on."
        )
    return task


def match_grade(task: Task, trajectory: Trajectory) -> Grade | None:
    """The grade that :func:`grade_answers` gives a run by the offline match; None where it did not answer."""
    if trajectory.status != "answered":
        return None
    judge = MatchJudge()
    return _graded(trajectory, judge, judge.rule(task, trajectory) if _has_answer(task) else _NO_ANSWER)


_NO_ANSWER = Ruling(state="ungraded", rationale="the task has no accepted answer")


def _has_answer(task: Task) -> bool:
    return any(accepted.strip() for accepted in task.answers)


def _graded(trajectory: Trajectory, judge: AnswerJudge, ruling: Ruling) -> Grade:
    return Grade(trajectory_id=trajectory.id, judge=judge.name, **msgspec.structs.asdict(ruling))


def latest_grades(grades: Iterable[Grade], judge: str | None = None) -> dict[str, Grade]:
    """The latest grade of each trajectory, by its id; of one judge, where its name is given."""
    return {grade.trajectory_id: grade for grade in grades if judge is None or grade.judge == judge}


def grade_table(grades: Iterable[Grade], judge: str | None = None) -> dict[str, GradeState]:
    """The state of the latest grade of each trajectory, as :func:`latest_grades`."""
    return {grade.trajectory_id: grade.state for grade in grades if judge is None or grade.judge == judge}
