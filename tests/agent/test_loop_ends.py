"""How a run ends: messages that are cut off, withheld or too many, models and retrievers that fail, limits."""

import asyncio
import json

import pytest
from litellm.llms.custom_llm import CustomLLMError

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, Limits
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.agent.tools import MOST_ANSWERED, MOST_CALLS, TOOLS
from lrat_sim.models.call import Retries
from lrat_sim.records import Task, Usage

TASK = Task(id="q1", question="Where was the designer of Brindle Lighthouse born?", answers=["Thornmouth"])
TEXT = "Explanation: [2].\nExact Answer: Thornmouth\nConfidence: 90%"
FINAL = {"content": TEXT}
HALF = {"content": "The engineer was born in Thornm", "finish_reason": "length"}


def native(*arguments, **fields):
    calls = [{"id": "", "function": {"name": "search", "arguments": each}} for each in arguments]
    return {"content": None, "tool_calls": calls, **fields}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_half_a_text_is_no_answer_and_the_model_is_told(voice, protocol):
    form = {"tools": "{}", "tagged": "<answer>{}</answer>", "react": "Final Answer: {}"}[protocol]
    run, requests = voice(HALF, {"content": form.format(TEXT)}, protocol=protocol)
    assert (run.status, run.end_reason, run.answer) == ("answered", "answer", "Thornmouth")
    assert "cut off" in requests[1].messages[-1]["content"]
    assert [turn.finish_reason for turn in run.turns] == ["length", "stop"]
    run, requests = voice(HALF, protocol=protocol)
    assert (run.status, run.end_reason, run.answer, len(requests)) == ("unanswered", "length", None, 4)


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS"])
def test_an_answer_that_was_complete_before_the_cut_counts(voice, reason):
    said = {"content": "Exact Answer: Thornmouth\nConfid", "finish_reason": reason}
    assert (voice(said)[0].answer, voice(said)[0].end_reason) == ("Thornmouth", "answer")
    for text in ("Exact Answer: Thornm", "Exact Answer:\nThornm"):
        assert voice({"content": text, "finish_reason": reason})[0].answer is None


def test_a_call_that_was_cut_off_does_not_run_but_those_before_it_do(voice):
    run, _ = voice(native('{"query": "salt"}', '{"query": "engin', finish_reason="length"), FINAL)
    whole, half = run.turns[0].calls
    assert (whole.executed, half.executed) == ({"query": "salt"}, None)
    assert "cut off" in half.error
    run, _ = voice(native('{"query": "salt"}', finish_reason="length"), FINAL)
    assert run.turns[0].calls[0].executed
    text = {"content": "<tool_call><function=search><parameter=query>engin", "finish_reason": "length"}
    run, requests = voice(text)
    assert not any(call.executed for turn in run.turns for call in turn.calls)
    assert (run.status, run.end_reason, len(requests)) == ("unanswered", "length", 4)


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "prohibited_content"])
def test_a_message_that_was_withheld_is_not_the_agent_giving_up(voice, reason):
    run, _ = voice({"content": "", "finish_reason": reason})
    assert (run.status, run.end_reason, run.turns[0].finish_reason) == ("unanswered", "content_filter", reason)
    run, _ = voice(native('{"query": "salt"}', finish_reason=reason))
    assert run.turns[0].calls[0].executed is None
    run, _ = voice(native('{"query": "salt"}'), {"content": "", "finish_reason": reason}, limits={"turns": 1})
    assert (run.status, run.end_reason) == ("unanswered", "content_filter")


def test_of_thousands_of_calls_few_run_and_few_are_recorded_and_the_record_says_so(voice):
    run, requests = voice(native(*(f'{{"query": "q{n}"}}' for n in range(3000))), FINAL)
    calls = run.turns[0].calls
    assert (len(calls), sum(call.executed is not None for call in calls)) == (MOST_ANSWERED, MOST_CALLS)
    assert f"the {3000 - MOST_ANSWERED:,} calls after it were dropped" in calls[-1].error
    assert len(requests[1].messages[2]["tool_calls"]) == MOST_ANSWERED


