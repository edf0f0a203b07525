"""Replies that hold what no reply should."""

import json

import pytest

from lrat_sim.models.attempt import Answered, Failed, attempt
from lrat_sim.models.call import Request
from lrat_sim.models.faults import token_count
from lrat_sim.records import Usage, encode


@pytest.fixture
def ask(scripted):
    """One attempt at a server that replies with what it is given."""
    import asyncio

    def go(**changed):
        body = {**scripted.body({"role": "assistant", "content": "Thornmouth"}), **changed}
        with scripted.Server(lambda request, number: scripted.Reply(body)) as server:
            request = Request(model="openai/m", messages=[{"role": "user", "content": "?"}], base_url=server.url)
            return asyncio.run(attempt(request))

    return go


def says(content):
    return [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}]


COUNTS = [None, -3, "ten", "7", 2.5, [1], True, 10**40, 2_000_000_000, float("nan")]


@pytest.mark.parametrize(
    "usage", [None, [1, 2], "much", {}, *({"prompt_tokens": n, "completion_tokens": 5} for n in COUNTS)]
)
def test_usage_that_is_none_is_unknown_and_the_answer_counts(ask, usage):
    outcome = ask(usage=usage)
    assert isinstance(outcome, Answered)
    assert outcome.message["content"] == "Thornmouth"
    assert outcome.usage == Usage()
    encode(outcome.usage)


def test_usage_that_is_whole_is_kept_whatever_stands_beside_it(ask):
    odd = {
        "prompt_tokens": 7,
        "completion_tokens": 0,
        "total_tokens": -1,
        "completion_tokens_details": {"reasoning_tokens": "x"},
    }
    assert ask(usage=odd).usage == Usage(prompt_tokens=7, completion_tokens=0)
    odd["completion_tokens_details"] = {"reasoning_tokens": 4}
    assert ask(usage=odd).usage.reasoning_tokens == 4


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "Quay"}, 5, None],
        [{"type": "output_text", "text": "Quay"}],
        ["Quay", {}],
        42,
        {"text": "Quay"},
    ],
)
def test_a_content_that_is_no_text_arrives_as_it_was_sent(ask, content):
    assert json.dumps(ask(choices=says(content)).message["content"]) == json.dumps(content)


def test_a_reply_without_a_message_is_tried_again(ask):
    for choices in ([], [{"index": 0, "finish_reason": "stop", "message": None}]):
        outcome = ask(choices=choices)
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.said) == ("passing", "the answer has no choices")


@pytest.mark.parametrize(("value", "count"), [(0, 0), (12, 12), (-1, None), (True, None), (1.0, None), (10**10, None)])
def test_a_count_is_a_whole_number_within_any_window(value, count):
    assert token_count(value) == count
