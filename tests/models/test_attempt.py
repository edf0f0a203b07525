"""What litellm's errors say: real litellm against a server on loopback, in the dialects of several providers."""

import asyncio
import copy
import html
import json
import subprocess
import sys

import msgspec
import pytest

from lrat_sim import keys
from lrat_sim.errors import ModelError
from lrat_sim.models.attempt import Answered, attempt
from lrat_sim.models.call import Request

HELLO = [{"role": "user", "content": "hello"}]
MODELS = ["openai/m", "hosted_vllm/m", "openrouter/m", "azure/m", "anthropic/m", "gemini/m"]
CHOICE = {"index": 0, "finish_reason": "stop"}


def said(message, **more):
    return {"content": {"error": {"message": message, **more}}}


@pytest.fixture(scope="module")
def asked(scripted):
    """One attempt at a server that answers with a given fault."""
    fault = {}

    def ask(model, timeout=30.0, **wanted):
        fault.clear()
        fault.update(wanted)
        before = len(server.requests)
        request = Request(model=model, messages=HELLO, base_url=server.url, key_env="SOME_KEY", timeout=timeout)
        outcome = asyncio.run(attempt(request))
        assert len(server.requests) == before + 1, "litellm tried again by itself"
        return outcome

    with scripted.Server(lambda *_: scripted.Reply(**fault)) as server:
        yield ask


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "k")