def test_unknown_usage_makes_sums_unknown_and_limits_go_by_estimates(voice):
    search = native('{"query": "salt"}', usage=Usage())
    run, _ = voice(search, FINAL)
    assert (run.usage, run.turns[0].usage.tokens) == (Usage(), None)
    run, _ = voice(search, limits={"tokens": 1500, "turns": 50})
    assert (run.end_reason, len(run.turns) < 20) == ("token_limit", True)


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(scripted):
    """Runs the task against a script, through the client; the trajectory, and the conversations that were sent."""

    def go(*messages, retriever=None):
        seen = []
        script = scripted.in_turn(*messages)
        scripted.provide(lambda sent, parameters: seen.append(json.dumps(sent)) or script(sent, parameters))
        agent = AgentSettings(model="scripted/x", retries=Retries(attempts=1), limits=Limits(k=2, turns=6))
        return asyncio.run(run_task(TASK, agent, retriever or scripted.Tiny())), seen

    return go


def test_a_full_context_ends_by_its_limit_and_leaves_room_for_an_answer(run, scripted):
    overflow = CustomLLMError(400, "This model's maximum context length is 50 tokens")
    search = scripted.calls(("search", {"query": "salt"}))
    trajectory, seen = run(search, overflow, scripted.says(TEXT))
    assert (trajectory.status, trajectory.end_reason) == ("answered", "token_limit")
    assert "Harbour" in seen[1]
    assert "Harbour" not in seen[2]
    assert "Harbour" in trajectory.turns[0].calls[0].output


def test_a_context_that_stays_full_is_unanswered_not_an_error(run):
    trajectory, _ = run(CustomLLMError(400, "This model's maximum context length is 5 tokens"))
    assert (trajectory.status, trajectory.end_reason, trajectory.error) == ("unanswered", "token_limit", None)


def test_giving_up_is_unanswered(voice):
    run, _ = voice({"content": "Explanation: nothing.\nExact Answer:\nConfidence: 0%"})
    assert (run.status, run.end_reason, run.answer) == ("unanswered", "gave_up", None)


def test_a_failed_model_is_an_error_of_its_boundary_and_keeps_the_turns(run, scripted):
    trajectory, _ = run(scripted.calls(("search", {"query": "salt"})), CustomLLMError(401, "who are you?"))
    assert (trajectory.status, trajectory.end_reason, trajectory.error.boundary) == ("error", "error", "model")
    assert "who are you?" in trajectory.error.message
    assert len(trajectory.turns) == 1
    assert [attempt["status"] for attempt in trajectory.extra["attempts"]] == [401]


def test_a_failed_retriever_is_an_error_of_its_boundary_and_keeps_the_turn(run, scripted):
    trajectory, _ = run(
        scripted.calls(("search", {"query": "salt"}), reasoning="Try."), retriever=scripted.Tiny(broken="gone")
    )
    assert (trajectory.status, trajectory.error.boundary) == ("error", "retriever")
    assert trajectory.turns[0].reasoning == "Try."
    assert "gone" in trajectory.turns[0].calls[0].error


def test_a_run_without_plan_is_an_error_of_its_task(scripted):
    trajectory = asyncio.run(run_task(TASK, AgentSettings(model="sim/default"), scripted.Tiny()))
    assert (trajectory.status, trajectory.error.boundary) == ("error", "task")


@pytest.fixture
def over_http(scripted):
    """Runs the task against a server that answers so; the trajectory and the requests."""

    def go(answer, model="openai/m", **limits):
        with scripted.Server(answer) as server:
            agent = AgentSettings(model=model, base_url=server.url, limits=Limits(**limits))
            return asyncio.run(run_task(TASK, agent, scripted.Tiny())), server.requests

    return go


def test_the_cost_limit_counts_the_price_of_every_call(scripted, over_http):
    def answer(request, _):
        forced, search = request.get("tool_choice") == "none", scripted.calls(("search", {"query": "salt"}))
        return scripted.Reply(scripted.body(scripted.says(TEXT) if forced else search, model="gpt-4o-mini"))

    trajectory, _ = over_http(answer, "openai/gpt-4o-mini", cost=1e-5)
    assert (trajectory.status, trajectory.end_reason) == ("answered", "cost_limit")
    assert trajectory.usage.cost == pytest.approx(4.5e-6 * len(trajectory.turns))
    assert len(trajectory.turns) == 4


