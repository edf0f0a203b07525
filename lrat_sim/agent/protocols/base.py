"""What a protocol is: how an agent's tools, turns and outputs stand in the conversation with its model."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from msgspec import Struct

from lrat_sim.agent.answer import states_answer
from lrat_sim.agent.text_calls import call_start, read_text_calls
from lrat_sim.models.message import Message, ToolCall
from lrat_sim.records import Call

PassReasoning = Literal["no", "reasoning_content", "reasoning", "reasoning_details", "inline"]

SLOT = "{tools}"
"""Where a prompt describes the tools, for protocols that do not send them beside the messages."""


class ParsedMessage(Struct, frozen=True, kw_only=True):
    """One message of the model, understood.

    Args:
        reasoning: None where it gave none; an empty string is an empty one.
        text: what it said beside reasoning and calls; the answer alone where it gave one.
        calls: what it asks for, unread, whatever the wording; they come before an answer in the same message, which
            does not count.  One without a name was meant as a call and cannot be read.
        answer: the text of the answer, None where there is none in the protocol's form.
        plain: what may be taken for an answer once one was demanded, whatever its form but a call's.
        written: the content of the message as it goes back to the model.
        apart: reasoning that came in a field of its own, so that ``written`` does not hold it.
        raw: the message as received, where it holds more than reasoning, text and calls.
        remind: whether a message without call and answer gets the protocol's reminder.
    """

    reasoning: str | None
    text: str | None
    calls: list[ToolCall]
    answer: str | None
    plain: str | None
    written: str | None
    apart: str | None = None
    raw: dict[str, Any] | None = None
    remind: bool = True

    @property
    def silent(self) -> bool:
        """Whether the model wrote nothing at all, reasoning included."""
        return not (self.calls or (self.reasoning or "").strip() or (self.written or "").strip())


class Protocol(ABC):
    """How one kind of model is talked to; holds no state.

    ``tools`` is sent beside the messages, None where the prompt describes them.  ``stop`` ends the model's turn.
    ``tool_choice`` goes with the call that wants an answer.  ``form`` says how a call is written, in words, so that a
    model that quotes it calls nothing; ``reminder`` is told to one that wrote neither call nor answer.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 2
    """Counts up with each change of how messages are read or written, which the wording does not show."""
    tools: ClassVar[list[dict[str, Any]] | None] = None
    tool_choice: ClassVar[str | None] = None
    stop: ClassVar[Sequence[str]] = ()
    form: ClassVar[str] = ""
    reminder: ClassVar[str]
    described: ClassVar[str] = ""
    """The tools as a prompt describes them, in place of its slot."""
    prompts: ClassVar[tuple[str, str]]
    """The names of the prompts that go with it: the system prompt, and what demands an answer."""

    def wording(self) -> dict[str, Any]:
        """All that decides what a model is told, for the agent's fingerprint."""
        named = ("name", "version", "tools", "tool_choice", "stop", "form", "reminder", "described")
        return {field: getattr(self, field) for field in named}

    def fits(self, prompt: str) -> bool:
        """Whether a prompt describes the tools, or has the slot for it, where the protocol needs it."""
        return self.described in prompt or SLOT in prompt

    def prompt(self, text: str) -> str:
        """The system prompt, with the tools in its slot."""
        return text.replace(SLOT, self.described) if self.described else text

    @abstractmethod
    def read(self, message: Message) -> ParsedMessage:
        """What a message says; never raises."""

    @abstractmethod
    def turn(self, parsed: ParsedMessage, calls: list[ToolCall], pass_reasoning: PassReasoning) -> dict[str, Any]:
        """The model's own message as it gets it back.

        Args:
            parsed: the message.
            calls: its calls, with ids that differ.
            pass_reasoning: how the reasoning goes back.
        """

    @abstractmethod
    def outputs(self, calls: list[Call]) -> list[dict[str, Any]]:
        """The messages that show a turn's outputs; as many whatever the outputs are."""

    def ask(self, messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
        """The conversation with a request of ours at its end: in the last message where that is the user's, since
        many chat templates take no two in a row."""
        if messages[-1]["role"] == "user":
            return [*messages[:-1], {"role": "user", "content": f"{messages[-1]['content']}\n\n{text}"}]
        return [*messages, {"role": "user", "content": text}]


def thinking_apart(message: Message) -> str | None:
    """The reasoning that came in a field of its own and does not also stand in the text."""
    if message.content is None:
        return message.reasoning
    return message.apart if message.apart and message.apart != message.reasoning else None


def as_received(message: Message, content: str | None, reasoning: str | None) -> dict[str, Any]:
    """The message as received: its content, and its reasoning where the turn has another."""
    raw = {**(message.raw or {"role": "assistant"}), "content": content}
    return raw if reasoning == message.reasoning else {**raw, "reasoning_content": message.reasoning}


def signed_thinking(parsed: ParsedMessage) -> dict[str, Any]:
    """The thinking blocks of a message: signed, so that they must come back as they were."""
    blocks = _field(parsed, "thinking_blocks")
    return {"thinking_blocks": blocks} if blocks else {}


def reasoning_fields(parsed: ParsedMessage, pass_reasoning: PassReasoning) -> dict[str, Any]:
    """The fields by which reasoning goes back beside the content; none for ``no``, blocks alone for ``inline``."""
    if pass_reasoning == "no":
        return {}
    fields = signed_thinking(parsed)
    if pass_reasoning == "reasoning_details":
        stated = [{"type": "reasoning.text", "text": parsed.apart}] if parsed.apart is not None else None
        details = _field(parsed, "reasoning_details") or stated
        return fields | ({"reasoning_details": details} if details else {})
    if parsed.apart is not None and pass_reasoning != "inline":
        fields[pass_reasoning] = parsed.apart
    return fields


def _field(parsed: ParsedMessage, name: str) -> Any:
    """A field of the message as received, or of those that litellm puts beside it."""
    raw = parsed.raw or {}
    beside = raw.get("provider_specific_fields")
    return raw.get(name) or (beside.get(name) if isinstance(beside, dict) else None)


def with_thinking(reasoning: str | None, text: str | None) -> str | None:
    """``text`` with its reasoning before it, as a model that thinks inline writes it."""
    return text if reasoning is None else f"<think>\n{reasoning}\n</think>\n\n{text or ''}"


_GAP = r"\s{0,3}"
"""White space within a tag; not without end, since a search for it must not take for ever."""


def opening(name: str) -> str:
    """The pattern of an opening tag."""
    return rf"<{_GAP}{name}{_GAP}>"


def closing(name: str) -> str:
    """The pattern of a closing tag."""
    return rf"<{_GAP}/{_GAP}{name}{_GAP}>"


def block(name: str) -> re.Pattern[str]:
    """A block between two tags; one that is not closed goes to the next of its kind, or to the end."""
    pattern = rf"{opening(name)}(.*?)(?:{closing(name)}|(?={opening(name)})|\Z)"
    return re.compile(pattern, re.DOTALL | re.IGNORECASE)


_OPEN = re.compile(r"\s*" + opening("think(?:ing)?"), re.IGNORECASE)
_CLOSE = re.compile(closing("think(?:ing)?"), re.IGNORECASE)


def forgotten_call(message: Message, written: str) -> tuple[str, str] | None:
    """A call at the end of thinking that was never closed: the thought, and what is written from the call on.

    A call in thinking that was closed was only thought of.  Here the model forgot to say where it ends: the opening
    tag has no closing one, or the server took all of the message for ``reasoning_content``, up to the call.  The
    thought follows what came apart, in a field of its own.
    """
    apart = thinking_apart(message)
    opened = _OPEN.match(written)
    if opened is not None and not _CLOSE.search(written):
        if (start := call_start(written[opened.end() :])) is None:
            return None
        start += opened.end()
        return "\n".join(filter(None, [apart, written[opened.end() : start].strip()])), written[start:]
    if apart and not written.strip() and not message.calls and (start := call_start(apart)) is not None:
        found = read_text_calls(apart[start:])
        if found.named and not found.text:
            return apart[:start].strip(), apart[start:]
    return None


def plainly(text: str | None, calls: list[ToolCall]) -> str | None:
    """A text as an answer once one was demanded: beside a call only where it states one."""
    return text if text and text.strip() and (not calls or states_answer(text)) else None
