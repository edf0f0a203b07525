"""Protocol ``tagged``: calls and answer in tags, as Tongyi DeepResearch, WebExplorer and AgentCPM write them."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from lrat_sim.agent.marks import PATTERNS
from lrat_sim.agent.protocols.base import ParsedMessage, PassReasoning, Protocol
from lrat_sim.agent.text_calls import TextCalls, read_text_calls
from lrat_sim.agent.tool import Tool
from lrat_sim.models.message import Message, ToolCall, read_message
from lrat_sim.records import Call


class Tagged(Protocol):
    """``<think>``, ``<tool_call>{json}</tool_call>`` and ``<answer>`` in the text; outputs come back in a user's
    message as ``<tool_response>``, and what a model writes from there on is its own invention and is cut off."""

    name = "tagged"
    prompts = ("search-agent-tagged", "answer-now-tagged")
    stop: ClassVar[tuple[str, ...]] = ("\n<tool_response>", "<tool_response>")
    form = "write one JSON object, with the fields name and arguments, inside the tool_call tags"
    version: ClassVar[int] = 3
    reminder = (
        "Either call a tool:\n"
        '<tool_call>\n{"name": "search", "arguments": {"query": "..."}}\n</tool_call>\n'
        "or give the final answer:\n<answer>\n...\n</answer>"
    )

    def describe(self, tool: Tool) -> str:
        """As JSON."""
        return json.dumps(tool.declaration())

    def read(self, message: Message) -> ParsedMessage:
        """The calls and the answer outside the thinking, up to the first ``<tool_response>``."""
        received = (message.text if message.content is None else message.content) or ""
        apart = self.thinking_apart(message)
        invented = PATTERNS["tool_response"].search(received)
        written = received if invented is None else received[: invented.start()].rstrip()
        reasoning, text = message.reasoning, message.text or ""
        if invented is not None:  # read what counts again, since the thinking may be cut, too
            counted = {"content": written} | ({} if apart is None else {"reasoning_content": apart})
            again = read_message(counted)
            reasoning, text = again.reasoning, again.text or ""
        if (forgotten := self.forgotten_call(message, written)) is not None:
            reasoning, text = forgotten
            if not written:
                apart, written = forgotten
        read = TextCalls([], text) if message.calls else read_text_calls(text)
        calls, outside = read.calls, read.text
        answers = [answer.strip() for answer in PATTERNS["answer_block"].findall(outside) if answer.strip()]
        answer = answers[-1] if answers else None
        shown = (outside if calls or answer is None else answer) or None
        changed = (received and received != shown) or reasoning != message.reasoning
        raw = self.as_received(message, received, reasoning) if changed else message.raw
        # a server may have parsed the tags, whether or not it is asked to
        written = "\n".join([written, *(_block(call) for call in message.calls if call.name not in received)])
        calls = [*message.calls, *calls]
        return ParsedMessage(
            reasoning=reasoning,
            text=shown,
            calls=calls,
            answer=answer,
            plain=answer or self.plainly(PATTERNS["text_tag"].sub("", outside).strip(), calls),
            written=written,
            apart=apart,
            raw=raw,
        )

    def problem(self, parsed: ParsedMessage) -> str:
        """Which tag lacks."""
        written = parsed.written or ""
        if PATTERNS["answer_open"].search(written):
            return "That was no answer: nothing stands inside <answer>. "
        if not (parsed.text or "").strip():
            return "That was thinking alone: neither <tool_call> nor <answer> follows it. "
        return "That has neither <tool_call> nor <answer>. "

    def turn(self, parsed: ParsedMessage, calls: list[ToolCall], pass_reasoning: PassReasoning) -> dict[str, Any]:
        """As it was written; reasoning from a separate field is put before it, in tags."""
        fields = parsed.reasoning_fields("no" if pass_reasoning == "no" else "inline")
        thought = None if fields or pass_reasoning == "no" else parsed.apart
        return {"role": "assistant", "content": self.with_thinking(thought, parsed.written), **fields}

    def outputs(self, calls: list[Call]) -> list[dict[str, Any]]:
        """One message of the user for all."""
        shown = [f"<tool_response>\n{call.output}\n</tool_response>" for call in calls]
        return [{"role": "user", "content": "\n".join(shown)}]


def _block(call: ToolCall) -> str:
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        arguments = call.arguments
    body = json.dumps({"name": call.name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"
