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

HELLO = [{"role": "user", "content": "hello"}]


def ask(server, **settings):
    settings = {"model": "hosted_vllm/m", "base_url": server.url, "timeout": 5.0, **settings}
    return asyncio.run(Client().complete(Request(messages=HELLO, **settings)))


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


def test_a_server_of_ones_own_is_not_sent_the_key_of_another(greeting, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-another")
    monkeypatch.setenv("OWN_KEY", "own")
    ask(greeting, model="openai/m")
    ask(greeting, model="openai/m", key_env="OWN_KEY")
    assert [headers["authorization"] for headers in greeting.headers] == ["Bearer none", "Bearer own"]


FAULTS = [
    *({"status": status} for status in (500, 503, 429)),
    *({"content": content} for content in (b'{"id": "x", "choi', b"<html>busy</html>", {"choices": []})),
    {"content": b'{"id":', "cut": True},
    {"hang": 30.0},
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("model", ["hosted_vllm/m", "openai/m"])
def test_a_passing_fault_is_tried_again_and_recorded(scripted, model, fault):
    good = scripted.Reply(scripted.body(scripted.says("hi")))
    with scripted.Server(lambda _, number: good if number else scripted.Reply(**fault)) as server:
        completion = ask(server, model=model, timeout=2.0 if "hang" in fault else 5.0)
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
def test_what_will_not_pass_is_never_tried_again(scripted, status, message, kind):
    with (
        scripted.Server(lambda *_: scripted.Reply({"error": {"message": message}}, status=status)) as server,
        pytest.raises(kind) as caught,
    ):
        ask(server)
    assert isinstance(caught.value, ModelError)
    assert len(server.requests) == len(caught.value.attempts) == 1
    assert caught.value.attempts[0].status == status


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
        ask(server, retries=Retries(seconds=600.0))
    assert time.monotonic() - began < 300
    assert len(server.requests) == 1


class Own:
    """A model of our own, in this process."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    async def answer(self, request):
        await asyncio.sleep(self.seconds)
        return Answer(message={"content": f"{request.provider} says hi"}, usage=Usage.zero(), finish_reason="stop")


def test_a_model_of_our_own_answers_to_its_prefix_or_to_everything(monkeypatch):
    monkeypatch.setitem(OWN_MODELS, "own", Own)
    for client, model in ((Client(), "own/x"), (Client(model=Own()), "openai/x")):
        completion = asyncio.run(client.complete(Request(model=model, messages=HELLO)))
        assert completion.message.text == f"{model.partition('/')[0]} says hi"
        assert [attempt.status for attempt in completion.attempts] == [200]


def test_a_server_of_ones_own_has_openais_client_and_other_models_have_litellm():
    there = {"messages": HELLO, "base_url": "http://127.0.0.1:9/v1"}
    assert isinstance(model_for(Request(model="openai/x", **there)), OpenAIModel)
    assert isinstance(model_for(Request(model="hosted_vllm/x", **there)), LiteLLMModel)
    assert isinstance(model_for(Request(model="openai/x", messages=HELLO)), LiteLLMModel)


def test_a_model_that_ignores_its_timeout_is_cut_off():
    request, began = Request(model="x", messages=HELLO, timeout=0.1, retries=Retries(attempts=1)), time.monotonic()
    with pytest.raises(CallFailed, match=r"no whole answer came within 0\.1 seconds"):
        asyncio.run(Client(model=Own(600.0)).complete(request))
    assert time.monotonic() - began < 300


# --- what many calls share --------------------------------------------------------------------------------------------


def asking(client, server, text="hello", **settings):
    when = {key: settings.pop(key) for key in ("deadline", "priority") if key in settings}
    settings = {"model": "hosted_vllm/m", "base_url": server.url, "timeout": 5.0, **settings}
    return client.complete(Request(messages=[{"role": "user", "content": text}], **settings), **when)


def always(scripted, **reply):
    content = scripted.body(scripted.says("hi"), model="gpt-4o-mini")
    return lambda *_: scripted.Reply(**{"content": content, **reply})


def test_a_gate_bounds_the_calls_in_flight(scripted):
    lock, in_flight, seen = threading.Lock(), 0, []

    def answer(*_):
        nonlocal in_flight
        with lock:
            in_flight += 1
            seen.append(in_flight)
        time.sleep(0.05)
        with lock:
            in_flight -= 1
        return always(scripted)()

    async def run(server):
        client = Client(limiter=AdaptiveLimiter(3, adaptive=False))
        await asyncio.gather(*(asking(client, server, f"{n}", timeout=60.0) for n in range(9)))
        return client.limiter.taken

    with scripted.Server(answer) as server:
        assert asyncio.run(run(server)) == 0
    assert len(seen) == 9
    assert max(seen) <= 3


def test_a_call_that_waits_for_its_next_attempt_holds_no_place(scripted):
    def answer(request, _):
        busy = request["messages"][0]["content"] == "busy" and len(server.requests) == 1
        return scripted.Reply({}, status=429, retry_after="600") if busy else always(scripted)()

    async def run():
        client = Client(limiter=AdaptiveLimiter(1, adaptive=False))
        busy = asyncio.ensure_future(asking(client, server, "busy", retries=Retries(seconds=3600.0)))
        while client.retried == 0:
            await asyncio.sleep(0.01)
        assert (client.limiter.taken, client.limiter.pausing) == (0, 1)
        await asking(client, server, "other", timeout=60.0)
        assert not busy.done()
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        assert (client.limiter.taken, client.limiter.pausing) == (0, 0)

    with scripted.Server(answer) as server:
        asyncio.run(run())


@pytest.mark.parametrize(("status", "limit"), [(429, 10), (500, 20), (400, 20)])
def test_a_429_shrinks_an_adaptive_gate_and_no_other_failure_does(scripted, status, limit):
    async def run(server):
        client = Client(limiter=AdaptiveLimiter(20))
        with pytest.raises(CallFailed):
            await asking(client, server, retries=Retries(attempts=1))
        return client.limiter.limit

    with scripted.Server(always(scripted, status=status, content={"error": {"message": "rate limit"}})) as server:
        assert asyncio.run(run(server)) == limit


def test_the_wait_for_a_place_does_not_count_as_trying(scripted):
    def answer(request, number):
        failing = request["messages"][0]["content"] == "second" and number == 1
        return scripted.Reply(status=500) if failing else always(scripted, hang=0.0 if number else 1.0)()

    async def run():
        client = Client(limiter=AdaptiveLimiter(1, adaptive=False))
        first = asyncio.ensure_future(asking(client, server, "first"))
        await asyncio.sleep(0)
        second = await asking(client, server, "second", retries=Retries(seconds=0.9))
        await first
        return second

    with scripted.Server(answer) as server:
        assert len(asyncio.run(run()).attempts) == 2


def test_places_come_back_from_calls_that_are_cancelled_anywhere(scripted):
    def answer(_, number):
        kinds = [{}, {"status": 500}, {"status": 429}, {"hang": 0.3}, {"content": b'{"id":', "cut": True}]
        return always(scripted, **kinds[number % len(kinds)])()

    async def run(server):
        chance, client = random.Random(3), Client(limiter=AdaptiveLimiter(4))
        calls = [asyncio.ensure_future(asking(client, server, f"{n}", priority=n % 3)) for n in range(20)]
        for _ in range(15):
            await asyncio.sleep(0.03)
            chance.choice(calls).cancel()
        for each in calls[::2]:
            each.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert any(isinstance(each, Completion) for each in ended)
        assert client.limiter.taken == client.limiter.pausing == 0
        await asking(client, server, timeout=5.0)

    with scripted.Server(answer) as server:
        asyncio.run(run(server))


def test_an_answer_is_paid_for_once_and_a_failure_is_never_kept(scripted, tmp_path):
    async def run(server):
        with CallCache(tmp_path / "calls.sqlite") as cache:
            client = Client(cache=cache)
            once = {"retries": Retries(attempts=1), "model": "openai/gpt-4o-mini"}
            with pytest.raises(CallFailed):
                await asking(client, server, **once)
            first = await asking(client, server, **once)
            again = await asking(client, server, **once)
            other = await asking(client, server, **once, sample=1)
            assert (first.cached, again.cached, other.cached, client.cached) == (False, True, False, 1)
            assert (again.message, again.usage, again.attempts) == (first.message, first.usage, [])
            assert again.usage.cost > 0

    with scripted.Server(lambda _, n: always(scripted, status=200 if n else 500)()) as server:
        asyncio.run(run(server))
    assert len(server.requests) == 3


def test_an_answer_from_the_cache_waits_for_no_place(scripted, tmp_path):
    async def run(server):
        with CallCache(tmp_path / "calls.sqlite") as cache:
            await asking(Client(cache=cache), server)
            client = Client(cache=cache, limiter=AdaptiveLimiter(1))
            async with client.limiter.slot(), asyncio.timeout(60):
                return await asking(client, server)

    with scripted.Server(always(scripted)) as server:
        assert asyncio.run(run(server)).cached


def test_what_no_json_can_hold_is_sent_without_it(scripted, tmp_path):
    with scripted.Server(always(scripted)) as server, CallCache(tmp_path / "calls.sqlite") as cache:
        assert asyncio.run(asking(Client(cache=cache), server, "half a pair \ud800")).message.text == "hi"
    assert server.requests[0]["messages"][0]["content"] == "half a pair \\ud800"


def test_a_spent_budget_ends_before_the_next_attempt(scripted):
    price = 10 * 0.15e-6 + 5 * 0.6e-6

    async def run(server):
        client = Client(limiter=AdaptiveLimiter(2), budget=Budget(cost=2.5 * price))
        for number in range(3):
            await asking(client, server, f"{number}", model="openai/gpt-4o-mini")
        with pytest.raises(LimitReached):
            await asking(client, server, "one more", model="openai/gpt-4o-mini")
        assert client.budget.spent == pytest.approx(3 * price)
        return client.limiter.taken

    with scripted.Server(always(scripted)) as server:
        assert asyncio.run(run(server)) == 0
    assert len(server.requests) == 3


@pytest.mark.parametrize("fault", [{"hang": 600.0}, {"status": 429, "retry_after": "600"}])
def test_the_time_of_the_budget_ends_an_attempt_and_a_wait(scripted, fault):
    async def run(server):
        client, began = Client(budget=Budget(seconds=0.5)), time.monotonic()
        with pytest.raises(LimitReached):
            await asking(client, server, timeout=600.0, retries=Retries(seconds=3600.0))
        return time.monotonic() - began

    with scripted.Server(always(scripted, **fault)) as server:
        assert 0.4 < asyncio.run(run(server)) < 300


def until(scripted, seconds, limiter=None, **fault):
    """A call with a deadline, and how long it took."""

    async def run(server):
        client, began = Client(limiter=limiter), time.monotonic()
        with pytest.raises(DeadlinePassed) as caught:
            await asking(client, server, deadline=began + seconds, timeout=600.0, retries=Retries(seconds=3600.0))
        return caught.value, time.monotonic() - began

    with scripted.Server(always(scripted, **fault)) as server:
        error, took = asyncio.run(run(server))
    return error.attempts, took, len(server.requests)


def test_no_attempt_goes_past_the_deadline_and_the_one_cut_off_is_recorded(scripted):
    attempts, took, requests = until(scripted, 2.0, hang=600.0)
    assert 1.9 < took < 300
    assert [(each.status, "cut off" in each.error) for each in attempts] == [(None, True)]
    assert requests == 1


def test_no_wait_goes_past_the_deadline(scripted):
    attempts, took, requests = until(scripted, 600.0, status=429, retry_after="3000")
    assert took < 300
    assert [each.status for each in attempts] == [429]
    assert requests == 1


def test_the_deadline_holds_while_a_call_waits_for_a_place(scripted):
    limiter = AdaptiveLimiter(1)
    limiter.taken = 1
    attempts, took, requests = until(scripted, 0.2, limiter=limiter)
    assert 0.1 < took < 300
    assert (attempts, requests, limiter.taken) == ([], 0, 1)


def test_after_the_deadline_nothing_is_sent(scripted):
    attempts, _, requests = until(scripted, -1.0)
    assert (attempts, requests) == ([], 0)


def test_attempts_that_are_used_up_before_the_deadline_are_no_missed_deadline(scripted):
    async def run(server):
        with pytest.raises(CallFailed, match="failed 2 times") as caught:
            await asking(Client(), server, retries=Retries(attempts=2), deadline=time.monotonic() + 600)
        return caught.value

    with scripted.Server(always(scripted, status=500)) as server:
        assert not isinstance(asyncio.run(run(server)), DeadlinePassed)
