"""What travels between formats: a trajectory with what is known beside it, and what a source's record has beyond it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.catalog import read_yaml
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError
from lrat_sim.records import EndReason, Failure, Grade, Status, Task, Trajectory, Turn, Verdict
from lrat_sim.text import TOKENIZER

RANKS_AS_SCORES = "1/rank: the source states no scores"
"""What a retriever's ``scores`` says where hits were read from a list without scores."""

OURS = "lrat_sim"  # the key, in a log of another tool's format, of what is ours in it
SCORES = "scores"  # of a trajectory's ``extra``: what the source's own scorers gave it, by their names
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # correct, partial, incorrect, no answer

ENDS: dict[str, Any] = read_yaml(Path(__file__).with_name("ends.yaml"))  # how other tools say why a run ended


class RunFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a log of another tool's format, where we wrote it, says of a run beside what the format has a field for."""

    id: Annotated[str, Meta(min_length=1)]
    seed: Annotated[int, Meta(ge=-(1 << 53), lt=1 << 53)]
    status: Status
    end_reason: EndReason
    answer: str | None = None
    retriever: str = "unknown"
    boundary: Literal["model", "retriever", "judge", "task"] = "task"

    @classmethod
    def of(cls, entry: Entry) -> dict[str, Any]:
        """Those of an entry, as JSON."""
        run = entry.trajectory
        facts = cls(
            **{name: getattr(run, name) for name in ("id", "seed", "status", "end_reason", "answer")},
            retriever=entry.retriever_name,
            boundary=run.error.boundary if run.error else "task",
        )
        made: dict[str, Any] = msgspec.to_builtins(facts)
        return made

    @classmethod
    def read(cls, value: Any, error: Failure | None) -> dict[str, Any]:
        """Those of a log as arguments of :func:`imported`; none of a log that another tool wrote, or that was changed
        so that they contradict its ``error``."""
        try:
            facts = convert(value, cls)
        except msgspec.ValidationError:
            return {}
        if (facts.status == "error") != (error is not None):
            return {}
        fields: dict[str, Any] = msgspec.structs.asdict(facts)
        boundary = fields.pop("boundary")
        if error is not None:
            fields["error"] = Failure(boundary=boundary, message=error.message.removeprefix(f"{boundary}: "))
        return fields


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

    def changed(self, **fields: Any) -> Entry:
        """The same entry with other fields of its trajectory; grades and verdicts follow its id."""
        trajectory = msgspec.structs.replace(self.trajectory, **fields)
        if trajectory.id == self.trajectory.id:
            return msgspec.structs.replace(self, trajectory=trajectory)
        return msgspec.structs.replace(
            self,
            trajectory=trajectory,
            grades=[msgspec.structs.replace(grade, trajectory_id=trajectory.id) for grade in self.grades],
            verdicts=[msgspec.structs.replace(verdict, trajectory_id=trajectory.id) for verdict in self.verdicts],
        )