PASSING = {
    "500": {"status": 500},
    "500 that speaks of limits": {"status": 500, **said("upstream: rate limit 429, invalid api key, quota")},
    "502": {"status": 502, "content": b"<html>", "content_type": "text/html"},
    "503": {"status": 503, "content": b"upstream connect error", "content_type": "text/plain"},
    "529": {
        "status": 529,
        "content": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    },
    "408": {"status": 408},
    "425": {"status": 425, **said("too early")},
    "truncated": {"content": b'{"id": "x", "choi'},
    "html": {"content": b"<html>One moment.</html>", "content_type": "text/html"},
    "nothing": {"content": b""},
    "no choices": {"content": {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}},
    "no message": {
        "content": {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
    },
    "null": {"content": b"null"},
    "cut": {"content": b'{"id":', "cut": True},
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", PASSING)
def test_an_outage_or_a_body_that_is_no_answer_may_pass(asked, model, fault):
    outcome = asked(model, **PASSING[fault])
    assert outcome.cause == "passing", outcome
    if fault[:3].isdigit():
        assert outcome.status == int(fault[:3])


@pytest.mark.parametrize("model", ["zai/m", "minimax/m", "nvidia_nim/m", "deepinfra/m", "deepseek/m", "groq/m"])
def test_no_library_tries_again_by_itself(asked, model):
    for status in (503, 429, 408):
        assert asked(model, status=status).status == status


@pytest.mark.parametrize("model", MODELS)
def test_a_timeout_may_pass(asked, model):
    assert asked(model, timeout=1.0, hang=30.0).cause == "passing"


@pytest.mark.parametrize("model", MODELS)
def test_a_429_wants_fewer_calls_after_the_time_it_names(asked, model):
    link = "Rate limit reached. Add a payment method at https://platform.openai.com/account/billing."
    outcome = asked(model, status=429, retry_after="7", **said(link))
    assert (outcome.cause, outcome.status, outcome.retry_after) == ("limited", 429, 7.0)


@pytest.mark.parametrize(
    "message",
    [
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "Your credit balance is too low to access the API.",
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_a_spent_quota_is_final(asked, model, message):
    assert asked(model, status=429, **said(message)).cause == "refused"


def test_a_quota_by_the_minute_is_not(asked):
    message = "You exceeded your current quota, please check your plan and billing details. Please retry in 0.5s."
    outcome = asked("gemini/m", status=429, **said(message))
    assert (outcome.cause, outcome.retry_after) == ("limited", 0.5)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
@pytest.mark.parametrize("model", MODELS)
def test_a_refusal_is_final(asked, model, status):
    outcome = asked(model, status=status, **said("no rate limit, no"))
    assert (outcome.cause, outcome.status) == ("refused", status)


OVERFLOWS = [
    (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),
    (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096"),
    (400, "prompt is too long: 210000 tokens > 200000 maximum"),
    (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
    (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575)."),
    (400, "This model's maximum prompt length is 131072 but the request contains 140000 tokens."),
    (400, "the request exceeds the available context size (8192 tokens), try increasing it"),
    (500, "the request exceeds the available context size (8192 tokens), try increasing it"),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097."),
    (413, "Request too large for model `m`"),
    (413, "Payload"),
    (429, "Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000."),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("status", "message"), OVERFLOWS)
def test_a_prompt_beyond_the_window_is_known_in_any_wording(asked, model, status, message):
    assert asked(model, status=status, **said(message)).cause == "overflow"


def test_an_error_that_was_being_handled_does_not_speak_for_the_next_call(scripted):
    """The loop asks for an answer while it handles an overflow."""

    async def both(url):
        try:
            raise ModelError("before") from ValueError("bad request")
        except ModelError:
            return await attempt(Request(model="openai/m", messages=HELLO, base_url=url))

    with scripted.Server(lambda *_: scripted.Reply(status=503)) as server:
        assert asyncio.run(both(server.url)).status == 503


def test_nobody_listening_may_pass():
    outcome = asyncio.run(attempt(Request(model="openai/m", messages=HELLO, base_url="http://127.0.0.1:9/v1")))
    assert outcome.cause == "passing"


@pytest.mark.parametrize("model", MODELS)
def test_the_callers_messages_stay_as_they_were(scripted, model):
    call = {"id": "1", "type": "function", "function": {"name": "search", "arguments": '{"query": "x"}'}}
    messages = [
        {"role": "system", "content": "Search."},
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Why not."},
        {"role": "tool", "tool_call_id": "1", "content": "found"},
    ]
    before = copy.deepcopy(messages)
    tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}]
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        request = Request(model=model, messages=messages, tools=tools, base_url=server.url, key_env="SOME_KEY")
        asyncio.run(attempt(request))
    assert messages == before


def test_the_choice_of_tools_is_sent_with_tools_alone(scripted):
    tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}]
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        for given in (tools, None):
            request = Request(
                model="hosted_vllm/m", messages=HELLO, tools=given, tool_choice="none", base_url=server.url, sample=3
            )
            assert isinstance(asyncio.run(attempt(request)), Answered)
    assert server.requests == [
        {"model": "m", "messages": HELLO, "tools": tools, "tool_choice": "none"},
        {"model": "m", "messages": HELLO},
    ]


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
def test_a_server_of_ones_own_gets_a_content_in_every_message(scripted, model):
    call = {"id": "a", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "nothing"},
    ]
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        asyncio.run(attempt(Request(model=model, messages=messages, base_url=server.url, key_env="SOME_KEY")))
    assert [message["content"] for message in server.requests[0]["messages"]] == ["hello", "", "nothing"]


def test_who_listens_to_litellm_hears_of_calls_and_without_listeners_nothing_is_logged(scripted, monkeypatch):
    litellm = scripted.import_litellm()
    from litellm.litellm_core_utils.litellm_logging import Logging

    said, heard, logged = [{"role": "user", "content": "is anybody there"}], [], []

    async def listener(kwargs, response, start, end):
        if kwargs["messages"] == said:  # the log of another test's call may come late
            heard.append(said)

    plain = Logging.async_success_handler

    async def seen(self, *given, **named):
        logged.append(self.model)
        return await plain(self, *given, **named)

    monkeypatch.setattr(Logging, "async_success_handler", seen)
    for listeners in ("input_callback", "success_callback", "_async_success_callback"):
        monkeypatch.setattr(litellm, listeners, [])  # calls of Gemini's leave one of litellm's own there

    async def ask(url, waits):
        await attempt(Request(model="openai/m", messages=said, base_url=url))
        for _ in range(waits):  # it logs in the background
            await asyncio.sleep(0.1)
            if heard:
                break

    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        asyncio.run(ask(server.url, waits=2))
        assert (heard, logged) == ([], [])
        monkeypatch.setattr(litellm, "callbacks", [listener])
        asyncio.run(ask(server.url, waits=100))
    assert (heard, logged) == ([said], ["m"])


CANCELLED = """
import asyncio
from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.models import import_litellm
from lrat_sim.models.call import Request
from lrat_sim.models.attempt import attempt, register_provider

async def main():
    import_litellm()
    register_provider("sim/default")
    request = Request(model="sim/default", messages=[{"role": "user", "content": "x"}])
    for steps in range(6):
        calls = [asyncio.ensure_future(attempt(request)) for _ in range(20)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert any(isinstance(each, asyncio.CancelledError) for each in ended)
    await asyncio.sleep(0.2)

asyncio.run(main())
"""


def test_calls_that_are_cancelled_leave_no_warning_behind():
    ran = subprocess.run([sys.executable, "-c", CANCELLED], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")


KEY = 'odd"key/5f1e9a77c0d24b13'
REPLY = {"role": "assistant", "content": f"it is {KEY}", "reasoning_content": f"{KEY}?"}
CALL = {"id": KEY, "type": "function", "function": {"name": "search", "arguments": f'{{"query": "{KEY[4:]}"}}'}}
QUOTED = {
    "a refusal": {"status": 401, **said(f"Incorrect API key provided: {KEY}", type="invalid", code=KEY)},
    "headers in a fault": {"status": 500, **said("debug: " + json.dumps({"authorization": f"Bearer {KEY}"}))},
    "a long fault": {"status": 400, **said("x" * 1930 + KEY)},
    "a page": {"status": 403, "content": f"<b>{html.escape(KEY)}</b>".encode(), "content_type": "text/html"},
    "a reply": {
        "content": {
            **{"id": "x", "object": "chat.completion", "created": 1, "model": "m"},
            "choices": [{**CHOICE, "message": {**REPLY, "tool_calls": [CALL]}}],
        }
    },
}


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
@pytest.mark.parametrize("fault", QUOTED.values(), ids=QUOTED)
def test_a_key_that_the_provider_quotes_is_replaced(asked, monkeypatch, model, fault):
    monkeypatch.setattr(keys, "_known", set())
    monkeypatch.setattr(keys, "_written", ())
    monkeypatch.setenv("SOME_KEY", KEY)
    told = msgspec.json.encode(asked(model, **fault)).decode()
    assert "[key]" in told or fault is QUOTED["a long fault"]
    assert not [start for start in range(4, len(KEY) - 7) if KEY[start : start + 8] in told], told
