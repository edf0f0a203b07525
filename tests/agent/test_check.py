import pytest

from lrat_sim.agent.check import check_agent
from lrat_sim.agent.profile import AgentSettings


def states(settings):
    return {check.what: check.state for check in check_agent(settings)}


def test_the_simulated_agent_passes():
    assert set(states(AgentSettings(model="sim/default")).values()) == {"ok"}


def test_a_good_endpoint_of_a_known_model_passes(scripted):
    def answer(request, number):
        message = scripted.says("Exact Answer: Maren Oxley", "Found.")
        if number == 0:
            message = scripted.calls(("search", {"query": "Brindle Lighthouse"}), reasoning="Search.")
        return scripted.Reply(scripted.body(message, model="gpt-4o-mini"))

    with scripted.Server(answer) as server:
        found = states(AgentSettings(model="openai/gpt-4o-mini", base_url=server.url))
    assert set(found.values()) == {"ok"}


def test_what_an_endpoint_lacks_is_named(scripted):
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("Maren Oxley")))) as server:
        found = states(AgentSettings(model="hosted_vllm/m", base_url=server.url))
    assert found == {
        "endpoint": "ok",
        "tool calls": "fail",
        "reasoning": "warn",
        "context window": "warn",
        "price": "warn",
    }


@pytest.mark.parametrize("status", [401, 404])
def test_an_endpoint_that_refuses_fails_and_says_why(scripted, status):
    reply = scripted.Reply({"error": {"message": "not for you"}}, status=status)
    with scripted.Server(lambda *_: reply) as server:
        checks = check_agent(AgentSettings(model="hosted_vllm/m", base_url=server.url))
    assert (checks[0].what, checks[0].state) == ("endpoint", "fail")
    assert "not for you" in checks[0].detail
