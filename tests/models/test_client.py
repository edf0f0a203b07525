import asyncio
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lrat_sim.errors import ModelError
from lrat_sim.models.budget import Budget, LimitReached
from lrat_sim.models.cache import CallCache
from lrat_sim.models.call import (
    OWN_MODELS,
    Answer,
    CallFailed,
    CallRefused,
    Completion,
    ContextOverflow,
    DeadlinePassed,
    Request,
    Retries,
)
from lrat_sim.models.client import Client, model_for
from lrat_sim.models.limiter import AdaptiveLimiter
from lrat_sim.models.litellm_model import LiteLLMModel
from lrat_sim.models.openai_model import OpenAIModel
from lrat_sim.records import Usage

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "hello"}]
PRICED = "openai/gpt-4o-mini"
PRICE = 10 * 0.15e-6 + 5 * 0.6e-6


def said(message):
    return {"content": {"error": {"message": message}}}


async def ask(server, text="hello", *, client=None, priority=0, deadline=None, **settings):
    settings = {"model": "hosted_vllm/m", "base_url": server.url, "timeout": 5.0, **settings}
    request = Request(messages=[{"role": "user", "content": text}], **settings)
    return await (client or Client()).complete(request, priority=priority, deadline=deadline)


async def test_reasoning_text_and_usage_come_back(serve, scripted):
    completion = await ask(serve(content=scripted.body(scripted.says("hi", "I greet."))))
    assert (completion.message.text, completion.message.reasoning) == ("hi", "I greet.")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (10, 5)
    assert [(attempt.status, attempt.error) for attempt in completion.attempts] == [(200, None)]


async def test_an_unknown_price_is_no_cost_and_a_known_one_is(greeting):
    assert (await ask(greeting)).usage.cost is None
    assert (await ask(greeting, model=PRICED)).usage.cost == pytest.approx(PRICE)


async def test_a_server_of_ones_own_is_not_sent_the_key_of_another(greeting, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-another")
    monkeypatch.setenv("OWN_KEY", "own")
    await ask(greeting, model="openai/m")
    await ask(greeting, model="openai/m", key_env="OWN_KEY")
    assert [headers["authorization"] for headers in greeting.headers] == ["Bearer none", "Bearer own"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"content": b'{"id":', "cut": True}, {"hang": 30.0}])
@pytest.mark.parametrize("model", ["hosted_vllm/m", "openai/m"])
async def test_a_passing_fault_is_tried_again_and_recorded(serve, reply, model, fault):
    server = serve(lambda _, number: reply() if number else reply(**{"content": b"", **fault}))
    completion = await ask(server, model=model, timeout=2.0 if "hang" in fault else 5.0)
    assert completion.message.text == "hi"
    first, second = completion.attempts
    assert first.error
    assert (second.status, second.error) == (200, None)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        *((status, "no", CallRefused) for status in (400, 401, 403, 404)),
        (429, "You exceeded your current quota", CallRefused),
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000", ContextOverflow),
    ],
)
async def test_what_will_not_pass_is_never_tried_again(serve, status, message, kind):
    server = serve(status=status, **said(message))
    with pytest.raises(kind) as caught:
        await ask(server)
    assert isinstance(caught.value, ModelError)
    assert len(server.requests) == len(caught.value.attempts) == 1
    assert caught.value.attempts[0].status == status


@pytest.mark.parametrize("dated", [False, True])
async def test_the_wait_that_a_server_asks_for_is_kept(serve, reply, dated):
    def answer(_, number):
        # a date has whole seconds, so that one of two seconds ahead is between one and two away
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if dated else "1"
        return reply() if number else reply(status=429, retry_after=value)

    server = serve(answer)
    await ask(server)
    assert server.times[1] - server.times[0] >= 0.9


@pytest.mark.parametrize("deadline", [None, 600])
async def test_attempts_are_bounded_in_count_which_is_no_missed_deadline(serve, deadline):
    server = serve(status=500)
    ends = None if deadline is None else time.monotonic() + deadline
    with pytest.raises(CallFailed, match="failed 2 times") as caught:
        await ask(server, retries=Retries(attempts=2), deadline=ends)
    assert len(server.requests) == len(caught.value.attempts) == 2
    assert not isinstance(caught.value, DeadlinePassed)


async def test_attempts_are_bounded_in_time(serve):
    server, began = serve(status=429, retry_after="3600"), time.monotonic()
    with pytest.raises(CallFailed):
        await ask(server, retries=Retries(seconds=600.0))
    assert time.monotonic() - began < 300
    assert len(server.requests) == 1