def test_a_model_that_hangs_meets_the_time_limit(scripted, over_http):
    def answer(request, number):
        if request.get("tool_choice") != "none":
            return scripted.Reply(hang=60)
        return scripted.Reply(scripted.body(scripted.says(TEXT)))

    trajectory, _ = over_http(answer, seconds=0.5)
    assert (trajectory.status, trajectory.end_reason) == ("answered", "time_limit")
    assert len(trajectory.extra["attempts"]) == 1
    assert trajectory.seconds < 30


@pytest.mark.parametrize(
    "message", ["Unknown parameter: 'tool_choice'.", "m does not support parameters: ['tool_choice'], for model=m"]
)
def test_where_the_choice_of_tools_is_refused_the_message_alone_asks_for_the_answer(scripted, over_http, message):
    def answer(request, number):
        if "tool_choice" in request:
            return scripted.Reply({"error": {"message": message, "type": "invalid_request_error"}}, status=400)
        forced = request["messages"][-1]["role"] == "user" and number
        said = scripted.says(TEXT) if forced else scripted.calls(("search", {"query": "Brindle Lighthouse"}))
        return scripted.Reply(scripted.body(said))

    trajectory, requests = over_http(answer, k=2, turns=2)
    assert (trajectory.status, trajectory.end_reason, trajectory.answer) == ("answered", "turn_limit", "Thornmouth")
    assert [each["status"] for each in trajectory.extra["attempts"]] == [400]
    refused, answered = requests[-2:]
    assert refused["tool_choice"] == "none"
    assert answered == {name: value for name, value in refused.items() if name != "tool_choice"}
    assert answered["tools"] == TOOLS, "a conversation with calls is refused by some without them"


def test_another_refusal_of_the_call_for_an_answer_is_an_error(scripted, over_http):
    def answer(request, _):
        if "tool_choice" in request:
            return scripted.Reply({"error": {"message": "Invalid value for 'temperature'."}}, status=400)
        return scripted.Reply(scripted.body(scripted.calls(("search", {"query": "Brindle Lighthouse"}))))

    trajectory, requests = over_http(answer, k=2, turns=1)
    assert (trajectory.status, trajectory.error.boundary) == ("error", "model")
    assert len(requests) == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_call_where_an_answer_was_demanded_is_refused_once_and_then_text_counts(voice, protocol):
    call = {
        "tools": native('{"query": "salt"}'),
        "tagged": {"content": '<tool_call>{"name": "search", "arguments": {"query": "salt"}}</tool_call>'},
        "react": {"content": 'Action: search\nAction Input: {"query": "salt"}'},
    }[protocol]
    run, requests = voice(call, call, FINAL, protocol=protocol, limits={"turns": 1})
    assert (run.status, run.end_reason, run.answer, run.is_forced) == ("answered", "turn_limit", "Thornmouth", True)
    assert [[call.executed is not None for call in turn.calls] for turn in run.turns] == [[True], [False], []]
    demanded, again = (json.dumps(request.messages) for request in requests[1:])
    assert "no calls are run any more" in run.turns[1].calls[0].error
    assert ("no calls are run any more" in demanded, "no calls are run any more" in again) == (False, True)
    assert requests[2].messages[: len(requests[1].messages)] == requests[1].messages  # only ever appended to
    run, requests = voice(call, protocol=protocol, limits={"turns": 1})  # which goes on calling
    assert (run.status, run.end_reason, len(requests)) == ("unanswered", "turn_limit", 3)


def test_an_answer_stated_beside_a_second_call_counts_and_other_text_does_not(voice):
    call = native('{"query": "salt"}')
    run, _ = voice(call, call, {**call, "content": "Exact Answer: Thornmouth"}, limits={"turns": 1})
    assert (run.status, run.end_reason, run.answer) == ("answered", "turn_limit", "Thornmouth")
    assert voice(call, call, {**call, "content": "Let me look."}, limits={"turns": 1})[0].answer is None
