"""Chat messages as turns: what every format that keeps a conversation shares.

The first user message is the question, a system message before it the agent's prompt, an assistant message a turn; tool
messages are the outputs of its calls, matched by id or, where one side has none, in their order.  What has no place in
a turn is kept in its ``raw``, in ``extra["fields"]`` or ``extra["messages"]``, by the message's position (from 0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.agent.answer import read_answer
from lrat_sim.agent.text_calls import read_text_calls
from lrat_sim.agent.tool import DEFAULT_TOOLS, declarations
from lrat_sim.errors import InputError
from lrat_sim.foreign.values import (
    arguments_text,
    items,
    mapping,
    parsed,
    read_arguments,
    text,
    text_of,
    texts_in,
)
from lrat_sim.formats.observations import observe
from lrat_sim.models.message import read_message
from lrat_sim.records import Call, Trajectory, Turn
from lrat_sim.text import count_tokens

Refuse = Callable[[str], Exception]  # makes the error of a problem: the caller knows the file and the line


class ChatMessage(Struct, frozen=True, kw_only=True):
    """One message of a conversation."""

    message: Any  # in OpenAI's shape, as far as it has that
    source: dict[str, Any] | None = None  # as it came, where that is not `message`
    own: bool = True  # whether an assistant's message is the model's own; an example in the prompt is not
    failure: str | None = None  # why a tool failed, where its message says so apart from its output

    @property
    def kept(self) -> dict[str, Any]:
        """What to keep of it where a turn does not hold all of it."""
        kept: dict[str, Any] = self.message if self.source is None else self.source
        return kept


class Conversation:
    """A list of messages, which may be empty, as a trajectory holds it.

    Where messages of the prompt are examples, the question is the user's message after the last of them.  ``positions``
    are those of the turns' messages, from 0.
    """

    def __init__(self, messages: Sequence[ChatMessage], refuse: Refuse):
        self.question = ""
        self.system: str | None = None
        self._messages = messages
        self._asked: int | None = None
        self._examples = False  # since the question
        self._turns: list[_OpenTurn] = []
        self._other: dict[str, Any] = {}
        self._fields: dict[str, Any] = {}
        for position, message in enumerate(messages):
            _check(message.message, f"message {position + 1}", refuse)
            self._add(position, message)
        self.turns = [turn.closed() for turn in self._turns]
        self.positions = [turn.position for turn in self._turns]

    @property
    def extra(self) -> dict[str, Any]:
        """What has no place in a turn."""
        return {name: kept for name, kept in (("messages", self._other), ("fields", self._fields)) if kept}

    def _add(self, position: int, chat: ChatMessage) -> None:
        message = chat.message
        role, content = message["role"], text_of(message.get("content"))
        if role == "assistant" and chat.own:
            self._turns.append(_OpenTurn.of(chat, position, len(self._turns)))
        elif role in ("tool", "function") and (call := self._answered(message, content, chat.failure)):
            self._keep(position, role, content, call.id, call.tool, call.error or "")
        elif role in ("system", "developer") and self.system is None and self._asked is None:
            self.system = content
            self._keep(position, role, content)
        elif role == "user" and not self._turns and (self._asked is None or self._examples):
            if self._asked is not None:  # the question before was an example's
                self._other[str(self._asked)] = self._messages[self._asked].kept
                self._fields.pop(str(self._asked), None)
            self.question, self._asked, self._examples = content, position, False
            self._keep(position, role, content)
        else:
            self._other[str(position)] = chat.kept
            self._examples = self._examples or role == "assistant"

    def _answered(self, message: dict[str, Any], output: str, failure: str | None) -> Call | None:
        """The call that the output was given to: of the last turn, or by its id of an earlier one."""
        name, tool = _call_id(message.get("tool_call_id")), message.get("name")
        for turn in reversed(self._turns if name else self._turns[-1:]):
            if call := turn.answer(name, output, failure, tool):
                return call
        return None

    def _keep(self, position: int, *held: str) -> None:
        """Keeps the fields of a message that say more than its turn holds."""
        fields = self._messages[position].kept
        more = {name: value for name, value in fields.items() if not _holds([*held, "text"], value)}
        if more:
            self._fields[str(position)] = more


class _OpenTurn(Struct, kw_only=True):
    """A turn whose outputs are still coming: ``waiting`` are the positions of calls without one, ``unnamed`` of those
    to which the source gave no id."""

    position: int
    turn: Turn
    waiting: list[int]
    unnamed: set[int]

    @classmethod
    def of(cls, chat: ChatMessage, position: int, number: int) -> _OpenTurn:
        # the same reader as for a live model, so that imported and recorded turns have one meaning
        read = read_message({**chat.message, "tool_calls": [*map(_plain_call, items(chat.message.get("tool_calls")))]})
        held = ["assistant", "function", read.reasoning or "", read.text or ""]
        held += [part for call in read.calls for part in (call.id, call.name, call.arguments)]
        turn = Turn(
            reasoning=read.reasoning,
            reasoning_tokens=count_tokens(read.reasoning) if read.reasoning else 0,
            calls=[
                Call(id=call.id or f"call_{number}_{order}", tool=call.name, arguments=read_arguments(call.arguments))
                for order, call in enumerate(read.calls)
            ],
            text=read.text,
            raw=None if read.raw is None and _holds(held, chat.kept) else chat.kept,
        )
        unnamed = {order for order, call in enumerate(read.calls) if not call.id}
        return cls(position=position, turn=turn, waiting=list(range(len(read.calls))), unnamed=unnamed)

    def answer(self, name: str | None, output: str, failure: str | None = None, tool: str | None = None) -> Call | None:
        """Gives an output to the call of that id or, where one side has none, to the next of that tool or of any."""
        calls = self.turn.calls
        position = next((waits for waits in self.waiting if name and calls[waits].id == name), None)
        if position is None:
            free = [waits for waits in self.waiting if not name or waits in self.unnamed]
            position = next((waits for waits in free if calls[waits].tool == tool), next(iter(free), None))
        if position is None:
            return None
        self.waiting.remove(position)
        call = calls[position]
        if failure is None:
            calls[position] = observe(call, output)
        else:
            calls[position] = msgspec.structs.replace(call, output=output or failure, error=failure)
        return calls[position]

    def closed(self) -> Turn:
        """The turn; a call without an output did not run."""
        calls = self.turn.calls
        for position in self.waiting:
            error = "the conversation ends before its output"
            calls[position] = msgspec.structs.replace(calls[position], error=error)
        return self.turn


def read_turn(message: dict[str, Any], outputs: Sequence[tuple[str | None, str]], number: int) -> Turn:
    """One assistant message as turn ``number`` (from 0), with the outputs of its calls by their ids, where known."""
    turn = _OpenTurn.of(ChatMessage(message=message), number, number)
    for name, output in outputs:
        turn.answer(name, output)
    return turn.closed()


def answer_of(turns: Sequence[Turn]) -> str | None:
    """The answer that the last turn states; None where it calls a tool."""
    return None if not turns or turns[-1].calls else answer_in(turns[-1].text)


def answer_in(words: str | None) -> str | None:
    """The answer that a text states; None where it is a call that was left in the text, in whatever wording."""
    return None if words and read_text_calls(words).calls else read_answer(words)


def prompt_of(trajectory: Trajectory) -> str | None:
    """The agent's system message, where it has one."""
    return text(trajectory.agent.get("prompt")) or None


