"""What a record that is a conversation says of its run beside it, in the formats that have no fields for that.

Our records have ``metadata``, which names the run.  A record of another tool is named by its content and ended as its
last message says; several of one task are its samples.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.decoding import convert
from lrat_sim.foreign.values import id_in, mapping
from lrat_sim.formats.entry import Entry, ended, imported
from lrat_sim.formats.messages import Conversation, answer_of
from lrat_sim.records import EndReason, Grade, GradeState, Status, Task, Turn


class Metadata(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a record says of its run beside the conversation."""

    id: Annotated[str, Meta(min_length=1)]
    task_id: Annotated[str, Meta(min_length=1)]
    sample: Annotated[int, Meta(ge=0, lt=1 << 31)]
    status: Status
    end_reason: EndReason
    answer: str | None = None
    seed: Annotated[int, Meta(ge=-(1 << 53), lt=1 << 53)] = 0
    accepted_answers: list[str] = []
    agent: str = "unknown"
    retriever: str = "unknown"
    grade: GradeState | None = None
    grade_judge: str | None = None
    canary: str | None = None


_OF_RUN = ("id", "sample", "status", "end_reason", "answer", "seed")  # fields of a trajectory, too


def metadata_of(entry: Entry, others: Any = None) -> dict[str, Any]:
    """What is written of a run, beside the fields of its source's metadata."""
    trajectory, grade = entry.trajectory, entry.grade
    known = Metadata(
        task_id=trajectory.task_id,
        accepted_answers=entry.task.answers if entry.task else [],
        agent=entry.agent_name,
        retriever=entry.retriever_name,
        grade=grade.state if grade else None,
        grade_judge=grade.judge if grade else None,
        canary=entry.canary,
        **{field: getattr(trajectory, field) for field in _OF_RUN},
    )
    return {**mapping(others), **msgspec.to_builtins(known)}


def is_named(record: Any) -> bool:
    """Whether a record names its run, as ours do."""
    return _stated(record) is not None


def conversation_entry(
    record: dict[str, Any], talk: Conversation, *left_out: str, task: str | None = None, **fields: Any
) -> Entry:
    """The entry of a record that holds a conversation.

    Args:
        record: the record; what it holds beside the fields ``left_out`` is kept in ``extra["record"]``.
        talk: its conversation, read.
        left_out: the fields that the conversation came from.
        task: the task of a record that names none; by default the record's ``id``, else its content.
        fields: further ones of :func:`imported`, ``agent`` among them, for what the record says of them.
    """
    rest = {key: value for key, value in record.items() if key not in left_out}
    known = _stated(record)
    if known is None:
        known = _unknown(record, talk.turns, task)
    else:
        rest["metadata"] = {
            key: value for key, value in record["metadata"].items() if key not in known.__struct_fields__
        }
        if not rest["metadata"]:
            del rest["metadata"]
    judge = known.grade_judge or "imported"
    of_run = {field: getattr(known, field) for field in _OF_RUN}
    return imported(
        Task(id=known.task_id, question=talk.question, answers=known.accepted_answers, canary=known.canary),
        talk.turns,
        {"name": known.agent, **fields.pop("agent", {}), "prompt": talk.system},
        retriever=known.retriever,
        grades=[] if known.grade is None else [Grade(trajectory_id=known.id, state=known.grade, judge=judge)],
        extra={**talk.extra, **({"record": rest} if rest else {})},
        **{**of_run, **fields},
    )


def _stated(record: Any) -> Metadata | None:
    """What a record of ours says of its run; None of any other."""
    try:
        return convert(mapping(record).get("metadata"), Metadata)
    except msgspec.ValidationError:
        return None


def _unknown(record: dict[str, Any], turns: list[Turn], task: str | None) -> Metadata:
    content = fingerprint(record)
    task = id_in(record, ("task_id", "query_id")) or task or id_in(record, ("id",)) or content
    answer = answer_of(turns)
    status, end_reason = ended(answer)
    return Metadata(
        id=f"{task}.0.{content[:8]}", task_id=task, sample=0, status=status, end_reason=end_reason, answer=answer
    )
