"""Protocol ``tagged``: calls and answer in tags, as Tongyi DeepResearch, WebExplorer and AgentCPM write them."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

from lrat_sim.agent.protocols.base import (
    ParsedMessage,
    PassReasoning,
    Protocol,
    as_received,
    block,
    closing,
    forgotten_call,
    opening,
    plainly,
    signed_thinking,
    thinking_apart,
    with_thinking,
)
from lrat_sim.agent.text_calls import TextCalls, read_text_calls
from lrat_sim.agent.tools import TOOLS
from lrat_sim.models.message import Message, ToolCall, read_message
from lrat_sim.records import Call

_RESPONSE = re.compile(rf"{opening('tool_response')}|{closing('tool_response')}", re.IGNORECASE)
_ANSWER = block("answer")
_TAGS = "(?:answer|tool_call|think(?:ing)?)"
_TAG = re.compile(rf"{opening(_TAGS)}|{closing(_TAGS)}", re.IGNORECASE)


class Tagged(Protocol):
    """``<think>``, ``<tool_call>{json}</tool_call>`` and ``<answer>`` in the text; outputs come back in a user's
    message as ``<tool_response>``.

    What a model writes from ``<tool_response>`` on is its own invention, where a server ignored the stop sequence: it
    is cut off.  An answer inside the thinking does not count, nor does a call, unless the thinking was never closed.
    """

    name = "tagged"
    prompts = ("search-agent-tagged", "answer-now-tagged")
    stop: ClassVar[tuple[str, ...]] = ("\n<tool_response>", "<tool_response>")
    form = "write one JSON object, with the fields name and arguments, inside the tool_call tags"
    reminder = (
        "That was neither a tool call nor an answer. Either call a tool:\n"
        '<tool_call>\n{"name": "search", "arguments": {"query": "..."}}\n</tool_call>\n'
        "or give the final answer:\n<answer>\n...\n</answer>"
    )
    described = "\n".join(json.dumps(tool) for tool in TOOLS)

    def read(self, message: Message) -> ParsedMessage:
        """The calls and the answer outside the thinking, up to the first ``<tool_response>``."""
        received = (message.text if message.content is None else message.content) or ""
        apart = thinking_apart(message)
        invented = _RESPONSE.search(received)
        written = received if invented is None else received[: invented.start()].rstrip()
        reasoning, text = (message.reasoning, message.text or "") if invented is None else _up_to(apart, written)
        if (forgotten := forgotten_call(message, written)) is not None:
            reasoning, text = forgotten
            if not written:
                apart, written = forgotten
        found = TextCalls([], text) if message.calls else read_text_calls(text)
        calls, outside = found.calls, found.text
        stated = [found for each in _ANSWER.findall(outside) if (found := each.strip())]
        answer = stated[-1] if stated else None
        said = (outside if calls or answer is None else answer) or None
        changed = (received and received != said) or reasoning != message.reasoning
        raw = as_received(message, received, reasoning) if changed else message.raw
        # a server may have parsed the tags, whether or not it is asked to
        written = "\n".join([written, *(_block(call) for call in message.calls if call.name not in received)])
        calls = [*message.calls, *calls]
        return ParsedMessage(
            reasoning=reasoning,
            text=said,
            calls=calls,
            answer=answer,
            plain=answer or plainly(_TAG.sub("", outside).strip(), calls),
            written=written,
            apart=apart,
            raw=raw,
        )

    def turn(self, parsed: ParsedMessage, calls: list[ToolCall], pass_reasoning: PassReasoning) -> dict[str, Any]:
        """As it was written; thinking that came in a field of its own stands before it, in its tags."""
        fields = {} if pass_reasoning == "no" else signed_thinking(parsed)
        thought = None if fields or pass_reasoning == "no" else parsed.apart
        return {"role": "assistant", "content": with_thinking(thought, parsed.written), **fields}

    def outputs(self, calls: list[Call]) -> list[dict[str, Any]]:
        """One message of the user for all."""
        shown = [f"<tool_response>\n{call.output}\n</tool_response>" for call in calls]
        return [{"role": "user", "content": "\n".join(shown)}]


def _up_to(apart: str | None, written: str) -> tuple[str | None, str]:
    """The reasoning and the text of a message of which only the beginning counts: its thinking may be cut too."""
    again = read_message({"content": written} | ({} if apart is None else {"reasoning_content": apart}))
    return again.reasoning, again.text or ""


def _block(call: ToolCall) -> str:
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        arguments = call.arguments
    body = json.dumps({"name": call.name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"