class Own:
    """A model of our own, in this process."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    async def answer(self, request):
        await asyncio.sleep(self.seconds)
        return Answer(message={"content": f"{request.provider} says hi"}, usage=Usage.zero(), finish_reason="stop")


async def test_a_model_of_our_own_answers_to_its_prefix_or_to_everything(monkeypatch):
    monkeypatch.setitem(OWN_MODELS, "own", Own)
    for client, model in ((Client(), "own/x"), (Client(model=Own()), "openai/x")):
        completion = await client.complete(Request(model=model, messages=HELLO))
        assert completion.message.text == f"{model.partition('/')[0]} says hi"
        assert [attempt.status for attempt in completion.attempts] == [200]


def test_a_server_of_ones_own_has_openais_client_and_other_models_have_litellm():
    there = {"messages": HELLO, "base_url": "http://127.0.0.1:9/v1"}
    assert isinstance(model_for(Request(model="openai/x", **there)), OpenAIModel)
    assert isinstance(model_for(Request(model="hosted_vllm/x", **there)), LiteLLMModel)
    assert isinstance(model_for(Request(model="openai/x", messages=HELLO)), LiteLLMModel)


async def test_a_model_that_ignores_its_timeout_is_cut_off():
    request, began = Request(model="x", messages=HELLO, timeout=0.1, retries=Retries(attempts=1)), time.monotonic()
    with pytest.raises(CallFailed, match=r"no whole answer came within 0\.1 seconds"):
        await Client(model=Own(600.0)).complete(request)
    assert time.monotonic() - began < 300


# --- what many calls share --------------------------------------------------------------------------------------------


async def test_a_limiter_bounds_the_calls_in_flight(serve, reply):
    lock, in_flight, seen = threading.Lock(), 0, []

    def answer(*_):
        nonlocal in_flight
        with lock:
            in_flight += 1
            seen.append(in_flight)
        time.sleep(0.05)
        with lock:
            in_flight -= 1
        return reply()

    server, client = serve(answer), Client(limiter=AdaptiveLimiter(3, adaptive=False))
    await asyncio.gather(*(ask(server, f"{n}", client=client, timeout=60.0) for n in range(9)))
    assert client.limiter.taken == 0
    assert len(seen) == 9
    assert max(seen) <= 3


async def test_a_call_that_waits_for_its_next_attempt_holds_no_slot(serve, reply):
    def answer(request, _):
        busy = request["messages"][0]["content"] == "busy" and len(server.requests) == 1
        return reply(status=429, retry_after="600") if busy else reply()

    server, client = serve(answer), Client(limiter=AdaptiveLimiter(1, adaptive=False))
    busy = asyncio.ensure_future(ask(server, "busy", client=client, retries=Retries(seconds=3600.0)))
    while client.retried == 0:
        await asyncio.sleep(0.01)
    assert (client.limiter.taken, client.limiter.pausing) == (0, 1)
    await ask(server, "other", client=client, timeout=60.0)
    assert not busy.done()
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    assert (client.limiter.taken, client.limiter.pausing) == (0, 0)


@pytest.mark.parametrize(("status", "limit"), [(429, 10), (500, 20), (400, 20)])
async def test_a_429_shrinks_an_adaptive_limiter_and_no_other_failure_does(serve, status, limit):
    server, client = serve(status=status, **said("rate limit")), Client(limiter=AdaptiveLimiter(20))
    with pytest.raises(CallFailed):
        await ask(server, client=client, retries=Retries(attempts=1))
    assert client.limiter.limit == limit


async def test_the_wait_for_a_slot_does_not_count_as_trying(serve, reply):
    def answer(request, number):
        failing = request["messages"][0]["content"] == "second" and number == 1
        return reply(status=500) if failing else reply(hang=0.0 if number else 2.0)

    server, client = serve(answer), Client(limiter=AdaptiveLimiter(1, adaptive=False))
    first = asyncio.ensure_future(ask(server, "first", client=client))
    await asyncio.sleep(0)
    second = await ask(server, "second", client=client, retries=Retries(seconds=1.9))
    await first
    assert len(second.attempts) == 2


async def test_slots_come_back_from_calls_that_are_cancelled_anywhere(serve, reply):
    kinds = [{}, {"status": 500}, {"status": 429}, {"hang": 0.3}, {"content": b'{"id":', "cut": True}]
    server, client = serve(lambda _, number: reply(**kinds[number % 5])), Client(limiter=AdaptiveLimiter(4))
    chance = random.Random(3)
    calls = [asyncio.ensure_future(ask(server, f"{n}", client=client, priority=n % 3)) for n in range(20)]
    for _ in range(15):
        await asyncio.sleep(0.03)
        chance.choice(calls).cancel()
    for call in calls[::2]:
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(outcome, Completion) for outcome in ended)
    assert client.limiter.taken == client.limiter.pausing == 0
    await ask(server, client=client)


async def test_an_answer_is_paid_for_once_and_a_failure_is_never_kept(serve, reply, tmp_path):
    server = serve(lambda _, number: reply(status=200 if number else 500))
    with CallCache(tmp_path / "calls.sqlite") as cache:
        once = {"client": Client(cache=cache), "retries": Retries(attempts=1), "model": PRICED}
        with pytest.raises(CallFailed):
            await ask(server, **once)
        first, again, other = [await ask(server, **once, sample=sample) for sample in (0, 0, 1)]
    assert (first.cached, again.cached, other.cached, once["client"].cached) == (False, True, False, 1)
    assert (again.message, again.usage, again.attempts) == (first.message, first.usage, [])
    assert again.usage.cost > 0
    assert len(server.requests) == 3


async def test_an_answer_from_the_cache_waits_for_no_slot(greeting, tmp_path):
    with CallCache(tmp_path / "calls.sqlite") as cache:
        await ask(greeting, client=Client(cache=cache))
        client = Client(cache=cache, limiter=AdaptiveLimiter(1))
        async with client.limiter.slot(), asyncio.timeout(60):
            assert (await ask(greeting, client=client)).cached


async def test_what_no_json_can_hold_is_sent_without_it(greeting, tmp_path):
    with CallCache(tmp_path / "calls.sqlite") as cache:
        assert (await ask(greeting, "half a pair \ud800", client=Client(cache=cache))).message.text == "hi"
    assert greeting.requests[0]["messages"][0]["content"] == "half a pair \\ud800"


async def test_a_spent_budget_ends_before_the_next_attempt(greeting):
    client = Client(limiter=AdaptiveLimiter(2), budget=Budget(cost=2.5 * PRICE))
    for number in range(3):
        await ask(greeting, f"{number}", client=client, model=PRICED)
    with pytest.raises(LimitReached):
        await ask(greeting, "one more", client=client, model=PRICED)
    assert client.budget.spent == pytest.approx(3 * PRICE)
    assert client.limiter.taken == 0
    assert len(greeting.requests) == 3


@pytest.mark.parametrize("fault", [{"hang": 600.0}, {"status": 429, "retry_after": "600"}])
async def test_the_time_of_the_budget_ends_an_attempt_and_a_wait(serve, fault):
    client, began = Client(budget=Budget(seconds=0.5)), time.monotonic()
    with pytest.raises(LimitReached):
        await ask(serve(**fault), client=client, timeout=600.0, retries=Retries(seconds=3600.0))
    assert 0.4 < time.monotonic() - began < 300


async def until(server, seconds, limiter=None):
    """The attempts of a call with a deadline, and how long it took."""
    client, began = Client(limiter=limiter), time.monotonic()
    with pytest.raises(DeadlinePassed) as caught:
        await ask(server, client=client, deadline=began + seconds, timeout=600.0, retries=Retries(seconds=3600.0))
    return caught.value.attempts, time.monotonic() - began


async def test_no_attempt_goes_past_the_deadline_and_the_one_cut_off_is_recorded(serve):
    server = serve(hang=600.0)
    attempts, seconds = await until(server, 2.0)
    assert 1.9 < seconds < 300
    assert [(attempt.status, "cut off" in attempt.error) for attempt in attempts] == [(None, True)]
    assert len(server.requests) == 1


async def test_no_wait_goes_past_the_deadline(serve):
    server = serve(status=429, retry_after="3000")
    attempts, seconds = await until(server, 600.0)
    assert seconds < 300
    assert [attempt.status for attempt in attempts] == [429]
    assert len(server.requests) == 1


async def test_the_deadline_holds_while_a_call_waits_for_a_slot(greeting):
    limiter = AdaptiveLimiter(1)
    limiter.taken = 1
    attempts, seconds = await until(greeting, 0.2, limiter)
    assert 0.1 < seconds < 300
    assert (attempts, greeting.requests, limiter.taken) == ([], [], 1)


async def test_after_the_deadline_nothing_is_sent(greeting):
    attempts, _ = await until(greeting, -1.0)
    assert (attempts, greeting.requests) == ([], [])
