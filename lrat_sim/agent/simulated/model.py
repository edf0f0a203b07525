"""The simulated agent as a model: ``sim/NAME`` answers through the same client, protocol and loop as any other."""

from __future__ import annotations

from typing import Any

import msgspec

from lrat_sim.agent.simulated.persona import Persona, uniform
from lrat_sim.agent.simulated.policy import AnswerAction, SearchAction, Thought, conclusion, think
from lrat_sim.agent.simulated.writing import reasoning
from lrat_sim.decoding import convert
from lrat_sim.errors import said_plainly
from lrat_sim.models.call import Answer, Request
from lrat_sim.records import Plan, Usage
from lrat_sim.text import count_tokens


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request parameter ``simulation``: it replaces a model's own reasoning, and never enters a message."""

    plan: Plan
    seed: int
    persona: Persona = Persona()


class SimulatedModel:
    """Answers as the agent that the parameter ``simulation`` describes."""

    async def answer(self, request: Request) -> Answer:
        """One turn, from ``messages``, ``tools`` and ``simulation`` alone."""
        try:
            simulation = convert(request.extra.get("simulation"), Simulation)
        except msgspec.ValidationError as error:
            raise ValueError(f"a sim/ model needs the request parameter `simulation`: {said_plainly(error)}") from error
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
        reasoning_tokens = count_tokens(text or "")
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


def answer_text(thought: Thought, answer: AnswerAction) -> str:
    """The last message: explanation, exact answer, confidence."""
    steps = " ".join(
        f"The {hop.relation} of {thought.subject(index)} is {thought.beliefs[index].value}."
        for index, hop in enumerate(thought.plan.hops)
        if index in thought.beliefs
    )
    if answer.value is None:
        return f"Explanation: {steps or 'The searches brought nothing on this.'} I could not find the answer."
    drawn = uniform(thought.seed, "confidence")
    sure = answer.sure and conclusion(thought) is not None
    confidence = round(60 + 35 * drawn) if sure else round(10 + 30 * drawn)
    return f"Explanation: {steps}\nExact Answer: {answer.value}\nConfidence: {confidence}%"
