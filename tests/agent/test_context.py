import json

import pytest

from lrat_sim.agent.profile import AgentSettings, Limits, Sampling
from lrat_sim.agent.tools import TOOLS
from lrat_sim.agent.transcript import Context
from lrat_sim.models.call import Completion, ContextOverflow
from lrat_sim.models.message import read_message
from lrat_sim.records import Usage
from lrat_sim.text import count_tokens

WORDS = "tolls were paid in salt at every quay "


def context(*, window=None, tokens=None, max_tokens=None, protocol="react", model="voice/x"):
    """The room of an agent; of protocol react, which sends no tools beside the messages."""
    limits, sampling = Limits(tokens=tokens), Sampling(max_tokens=max_tokens)
    return Context(AgentSettings(model=model, window=window, limits=limits, sampling=sampling, protocol=protocol))


def counted(prompt_tokens, completion_tokens=0):
    usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
    return Completion(message=read_message({"content": "x"}), usage=usage, finish_reason="stop", attempts=[])


def user(text):
    return {"role": "user", "content": text}


def test_a_prompt_is_estimated_before_any_was_counted():
    messages = [user(WORDS * 10)]
    assert context(window=100).estimate(messages) == round(1.3 * count_tokens(WORDS * 10))
    with_tools = context(window=100, protocol="tools").estimate(messages)
    assert with_tools == round(1.3 * (count_tokens(WORDS * 10) + count_tokens(json.dumps(TOOLS))))


def test_what_was_sent_counts_as_the_provider_says_and_the_rest_in_proportion():
    known = context(window=100)
    first = user(WORDS * 10)
    known.note([first], counted(200))
    assert known.estimate([first]) == 200
    assert known.estimate([first, user(WORDS * 5)]) == pytest.approx(300, abs=3)
    known.note([first], counted(0))  # no count
    assert known.estimate([first]) == 200


def test_calls_and_reasoning_are_in_the_prompt():
    plain = {"role": "assistant", "content": "Tolls."}
    known = context(window=100)
    for more in (
        {"reasoning_content": WORDS},
        {"thinking_blocks": [{"thinking": WORDS}]},
        {"tool_calls": [{"function": {"name": "search", "arguments": WORDS}}]},
    ):
        assert known.estimate([plain | more]) > known.estimate([plain]) + count_tokens(WORDS)


@pytest.mark.parametrize(
    ("settings", "room"),
    [
        ({"window": 8000}, 8000 - 1024),
        ({"window": 2000}, 2000 - 500),
        ({"window": 8000, "max_tokens": 100}, 7900),
        ({"window": 8000, "max_tokens": 7999}, 6000),
        ({"model": "gpt-4o"}, 128_000 - 1024),
        ({"model": "gpt-4o", "window": 1000}, 750),
        ({}, None),
    ],
)
def test_the_window_leaves_room_for_an_answer(settings, room):
    assert context(**settings).window == room


def test_a_prompt_fits_up_to_the_room_and_no_further():
    messages = [user(WORDS * 100)]
    size = context(window=1).estimate(messages)
    assert context(window=size * 4 // 3 + 2).fits_window(messages)
    assert not context(window=size * 4 // 3 - 2).fits_window(messages)
    for used, fits in ((50, True), (51, False)):
        known = context(tokens=size + 50)
        known.note(messages, counted(0, used))
        assert known.fits(messages) == fits


def test_without_window_and_limit_nothing_is_counted(monkeypatch):
    def refuse(text):
        raise AssertionError(text)

    monkeypatch.setattr("lrat_sim.agent.transcript.count_tokens", refuse)
    known = context()
    known.note([user(WORDS)], counted(5))
    assert known.fits([user(WORDS * 10_000)])
    roomy = context(window=1_000_000)
    assert roomy.fits_window([user(WORDS * 1000)])
    with pytest.raises(AssertionError):
        roomy.fits_window([user(WORDS * 100_000)])


def real_counts(request):
    """A provider whose tokenizer makes half as many tokens again."""
    sent = json.dumps(request.tools) if request.tools else ""
    return round(
        1.5 * (count_tokens(sent) + sum(count_tokens(str(message["content"])) for message in request.messages))
    )


@pytest.mark.parametrize("protocol", ["tools", "tagged", "react"])
def test_the_agent_is_told_to_answer_before_its_window_is_full(voice, scripted, protocol):
    search = {
        "tools": scripted.calls(("search", {"query": "salt"})),
        "tagged": scripted.says('<tool_call>{"name": "search", "arguments": {"query": "salt"}}</tool_call>'),
        "react": scripted.says("Action: search[salt]"),
    }[protocol]
    window, limits = 1600, {"turns": 100, "snippet_tokens": 100, "k": 4}
    said = (*[search] * 5, scripted.says("Exact Answer: Thornmouth"))
    trajectory, requests = voice(*said, protocol=protocol, window=window, counts=real_counts, limits=limits)
    assert trajectory.end_reason == "token_limit"
    assert 2 < len(requests) < 50
    assert all(real_counts(request) <= window - window // 4 for request in requests)
    assert "Answer the question now" in requests[-1].messages[-1]["content"]


def test_an_output_that_does_not_fit_is_left_out_and_said_to_be(voice, scripted):
    search, browse = scripted.calls(("search", {"query": "engineer"})), scripted.calls(("visit", {"docid": 2}))
    trajectory, requests = voice(
        search, browse, scripted.says("Exact Answer: Thornmouth"), window=1000, counts=real_counts
    )
    assert (trajectory.status, trajectory.end_reason, len(requests)) == ("answered", "token_limit", 3)
    assert trajectory.extra["left_out"] == [1]
    contents = [message["content"] for message in requests[-1].messages if message["role"] == "tool"]
    assert contents == [trajectory.turns[0].calls[0].output, "(left out, since the context is full)"]
    assert real_counts(requests[-1]) <= 750


def test_the_limit_on_tokens_is_not_passed_by_more_than_the_answer(voice, scripted):
    search = scripted.calls(("search", {"query": "salt"}))
    trajectory, requests = voice(search, limits={"tokens": 3000, "turns": 100}, counts=real_counts)
    assert trajectory.end_reason == "token_limit"
    before_the_last = sum(turn.usage.prompt_tokens + turn.usage.completion_tokens for turn in trajectory.turns[:-1])
    assert 1000 < before_the_last <= 3000
    assert before_the_last + real_counts(requests[-1]) > 3000


def test_a_provider_that_never_has_room_leaves_the_run_unanswered(voice, scripted):
    search = scripted.calls(("search", {"query": "salt"}))
    full = ContextOverflow("too long", [])
    trajectory, requests = voice(*[search] * 9, full, limits={"turns": 9})
    assert (trajectory.status, trajectory.end_reason, trajectory.error) == ("unanswered", "token_limit", None)
    assert len(requests) < 9 + 7  # not one call for each output
    assert trajectory.extra["left_out"] == list(range(9))
    outputs = [message["content"] for message in requests[-1].messages if message["role"] == "tool"]
    assert all(output.startswith("(left out") for output in outputs)