def request_for_answer(trajectory: Trajectory) -> str | None:
    """The user message that asked for an answer at a limit, before the last turn; None where there was none."""
    limited = trajectory.end_reason not in ("answer", "gave_up", "content_filter", "error")
    return (text(trajectory.agent.get("answer_prompt")) or None) if limited and len(trajectory.turns) > 1 else None


def transcript(trajectory: Trajectory) -> Iterator[tuple[str, str | Turn]]:
    """A run as roles and what they said: prompt, question, turns and, before the last, the request for an answer."""
    if prompt := prompt_of(trajectory):
        yield "system", prompt
    yield "user", trajectory.question
    for number, turn in enumerate(trajectory.turns, start=1):
        if number == len(trajectory.turns) and (request := request_for_answer(trajectory)):
            yield "user", request
        yield "assistant", turn


def chat_messages(trajectory: Trajectory, *, objects: bool = False) -> Iterator[tuple[dict[str, Any], Turn | None]]:
    """A run as messages in OpenAI's shape, each assistant's with its turn; others of the source go where they stood.

    ``objects`` gives the arguments of calls as objects, where they are not a text that could not be parsed.
    """
    others = {int(key): other for key, other in mapping(trajectory.extra.get("messages")).items() if key.isdecimal()}
    position = 0
    for message in _plain_messages(trajectory, objects):
        while position in others:
            yield others.pop(position), None
            position += 1
        yield message
        position += 1
    yield from ((others[left], None) for left in sorted(others))


