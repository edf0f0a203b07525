import json

import pytest

from lrat_sim.agent.check import check_agent
from lrat_sim.agent.profile import AgentSettings, load_agent

FINAL = "Exact Answer: Maren Oxley"


def checked(settings):
    return {check.what: check for check in check_agent(settings)}


@pytest.fixture
def check(scripted):
    """Checks an agent whose model says one message after the other in a conversation, the last for ever."""

    def run(*messages, profile="openai-tools", **settings):
        def answer(request, _):
            turn = sum(message["role"] == "assistant" for message in request["messages"])
            return scripted.Reply(scripted.body(messages[min(turn, len(messages) - 1)], model="gpt-4o-mini"))

        with scripted.Server(answer) as server:
            return checked(load_agent(profile, {"model": "hosted_vllm/m", "base_url": server.url, **settings}))

    return run


def test_the_simulated_agent_passes():
    assert {check.state for check in checked(AgentSettings(model="sim/default")).values()} == {"ok"}


def test_a_good_endpoint_of_a_known_model_passes(scripted, check):
    search = scripted.calls(("search", {"query": "Brindle Lighthouse"}), reasoning="Search.")
    found = check(search, scripted.says(FINAL, "Found."), model="openai/gpt-4o-mini")
    assert {check.state for check in found.values()} == {"ok"}
    assert found["protocol"].detail == "tools"
    assert "1 of 1" in found["tool calls"].detail
    assert "in reasoning_content" in found["reasoning"].detail
    assert "Maren Oxley" in found["answer"].detail
    assert "128,000 tokens, as litellm knows" in found["context window"].detail
    assert "US$ 0.15 a million tokens sent, 0.6 written, 0.075 from its cache" in found["price"].detail


def test_what_an_endpoint_lacks_is_named(scripted, check):
    found = check(scripted.says("Maren Oxley"))
    states = {what: check.state for what, check in found.items()}
    warned = dict.fromkeys(("protocol", "reasoning", "context window", "price"), "warn")
    assert states == {"endpoint": "ok", "tool calls": "fail", "answer": "ok", **warned}
    assert "--enable-auto-tool-choice" in found["tool calls"].detail
    assert "'Maren Oxley'" in found["tool calls"].detail
    assert "by tagged no call came; by react no call came" in found["protocol"].detail
    assert "--reasoning-parser" in found["reasoning"].detail
    assert "window" in found["context window"].detail


def test_a_protocol_by_which_calls_come_is_named(scripted):
    def answer(request, _):
        if "Thought:" in request["messages"][0]["content"]:
            return scripted.Reply(scripted.body(scripted.says("Thought: I look.\nAction: search[lighthouse]")))
        return scripted.Reply(scripted.body(scripted.says(FINAL)))

    with scripted.Server(answer) as server:
        settings = AgentSettings(model="hosted_vllm/m", base_url=server.url)
        found = checked(settings)
        detail = found["protocol"].detail
        named = dict(word.split("=") for word in detail.split("set ")[1].split())
        assert found["tool calls"].state == "fail"
        assert "by tagged no call came" in detail
        works = load_agent("openai-tools", {"model": "hosted_vllm/m", "base_url": server.url, **named})
        assert checked(works)["protocol"].state == "ok"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("webexplorer", '<think>Hm.</think><tool_call>{"name": "search", "arguments": {"queries": ["x"]}}</tool_call>'),
        ("react-text", "Thought: Look.\nAction: search\nAction Input: x"),
    ],
)  # fmt: skip
def test_calls_in_the_text_are_those_of_their_protocol(scripted, check, name, text):
    final = f"<answer>{FINAL}</answer>" if "<" in text else f"Thought: Found.\nFinal Answer: {FINAL}"
    found = check(scripted.says(text), scripted.says(final), profile=name)
    assert [found[what].state for what in ("protocol", "tool calls", "reasoning", "answer")] == ["ok"] * 4
    assert "as the profile says" in found["context window"].detail


def test_calls_that_a_server_left_in_the_text_are_a_warning_that_names_the_remedy(scripted, check):
    left = f"<tool_call>{json.dumps({'name': 'search', 'arguments': {'query': 'x'}})}</tool_call>"
    channels = '<|channel|>commentary to=functions.search <|constrain|>json<|message|>{"query": "x"}<|call|>'
    for text in (left, channels):
        found = check(scripted.says(text), scripted.says(FINAL))
        assert found["tool calls"].state == "warn"
        assert "--tool-call-parser" in found["tool calls"].detail


def test_a_call_that_could_not_run_is_shown_with_its_problem(scripted, check):
    found = check(scripted.calls(("search", {"query": "x"}), ("fly", {})), scripted.says(FINAL))
    assert found["tool calls"].state == "warn"
    assert "1 of 2" in found["tool calls"].detail
    assert "fly" in found["tool calls"].detail


@pytest.mark.parametrize(
    ("field", "value"),
    [("reasoning", "Search."), ("reasoning_details", [{"type": "reasoning.text", "text": "Search."}])],
)
def test_reasoning_that_goes_back_in_another_field_than_it_came_is_a_warning(scripted, check, field, value):
    search = {**scripted.calls(("search", {"query": "x"})), field: value}
    for back, state in (("reasoning_content", "warn"), (field, "ok"), ("no", "ok")):
        reasoning = check(search, scripted.says(FINAL), pass_reasoning=back)["reasoning"]
        assert reasoning.state == state
        assert f"in {field}" in reasoning.detail
        assert (f"set pass_reasoning={field}" in reasoning.detail) == (state == "warn")


def test_a_wrong_answer_and_none_are_warnings(scripted, check):
    search = scripted.calls(("search", {"query": "x"}))
    for text, told in (("Exact Answer: Nobody", "which its page says"), ("Exact Answer: unknown", "gave_up")):
        found = check(search, scripted.says(text))
        assert found["answer"].state == "warn"
        assert told in found["answer"].detail


@pytest.mark.parametrize("status", [401, 404])
def test_an_endpoint_that_refuses_fails_and_says_why(scripted, status):
    reply = scripted.Reply({"error": {"message": "not for you"}}, status=status)
    with scripted.Server(lambda *_: reply) as server:
        checks = check_agent(AgentSettings(model="hosted_vllm/m", base_url=server.url))
    assert (checks[0].what, checks[0].state) == ("endpoint", "fail")
    assert "not for you" in checks[0].detail


def test_its_connections_are_closed(scripted, check, monkeypatch):
    from lrat_sim.models import openai_model

    clients = []
    plain = openai_model.openai_client
    monkeypatch.setattr(openai_model, "openai_client", lambda *given: clients.append(plain(*given)) or clients[-1])
    check(scripted.calls(("search", {"query": "x"})), scripted.says(FINAL, "Found."), model="openai/m")
    assert clients
    assert all(client.is_closed() for client in clients)
