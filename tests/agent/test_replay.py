"""Each profile against a server that behaves as its family's is documented to, faults included; what goes back."""

import asyncio
import json
from itertools import pairwise

import pytest
import shapes

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import load_agent
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.catalog import names
from lrat_sim.models.client import close_connections
from lrat_sim.records import Task

TASK = Task(id="q1", question="Who designed Brindle Lighthouse?", answers=["Maren Oxley"])
PROFILES = [name for name in names("agents") if not name.startswith("simulated")]
CHAT = [name for name in PROFILES if name in shapes.SHAPES]  # the others are in test_responses.py
NATIVE = [name for name in PROFILES if load_agent(name).protocol == "tools"]
FIELDS = ("reasoning", "reasoning_content", "reasoning_details")


@pytest.fixture
def replay(scripted, monkeypatch):
    """Runs a profile against a server that says one message after the other, the last one for ever."""
    monkeypatch.setenv("SOME_KEY", "k")

    def play(name, said, samples=(0,), **changed):
        replies = [scripted.Reply(scripted.body(message)) for message in said]
        turns = len(replies) if len(samples) > 1 else 1 << 30
        with scripted.Server(lambda _, number: replies[min(number % turns, len(replies) - 1)]) as server:
            agent = load_agent(
                name, {"base_url": server.url, "key_env": "SOME_KEY", "retries.attempts": 1, "api": "chat", **changed}
            )
            return asyncio.run(ran(agent, samples)), server

    async def ran(agent, samples):
        try:
            for sample in samples:
                run = await run_task(TASK, agent, scripted.Tiny(), sample=sample)
            return run
        finally:
            await close_connections()

    return play


def reasoning_field(name):
    """Where the servers of a profile give reasoning: where they want it back, or vLLM's field."""
    back = load_agent(name).pass_reasoning
    return back if back in FIELDS else "reasoning"


CASES = [(name, fault) for name in NATIVE for fault in shapes.faults(name, reasoning_field(name))]


@pytest.mark.parametrize(("name", "fault"), CASES, ids=[f"{name}: {fault}" for name, fault in CASES])
def test_a_servers_faults_end_in_an_answer_and_go_back_mended(replay, name, fault):
    said = shapes.messages(shapes.faults(name, reasoning_field(name))[fault], TASK.question, "1")

    run, server = replay(name, said)

    assert (run.status, run.end_reason, run.answer) == ("answered", "answer", shapes.EXACT), run.error
    search, browse = run.calls()
    assert (search.executed, browse.executed) == ({"query": TASK.question}, {"docid": "1"})
    assert [turn.reasoning.strip() for turn in run.turns] == shapes.THOUGHTS
    _, _, first, shown, second, opened = server.requests[2]["messages"]
    for message, output, call, thought, own in (
        (first, shown, search, shapes.FIRST, said[0]),
        (second, opened, browse, shapes.SECOND, said[1]),
    ):
        (asked,) = message["tool_calls"]
        assert asked["function"]["name"] == {search.id: "search", browse.id: "get_document"}[asked["id"]]
        assert json.loads(asked["function"]["arguments"]) == call.executed
        assert (output["role"], output["tool_call_id"], output["content"]) == ("tool", asked["id"], call.output)
        assert asked["id"] == own.get("tool_calls", [{"id": call.id}])[0]["id"]
        back = load_agent(name).pass_reasoning
        if back == "inline":
            assert message["content"] == f"<think>\n{thought}\n</think>\n\n"
        else:
            assert json.dumps(message[back]).count(thought) == 1
            assert message.get("content", "").strip() == "", (
                "null is refused by some servers, and printed as None by others"
            )
        assert not {*FIELDS} - {back} & message.keys()


@pytest.mark.parametrize(("setting", "content"), [("auto", ""), ("empty", ""), ("none", None)])
def test_the_content_of_a_turn_of_calls_alone_is_what_the_profile_says(replay, setting, content):
    said = shapes.messages(shapes.faults("gpt-oss", "reasoning")["null content"], TASK.question, "1")
    own = {"model": "openai/gpt-oss-120b"}  # a server of one's own, without litellm between
    _, server = replay("gpt-oss", said, empty_content=setting, **own)
    assert [each["content"] for each in server.requests[2]["messages"] if each["role"] == "assistant"] == [content] * 2


@pytest.mark.parametrize("name", CHAT)
def test_each_request_of_a_rollout_extends_the_one_before(replay, scripted, name):
    agent = load_agent(name)
    search, browse, _ = shapes.messages(shapes.SHAPES[name], TASK.question, "1")
    again = json.loads(json.dumps(search).replace(TASK.question, "harbour tolls"))
    lost = scripted.says("<tool_call>search the salt</tool_call>" if agent.protocol == "tools" else "I wonder.")

    run, server = replay(name, [search, browse, lost, again, lost, browse, again], **{"limits.turns": 6})

    assert (run.end_reason, len(server.requests)) == (
        "turn_limit",
        8,
    )  # a call is refused once where an answer was demanded
    prompts = [request["messages"] for request in server.requests]
    kept = [thought for thought in shapes.THOUGHTS[:2] if thought in json.dumps(prompts[2])]
    assert kept == ([] if name in shapes.SILENT else shapes.THOUGHTS[:2]), "reasoning returns between tool calls"
    for number, (before, after) in enumerate(pairwise(prompts)):
        if agent.finished_reasoning == "drop" and number in (2, 4, 5, 6):  # a message of ours, at which reasoning goes
            before = list(map(PROTOCOLS[agent.protocol].without_reasoning, before))
            assert after[: len(before)] == before
            assert not any({*FIELDS} & message.keys() for message in after)
            continue
        *whole, last = before
        assert after[: len(whole)] == whole
        grown = after[len(whole)]
        # a request of ours goes into the last message where that is the user's
        assert grown == last or (last["role"] == "user" and grown["content"].startswith(last["content"]))
    for field in ("model", "tools"):
        assert len({json.dumps(request.get(field)) for request in server.requests}) == 1


@pytest.mark.parametrize("name", CHAT)
def test_all_calls_of_a_rollout_carry_one_id_of_their_own(replay, name):
    said = shapes.messages(shapes.SHAPES[name], TASK.question, "1")
    _, server = replay(name, said, samples=(0, 0, 1))
    ids = [headers["x-session-id"] for headers in server.headers]
    assert ids == [ids[0]] * 6 + [ids[6]] * 3
    assert ids[0] != ids[6]
    assert all("extra_headers" not in request for request in server.requests)
