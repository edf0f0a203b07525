"""Protocol ``tools``: native tool calls, one or several a turn."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from lrat_sim.agent.calls import parse_arguments, read_block
from lrat_sim.agent.protocols.base import (
    PassReasoning,
    Protocol,
    Spoken,
    as_received,
    call_blocks,
    reasoning_fields,
    thinking_apart,
    unclosed_thinking,
    with_thinking,
)
from lrat_sim.agent.tools import TOOLS
from lrat_sim.llm.message import Message, ToolCall
from lrat_sim.records import Call


class Native(Protocol):
    """The calls are fields of the message, the outputs messages of their own.

    The call that wants an answer still sends the tools, with ``tool_choice: none``, since some providers refuse a
    conversation with tool calls without them.
    """

    name = "tools"
    tools: ClassVar[list[dict[str, Any]] | None] = TOOLS
    tool_choice = "none"
    form = 'call a tool by a native tool call with a name and JSON arguments, {"query": "..."}'

    def read(self, message: Message) -> Spoken:
        """The message's calls; without any, those that a server failed to parse and left in the text."""
        calls, reasoning, text, raw = message.calls, message.reasoning, message.text, message.raw
        if not calls and (forgotten := unclosed_thinking(message.content or "", thinking_apart(message))) is not None:
            reasoning, text = forgotten
        blocks, outside = call_blocks(text or "")
        if blocks and not calls:
            calls = [call for body in blocks for call in read_block(body)]
            text, raw = outside or None, as_received(message, message.content or message.text)
        said = text if text and text.strip() else None
        return Spoken(
            reasoning=reasoning,
            text=text,
            calls=calls,
            answer=said,
            plain=said,
            written=text,
            apart=reasoning,
            raw=raw,
        )

    def turn(self, spoken: Spoken, calls: list[ToolCall], pass_reasoning: PassReasoning) -> dict[str, Any]:
        """With the reasoning in the field that the provider wants it in."""
        inline = spoken.reasoning if pass_reasoning == "inline" else None
        said: dict[str, Any] = {"role": "assistant", "content": with_thinking(inline, spoken.written)}
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in calls
        ]
        return said | reasoning_fields(spoken, pass_reasoning)

    def outputs(self, calls: list[Call]) -> list[dict[str, Any]]:
        """One message a call."""
        return [{"role": "tool", "tool_call_id": call.id, "content": call.output} for call in calls]

    def ask(self, messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
        """By a message of its own."""
        return [*messages, {"role": "user", "content": text}]


def _arguments(call: ToolCall) -> str:
    """A call's arguments as JSON of a mapping: endpoints refuse a conversation that holds anything else."""
    try:
        if isinstance(json.loads(call.arguments), dict):
            return call.arguments
    except (ValueError, RecursionError):
        pass
    return json.dumps(parse_arguments(call.arguments) or {}, ensure_ascii=False)
