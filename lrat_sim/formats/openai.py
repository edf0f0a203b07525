"""OpenAI messages, one conversation a line: for supervised fine-tuning, and what other tools record.

Our lines are ``{messages, tools, metadata}``, which names the run; a record of another tool needs ``messages`` alone,
and several of one task are its samples.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lrat_sim.agent.tool import DEFAULT_TOOLS, declarations
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError
from lrat_sim.foreign.values import SourceRecord, arguments_text, id_in, mapping
from lrat_sim.formats.entry import Entry, ended, imported
from lrat_sim.formats.messages import ChatMessage, Conversation, answer_of, transcript
from lrat_sim.formats.output import write_lines
from lrat_sim.formats.registry import Format, record_reader
from lrat_sim.records import EndReason, Grade, GradeState, Status, Task, Trajectory, Turn


class _Metadata(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a line says of its run beside the conversation."""

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


def entry_of(record: Any, source: SourceRecord) -> Entry:
    """One conversation from its JSON object; a RecordError names line, message and field."""
    if not isinstance(record, dict):
        raise source.fault(f"a conversation is a JSON object, not {type(record).__name__}")
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise source.fault("the field `messages` should be a list with a message in it")
    talk = Conversation([ChatMessage(message=message) for message in messages], source.fault)
    rest = {key: value for key, value in record.items() if key != "messages"}
    known = _stated(record)
    if known is not None:
        ours = _Metadata.__struct_fields__
        rest["metadata"] = {key: value for key, value in record["metadata"].items() if key not in ours}
    else:
        known = _unknown(record, talk.turns)
    rest = {key: value for key, value in rest.items() if key != "metadata" or value}
    judge = known.grade_judge or "imported"
    return imported(
        Task(id=known.task_id, question=talk.question, answers=known.accepted_answers, canary=known.canary),
        talk.turns,
        {"name": known.agent, "prompt": talk.system},
        retriever=known.retriever,
        grades=[] if known.grade is None else [Grade(trajectory_id=known.id, state=known.grade, judge=judge)],
        extra={**talk.extra, **({"record": rest} if rest else {})},
        **{field: getattr(known, field) for field in _OF_RUN},
    )


def _stated(record: dict[str, Any]) -> _Metadata | None:
    """What a record of ours says of its run; None of any other."""
    try:
        return msgspec.convert(record.get("metadata"), type=_Metadata)
    except msgspec.ValidationError:
        return None


def _unknown(record: dict[str, Any], turns: list[Turn]) -> _Metadata:
    """For a line that names no run: it is named by its content and ended as its last message says."""
    content = fingerprint(record)
    task = id_in(record, ("task_id", "query_id", "id")) or content
    answer = answer_of(turns)
    status, end_reason = ended(answer)
    return _Metadata(
        id=f"{task}.0.{content[:8]}", task_id=task, sample=0, status=status, end_reason=end_reason, answer=answer
    )


def record_of(entry: Entry) -> dict[str, Any]:
    """One trajectory as a conversation."""
    trajectory, grade = entry.trajectory, entry.grade
    known = _Metadata(
        task_id=trajectory.task_id,
        accepted_answers=entry.task.answers if entry.task else [],
        agent=entry.agent_name,
        retriever=entry.retriever_name,
        grade=grade.state if grade else None,
        grade_judge=grade.judge if grade else None,
        canary=entry.canary,
        **{field: getattr(trajectory, field) for field in _OF_RUN},
    )
    rest = mapping(trajectory.extra.get("record"))
    return {
        "messages": _messages(trajectory),
        **_tools(trajectory),
        **rest,
        "metadata": {**mapping(rest.get("metadata")), **msgspec.to_builtins(known)},
    }


def _tools(trajectory: Trajectory) -> dict[str, Any]:
    """The declarations of the tools that the agent had, if they are known and cover what was called."""
    named = trajectory.agent.get("tools") or DEFAULT_TOOLS
    if not isinstance(named, list | tuple) or not all(isinstance(name, str) for name in named):
        return {}
    try:
        tools = declarations(named)
    except InputError:  # a tool of somebody's own, which is not installed here
        return {}
    known = {tool["function"]["name"] for tool in tools}
    return {"tools": tools} if {call.tool for call in trajectory.calls()} <= known else {}


def _messages(trajectory: Trajectory) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for role, content in transcript(trajectory):
        if isinstance(content, str):
            messages.append({"role": role, "content": content})
            continue
        message: dict[str, Any] = {"role": role, "content": content.text or ""}
        if content.reasoning is not None:
            message["reasoning_content"] = content.reasoning
        if content.calls:
            functions = [{"name": call.tool, "arguments": arguments_text(call.arguments)} for call in content.calls]
            pairs = zip(content.calls, functions, strict=True)
            message["tool_calls"] = [{"id": call.id, "type": "function", "function": made} for call, made in pairs]
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": call.id, "content": call.output} for call in content.calls]
    # messages that have no place in a turn go where they stood
    others = mapping(trajectory.extra.get("messages"))
    for position in sorted((key for key in others if str(key).isdecimal()), key=int):
        messages.insert(int(position), others[position])
    return messages


def _is_talk(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("messages"), list)


FORMAT = Format(
    name="openai",
    title="OpenAI messages, one conversation a line, for fine-tuning",
    recognise=lambda path, record: _is_talk(record),
    read=record_reader("openai", _is_talk, entry_of, is_sampled=lambda record: _stated(record) is not None),
    write=lambda entries, path, about: write_lines(path, map(record_of, entries)),
)
