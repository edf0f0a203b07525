"""What a run records as it goes: its turns, what they used, and the attempts that no turn holds."""

from __future__ import annotations

from typing import Any

import msgspec

from lrat_sim.agent.calls import is_mended, read_call
from lrat_sim.agent.protocols import ParsedMessage
from lrat_sim.agent.tools import MOST_ANSWERED, refused
from lrat_sim.models.call import CallFailed, Completion
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Call, Turn, Usage
from lrat_sim.text import count_tokens


class Recording:
    """The turns of one run; ``spent`` are US dollars, ``failed`` the attempts at calls that were given up."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.usage = Usage.zero()
        self.spent = 0.0
        self.failed: list[dict[str, Any]] = []
        self._dearest = 0.0

    def add(self, completion: Completion, parsed: ParsedMessage, calls: list[Call]) -> None:
        """Adds a turn."""
        self.turns.append(
            Turn(
                reasoning=parsed.reasoning,
                reasoning_tokens=count_tokens(parsed.reasoning) if parsed.reasoning else 0,
                calls=calls,
                text=parsed.text,
                finish_reason=completion.finish_reason,
                usage=completion.usage,
                attempts=completion.attempts,
                raw=_raw(completion, parsed),
            )
        )
        cost = completion.usage.cost
        self.usage = self.usage + completion.usage
        # a call whose cost is unknown counts as the most expensive so far, as in the budget of a rollout
        self._dearest = max(self._dearest, cost or 0.0)
        self.spent += self._dearest if cost is None else cost

    def add_refused(self, completion: Completion, parsed: ParsedMessage, problem: str) -> None:
        """Adds a turn none of whose calls runs."""
        asked = self.numbered(parsed)
        self.add(completion, parsed, [refused(call, read_call(call), problem) for call in asked])

    def keep_attempts(self, error: CallFailed) -> None:
        """Keeps the attempts at a call that was given up."""
        self.failed += [{"status": attempt.status, "error": attempt.error} for attempt in error.attempts]

    def numbered(self, parsed: ParsedMessage) -> list[ToolCall]:
        """The calls of the next turn with ids that are there and differ, since outputs are matched to calls by them."""
        taken: set[str] = set()
        calls = []
        for index, call in enumerate(parsed.calls[:MOST_ANSWERED]):
            own = call.id if call.id and call.id not in taken else f"call_{len(self.turns)}_{index}"
            while own in taken:
                own += "_"
            taken.add(own)
            calls.append(msgspec.structs.replace(call, id=own))
        return calls


def _raw(completion: Completion, parsed: ParsedMessage) -> dict[str, Any] | None:
    """The message as received, where the turn does not hold it all: also where arguments were mended."""
    calls = completion.message.calls[:MOST_ANSWERED]
    if not any(is_mended(call.arguments) for call in calls) or (parsed.raw or {}).get("tool_calls"):
        return parsed.raw
    written = [{"id": call.id, "function": {"name": call.name, "arguments": call.arguments}} for call in calls]
    return {**(parsed.raw or {"role": "assistant"}), "tool_calls": written}