def imported(
    task: Task,
    turns: list[Turn],
    agent: dict[str, Any],
    *,
    content: Any = None,
    answer: str | None = None,
    limit: EndReason | None = None,
    error: Failure | None = None,
    sample: int = 0,
    retriever: str = "unknown",
    grades: Iterable[Grade] = (),
    scores: Mapping[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
    **fields: Any,
) -> Entry:
    """An entry of a run that another tool recorded.

    Args:
        task: what was asked; its id, question and canary go into the trajectory.
        turns: those of the run.
        agent: its settings, without tokenizer and fingerprint.
        content: what tells the run from others of its task, for its id.
        answer: the answer that was given; it does not count where the run broke.
        limit: the limit that the run met.
        error: why it broke.
        sample: which of several runs of the task, from 0.
        retriever: its kind.
        grades: as the source has them, of whatever trajectory id.
        scores: what the source's own scorers gave it, by their names; those that are numbers stand in
            ``extra["scores"]``, which a comparison takes success from.
        extra: what has no place in a trajectory.
        fields: other fields of :class:`lrat_sim.records.Trajectory`, in place of those made of the above.
    """
    hits = [hit for turn in turns for call in turn.calls for hit in call.hits or ()]
    # readers give 1/rank to hits of lists without scores, so any other score is the source's own
    scored = any(hit.rank < 1 or hit.score != 1 / hit.rank for hit in hits)
    described = {"kind": retriever, **({} if scored else {"scores": RANKS_AS_SCORES})}
    agent = {**agent, "tokenizer": TOKENIZER}
    status, end_reason = ("error", "error") if error is not None else ended(answer, limit)
    given = {name: number for name, value in (scores or {}).items() if (number := score_of(value)) is not None}
    known = {
        "id": f"{task.id}.{sample}.{fingerprint(content)[:8]}",
        "seed": 0,
        "status": status,
        "end_reason": end_reason,
        "answer": answer if status == "answered" else None,
        **fields,
    }
    trajectory = Trajectory(
        task_id=task.id,
        question=task.question,
        sample=sample,
        agent={**agent, "fingerprint": fingerprint(agent)},
        retriever={**described, "fingerprint": fingerprint(described)},
        turns=turns,
        error=error,
        extra={
            **(extra or {}),
            **({SCORES: given} if given else {}),
            **({} if task.canary is None else {"canary": task.canary}),
        },
        **known,
    )
    own = [msgspec.structs.replace(grade, trajectory_id=trajectory.id) for grade in grades]
    return Entry(trajectory=trajectory, task=task, grades=own)


def score_of(value: Any) -> float | None:
    """A score as a number: one that is a number, or a letter of inspect_ai's; None of any other."""
    if isinstance(value, bool | int | float):
        return float(value) if abs(value) < 1e300 else None
    return _LETTERS.get(value) if isinstance(value, str) else None


def add_task(tasks: dict[str, Task], task: Task) -> None:
    """Adds a task to those of a data set; InputError if another question has its id."""
    before = tasks.setdefault(task.id, task)
    if before.question != task.question:
        raise InputError(
            f"two tasks have the id {task.id!r} and different questions ({before.question[:60]!r} and "
            f"{task.question[:60]!r}); keep the two task sets in folders of their own."
        )
    if not before.answers and task.answers:  # it came without its task, by a trajectory alone
        tasks[task.id] = task


def ended(answer: str | None, limit: EndReason | None = None) -> tuple[Status, EndReason]:
    """How a run that did not break ended; ``limit`` is the one that it met, None where it met none."""
    if answer is None:
        return "unanswered", limit or "gave_up"
    return "answered", "answer" if limit in (None, "gave_up") else limit


def reason_in(text: str, words: str) -> EndReason | None:
    """The reason of which a text has one of the ``words`` of :data:`ENDS`; None where it has none."""
    return next((reason for reason, named in ENDS[words].items() if any(word in text.lower() for word in named)), None)


def model_name(model: str | None) -> str:
    """The last part of a model's id or folder."""
    return (model or "unknown").rstrip("/").rsplit("/", 1)[-1] or "unknown"


# --- what a trajectory has no place for


class FieldChanges(Struct, frozen=True, omit_defaults=True):
    """How an object of the source differs from its rebuilt form: its own fields, and those it lacks."""

    fields: dict[str, Any] = {}
    absent: list[str] = []


class _Kept(Struct, frozen=True, omit_defaults=True):
    """What is kept of a record: its changes, inserted steps and changed ones by their position from 0."""

    record: FieldChanges = FieldChanges()
    inserted: dict[str, dict[str, Any]] = {}
    changed: dict[str, FieldChanges] = {}


def keeping(
    entry: Entry,
    key: str,
    source: dict[str, Any],
    rebuilt: dict[str, Any],
    steps: str,
    inserted: dict[int, dict[str, Any]],
) -> Entry:
    """An entry that keeps in ``extra[key]`` what of its source the rebuilt record does not give back.

    ``steps`` names the field of the steps; ``inserted`` are those of the source, by their position, that are no turns.
    """
    positions = [position for position in range(len(source[steps])) if position not in inserted]
    changes = {
        str(position): changes_of(source[steps][position], made)
        for position, made in zip(positions, rebuilt[steps], strict=True)
    }
    kept = _Kept(
        record=changes_of({**source, steps: []}, {**rebuilt, steps: []}),
        inserted={str(position): step for position, step in inserted.items()},
        changed={position: change for position, change in changes.items() if change != FieldChanges()},
    )
    if kept == _Kept():
        return entry
    return entry.changed(extra={**entry.trajectory.extra, key: msgspec.to_builtins(kept)})


def restored(entry: Entry, key: str, record: dict[str, Any], steps: str) -> dict[str, Any]:
    """A record that was written from an entry, with what the entry keeps of its source put back."""
    try:
        kept = convert(entry.trajectory.extra.get(key, {}), _Kept)
    except msgspec.ValidationError:  # another hand wrote that
        return record
    made, whole = iter(record[steps]), list[Any]()
    while True:
        position = str(len(whole))
        if position in kept.inserted:
            whole.append(kept.inserted[position])
        elif (step := next(made, None)) is not None:
            whole.append(_applied(step, kept.changed.get(position, FieldChanges())))
        else:
            return {**_applied(record, kept.record), steps: whole}


def changes_of(source: dict[str, Any], made: dict[str, Any]) -> FieldChanges:
    """How an object of the source differs from its rebuilt form."""
    fields = {key: value for key, value in source.items() if key not in made or not same_json(value, made[key])}
    return FieldChanges(fields, [key for key in made if key not in source])


def _applied(made: dict[str, Any], changes: FieldChanges) -> dict[str, Any]:
    return {**{key: value for key, value in made.items() if key not in changes.absent}, **changes.fields}


def same_json(value: Any, other: Any) -> bool:
    """Whether two values are the same JSON, up to the order of keys; 1, 1.0 and true are three values."""
    return msgspec.json.encode(value, order="sorted") == msgspec.json.encode(other, order="sorted")
