"""Chat messages as turns: what every format that keeps a conversation shares.

The first user message is the question, a system (or developer's) message before it the agent's prompt.  An assistant
message is a turn; tool messages are the outputs of its calls, matched by id or, where one side has none, in their
order; those of the older role ``function`` by the function's name.  What has no place in a turn is kept: an assistant's
message whole in the turn's ``raw``, the further fields of another in ``extra["fields"]``, and any other message in
``extra["messages"]``, both by its position (from 0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.agent.answer import read_answer
from lrat_sim.agent.text_calls import read_text_calls
from lrat_sim.formats.fields import items, read_arguments, text_of, texts_in
from lrat_sim.formats.observations import observe
from lrat_sim.models.message import read_message
from lrat_sim.records import Call, Trajectory, Turn
from lrat_sim.text import count_tokens

Refuse = Callable[[str], Exception]
"""Makes the error of a problem: the caller knows the file and the line."""


class ChatMessage(Struct, frozen=True, kw_only=True):
    """One message of a conversation.

    Attributes:
        message: in OpenAI's shape, as far as it has that.
        source: as it came, to be kept where a turn does not hold all of it; None where that is ``message``.
        own: whether an assistant's message is the model's own; an example in the prompt is not.
        failure: why a tool failed, where its message says so apart from its output.
    """

    message: Any
    source: dict[str, Any] | None = None
    own: bool = True
    failure: str | None = None

    @property
    def kept(self) -> dict[str, Any]:
        """What to keep of it."""
        kept: dict[str, Any] = self.message if self.source is None else self.source
        return kept


class Conversation(Struct, frozen=True, kw_only=True):
    """A conversation as a trajectory holds it.

    ``positions`` are those of the turns' messages, from 0; ``scored`` says whether the hits' scores are the source's
    own.
    """

    question: str
    system: str | None
    turns: list[Turn]
    extra: dict[str, Any]
    positions: list[int]
    scored: bool


def conversation(messages: Sequence[ChatMessage], refuse: Refuse) -> Conversation:
    """Reads a list of messages, which may be empty.

    Where messages of the prompt are examples, the question is the user's message after the last of them.

    Raises:
        Exception: what ``refuse`` made, naming message and field.
    """
    reading = _Reading(refuse)
    for position, message in enumerate(messages):
        reading.add(position, message)
    extra = {"messages": reading.other, "fields": reading.fields}
    return Conversation(
        question=reading.question or "",
        system=reading.system,
        turns=[turn.made() for turn in reading.turns],
        extra={name: kept for name, kept in extra.items() if kept},
        positions=[turn.position for turn in reading.turns],
        scored=any(turn.scored for turn in reading.turns),
    )


def read_turn(message: dict[str, Any], outputs: Sequence[tuple[str | None, str]], number: int) -> tuple[Turn, bool]:
    """One assistant message in OpenAI's shape as turn ``number``.

    Args:
        message: the message.
        outputs: the id of a call, where it is known, and its output; one that belongs to no call is left out.
        number: from 0.

    Returns:
        The turn, and whether the scores of its hits are the source's own.
    """
    turn = _OpenTurn.of(ChatMessage(message=message), number, number)
    for name, output in outputs:
        turn.answer(name, output)
    return turn.made(), turn.scored


def answer_of(turns: Sequence[Turn]) -> str | None:
    """The answer that the last turn states; None where it calls a tool."""
    return None if not turns or turns[-1].calls else answer_in(turns[-1].text)


def answer_in(words: str | None) -> str | None:
    """The answer that a text states; None where it is a call that was left in the text, in whatever wording."""
    return None if words and read_text_calls(words).calls else read_answer(words)


def prompt_of(trajectory: Trajectory) -> str | None:
    """The agent's system message, where it has one."""
    prompt = trajectory.agent.get("prompt")
    return prompt if isinstance(prompt, str) and prompt else None


def request_for_answer(trajectory: Trajectory) -> str | None:
    """The user message that asked for an answer at a limit, before the last turn; None where there was none."""
    request = trajectory.agent.get("answer_prompt")
    limited = trajectory.end_reason not in ("answer", "gave_up", "content_filter", "error")
    asked = limited and len(trajectory.turns) > 1
    return request if asked and isinstance(request, str) and request else None


