"""Items of OpenAI's Responses API, a run a line: ``{input, output, tools, metadata}``.

``input`` has the prompt and the question, ``output`` the items that followed: ``reasoning``, ``message``,
``function_call`` and ``function_call_output``, of which both lists together can be sent again.  A turn is what stands
between two outputs of tools or two messages of others; where its items hold more than a turn (ids, encrypted reasoning,
calls of built-in tools), they stand in its ``raw`` as ``{"output": [...]}`` and are written as they came.  Items that
are written anew have ids with the turn's number, by which turns without an output between them are told apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lrat_sim.artifact import fingerprint
from lrat_sim.foreign.values import SourceRecord, filled, items, mapping, text, text_of, usage, without_nulls
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.messages import ChatMessage, Conversation, Refuse, chat_messages, tools_of
from lrat_sim.formats.metadata import conversation_entry, is_named, metadata_of
from lrat_sim.formats.output import write_lines
from lrat_sim.formats.registry import Format, record_reader
from lrat_sim.records import Trajectory, Turn, Usage

_CALLS = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_ITEMS = ("message", "reasoning", *_CALLS, *_OUTPUTS)
_TURN = re.compile(r"(?:rs|msg|fc)_(\d{1,6})(?:_\d+)?\Z")  # the ids that are written here: OpenAI's are much longer


# --- reading


def entry_of(record: Any, source: SourceRecord) -> Entry:
    """One run from its JSON object; a RecordError names line, item and field."""
    if not isinstance(record, dict):
        raise source.fault(f"a run is a JSON object, not {type(record).__name__}")
    given, output = record.get("input", []), record.get("output", [])
    given = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(given, list) or not isinstance(output, list) or not given + output:
        raise source.fault("the fields `input` and `output` should be lists of items, one of which has an item")
    prompt = text(record.get("instructions"))
    system = [] if prompt is None else [{"role": "system", "content": prompt}]
    talk = conversation_of([*system, *given, *output], source.fault)
    model, used = text(record.get("model")), usage_of(mapping(record.get("usage")))
    known: dict[str, Any] = {} if model is None else {"agent": {"model": model}}
    held = ["usage"] if record.get("usage") == tokens_of(used) else []
    held += [name for name in ("model", "instructions") if text(record.get(name)) is not None]
    # an id is the response's: runs that ask the same question are runs of one task
    known["task"] = fingerprint(talk.question) if talk.question else None
    return conversation_entry(record, talk, "input", "output", *held, usage=used, **known)


def usage_of(tokens: dict[str, Any]) -> Usage:
    """The usage that a response states; its cached tokens are among those of its input."""
    reasoning = mapping(tokens.get("output_tokens_details")).get("reasoning_tokens")
    cached = mapping(tokens.get("input_tokens_details")).get("cached_tokens")
    return usage(tokens.get("input_tokens"), tokens.get("output_tokens"), reasoning, cached=cached)


def tokens_of(used: Usage) -> dict[str, Any]:
    """A usage as a response states it."""
    tokens = {"input_tokens": used.prompt_tokens, "output_tokens": used.completion_tokens, "total_tokens": used.tokens}
    details = {
        "input_tokens_details": without_nulls({"cached_tokens": used.cached_tokens}),
        "output_tokens_details": without_nulls({"reasoning_tokens": used.reasoning_tokens}),
    }
    return filled({**tokens, **details})


def conversation_of(given: list[Any], refuse: Refuse) -> Conversation:
    """Items as a conversation."""
    for number, item in enumerate(given, start=1):
        if not isinstance(item, dict) or _kind(item) is None:
            raise refuse(f"item {number} is not an object with a `type` or a `role`")
        if not isinstance(item.get("content"), str | list | None):
            raise refuse(f"item {number}: the field `content` should be a text or a list of parts")
        if _kind(item) in _CALLS and text(item.get("name")) is None:
            raise refuse(f"item {number}: a call names no tool")
    return Conversation(list(_messages(given)), refuse)


def _kind(item: dict[str, Any]) -> str | None:
    return text(item.get("type")) or ("message" if text(item.get("role")) else None)


def _messages(given: list[dict[str, Any]]) -> Iterator[ChatMessage]:
    """The items as chat messages: those of one turn together, as the message of an assistant."""
    turn: list[dict[str, Any]] = []
    number = 0
    for item in given:
        own = _of_turn(item)
        if turn and not (own and _goes_on(turn, item)):
            yield from _turn(turn, number)
            turn, number = [], number + 1
        if own:
            turn.append(item)
        else:
            yield _other(item)
    if turn:
        yield from _turn(turn, number)


def _of_turn(item: dict[str, Any]) -> bool:
    """Whether an item is the model's own: its words, its calls, and whatever else its response holds."""
    kind = _kind(item)
    return kind not in _OUTPUTS and (kind != "message" or item.get("role") == "assistant")


def _goes_on(turn: list[dict[str, Any]], item: dict[str, Any]) -> bool:
    """Whether the model's next item is of the same turn: not after a call with its output, nor with another number."""
    answered = _kind(turn[-1]) == "mcp_call" and turn[-1].get("output") is not None and _kind(item) != "mcp_call"
    return not answered and _number(item) in (None, _number(turn[0]))


def _number(item: dict[str, Any]) -> str | None:
    """The number of the turn that an item of ours is of."""
    own = _TURN.match(text(item.get("id")) or "")
    return own[1] if own else None


