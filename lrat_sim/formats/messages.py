"""Chat messages as turns: what every format that keeps a conversation shares.

The first user message is the question, a system (or developer's) message before it the agent's prompt.  An assistant
message is a turn; tool messages are the outputs of its calls, matched by id and, where one side has none, in their
order; those of the older role ``function`` by the function's name.  What has no place in a
turn is kept: of an assistant's message the whole in the turn's ``raw``, of another its further fields in
``extra["fields"]``, and any other message in ``extra["messages"]``, both by its place (from 0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.agent.answer import read_answer
from lrat_sim.agent.text_calls import read_text_calls
from lrat_sim.formats.fields import items, text_of, texts_in
from lrat_sim.formats.observations import observe, read_arguments
from lrat_sim.models.message import read_message
from lrat_sim.records import Call, Turn, Usage
from lrat_sim.text import count_tokens


class Said(Struct, frozen=True, kw_only=True):
    """One message of a conversation.

    Attributes:
        message: in OpenAI's shape, to be read.
        source: as it came, to be kept where a turn does not hold all of it; None where that is ``message``.
        own: whether an assistant's message is the model's own; an example in the prompt is not.
        failure: why a tool failed, where its message says so apart from its output.
    """

    message: dict[str, Any]
    source: dict[str, Any] | None = None
    own: bool = True
    failure: str | None = None

    @property
    def kept(self) -> dict[str, Any]:
        """What to keep of it."""
        return self.message if self.source is None else self.source


class Conversation(Struct, frozen=True, kw_only=True):
    """A conversation as a trajectory holds it.

    ``places`` says of each turn which message it is of, from 0; ``scored`` whether the hits' scores are the source's
    own.
    """

    question: str
    system: str | None
    turns: list[Turn]
    extra: dict[str, Any]
    places: list[int] = []
    scored: bool = False


def turns_from_messages(messages: Any, refuse: Callable[[str], Exception]) -> Conversation:
    """Reads a list of messages in OpenAI's shape.

    Args:
        messages: mappings with ``role``, ``content``, ``tool_calls``, ``tool_call_id`` and what providers add.
        refuse: makes the error of a problem, since the caller knows the file and the line.

    Raises:
        Exception: what ``refuse`` made, naming message and field.
    """
    if not isinstance(messages, list) or not messages:
        raise refuse("the field `messages` should be a list with a message in it")
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            raise refuse(f"message {place + 1} is not an object with a `role`")
    return conversation([Said(message=message) for message in messages], refuse)


def conversation(said: Sequence[Said], refuse: Callable[[str], Exception]) -> Conversation:
    """As :func:`turns_from_messages`, of messages that were translated from another shape; there may be none.

    Where messages of the prompt are examples, the question is the user's message after the last of them.
    """
    reading = _Reading(refuse)
    for place, one in enumerate(said):
        reading.add(place, one)
    extra: dict[str, Any] = {"messages": reading.other} if reading.other else {}
    if reading.more:
        extra["fields"] = reading.more
    return Conversation(
        question=reading.question or "",
        system=reading.system,
        turns=[turn.made() for turn in reading.turns],
        extra=extra,
        places=[turn.place for turn in reading.turns],
        scored=any(turn.scored for turn in reading.turns),
    )


def read_turn(message: dict[str, Any], outputs: Sequence[dict[str, Any]], number: int) -> tuple[Turn, bool]:
    """One assistant message in OpenAI's shape with its tool messages, as turn ``number``.

    Returns:
        The turn, and whether the scores of its hits are the source's own.  An output that belongs to no call is
        left out.
    """
    turn = _opened(number, number, Said(message=message))
    for output in outputs:
        turn.answer(output.get("tool_call_id"), text_of(output.get("content")))
    return turn.made(), turn.scored


def answer_of(turns: Sequence[Turn]) -> str | None:
    """The answer that the last turn states; None where it calls a tool."""
    return None if not turns or turns[-1].calls else answer_in(turns[-1].text)


def answer_in(words: str | None) -> str | None:
    """The answer that a text states; None where it is a call that was left in the text, in whatever wording."""
    return None if words and read_text_calls(words).calls else read_answer(words)


class _Open:
    """A turn whose outputs are still coming."""

    def __init__(
        self,
        place: int,
        reasoning: str | None,
        text: str | None,
        calls: list[Call],
        unnamed: set[int],
        raw: dict[str, Any] | None,
    ):
        self.place, self.reasoning, self.text, self.calls, self.raw = place, reasoning, text, calls, raw
        self.waiting, self.unnamed = list(range(len(calls))), unnamed
        self.scored = False

    def answer(self, name: str | None, output: str, failure: str | None = None, tool: str | None = None) -> Call | None:
        """Gives an output to the call of that id; where one side has none, to the next call of that tool or of any.

        Returns:
            The call; None where there is none.
        """
        place = next((place for place in self.waiting if name and self.calls[place].id == name), None)
        if place is None:
            open_ones = [place for place in self.waiting if not name or place in self.unnamed]
            named = [place for place in open_ones if tool == self.calls[place].tool]
            place = next(iter(named or open_ones), None)
        if place is None:
            return None
        self.waiting.remove(place)
        call = self.calls[place]
        if failure is not None:
            self.calls[place] = msgspec.structs.replace(call, output=output or failure, error=failure)
            return self.calls[place]
        seen = observe(call.tool, call.arguments, output)
        self.scored = self.scored or seen.scored
        self.calls[place] = msgspec.structs.replace(
            call, executed=seen.executed, output=output, hits=seen.hits, docid=seen.docid, error=seen.error
        )
        return self.calls[place]

    def made(self) -> Turn:
        """The turn; a call without an output did not run."""
        for place in self.waiting:
            self.calls[place] = msgspec.structs.replace(
                self.calls[place], error="the conversation ends before its output"
            )
        reasoning_tokens = count_tokens(self.reasoning) if self.reasoning else 0
        return Turn(
            reasoning=self.reasoning,
            reasoning_tokens=reasoning_tokens,
            calls=self.calls,
            text=self.text,
            usage=Usage(),
            raw=self.raw,
        )


class _Reading:
    def __init__(self, refuse: Callable[[str], Exception]):
        self.refuse = refuse
        self.system: str | None = None
        self.question: str | None = None
        self.asked: tuple[int, dict[str, Any]] | None = None
        self.examples = False  # since the question
        self.turns: list[_Open] = []
        self.other: dict[str, Any] = {}
        self.more: dict[str, Any] = {}

    def add(self, place: int, said: Said) -> None:
        message = said.message
        if not isinstance(message.get("role"), str):
            raise self.refuse(f"message {place + 1} is not an object with a `role`")
        self._check(place, message)
        role, text = message["role"], text_of(message.get("content"))
        if role == "assistant" and said.own:
            self.turns.append(_opened(place, len(self.turns), said))
        elif role in ("tool", "function") and (call := self._answered(message, text, said.failure)):
            self._keep(place, said, [role, text, call.id, call.tool, call.error or ""])
        elif role in ("system", "developer") and self.system is None and self.question is None:
            self.system = text
            self._keep(place, said, [role, text])
        elif role == "user" and not self.turns and (self.question is None or self.examples):
            self._ask(place, said, text)
        else:
            self.other[str(place)] = said.kept
            self.examples = self.examples or role == "assistant"

    def _ask(self, place: int, said: Said, text: str) -> None:
        if self.asked is not None:
            self.other[str(self.asked[0])] = self.asked[1]
            self.more.pop(str(self.asked[0]), None)
        self.question, self.asked, self.examples = text, (place, said.kept), False
        self._keep(place, said, ["user", text])

    def _answered(self, message: dict[str, Any], output: str, failure: str | None) -> Call | None:
        """The call that the output was given to: of the last turn, or by its id of an earlier one."""
        name, tool = _id(message.get("tool_call_id")), message.get("name")
        for turn in reversed(self.turns if name else self.turns[-1:]):
            if call := turn.answer(name, output, failure, tool):
                return call
        return None

    def _check(self, place: int, message: dict[str, Any]) -> None:
        """Refuses what has the shape of no message."""
        content, calls, name = message.get("content"), message.get("tool_calls"), message.get("tool_call_id")
        if not isinstance(content, str | list | None):
            raise self.refuse(f"message {place + 1}: the field `content` should be a text or a list of parts")
        if not isinstance(name, str | int | None):
            raise self.refuse(f"message {place + 1}: the field `tool_call_id` should be a text")
        for call in items(calls):
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                raise self.refuse(f"message {place + 1}: a call of `tool_calls` names no function")
        if calls is not None and not isinstance(calls, list):
            raise self.refuse(f"message {place + 1}: the field `tool_calls` should be a list")

    def _keep(self, place: int, said: Said, kept: list[str]) -> None:
        """Keeps the fields of a message that say more than its turn does."""
        more = {name: value for name, value in said.kept.items() if not _holds([*kept, "text"], value)}
        if more:
            self.more[str(place)] = more


def _opened(place: int, number: int, said: Said) -> _Open:
    read = read_message(_plain(said.message))
    calls = [
        Call(id=call.id or f"call_{number}_{order}", tool=call.name, arguments=read_arguments(call.arguments))
        for order, call in enumerate(read.calls)
    ]
    kept = ["assistant", "function", read.reasoning or "", read.text or ""]
    kept += [text for call in read.calls for text in (call.id, call.name, call.arguments)]
    whole = read.raw is not None or not _holds(kept, said.kept)
    unnamed = {order for order, call in enumerate(read.calls) if not call.id}
    return _Open(place, read.reasoning, read.text, calls, unnamed, said.kept if whole else None)


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """The message with its calls in the shape that the reading of a provider's message relies on."""
    return {**message, "tool_calls": [_plain_call(call) for call in items(message.get("tool_calls"))]}


def _plain_call(call: dict[str, Any]) -> dict[str, Any]:
    function, name = call["function"], call.get("id")
    given = function.get("arguments")
    arguments = given if isinstance(given, str) else json.dumps({} if given is None else given, ensure_ascii=False)
    return {"id": _id(name), "function": {"name": function["name"], "arguments": arguments}}


def _id(value: Any) -> str:
    """A call's id, a number with some writers; empty where there is none."""
    return str(value) if isinstance(value, str | int) else ""


def _holds(kept: list[str], message: Any) -> bool:
    """Whether every text of a message stands in what is kept of it."""
    return all(any(text in each for each in kept) for text in texts_in(message))
