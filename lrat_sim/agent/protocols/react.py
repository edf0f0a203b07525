"""Protocol ``react``: thought, action and observation in the text, for models without tool calls (Yao et al. 2023)."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from lrat_sim.agent.calls import before_observation, labelled_calls, labelled_parts
from lrat_sim.agent.protocols.base import ParsedMessage, PassReasoning, Protocol
from lrat_sim.agent.text_calls import read_text_calls
from lrat_sim.agent.tool import Tool
from lrat_sim.models.message import Message, ToolCall
from lrat_sim.records import Call

_EXACT = re.compile(r"exact answer", re.IGNORECASE)


class React(Protocol):
    """``Thought:``, ``Action: search[...]`` or ``Action:`` and ``Action Input:``, ``Final Answer:``, each at the
    beginning of a line; outputs come back in a user's message as ``Observation:``, and what a model writes from there
    on is its own invention and is cut off."""

    name = "react"
    prompts = ("search-agent-react", "answer-now-react")
    stop: ClassVar[tuple[str, ...]] = ("\nObservation:",)
    form = "write the name of a tool, and its query or id in square brackets, after the label Action"
    version: ClassVar[int] = 3
    reminder = "Either act:\nThought: ...\nAction: search[...]\nor give the final answer:\nFinal Answer: ..."

    def describe(self, tool: Tool) -> str:
        """As an action, with the name of its argument, or JSON of several."""
        fields = [*tool.parameters["properties"]]
        given = fields[0] if len(fields) == 1 else "{" + ", ".join(f'"{field}": ...' for field in fields) + "}"
        return f"- {tool.name}[{given}]: {tool.description}"

    def read(self, message: Message) -> ParsedMessage:
        """The actions and the answer, up to the first ``Observation:``; without an action, calls in other wordings."""
        received = (message.text if message.content is None else message.content) or ""
        apart, written, text = self.thinking_apart(message), before_observation(received), message.text or ""
        reasoning = message.reasoning
        if (forgotten := self.forgotten_call(message, written)) is not None:
            reasoning, text = forgotten
            if not written:
                apart, written = forgotten
        parts = labelled_parts(before_observation(text))
        calls = [*message.calls, *labelled_calls(text)]
        if not calls and (read := read_text_calls(before_observation(text))).calls:
            calls, parts = read.calls, labelled_parts(read.text)
        labelled = any(label for label, _ in parts)
        thoughts = [body for label, body in parts if label == "thought" or (labelled and not label and body)]
        whole = [*([] if reasoning is None else [reasoning]), *thoughts]
        answers = [body for label, body in parts if label == "final answer" and body]
        answer = answers[-1] if answers else None
        loose = "\n".join(body for _, body in parts).strip() or None
        # thoughts are no answer, unless they state one
        plain = None if labelled and not _EXACT.search(loose or "") else loose
        shown = answer if answer is not None and not calls else (None if labelled else loose)
        changed = (received and received != shown) or reasoning != message.reasoning
        return ParsedMessage(
            reasoning="\n".join(whole) if whole else None,
            text=shown,
            calls=calls,
            answer=answer,
            plain=answer or self.plainly(plain, calls),
            written=written,
            apart=apart,
            raw=self.as_received(message, received, reasoning) if changed else message.raw,
        )

    def problem(self, parsed: ParsedMessage) -> str:
        """Which label lacks."""
        labels = {label for label, _ in labelled_parts(parsed.written or "")}
        if "final answer" in labels:
            return "That was no answer: nothing stands after the label Final Answer. "
        if labels & {"action", "action input"}:
            return "That was no action: no tool stands after the label Action. "
        if "thought" in labels:
            return "That was a thought alone: neither an Action nor a Final Answer follows it. "
        return "That has none of the labels Thought, Action and Final Answer. "

    def turn(self, parsed: ParsedMessage, calls: list[ToolCall], pass_reasoning: PassReasoning) -> dict[str, Any]:
        """As it was written; reasoning that came in a field of its own goes back in one."""
        return {"role": "assistant", "content": parsed.written} | parsed.reasoning_fields(pass_reasoning)

    def outputs(self, calls: list[Call]) -> list[dict[str, Any]]:
        """One message of the user for all."""
        return [{"role": "user", "content": "\n\n".join(f"Observation: {call.output}" for call in calls)}]
