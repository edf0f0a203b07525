"""How a run ends where messages are cut off, withheld, too many, or come without their usage."""

import pytest

from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.agent.tools import MOST_ANSWERED, MOST_CALLS
from lrat_sim.records import Usage

FINAL = {"content": "Explanation: [2].\nExact Answer: Thornmouth\nConfidence: 90%"}
HALF = {"content": "The engineer was born in Thornm", "finish_reason": "length"}


def native(*arguments, **fields):
    calls = [{"id": "", "function": {"name": "search", "arguments": each}} for each in arguments]
    return {"content": None, "tool_calls": calls, **fields}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_half_a_text_is_no_answer_and_the_model_is_told(voice, protocol):
    run, requests = voice(
        HALF,
        FINAL
        if protocol == "tools"
        else {"content": f"<answer>{FINAL['content']}</answer>"}
        if protocol == "tagged"
        else {"content": f"Final Answer: {FINAL['content']}"},
        protocol=protocol,
    )
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
