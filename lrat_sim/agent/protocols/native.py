"""Protocol ``tools``: native tool calls, one or several a turn."""

from __future__ import annotations

import json
import re
from typing import Any

from lrat_sim.agent.calls import parse_arguments, tool_of
from lrat_sim.agent.protocols.base import ParsedMessage, PassReasoning, Protocol
from lrat_sim.agent.text_calls import read_text_calls
from lrat_sim.agent.tool import Tool
from lrat_sim.models.message import Message, ToolCall
from lrat_sim.records import Call

_ONLY_COMMENTARY = "That was commentary. Go on: either call a tool, or give the final answer."


class Native(Protocol):
    """The calls are fields of the message, the outputs messages of their own."""

    name = "tools"
    native = True
    tool_choice = "none"  # rather than no tools: some providers then refuse a conversation that holds calls
    prompts = ("search-agent", "answer-now")
    form = 'call a tool by a native tool call with a name and JSON arguments, {"query": "..."}'
    reminder = (
        "That was meant as a call of a tool, but it could not be read. Either call a tool by a native tool call with a "
        'name and JSON arguments, {"query": "..."}, or give the final answer as plain text.'
    )

    def describe(self, tool: Tool) -> str:
        """As a function, in a line."""
        return f"- {tool.name}({', '.join(tool.parameters['properties'])}): {tool.brief or tool.description}"

    def read(self, message: Message) -> ParsedMessage:
        """The message's calls; without any, those that stand in the text, where a server failed to parse them."""
        calls, reasoning, text, raw = message.calls, message.reasoning, message.text, message.raw
        remind = False
        if not calls:
            if (forgotten := self.forgotten_call(message, message.content or message.text or "")) is not None:
                reasoning, text = forgotten
            read = read_text_calls(text or "")
            if read.calls:
                # a call without a name is refused by endpoints: the text goes back as it is, and the reminder after it
                calls, remind = read.named, not read.named
                text = (read.text or None) if calls else text
                raw = self.as_received(message, message.content or message.text, reasoning)
        plain = None if remind else self.plainly(text, calls)
        commentary = message.commentary and plain is not None and not calls
        return ParsedMessage(
            reasoning=reasoning,
            text=text if text and text.strip() else None,
            calls=calls,
            answer=None if commentary else plain,
            plain=plain,
            written=text,
            apart=reasoning,
            raw=raw,
            remind=remind or commentary,
            reminder=_ONLY_COMMENTARY if commentary else None,
        )

    def turn(self, parsed: ParsedMessage, calls: list[ToolCall], pass_reasoning: PassReasoning) -> dict[str, Any]:
        """With the reasoning in the field that the provider wants it in."""
        inline = parsed.reasoning if pass_reasoning == "inline" else None
        message: dict[str, Any] = {"role": "assistant", "content": self.with_thinking(inline, parsed.written)}
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": _name(call), "arguments": _arguments(call)}}
            for call in calls
        ]
        return message | parsed.reasoning_fields(pass_reasoning)

    def outputs(self, calls: list[Call]) -> list[dict[str, Any]]:
        """One message a call."""
        return [{"role": "tool", "tool_call_id": call.id, "content": call.output} for call in calls]

    def ask(self, messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
        """By a message of its own."""
        return [*messages, {"role": "user", "content": text}]


def _name(call: ToolCall) -> str:
    """A call's name as endpoints take it: the tool's own where the model's holds marks that they refuse."""
    return call.name if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", call.name) else tool_of(call.name) or "unknown"


def _arguments(call: ToolCall) -> str:
    """A call's arguments as JSON of a mapping: endpoints refuse a conversation that holds anything else."""
    try:
        if isinstance(json.loads(call.arguments), dict):
            return call.arguments
    except (ValueError, RecursionError):
        pass
    return json.dumps(parse_arguments(call.arguments) or {}, ensure_ascii=False)
