"""The simulated agent as a model: ``sim/NAME`` answers through the same client, protocol and loop as any other."""

from __future__ import annotations

from typing import Any

import msgspec

from lrat_sim.agent.simulated.persona import Persona
from lrat_sim.agent.simulated.policy import AnswerAction, SearchAction, think
from lrat_sim.agent.simulated.prose import answer_text, reasoning
from lrat_sim.models.call import Answer, Request
from lrat_sim.records import Plan, Usage
from lrat_sim.text import count_tokens


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request parameter ``simulation``: it stands in for a model's own reasoning, and never enters a message."""

    plan: Plan
    seed: int
    persona: Persona = Persona()


class SimulatedModel:
    """Answers as the agent that the parameter ``simulation`` describes."""

    async def answer(self, request: Request) -> Answer:
        """One turn, from ``messages``, ``tools`` and ``simulation`` alone.

        Raises:
            ValueError: there is no valid ``simulation`` parameter.
        """
        try:
            simulation = msgspec.convert(request.extra.get("simulation"), Simulation)
        except msgspec.ValidationError as error:
            raise ValueError(f"a sim/ model needs the request parameter `simulation`: {error}") from error
        messages = request.messages
        may_call = bool(request.tools) and request.tool_choice != "none"
        thought, action = think(messages, simulation.plan, simulation.persona, simulation.seed, tools=may_call)
        text = reasoning(thought, action)
        message: dict[str, Any] = {"role": "assistant", "content": None, "reasoning_content": text}
        if isinstance(action, AnswerAction):
            message["content"] = written = answer_text(thought, action)
        else:
            if isinstance(action, SearchAction):
                name, arguments = "search", {"query": action.query}
            else:
                name, arguments = "get_document", {"docid": action.glimpse.docid}
            written = msgspec.json.encode(arguments).decode()
            function = {"name": name, "arguments": written}
            message["tool_calls"] = [{"id": f"call_{len(messages)}", "type": "function", "function": function}]
        reasoning_tokens = count_tokens(text)
        return Answer(
            message=message,
            usage=Usage(
                # estimated at four characters a token, as counting the whole conversation each turn would be slow
                prompt_tokens=sum(len(str(part.get("content") or "")) for part in messages) // 4,
                completion_tokens=reasoning_tokens + count_tokens(written),
                reasoning_tokens=reasoning_tokens,
                cost=0.0,
            ),
            finish_reason="stop" if isinstance(action, AnswerAction) else "tool_calls",
        )
