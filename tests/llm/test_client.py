import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lrat_sim.errors import ModelError
from lrat_sim.llm.client import PROVIDERS, CallFailed, ContextOverflow, Request, Retries, complete

HELLO = [{"role": "user", "content": "hello"}]


def ask(server, **settings):
    settings = {"model": "hosted_vllm/m", "base_url": server.url, "timeout": 5.0, **settings}
    return asyncio.run(complete(Request(messages=HELLO, **settings)))


def test_reasoning_text_and_usage_come_back(scripted):
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi", "I greet.")))) as server:
        completion = ask(server)
    assert (completion.message.text, completion.message.reasoning) == ("hi", "I greet.")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (10, 5)
    assert [(attempt.status, attempt.error) for attempt in completion.attempts] == [(200, None)]


def test_an_unknown_price_is_no_cost_and_a_known_one_is(scripted):
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi"), model="gpt-4o-mini"))) as server:
        assert ask(server).usage.cost is None
        assert ask(server, model="openai/gpt-4o-mini").usage.cost == pytest.approx(10 * 0.15e-6 + 5 * 0.6e-6)


def test_what_is_sent_is_what_was_asked_for(scripted):
    sampling = {"temperature": 0.85, "top_p": 0.95, "presence_penalty": 1.1, "seed": 2025}
    tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}]
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        ask(server, sampling=sampling, tools=tools, extra={"top_k": 20})
    assert server.requests == [{"model": "m", "messages": HELLO, **sampling, "tools": tools, "top_k": 20}]


def test_a_server_of_ones_own_is_not_sent_the_key_of_another(scripted, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-another")
    monkeypatch.setenv("OWN_KEY", "own")
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        ask(server, model="openai/m")
        ask(server, model="openai/m", key_env="OWN_KEY")
    assert [headers["authorization"] for headers in server.headers] == ["Bearer none", "Bearer own"]


@pytest.mark.parametrize(
    ("fault", "timeout"),
    [
        ({"status": 500}, 5.0),
        ({"status": 503}, 5.0),
        ({"status": 429}, 5.0),
        ({"content": b'{"id": "x", "choi'}, 5.0),
        ({"content": b"<html>busy</html>", "content_type": "text/html"}, 5.0),
        ({"content": {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}}, 5.0),
        ({"content": b'{"id":', "cut": True}, 5.0),
        ({"hang": 1.0}, 0.4),
    ],
)
@pytest.mark.parametrize("model", ["hosted_vllm/m", "openai/m"])
def test_a_passing_fault_is_tried_again_and_recorded(scripted, model, fault, timeout):
    good = scripted.Reply(scripted.body(scripted.says("hi")))
    with scripted.Server(lambda _, number: good if number else scripted.Reply(**fault)) as server:
        completion = ask(server, model=model, timeout=timeout)
    assert completion.message.text == "hi"
    first, second = completion.attempts
    assert first.error
    assert (second.status, second.error) == (200, None)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_never_tried_again(scripted, status):
    with (
        scripted.Server(lambda *_: scripted.Reply({"error": {"message": "no"}}, status=status)) as server,
        pytest.raises(CallFailed) as caught,
    ):
        ask(server)
    assert isinstance(caught.value, ModelError)
    assert len(server.requests) == len(caught.value.attempts) == 1
    assert caught.value.attempts[0].status == status


def test_an_exhausted_quota_is_not_tried_again(scripted):
    error = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    with scripted.Server(lambda *_: scripted.Reply(error, status=429)) as server, pytest.raises(CallFailed):
        ask(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_a_prompt_beyond_the_window_has_an_error_of_its_own(scripted, message):
    with (
        scripted.Server(lambda *_: scripted.Reply({"error": {"message": message}}, status=400)) as server,
        pytest.raises(ContextOverflow),
    ):
        ask(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("dated", [False, True])
def test_the_wait_that_a_server_asks_for_is_kept(scripted, dated):
    def answer(_, number):
        # a date has whole seconds, so that one of two seconds ahead is between one and two away
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if dated else "1"
        return scripted.Reply(scripted.body(scripted.says("hi"))) if number else limited(value)

    def limited(value):
        return scripted.Reply({"error": {"message": "slow down"}}, status=429, retry_after=value)

    with scripted.Server(answer) as server:
        ask(server)
    assert server.times[1] - server.times[0] >= 0.9


def test_attempts_are_bounded_in_count(scripted):
    with (
        scripted.Server(lambda *_: scripted.Reply(status=500)) as server,
        pytest.raises(CallFailed, match="failed 2 times") as caught,
    ):
        ask(server, retries=Retries(attempts=2))
    assert len(server.requests) == len(caught.value.attempts) == 2


def test_attempts_are_bounded_in_time(scripted):
    reply = scripted.Reply({"error": {"message": "come back tomorrow"}}, status=429, retry_after="3600")
    began = time.monotonic()
    with scripted.Server(lambda *_: reply) as server, pytest.raises(CallFailed):
        ask(server, retries=Retries(seconds=5.0))
    assert time.monotonic() - began < 5.0
    assert len(server.requests) == 1


def test_nobody_listening_is_a_failure_of_the_model():
    retries = Retries(attempts=1)
    request = Request(model="hosted_vllm/m", messages=HELLO, base_url="http://127.0.0.1:9/v1", retries=retries)
    with pytest.raises(CallFailed):
        asyncio.run(complete(request))


def test_a_provider_of_our_own_is_told_of_before_the_call_and_costs_nothing(scripted, monkeypatch):
    litellm = scripted.import_litellm()
    from litellm.llms.custom_llm import CustomLLM
    from litellm.types.utils import ModelResponse

    class Own(CustomLLM):
        async def acompletion(self, *_, **__):
            return ModelResponse(model="x", choices=[{"message": {"role": "assistant", "content": "hi"}}])

    def register():
        litellm.custom_provider_map = [{"provider": "own", "custom_handler": Own()}]

    monkeypatch.setattr(litellm, "custom_provider_map", [])
    monkeypatch.setitem(PROVIDERS, "own", register)
    completion = asyncio.run(complete(Request(model="own/x", messages=HELLO, retries=Retries(attempts=1))))
    assert (completion.message.text, completion.usage.cost) == ("hi", 0.0)


def test_a_provider_that_ignores_its_timeout_is_cut_off(scripted, monkeypatch):
    litellm = scripted.import_litellm()
    from litellm.llms.custom_llm import CustomLLM

    class Hangs(CustomLLM):
        async def acompletion(self, *_, **__):
            await asyncio.sleep(60)

    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "hangs", "custom_handler": Hangs()}])
    request = Request(model="hangs/x", messages=HELLO, timeout=0.1, retries=Retries(attempts=1))
    began = time.monotonic()
    with pytest.raises(CallFailed):
        asyncio.run(complete(request))
    assert time.monotonic() - began < 3
