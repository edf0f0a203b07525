import asyncio
import io
import json

import msgspec
import pytest
import yaml
from rich.console import Console

from lrat_sim import catalog
from lrat_sim.agent.estimate import STEPS, estimate, print_dry_run
from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, Limits, Sampling, load_agent, profile_yaml
from lrat_sim.errors import InputError
from lrat_sim.models.budget import Price
from lrat_sim.records import Task
from lrat_sim.text import count_tokens, first_tokens

TASKS = [Task(id=f"t{number}", question="Where was the designer of the lighthouse born?") for number in range(10)]


def agent(**settings):
    return AgentSettings(**{"model": "openai/gpt-4o-mini", "window": 10**7, **settings})


def test_the_prompt_grows_by_what_each_turn_adds():
    three = estimate(agent(limits=Limits(turns=3)), TASKS).run
    two = estimate(agent(limits=Limits(turns=2)), TASKS).run
    one = estimate(agent(limits=Limits(turns=1)), TASKS).run
    assert (one.calls, two.calls, three.calls) == (2, 3, 4)
    growth = (three.prompt_tokens - two.prompt_tokens) - (two.prompt_tokens - one.prompt_tokens)
    reasoning, call, output = 150, 30, (15 + 10 * 74 + 0.25 * (15 + 512)) / 1.25
    assert growth == pytest.approx(reasoning + call + output)
    settings = agent().resolved()
    beside = json.dumps(settings.tool_protocol.tools)
    start = sum(map(count_tokens, (settings.prompt, beside, TASKS[0].question)))
    request = count_tokens(settings.answer_prompt)
    assert three.prompt_tokens == pytest.approx(4 * start + (1 + 2 + 3) * growth + request)
    assert three.completion_tokens == 3 * (reasoning + call) + reasoning + 150


def test_the_estimate_is_that_of_a_run_of_such_sizes(scripted):
    """A loop whose model writes just the assumed number of tokens sends what the formula says."""
    word = "harbour "
    filled = {"text": first_tokens(word * 2000, 1000)}
    documents = [
        scripted.Document(id=f"{number}{number}{number}", title=word * 4, text=filled["text"]) for number in range(10)
    ]
    counted = []

    def answer(messages, parameters):
        counted.append(sum(_size(message) for message in messages) + count_tokens(json.dumps(parameters["tools"])))
        turn = sum(message["role"] == "assistant" for message in messages)
        if turn == 20:
            return scripted.says(word * 150, reasoning=word * 150)
        if turn % 5 == 4:
            return scripted.calls(("get_document", {"docid": "111"}), reasoning=word * 150)
        return scripted.calls(("search", {"query": word * 22}), reasoning=word * 150)

    scripted.provide(answer)
    settings = AgentSettings(model="scripted/x", limits=Limits(turns=20))
    run = asyncio.run(run_task(TASKS[0], settings, scripted.Tiny(documents)))
    assert len(run.turns) == 21
    expected = estimate(settings, TASKS[:1])
    assert sum(counted) == pytest.approx(expected.at_limit.prompt_tokens, rel=0.05)
    assert len(counted) == expected.at_limit.calls


def _size(message):
    calls = "".join(
        f"{call['function']['name']} {call['function']['arguments']}" for call in message.get("tool_calls", [])
    )
    return sum(map(count_tokens, (message.get("content") or "", message.get("reasoning_content") or "", calls)))


def test_typical_runs_and_those_at_the_limit_differ_by_their_turns():
    estimated = estimate(agent(limits=Limits(turns=100)), TASKS, samples=4)
    assert estimated.runs == 40
    assert (estimated.run.calls, estimated.typical.calls) == (STEPS + 1, 40 * (STEPS + 1))
    assert estimated.at_limit.calls == 40 * 101
    assert estimated.at_limit.prompt_tokens > 10 * estimated.typical.prompt_tokens / (STEPS / 10) ** 2


def test_a_window_a_token_limit_and_a_cost_limit_end_runs_earlier():
    free = estimate(agent(), TASKS).at_limit
    windowed = estimate(agent(window=16_000), TASKS).at_limit
    bounded = estimate(agent(limits=Limits(tokens=100_000)), TASKS).at_limit
    priced = estimate(agent(limits=Limits(cost=0.01)), TASKS).at_limit
    for cut in (windowed, bounded, priced):
        assert cut.calls < free.calls
    assert windowed.prompt_tokens / windowed.calls < 16_000
    # the answer that is then demanded comes on top
    assert 100_000 * 10 * 0.8 < bounded.prompt_tokens + bounded.completion_tokens < 100_000 * 10 * 1.2
    assert 0.01 * 10 * 0.8 < priced.cost < 0.01 * 10 * 1.3


def test_a_prompt_that_never_fits_is_one_call():
    assert estimate(agent(window=300), TASKS).run.calls == 1


def test_reasoning_that_is_not_passed_back_is_not_sent_again():
    back, not_back = (estimate(agent(pass_reasoning=how), TASKS).run for how in ("reasoning", "no"))
    assert back.prompt_tokens - not_back.prompt_tokens == pytest.approx(150 * STEPS * (STEPS + 1) / 2)
    assert back.completion_tokens == not_back.completion_tokens


def test_shorter_lists_and_answers_take_less():
    usual = estimate(agent(), TASKS).run
    assert estimate(agent(limits=Limits(k=1)), TASKS).run.prompt_tokens < usual.prompt_tokens / 2
    assert estimate(agent(sampling=Sampling(max_tokens=50)), TASKS).run.completion_tokens == 50 * (STEPS + 1)


def test_costs_come_from_the_price_with_and_without_the_cache():
    estimated = estimate(agent(), TASKS)
    run, price = estimated.run, estimated.price
    assert price == Price(0.15e-6, 0.6e-6, 0.075e-6)
    full = run.prompt_tokens * price.prompt + run.completion_tokens * price.completion
    assert run.cost == pytest.approx(full)
    assert run.cost_cached == pytest.approx(full - run.cached_tokens * (price.prompt - price.cached))
    assert run.cached_tokens < run.prompt_tokens


def test_an_unknown_price_is_no_cost_and_the_simulated_agent_costs_nothing():
    unknown = estimate(agent(model="hosted_vllm/m"), TASKS)
    assert (unknown.run.cost, unknown.typical.cost, unknown.run.cost_cached) == (None, None, None)
    assert any("price" in each for each in unknown.assumptions)
    assert estimate(AgentSettings(model="sim/default"), TASKS).typical.cost == 0


def test_nothing_to_run_is_refused():
    with pytest.raises(InputError, match="at least one task"):
        estimate(agent(), [])


@pytest.mark.parametrize("name", catalog.names("agents"))
def test_the_printed_profile_is_the_resolved_one_and_can_be_used_again(name, tmp_path):
    settings = load_agent(name)
    printed = yaml.safe_load(profile_yaml(settings))
    assert printed == settings.describe()
    path = tmp_path / f"{name}.yaml"
    path.write_text("\n".join(profile_yaml(settings).splitlines()[:-2]))
    assert load_agent(str(path)).describe() == settings.describe()


def test_a_dry_run_prints_profile_and_table_whatever_the_width():
    settings = load_agent("minimax-m2")
    out = io.StringIO()
    print_dry_run(settings, estimate(settings, TASKS, 4), Console(file=out, width=60))
    profile, _, table = out.getvalue().partition("40 runs")
    assert yaml.safe_load(profile) == msgspec.to_builtins(settings.describe())
    assert "cost" in table
    assert "29 tool calls" in table
