"""The conversation of one run: what the model has been told so far, and what is left out where it grows too long."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.agent.protocols import ParsedMessage, PassReasoning
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Call, Turn

_LEFT_OUT = "(left out, since the context is full)"


class Conversation:
    """The messages, worded by the agent's protocol.

    ``left_out`` are the numbers of the turns whose outputs were taken out again.

    Args:
        agent: resolved settings.
        question: the task's.
    """

    def __init__(self, agent: AgentSettings, question: str):
        self.protocol = agent.talks
        self.messages: list[dict[str, Any]] = [
            {"role": "system", "content": agent.prompt},
            {"role": "user", "content": question},
        ]
        self.left_out: list[int] = []
        self._answer_prompt = agent.answer_prompt
        self._pass_reasoning = cast(PassReasoning, agent.pass_reasoning)
        # of the turns whose outputs are still there: the turn's number, and the index of its first output
        self._shown: list[tuple[int, int]] = []

    def add_turn(self, number: int, parsed: ParsedMessage, asked: list[ToolCall], calls: list[Call]) -> None:
        """Adds a message of the model with the calls that it asked for, and their outputs."""
        self.messages.append(self.protocol.turn(parsed, asked, self._pass_reasoning))
        self._shown.append((number, len(self.messages)))
        self.messages += self.protocol.outputs(calls)

    def remind(self, parsed: ParsedMessage, text: str) -> None:
        """Tells the model what is wrong with a message that is neither call nor answer; an empty one is left out."""
        said = self.protocol.turn(parsed, [], self._pass_reasoning)
        said.pop("tool_calls", None)  # endpoints refuse an empty list
        written = [said] if (said["content"] or "").strip() else []
        self.messages = self.protocol.ask([*self.messages, *written], text)

    def answer_request(self) -> list[dict[str, Any]]:
        """The messages with the demand for an answer at their end."""
        return self.protocol.ask(self.messages, self._answer_prompt)

    def make_room(self, turns: list[Turn], count: int = 1) -> bool:
        """Leaves out the outputs of the last ``count`` turns that still have theirs; False where none has."""
        last = self._shown[-count:]
        for number, start in last:
            outputs = self.protocol.outputs(
                [msgspec.structs.replace(call, output=_LEFT_OUT) for call in turns[number].calls]
            )
            self.messages[start : start + len(outputs)] = outputs
            self.left_out.append(number)
        del self._shown[-count:]
        return bool(last)
