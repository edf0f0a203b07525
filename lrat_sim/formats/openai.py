"""OpenAI messages, one conversation a line: for supervised fine-tuning, and what other tools record.

A line is ``{messages, tools, metadata}``: reasoning stands in ``reasoning_content`` of its message, tools are declared
where they are ours, and ``metadata`` names the run, its status and its grade.  A record of another tool needs
``messages`` alone, or is the list of messages itself; several of one task are its samples, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lrat_sim.agent.tools import TOOLS
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.formats.entry import Entry, ended, imported
from lrat_sim.formats.fields import arguments_text, mapping
from lrat_sim.formats.messages import ChatMessage, answer_of, conversation, prompt_of, request_for_answer
from lrat_sim.formats.output import write_lines
from lrat_sim.formats.registry import About, Format
from lrat_sim.formats.sources import record_reader
from lrat_sim.records import EndReason, Grade, GradeState, Status, Task, Trajectory, Turn
from lrat_sim.text import TOKENIZER

_OURS = {tool["function"]["name"] for tool in TOOLS}


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


def entry_of(record: Any, path: Path, line: int) -> Entry:
    """One conversation from its JSON object.

    Raises:
        RecordError: it is none; names line, message and field.
    """
    if not isinstance(record, dict):
        raise RecordError(path, line, f"a conversation is a JSON object, not {type(record).__name__}")
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RecordError(path, line, "the field `messages` should be a list with a message in it")
    talk = conversation(
        [ChatMessage(message=message) for message in messages], lambda problem: RecordError(path, line, problem)
    )
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
        {"name": known.agent, "prompt": talk.system, "tokenizer": TOKENIZER},
        id=known.id,
        sample=known.sample,
        retriever=known.retriever,
        scored=talk.scored,
        seed=known.seed,
        status=known.status,
        end_reason=known.end_reason,
        answer=known.answer,
        turns=talk.turns,
        grades=[] if known.grade is None else [Grade(trajectory_id=known.id, state=known.grade, judge=judge)],
        extra={**talk.extra, **({"record": rest} if rest else {})},
    )


def _stated(record: dict[str, Any]) -> _Metadata | None:
    """What a record of ours says of its run; None of any other."""
    try:
        return msgspec.convert(record.get("metadata"), type=_Metadata)
    except msgspec.ValidationError:
        return None


def _unknown(record: dict[str, Any], turns: list[Turn]) -> _Metadata:
    """Of a line that names no run: named by its content, ended as its last message says."""
    names = [record.get(key) for key in ("task_id", "query_id", "id")]
    content = fingerprint(record)
    task = next((str(name) for name in names if _is_name(name)), content)
    answer = answer_of(turns)
    status, end_reason = ended(answer)
    return _Metadata(
        id=f"{task}.0.{content[:8]}", task_id=task, sample=0, status=status, end_reason=end_reason, answer=answer
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes a jsonl file, one conversation a line."""
    return write_lines(path, map(record_of, entries))


def record_of(entry: Entry) -> dict[str, Any]:
    """One trajectory as a conversation."""
    trajectory = entry.trajectory
    known = _Metadata(
        id=trajectory.id,
        task_id=trajectory.task_id,
        sample=trajectory.sample,
        status=trajectory.status,
        end_reason=trajectory.end_reason,
        answer=trajectory.answer,
        seed=trajectory.seed,
        accepted_answers=entry.task.answers if entry.task else [],
        agent=entry.agent_name,
        retriever=entry.retriever_name,
        grade=entry.grade.state if entry.grade else None,
        grade_judge=entry.grade.judge if entry.grade else None,
        canary=entry.canary,
    )
    rest = mapping(trajectory.extra.get("record"))
    return {
        "messages": _messages(trajectory),
        **({"tools": TOOLS} if {call.tool for call in trajectory.calls()} <= _OURS else {}),
        **rest,
        "metadata": {**mapping(rest.get("metadata")), **msgspec.to_builtins(known)},
    }


def _messages(trajectory: Trajectory) -> list[dict[str, Any]]:
    prompt, request = prompt_of(trajectory), request_for_answer(trajectory)
    messages: list[dict[str, Any]] = [] if prompt is None else [{"role": "system", "content": prompt}]
    messages.append({"role": "user", "content": trajectory.question})
    for number, turn in enumerate(trajectory.turns):
        if request is not None and number == len(trajectory.turns) - 1:
            messages.append({"role": "user", "content": request})
        messages += _of_turn(turn)
    # messages that have no place in a turn go where they stood
    others = mapping(trajectory.extra.get("messages"))
    for position in sorted((key for key in others if str(key).isdecimal()), key=int):
        messages.insert(int(position), others[position])
    return messages


def _of_turn(turn: Turn) -> Iterator[dict[str, Any]]:
    said: dict[str, Any] = {"role": "assistant", "content": turn.text or ""}
    if turn.reasoning is not None:
        said["reasoning_content"] = turn.reasoning
    if turn.calls:
        functions = [{"name": call.tool, "arguments": arguments_text(call.arguments)} for call in turn.calls]
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": function}
            for call, function in zip(turn.calls, functions, strict=True)
        ]
    yield said
    for call in turn.calls:
        yield {"role": "tool", "tool_call_id": call.id, "content": call.output}


def _is_talk(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("messages"), list)


read = record_reader("openai", _is_talk, entry_of, is_sampled=lambda record: _stated(record) is not None)
FORMAT = Format(
    name="openai",
    title="OpenAI messages, one conversation a line, for fine-tuning",
    recognise=lambda head: _is_talk(head.record),
    read=read,
    write=write,
)
