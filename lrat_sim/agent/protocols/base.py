"""What a protocol is: how an agent's tools, turns and outputs stand in the conversation with its model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from msgspec import Struct

from lrat_sim.agent.answer import states_answer
from lrat_sim.agent.marks import PATTERNS
from lrat_sim.agent.text_calls import call_start, read_text_calls
from lrat_sim.agent.tool import DEFAULT_TOOLS, Tool, open_tools
from lrat_sim.models.items import ITEMS, without_reasoning
from lrat_sim.models.message import Message, ToolCall, split_inline
from lrat_sim.records import Call

PassReasoning = Literal["no", "reasoning_content", "reasoning", "reasoning_details", "inline"]

_REASONING = ("reasoning_content", "reasoning", "reasoning_details")

SLOT = "{tools}"  # where a prompt describes the tools; protocols that send them beside the messages need none


class ParsedMessage(Struct, frozen=True, kw_only=True):
    """One message of the model, understood; an answer beside calls does not count."""

    reasoning: str | None  # an empty string is an empty one
    text: str | None  # beside reasoning and calls; the answer alone where it gave one
    calls: list[ToolCall]  # unread; one without a name was meant as a call and cannot be read
    answer: str | None  # in the protocol's form
    plain: str | None  # what may be taken for an answer once one was demanded
    written: str | None  # the content as it goes back to the model
    apart: str | None = None  # reasoning that came in a field of its own, so that `written` does not hold it
    raw: dict[str, Any] | None = None  # as received, where it holds more than reasoning, text and calls
    remind: bool = True  # whether a message without call and answer gets the protocol's reminder
    reminder: str | None = None  # one of its own

    @property
    def silent(self) -> bool:
        """Whether the model wrote nothing at all, reasoning included."""
        return not (self.calls or (self.reasoning or "").strip() or (self.written or "").strip())

    def reasoning_fields(self, pass_reasoning: PassReasoning) -> dict[str, Any]:
        """The fields by which reasoning goes back beside the content; none for ``no``, blocks alone for ``inline``.

        The items of the Responses API hold it, and more that must go back.
        """
        raw = self.raw or {}
        items = raw.get(ITEMS)
        if pass_reasoning == "no":
            return {ITEMS: without_reasoning(items)} if items else {}
        beside = raw.get("provider_specific_fields")  # where litellm puts what it does not know
        beside = beside if isinstance(beside, dict) else {}
        # signed, so that they must come back as they were
        blocks = raw.get("thinking_blocks") or beside.get("thinking_blocks")
        fields: dict[str, Any] = {"thinking_blocks": blocks} if blocks else {}
        if items:
            fields[ITEMS] = items
        if pass_reasoning == "reasoning_details":
            details = raw.get("reasoning_details") or beside.get("reasoning_details")
            if not details and self.apart is not None:
                details = [{"type": "reasoning.text", "text": self.apart}]
            return fields | ({"reasoning_details": details} if details else {})
        if self.apart is not None and pass_reasoning != "inline":
            fields[pass_reasoning] = self.apart
        return fields


class Protocol(ABC):
    """How to communicate with one kind of model about some tools, by default search and get_document; stateless."""

    name: ClassVar[str]
    # counts up with each change of how messages are read or written, which the wording does not show
    version: ClassVar[int] = 2
    native: ClassVar[bool] = False  # whether the tools are sent beside the messages, too
    tool_choice: ClassVar[str | None] = None  # of the call that wants an answer
    stop: ClassVar[Sequence[str]] = ()  # ends the model's turn
    form: ClassVar[str] = ""  # how a call is written, in words, so that a model that quotes it calls nothing
    reminder: ClassVar[str]  # what a model is told that wrote neither call nor answer, after its ``problem``
    prompts: ClassVar[tuple[str, str]]  # names of the system prompt and of what demands an answer

    def __init__(self, tools: Sequence[Tool] | None = None):
        own = open_tools(DEFAULT_TOOLS) if tools is None else tools
        self.tools = [tool.declaration() for tool in own] if self.native and own else None
        self.described = "\n".join(map(self.describe, own))  # in the slot of the prompt

    def using(self, tools: Sequence[Tool]) -> Self:
        """The protocol with other tools."""
        return type(self)(tools)

    def wording(self) -> dict[str, Any]:
        """Everything that decides what is sent to a model beside its prompt, for the agent's fingerprint."""
        named = ("name", "version", "tools", "tool_choice", "stop", "form", "reminder", "described")
        return {field: getattr(self, field) for field in named} | ({"described": ""} if self.native else {})

    @abstractmethod
    def describe(self, tool: Tool) -> str:
        """A tool in the slot of the prompt."""

    @abstractmethod
    def read(self, message: Message) -> ParsedMessage:
        """What a message says; never raises."""

    @abstractmethod
    def turn(self, parsed: ParsedMessage, calls: list[ToolCall], pass_reasoning: PassReasoning) -> dict[str, Any]:
        """The model's own message as it gets it back, with its ``calls`` under ids that differ."""

    @abstractmethod
    def outputs(self, calls: list[Call]) -> list[dict[str, Any]]:
        """The messages that show a turn's outputs; as many whatever the outputs are."""

    def ask(self, messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
        """The conversation with a request of ours at its end."""
        # in the last message where that is the user's, since many chat templates take no two in a row
        if messages[-1]["role"] == "user":
            return [*messages[:-1], {"role": "user", "content": f"{messages[-1]['content']}\n\n{text}"}]
        return [*messages, {"role": "user", "content": text}]

    def problem(self, parsed: ParsedMessage) -> str:
        """What is wrong with a message that is neither call nor answer; the reminder says what to do instead."""
        return ""

    def without_reasoning(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message of the model without the reasoning that it holds in fields or inline; signed blocks stay."""
        if message["role"] != "assistant":
            return message
        kept = {field: value for field, value in message.items() if field not in _REASONING}
        split = split_inline(message["content"] or "", reasoned=False)
        return kept if split.reasoning is None or split.calls else {**kept, "content": split.text}

    def thinking_apart(self, message: Message) -> str | None:
        """The reasoning that came in a field of its own and does not also stand in the text."""
        if message.content is None:
            return message.reasoning
        return message.apart if message.apart and message.apart != message.reasoning else None

    def as_received(self, message: Message, content: str | None, reasoning: str | None) -> dict[str, Any]:
        """The message as received: its content, and its reasoning where the turn has another."""
        raw = {**(message.raw or {"role": "assistant"}), "content": content}
        return raw if reasoning == message.reasoning else {**raw, "reasoning_content": message.reasoning}

    def with_thinking(self, reasoning: str | None, text: str | None) -> str | None:
        """``text`` with its reasoning before it, as a model that thinks inline writes it."""
        if reasoning is None:
            return text
        # litellm leaves the line breaks around what it takes out of a text, and the server's cache has no more of them
        thought, text = reasoning.strip("\n"), (text or "").lstrip("\n")
        return f"<think>\n{thought}\n</think>\n\n{text}"

    def forgotten_call(self, message: Message, written: str) -> tuple[str, str] | None:
        """A call at the end of thinking that was never closed: the thought, and what is written from the call on."""
        apart = self.thinking_apart(message)
        opened = PATTERNS["think_open"].match(written)
        if opened is not None and not PATTERNS["think_close"].search(written):
            thinking = written[opened.end() :]
            if (start := call_start(thinking)) is None:
                return None
            return "\n".join(filter(None, [apart, thinking[:start].strip()])), thinking[start:]
        if apart and not written.strip() and not message.calls and (start := call_start(apart)) is not None:
            # the server took all of the message for `reasoning_content`
            calls = read_text_calls(apart[start:])
            if calls.named and not calls.text:
                return apart[:start].strip(), apart[start:]
        return None

    def plainly(self, text: str | None, calls: list[ToolCall]) -> str | None:
        """A text as an answer once one was demanded: beside a call only where it states one."""
        return text if text and text.strip() and (not calls or states_answer(text)) else None