class _OpenTurn(Struct, kw_only=True):
    """A turn whose outputs are still coming: ``waiting`` are the positions of calls without one, ``unnamed`` of those
    to which the source gave no id."""

    position: int
    reasoning: str | None
    text: str | None
    calls: list[Call]
    raw: dict[str, Any] | None
    waiting: list[int]
    unnamed: set[int]
    scored: bool = False

    @classmethod
    def of(cls, said: ChatMessage, position: int, number: int) -> _OpenTurn:
        # the same reader as for a live model, so that imported and recorded turns have one meaning
        asked = [_plain_call(call) for call in items(said.message.get("tool_calls"))]
        read = read_message({**said.message, "tool_calls": asked})
        held = ["assistant", "function", read.reasoning or "", read.text or ""]
        held += [text for call in read.calls for text in (call.id, call.name, call.arguments)]
        return cls(
            position=position,
            reasoning=read.reasoning,
            text=read.text,
            calls=[
                Call(id=call.id or f"call_{number}_{order}", tool=call.name, arguments=read_arguments(call.arguments))
                for order, call in enumerate(read.calls)
            ],
            raw=None if read.raw is None and _holds(held, said.kept) else said.kept,
            waiting=list(range(len(read.calls))),
            unnamed={order for order, call in enumerate(read.calls) if not call.id},
        )

    def answer(self, name: str | None, output: str, failure: str | None = None, tool: str | None = None) -> Call | None:
        """Gives an output to the call of that id; where one side has none, to the next call of that tool or of any.

        Returns:
            The call; None where there is none.
        """
        position = next((waits for waits in self.waiting if name and self.calls[waits].id == name), None)
        if position is None:
            free = [waits for waits in self.waiting if not name or waits in self.unnamed]
            of_tool = [waits for waits in free if tool == self.calls[waits].tool]
            position = next(iter(of_tool or free), None)
        if position is None:
            return None
        self.waiting.remove(position)
        call = self.calls[position]
        if failure is not None:
            call = msgspec.structs.replace(call, output=output or failure, error=failure)
        else:
            call, scored = observe(call, output)
            self.scored = self.scored or scored
        self.calls[position] = call
        return call

    def made(self) -> Turn:
        """The turn; a call without an output did not run."""
        for position in self.waiting:
            error = "the conversation ends before its output"
            self.calls[position] = msgspec.structs.replace(self.calls[position], error=error)
        return Turn(
            reasoning=self.reasoning,
            reasoning_tokens=count_tokens(self.reasoning) if self.reasoning else 0,
            calls=self.calls,
            text=self.text,
            raw=self.raw,
        )


class _Reading:
    def __init__(self, refuse: Refuse):
        self.refuse = refuse
        self.system: str | None = None
        self.question: str | None = None
        self.asked: tuple[int, dict[str, Any]] | None = None
        self.examples = False  # since the question
        self.turns: list[_OpenTurn] = []
        self.other: dict[str, Any] = {}
        self.fields: dict[str, Any] = {}

    def add(self, position: int, said: ChatMessage) -> None:
        self._check(position, said.message)
        message = said.message
        role, text = message["role"], text_of(message.get("content"))
        if role == "assistant" and said.own:
            self.turns.append(_OpenTurn.of(said, position, len(self.turns)))
        elif role in ("tool", "function") and (call := self._answered(message, text, said.failure)):
            self._keep(position, said, role, text, call.id, call.tool, call.error or "")
        elif role in ("system", "developer") and self.system is None and self.question is None:
            self.system = text
            self._keep(position, said, role, text)
        elif role == "user" and not self.turns and (self.question is None or self.examples):
            if self.asked is not None:  # the question before was an example's
                self.other[str(self.asked[0])] = self.asked[1]
                self.fields.pop(str(self.asked[0]), None)
            self.question, self.asked, self.examples = text, (position, said.kept), False
            self._keep(position, said, "user", text)
        else:
            self.other[str(position)] = said.kept
            self.examples = self.examples or role == "assistant"

    def _answered(self, message: dict[str, Any], output: str, failure: str | None) -> Call | None:
        """The call that the output was given to: of the last turn, or by its id of an earlier one."""
        name, tool = _call_id(message.get("tool_call_id")), message.get("name")
        for turn in reversed(self.turns if name else self.turns[-1:]):
            if call := turn.answer(name, output, failure, tool):
                return call
        return None

    def _check(self, position: int, message: Any) -> None:
        """Refuses what does not have the shape of a message."""
        where = f"message {position + 1}"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise self.refuse(f"{where} is not an object with a `role`")
        content, calls, name = message.get("content"), message.get("tool_calls"), message.get("tool_call_id")
        if not isinstance(content, str | list | None):
            raise self.refuse(f"{where}: the field `content` should be a text or a list of parts")
        if not isinstance(name, str | int | None):
            raise self.refuse(f"{where}: the field `tool_call_id` should be a text")
        if not isinstance(calls, list | None):
            raise self.refuse(f"{where}: the field `tool_calls` should be a list")
        for call in calls or ():
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                raise self.refuse(f"{where}: a call of `tool_calls` names no function")

    def _keep(self, position: int, said: ChatMessage, *held: str) -> None:
        """Keeps the fields of a message that say more than its turn holds."""
        more = {name: value for name, value in said.kept.items() if not _holds([*held, "text"], value)}
        if more:
            self.fields[str(position)] = more


def _plain_call(call: dict[str, Any]) -> dict[str, Any]:
    """A call in the shape that the reading of a provider's message relies on."""
    function = call["function"]
    given = function.get("arguments")
    arguments = given if isinstance(given, str) else json.dumps({} if given is None else given, ensure_ascii=False)
    return {"id": _call_id(call.get("id")), "function": {"name": function["name"], "arguments": arguments}}


def _call_id(value: Any) -> str:
    """A call's id, which some writers give as a number; empty where there is none."""
    return str(value) if isinstance(value, str | int) else ""


def _holds(held: list[str], message: Any) -> bool:
    """Whether every text of a message stands in what is held of it."""
    return all(any(text in part for part in held) for text in texts_in(message))
