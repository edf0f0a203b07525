"""The agents beside the loop: one search and one answer, or an answer alone."""

import asyncio

import pytest

from lrat_sim.agent.estimate import estimate
from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.errors import InputError
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.openai import record_of
from lrat_sim.grading.metrics import measure
from lrat_sim.models.call import ContextOverflow
from lrat_sim.records import Hop, Plan, Task

FINAL = "Explanation: [2] says so.\nExact Answer: Thornmouth\nConfidence: 90%"
QUESTION = "Where was the designer of Brindle Lighthouse born?"
PROTOCOLS = pytest.mark.parametrize("protocol", ["tools", "tagged", "react"])


@PROTOCOLS
def test_rag_ranks_once_and_asks_once_with_the_passages_below_the_question(voice, scripted, protocol):
    retriever = scripted.Tiny()
    run, requests = voice(
        scripted.says(FINAL, "The second."),
        harness="rag",
        protocol=protocol,
        prompt="search-agent",
        retriever=retriever,
    )
    assert (run.status, run.end_reason, run.answer) == ("answered", "answer", "Thornmouth")
    (request,) = requests
    system, user = request.messages
    assert (request.tools, request.tool_choice) == (None, None)
    assert "passages that a search for it found" in system["content"]
    searched, answered = run.turns
    (call,) = searched.calls
    assert user == {"role": "user", "content": f"{QUESTION}\n\n{call.output}"}
    assert retriever.searches == [QUESTION]
    assert (call.executed, [hit.rank for hit in call.hits]) == ({"query": QUESTION}, [1, 2])
    assert "She drew. " * 60 in call.output, "a passage is as long as an opened document"
    assert (searched.reasoning, searched.attempts, searched.usage.tokens) == (None, [], 0)
    assert (answered.reasoning, answered.calls) == ("The second.", [])
    (row,) = measure([run], [Task(id="q1", question=QUESTION, evidence=["2", "3"])], {})
    assert (row.values["evidence_recall"], row.values["evidence_opened"], row.values["steps"]) == (0.5, 0.0, 1)
    roles = [message["role"] for message in record_of(Entry(trajectory=run))["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]


@PROTOCOLS
def test_closed_book_asks_once_and_searches_nothing(voice, scripted, protocol):
    retriever = scripted.Tiny()
    run, (request,) = voice(
        scripted.says(FINAL), harness="closed-book", protocol=protocol, prompt="search-agent", retriever=retriever
    )
    assert (run.status, run.answer, len(run.turns), list(run.calls())) == ("answered", "Thornmouth", 1, [])
    assert [message["content"] for message in request.messages][1:] == [QUESTION]
    assert "from what you know" in request.messages[0]["content"]
    assert (request.tools, retriever.searches) == (None, [])


@pytest.mark.parametrize("harness", ["rag", "closed-book"])
def test_it_ends_as_any_run_does(voice, scripted, harness):
    def ended(*messages, **settings):
        run, requests = voice(*messages, harness=harness, **settings)
        return run.status, run.end_reason, run.answer, len(requests)

    assert ended(scripted.says("I could not find the answer.")) == ("unanswered", "gave_up", None, 1)
    assert ended({**scripted.says("Explanation: it"), "finish_reason": "length"})[:3] == ("unanswered", "length", None)
    refused = {**scripted.says(""), "finish_reason": "content_filter"}
    assert ended(refused)[:3] == ("unanswered", "content_filter", None)
    assert ended(ContextOverflow("too long", attempts=[]))[:3] == ("unanswered", "token_limit", None)
    assert ended(scripted.calls(("search", {"query": "x"})))[:3] == ("unanswered", "gave_up", None)


def test_a_retriever_that_fails_breaks_rag_and_not_closed_book(voice, scripted):
    def run(harness):
        return voice(scripted.says(FINAL), harness=harness, retriever=scripted.Tiny(broken="the index burnt"))[0]

    assert (run("rag").status, run("rag").error.boundary) == ("error", "retriever")
    assert run("closed-book").answer == "Thornmouth"


def test_the_harness_is_a_field_of_any_profile():
    loop = load_agent("openai-tools")
    rag = load_agent("rag=openai-tools:harness=rag,limits.k=5", {"limits.k": 3, "limits.turns": 9})
    assert (rag.name, rag.harness, rag.limits.k, rag.limits.turns) == ("rag", "rag", 5, 9)
    assert load_agent("openai-tools:harness=rag").name == "openai-tools:harness=rag"
    assert load_agent("openai-tools:tools=[search, get_section],limits.k=2").tools == ("search", "get_section")
    assert len({agent.describe()["fingerprint"] for agent in (loop, rag, load_agent("openai-tools:limits.k=5"))}) == 3
    own = AgentSettings(model="m/x", harness="rag", prompt="Read this.\nAnswer.\n").resolved()
    assert own.prompt == "Read this.\nAnswer.\n"
    assert rag.resolved().resolved() == rag.resolved(), "a recorded agent is the same again"
    with pytest.raises(InputError, match="harness"):
        load_agent("openai-tools:harness=swarm")
    with pytest.raises(InputError, match="'rag' where an option should stand"):
        load_agent("openai-tools:rag")


def test_an_estimate_counts_one_call_and_its_passages():
    tasks = [Task(id="q1", question=QUESTION)]
    calls = {}
    for harness in ("loop", "rag", "closed-book"):
        agent = AgentSettings(model="m/x", harness=harness, name=harness)
        made = estimate(agent, tasks)
        calls[harness] = (made.run.calls, made.at_limit.calls, round(made.run.prompt_tokens))
    assert [count for *count, _ in calls.values()] == [[30, 51], [1, 1], [1, 1]]
    assert 5_000 < calls["rag"][2] - calls["closed-book"][2] < 6_000, "ten passages of 512 tokens"


# --- the simulated agent ----------------------------------------------------------------------------------------------

PLAN = Plan(
    hops=[
        Hop(subject="Brindle Lighthouse", relation="designer", object="Maren Oxley"),
        Hop(subject="#1", relation="place of birth", object="Thornmouth"),
    ]
)
SURE = {"credulity": 0.0, "misreading": 0.0, "bluff": 0.0}


@pytest.fixture
def simulate(scripted):
    def go(harness, k=4, **persona):
        agent = AgentSettings(model="sim/x", harness=harness, simulation={**SURE, **persona}, limits={"k": k})
        # the passage of the second hop stands before that of the first
        retriever = scripted.Tiny(scripted.DOCUMENTS[::-1])
        task = Task(id="q1", question="Of whom was Maren Oxley born, and where did she draw?", plan=PLAN)
        return asyncio.run(run_task(task, agent, retriever))

    return go


def test_the_simulated_agent_reads_the_passages_that_it_is_given_and_no_others(simulate):
    whole, one = simulate("rag"), simulate("rag", k=1)
    assert next(whole.calls()).hits[0].docid == "2", "which is about the hop that comes second"
    assert (whole.status, whole.answer) == ("answered", "Thornmouth")
    assert (one.status, one.answer) == ("unanswered", None)


def test_the_simulated_agent_knows_nothing_by_heart(simulate):
    run = simulate("closed-book")
    assert (run.status, run.answer, run.end_reason) == ("unanswered", None, "gave_up")
    assert "Thornmouth" not in (run.turns[0].text or "")