def _plain_messages(trajectory: Trajectory, objects: bool) -> Iterator[tuple[dict[str, Any], Turn | None]]:
    for role, content in transcript(trajectory):
        if isinstance(content, str):
            yield {"role": role, "content": content}, None
            continue
        message: dict[str, Any] = {"role": role, "content": content.text or ""}
        if content.reasoning is not None:
            message["reasoning_content"] = content.reasoning
        if content.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.tool,
                        "arguments": call.arguments if objects else arguments_text(call.arguments),
                    },
                }
                for call in content.calls
            ]
        yield message, content
        for call in content.calls:
            yield {"role": "tool", "tool_call_id": call.id, "content": call.output}, None


def tools_of(trajectory: Trajectory) -> list[dict[str, Any]]:
    """The declarations of the tools that the agent had; none where they are unknown or do not cover what was called."""
    named = trajectory.agent.get("tools") or DEFAULT_TOOLS
    if not isinstance(named, list | tuple) or not all(isinstance(name, str) for name in named):
        return []
    try:
        tools = declarations(named)
    except InputError:  # a tool of somebody's own, which is not installed here
        return []
    known = {tool["function"]["name"] for tool in tools}
    return tools if {call.tool for call in trajectory.calls()} <= known else []


def _check(message: Any, where: str, refuse: Refuse) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise refuse(f"{where} is not an object with a `role`")
    calls = message.get("tool_calls")
    if not isinstance(message.get("content"), str | list | None):
        raise refuse(f"{where}: the field `content` should be a text or a list of parts")
    if not isinstance(message.get("tool_call_id"), str | int | None):
        raise refuse(f"{where}: the field `tool_call_id` should be a text")
    if not isinstance(calls, list | None):
        raise refuse(f"{where}: the field `tool_calls` should be a list")
    if not all(map(_plain_call, calls or ())):
        raise refuse(f"{where}: a call of `tool_calls` names no function")


def _plain_call(call: Any) -> dict[str, Any] | None:
    """A call in OpenAI's shape, from any of the shapes that writers give it; None where it names no function."""
    call = mapping(parsed(call) if isinstance(call, str) else call)
    function = call.get("function")
    if not isinstance(function, dict):
        names = (text(name) for name in (function, call.get("function_name"), call.get("name")))
        function = {**call, "name": next((name for name in names if name is not None), None)}
    if text(function.get("name")) is None:
        return None
    given = function.get("arguments")
    arguments = given if isinstance(given, str) else json.dumps({} if given is None else given, ensure_ascii=False)
    name = _call_id(call.get("id", call.get("tool_call_id")))
    return {"id": name, "function": {"name": function["name"], "arguments": arguments}}


def _call_id(value: Any) -> str:
    """A call's id, which some writers give as a number; empty where there is none."""
    return str(value) if isinstance(value, str | int) else ""


def _holds(held: list[str], message: Any) -> bool:
    """Whether every text of a message is contained in what was kept of it."""
    return all(any(words in part for part in held) for words in texts_in(message))
