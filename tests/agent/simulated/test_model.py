"""The simulated agent answers through the client like any model; its personalities are files in agents/."""

from __future__ import annotations

import asyncio
import re
import statistics
from typing import Any

import msgspec
import pytest

from lrat_sim.agent import load_agent
from lrat_sim.agent.simulated.persona import Persona
from lrat_sim.agent.simulated.policy import AnswerAction, think
from lrat_sim.agent.simulated.writing import reasoning
from lrat_sim.errors import InputError
from lrat_sim.models.call import CallRefused, Request
from lrat_sim.models.client import Client
from lrat_sim.records import Document
from lrat_sim.text import count_tokens

TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}]


def ask(conversation, **parameters):
    """The completion of a plain client."""
    parameters.setdefault("extra", {"simulation": {"plan": msgspec.to_builtins(conversation.plan), "seed": 1}})
    return asyncio.run(Client().complete(Request(model="sim/default", messages=conversation.messages, **parameters)))


def test_a_turn_has_reasoning_a_tool_call_and_counted_tokens_and_costs_nothing(converse):
    completion = ask(converse(), tools=TOOLS)
    (call,) = completion.message.calls
    assert call.name == "search"
    assert "Lantern" in msgspec.json.decode(call.arguments)["query"]
    assert completion.usage.completion_tokens >= count_tokens(completion.message.reasoning) > 0
    assert (completion.usage.cost, completion.finish_reason) == (0.0, "tool_calls")


@pytest.mark.parametrize("parameters", [{}, {"tools": TOOLS, "tool_choice": "none"}])
def test_without_tools_that_may_be_called_the_answer_is_text(converse, parameters):
    completion = ask(converse(), **parameters)
    assert not completion.message.calls
    assert completion.message.text.startswith("Explanation:")


def test_a_missing_or_wrong_simulation_parameter_is_refused_and_not_retried(converse):
    for simulation in (None, {"plan": {"hops": []}, "seed": 1, "temper": 2}):
        with pytest.raises(CallRefused, match="simulation") as caught:
            ask(converse(), extra={"simulation": simulation})
        assert len(caught.value.attempts) == 1


def test_the_plan_never_stands_in_a_message(converse):
    conversation = converse(pickiness=9.0).finished()
    said = msgspec.json.encode([m for m in conversation.messages if m["role"] != "tool"]).decode()
    assert "Thornmouth" not in said


def test_lengths_of_reasoning_about_evidence_and_other_pages_overlap(converse):
    """The behaviour targets ask for an AUC between .55 and .68; a small sample is held to a wider band."""
    lengths: dict[bool, list[int]] = {True: [], False: []}
    for seed in range(150):
        conversation = converse(seed=seed, pickiness=0.6, credulity=0.0).finished()
        for turn in range(2, len(conversation.messages) + 1, 2):
            thought, action = think(conversation.messages[: turn + 1], conversation.plan, Persona(), seed, tools=True)
            if conversation.messages[turn]["content"].startswith("Document"):
                text = reasoning(thought, action)
                lengths[bool(thought.gained)].append(count_tokens(text))
    pairs = [(long > short) + 0.5 * (long == short) for long in lengths[True] for short in lengths[False]]
    assert min(len(group) for group in lengths.values()) > 40
    assert 0.5 < statistics.mean(pairs) < 0.75


def test_reasoning_names_the_page_it_speaks_of(converse):
    conversation = converse(pickiness=0.6).finished()
    for turn in range(2, len(conversation.messages) + 1, 2):
        content = conversation.messages[turn]["content"]
        if content.startswith("Document"):
            thought, action = think(conversation.messages[: turn + 1], conversation.plan, Persona(), 1, tools=True)
            title = re.match(r"Document \S+:\n(.*)\n", content)
            assert title is not None
            assert title.group(1) in reasoning(thought, action)
            return
    raise AssertionError("no document was opened")


# --- personalities ----------------------------------------------------------------------------------------------------

PERSONAS = ["simulated", "simulated-hasty", "simulated-stubborn", "simulated-weak"]
HOPELESS = [Document(id="d4", title="The Salt Lantern of Wick", text="Tolls were paid in salt at every quay.")]


def _persona(name: str) -> dict[str, Any]:
    return load_agent(name).simulation or {}


def _searches(converse: Any, name: str) -> float:
    runs = (converse(documents=HOPELESS, seed=seed, **_persona(name)) for seed in range(12))
    return statistics.mean(len(run.finished(turns=120).queries()) for run in runs)


@pytest.mark.parametrize("name", PERSONAS)
def test_every_personality_loads_and_ends_its_run(name, converse):
    settings = load_agent(name)
    assert settings.simulated
    msgspec.convert(settings.simulation or {}, Persona)
    run = converse(**(settings.simulation or {}))
    assert isinstance(run.run(turns=200), AnswerAction)


def test_the_default_agent_is_the_default_persona():
    assert msgspec.convert(_persona("simulated"), Persona) == Persona()


def test_the_stubborn_one_searches_longest_and_the_hasty_one_least(converse):
    hasty, default, stubborn = (
        _searches(converse, name) for name in ("simulated-hasty", "simulated", "simulated-stubborn")
    )
    assert hasty < default < stubborn


def test_a_pickier_agent_opens_less(converse):
    def browses(pickiness: float) -> int:
        return sum(converse(seed=seed, pickiness=pickiness).finished().browses() for seed in range(15))

    assert browses(1.6) < browses(0.6)


def test_a_personality_with_an_unknown_or_impossible_trait_is_refused(tmp_path):
    path = tmp_path / "odd.yaml"
    for trait in ("credulity", "temper"):
        path.write_text(f"model: sim/odd\nsimulation: {{{trait}: 2}}\n")
        with pytest.raises(InputError, match=trait):
            load_agent(str(path)).resolved()
