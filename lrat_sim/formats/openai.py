"""OpenAI messages, one conversation a line: for supervised fine-tuning, and what other tools record.

A line is ``{messages, tools, metadata}``: reasoning stands in ``reasoning_content`` of its message, tools are declared
where they are ours, and ``metadata`` names the run, its status and its grade.  A record of another tool needs
``messages`` alone, or is the list of messages itself; several of one task are its samples, in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lrat_sim.agent.tools import TOOLS
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.formats.card import agent_name, retriever_name
from lrat_sim.formats.formats import About, Entry, Format, Head, Notes
from lrat_sim.formats.messages import Conversation, answer_of, turns_from_messages
from lrat_sim.formats.observations import RANKS_AS_SCORES
from lrat_sim.formats.sources import Kind, read_records
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


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The conversations of a file, or of the files below a folder.

    Raises:
        InputError: the file cannot be read.
        RecordError: a record is no conversation; names line, message and field.
    """
    return read_records(path, _KIND, notes)


def entry_of(record: Any, path: Path, line: int) -> Entry:
    """One conversation from its JSON object.

    Raises:
        RecordError: it is none.
    """
    if not isinstance(record, dict):
        raise RecordError(path, line, f"a conversation is a JSON object, not {type(record).__name__}")
    talk = turns_from_messages(record.get("messages"), lambda problem: RecordError(path, line, problem))
    rest = {key: value for key, value in record.items() if key != "messages"}
    known = _stated(record)
    if known is not None:
        ours = _Metadata.__struct_fields__
        rest["metadata"] = {key: value for key, value in record["metadata"].items() if key not in ours}
    else:
        known = _unknown(record, talk.turns)
    rest = {key: value for key, value in rest.items() if key != "metadata" or value}
    extra = {**talk.extra, **({"record": rest} if rest else {})}
    if known.canary is not None:
        extra["canary"] = known.canary
    trajectory = Trajectory(
        id=known.id,
        task_id=known.task_id,
        question=talk.question,
        sample=known.sample,
        agent=_with_fingerprint({"name": known.agent, "prompt": talk.system, "tokenizer": TOKENIZER}),
        retriever=_with_fingerprint(_retriever(known, talk)),
        seed=known.seed,
        status=known.status,
        end_reason=known.end_reason,
        answer=known.answer,
        turns=talk.turns,
        extra=extra,
    )
    task = Task(id=known.task_id, question=talk.question, answers=known.accepted_answers, canary=known.canary)
    grades = [] if known.grade is None else [_grade(known, known.grade)]
    return Entry(trajectory=trajectory, task=task, grades=grades)


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes a jsonl file, one conversation a line."""
    count = 0
    with path.open("wb") as stream:
        for entry in entries:
            stream.write(msgspec.json.encode(record_of(entry)) + b"\n")
            count += 1
    return count


def record_of(entry: Entry) -> dict[str, Any]:
    """One trajectory as a conversation."""
    trajectory = entry.trajectory
    tools = {call.tool for call in trajectory.calls()}
    known = _Metadata(
        id=trajectory.id,
        task_id=trajectory.task_id,
        sample=trajectory.sample,
        status=trajectory.status,
        end_reason=trajectory.end_reason,
        answer=trajectory.answer,
        seed=trajectory.seed,
        accepted_answers=entry.task.answers if entry.task else [],
        agent=agent_name(entry),
        retriever=retriever_name(entry),
        grade=entry.grade.state if entry.grade else None,
        grade_judge=entry.grade.judge if entry.grade else None,
        canary=entry.canary,
    )
    rest = trajectory.extra.get("record")
    rest = rest if isinstance(rest, dict) else {}
    theirs = rest.get("metadata")
    return {
        "messages": _messages(trajectory),
        **({"tools": TOOLS} if tools <= _OURS else {}),
        **rest,
        "metadata": {**(theirs if isinstance(theirs, dict) else {}), **msgspec.to_builtins(known)},
    }


def _messages(trajectory: Trajectory) -> list[dict[str, Any]]:
    system, last = trajectory.agent.get("prompt"), len(trajectory.turns) - 1
    messages: list[dict[str, Any]] = []
    if isinstance(system, str) and system:
        messages.append({"role": "system", "content": system})
    messages.append({"role": "user", "content": trajectory.question})
    for number, turn in enumerate(trajectory.turns):
        if number == last and number and trajectory.end_reason not in ("answer", "gave_up", "content_filter", "error"):
            told = trajectory.agent.get("answer_prompt")  # at a limit the agent was told to answer
            if isinstance(told, str) and told:
                messages.append({"role": "user", "content": told})
        messages += _of_turn(turn)
    return _with_others(messages, trajectory.extra.get("messages"))


def _of_turn(turn: Turn) -> Iterator[dict[str, Any]]:
    said: dict[str, Any] = {"role": "assistant", "content": turn.text or ""}
    if turn.reasoning is not None:
        said["reasoning_content"] = turn.reasoning
    if turn.calls:
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": _written(call.arguments)}}
            for call in turn.calls
        ]
    yield said
    for call in turn.calls:
        yield {"role": "tool", "tool_call_id": call.id, "content": call.output}


def _written(arguments: dict[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _with_others(messages: list[dict[str, Any]], others: Any) -> list[dict[str, Any]]:
    """With the messages that have no place in a turn where they stood."""
    if isinstance(others, dict):
        for place in sorted((key for key in others if str(key).isdecimal()), key=int):
            messages.insert(int(place), others[place])
    return messages


def _stated(record: Any) -> _Metadata | None:
    """What a record of ours says of its run; None of any other."""
    try:
        return msgspec.convert(record.get("metadata"), type=_Metadata)
    except msgspec.ValidationError:
        return None


def _unknown(record: dict[str, Any], turns: list[Turn]) -> _Metadata:
    """Of a line that names no run: named by its content, ended as its last message says."""
    answer = answer_of(turns)
    named = [record.get(key) for key in ("task_id", "query_id", "id")]
    name = next((str(value) for value in named if _is_name(value)), None)
    content = fingerprint(record)
    task = name or content
    status: Status = "answered" if answer is not None else "unanswered"
    end_reason: EndReason = "answer" if answer is not None else "gave_up"
    return _Metadata(
        id=f"{task}.0.{content[:8]}", task_id=task, sample=0, status=status, end_reason=end_reason, answer=answer
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _retriever(known: _Metadata, talk: Conversation) -> dict[str, Any]:
    return {"kind": known.retriever, **({} if talk.scored else {"scores": RANKS_AS_SCORES})}


def _with_fingerprint(described: dict[str, Any]) -> dict[str, Any]:
    return {**described, "fingerprint": fingerprint(described)}


def _grade(known: _Metadata, state: GradeState) -> Grade:
    return Grade(trajectory_id=known.id, state=state, judge=known.grade_judge or "imported")


def _is_talk(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("messages"), list)


def _recognise(head: Head) -> bool:
    return _is_talk(head.record)


_KIND = Kind(
    name="openai",
    is_one=_is_talk,
    entries=lambda record, path, line: [entry_of(record, path, line)],
    sampled=lambda record: _stated(record) is not None,
)
FORMAT = Format(
    name="openai",
    title="OpenAI messages, one conversation a line, for fine-tuning",
    recognise=_recognise,
    read=read,
    write=write,
)