def _turn(parts: list[dict[str, Any]], number: int) -> Iterator[ChatMessage]:
    """The items of turn ``number`` (from 0); a call that holds its output, as one of MCP does, is followed by it."""
    message: dict[str, Any] = {"role": "assistant", "content": _joined(parts, "message", _content)}
    if any(_kind(part) == "reasoning" for part in parts):
        message["reasoning_content"] = _joined(parts, "reasoning", _reasoning)
    calls = [part for part in parts if _kind(part) in _CALLS]
    if calls:
        message["tool_calls"] = [
            {
                "id": _call_id(call),
                "type": "function",
                "function": {"name": call["name"], "arguments": _arguments(call)},
            }
            for call in calls
        ]
    source = None if _items(message, number) == parts else {"output": parts}
    yield ChatMessage(message=message, source=source)
    for call in calls:
        output, error = call.get("output"), call.get("error")
        if _kind(call) == "mcp_call" and (output is not None or error is not None):
            shown = text(output) or (error if isinstance(error, str) else json.dumps(error, ensure_ascii=False))
            yield ChatMessage(message={"role": "tool", "tool_call_id": _call_id(call), "content": shown})


def _joined(parts: list[dict[str, Any]], kind: str, read: Any) -> str:
    return "\n\n".join(filter(None, (read(part) for part in parts if _kind(part) == kind)))


def _content(item: dict[str, Any]) -> str:
    content = item.get("content")
    refused = (mapping(part).get("refusal") for part in items(content))
    return text_of(content) or "".join(filter(None, map(text, refused)))


def _reasoning(item: dict[str, Any]) -> str:
    """The reasoning itself where it is there, else its summary."""
    return text_of(item.get("content")) or text_of(item.get("summary"), "\n\n")


def _call_id(call: dict[str, Any]) -> str:
    return text(call.get("call_id")) or text(call.get("id")) or ""


def _arguments(call: dict[str, Any]) -> str:
    given = call.get(_CALLS[str(_kind(call))])
    return given if isinstance(given, str) else json.dumps({} if given is None else given, ensure_ascii=False)


def _other(item: dict[str, Any]) -> ChatMessage:
    """A message of somebody else, or a tool's output."""
    if _kind(item) == "message":
        message = {"role": item.get("role") or "user", "content": item.get("content")}
        return ChatMessage(message=message, source=None if item == {"type": "message", **message} else item)
    output = item.get("output")
    shown = text_of(output) if isinstance(output, str | list | None) else json.dumps(output, ensure_ascii=False)
    message = {"role": "tool", "tool_call_id": _call_id(item), "content": shown}
    return ChatMessage(message=message, source=None if _items(message, 0) == [item] else item)


# --- writing


def record_of(entry: Entry) -> dict[str, Any]:
    """One run as items."""
    trajectory, rest = entry.trajectory, mapping(entry.trajectory.extra.get("record"))
    asked, output = items_of(trajectory)
    tools = [{"type": "function", **tool["function"], "strict": False} for tool in tools_of(trajectory)]
    stated = {"model": text(trajectory.agent.get("model")), "usage": tokens_of(trajectory.usage)}
    return {
        **filled({"input": asked, "output": output, "tools": tools, **stated}),
        **rest,
        "metadata": metadata_of(entry, rest.get("metadata")),
    }


def items_of(trajectory: Trajectory) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The items up to the first turn, and all from there on."""
    asked: list[dict[str, Any]] = []
    output: list[dict[str, Any]] = []
    number, answered = 0, set[str]()  # calls whose item has its output
    for message, turn in chat_messages(trajectory):
        if turn is not None:
            made, number = _kept(turn) or _items(message, number), number + 1
            answered |= {_call_id(item) for item in made if _kind(item) == "mcp_call"}
        elif message.get("role") == "tool" and message.get("tool_call_id") in answered:
            continue
        else:
            made = [message] if text(message.get("type")) else _items(message, number)
        (output if number else asked).extend(made)
    return asked, output


def _kept(turn: Turn) -> list[dict[str, Any]]:
    """The items of a turn as they came, where it keeps them."""
    kept = items(mapping(turn.raw).get("output"))
    return kept if all(isinstance(item, dict) and _kind(item) is not None for item in kept) else []


def _items(message: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """A chat message as items, one of an assistant being turn ``number``, by which its reasoning has an id."""
    if message.get("role") in ("tool", "function"):
        call = {"call_id": message.get("tool_call_id") or "", "output": message.get("content") or ""}
        return [{"type": "function_call_output", **call}]
    made: list[dict[str, Any]] = []
    if (reasoning := message.get("reasoning_content")) is not None:
        content = [{"type": "reasoning_text", "text": reasoning}]
        made.append({"type": "reasoning", "id": f"rs_{number}", "summary": [], "content": content})
    words, calls = message.get("content") or "", items(message.get("tool_calls"))
    if message.get("role") != "assistant":
        return [{"type": "message", "role": message.get("role"), "content": words}]
    if words or not (calls or made):
        said = [{"type": "output_text", "text": text_of(words), "annotations": []}]
        made.append(
            {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": said}
        )
    for order, call in enumerate(calls):
        function = mapping(mapping(call).get("function"))
        asked = {"name": function.get("name"), "arguments": function.get("arguments")}
        name = f"fc_{number}_{order}"
        made.append({"type": "function_call", "id": name, "call_id": mapping(call).get("id"), **asked})
    return made


def _is_run(record: Any) -> bool:
    held = [*items(mapping(record).get("input")), *items(mapping(record).get("output"))]
    return any(isinstance(item, dict) and item.get("type") in _ITEMS for item in held)


FORMAT = Format(
    name="responses",
    title="items of OpenAI's Responses API, one run a line",
    recognise=lambda path, record: _is_run(record),
    read=record_reader("responses", _is_run, entry_of, is_sampled=is_named),
    write=lambda entries, path, about: write_lines(path, map(record_of, entries)),
)
