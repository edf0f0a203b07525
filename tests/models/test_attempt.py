"""One attempt at each kind of model: the real libraries against a server on loopback that fails in every way."""

import asyncio
import copy
import html
import json
import subprocess
import sys

import msgspec
import pytest

from lrat_sim import keys
from lrat_sim.agent.tools import TOOLS
from lrat_sim.errors import ModelError
from lrat_sim.models.call import Answer, Request
from lrat_sim.models.client import attempt, close_connections
from lrat_sim.models.litellm_model import LiteLLMModel, import_litellm
from lrat_sim.models.openai_model import openai_client
from lrat_sim.records import Usage, encode

HELLO = [{"role": "user", "content": "hello"}]
MODELS = ["openai/m", "hosted_vllm/m", "openrouter/m", "azure/m", "anthropic/m", "gemini/m"]
COMPLETION = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
CHOICE = {"index": 0, "finish_reason": "stop"}
CALL = {"id": "a", "type": "function", "function": {"name": "search", "arguments": '{"query": "x"}'}}


def said(message, **more):
    return {"content": {"error": {"message": message, **more}}}


@pytest.fixture(scope="module")
def asked(scripted, attempts):
    """One attempt at a server that answers with a given fault."""
    fault = {}

    def ask(model, timeout=30.0, **wanted):
        fault.clear()
        fault.update(wanted)
        before = len(server.requests)
        request = Request(model=model, messages=HELLO, base_url=server.url, key_env="SOME_KEY", timeout=timeout)
        (outcome,) = attempts(request)
        assert len(server.requests) == before + 1, "a library tried again by itself"
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
    "529": {"status": 529, **said("Overloaded", type="overloaded_error")},
    "408": {"status": 408},
    "425": {"status": 425, **said("too early")},
    "truncated": {"content": b'{"id": "x", "choi'},
    "html": {"content": b"<html>One moment.</html>", "content_type": "text/html"},
    "nothing": {"content": b""},
    "no choices": {"content": {**COMPLETION, "choices": []}},
    "no message": {"content": {**COMPLETION, "choices": [CHOICE]}},
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


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
def test_an_error_that_was_being_handled_does_not_speak_for_the_next_call(asked, model):
    """The loop asks for an answer while it handles an overflow."""
    try:
        raise ModelError("before") from ValueError("bad request")
    except ModelError:
        assert asked(model, status=503).status == 503


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
def test_nobody_listening_may_pass(attempts, model):
    (outcome,) = attempts(Request(model=model, messages=HELLO, base_url="http://127.0.0.1:9/v1"))
    assert outcome.cause == "passing"


@pytest.mark.parametrize("model", MODELS)
def test_the_callers_messages_stay_as_they_were_and_a_server_of_ones_own_gets_a_content_in_each(
    greeting, attempts, model
):
    messages = [
        {"role": "system", "content": "Search."},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Why not."},
        {"role": "tool", "tool_call_id": "a", "content": "found"},
    ]
    before = copy.deepcopy(messages)
    request = Request(model=model, messages=messages, tools=TOOLS, base_url=greeting.url, key_env="SOME_KEY")
    attempts(request)
    assert messages == before
    if model in ("openai/m", "hosted_vllm/m"):
        assert [message["content"] for message in greeting.requests[0]["messages"]] == ["Search.", "", "found"]


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
def test_what_is_sent_is_what_was_asked_for_and_the_choice_of_tools_with_tools_alone(greeting, attempts, model):
    for tools in (TOOLS, None):
        request = Request(
            model=model, messages=HELLO, tools=tools, tool_choice="none", base_url=greeting.url, sample=3,
            sampling=SAMPLING, extra={"top_k": 20},
        )  # fmt: skip
        assert isinstance(attempts(request)[0], Answer)
    plain = {"model": "m", "messages": HELLO, **SAMPLING, "top_k": 20}
    assert greeting.requests == [{**plain, "tools": TOOLS, "tool_choice": "none"}, plain]


@pytest.mark.parametrize("model", MODELS)
def test_a_conversations_id_is_sent_in_the_header_and_nowhere_else(greeting, attempts, model):
    known = {"session": "5e55", "extra": {"extra_headers": {"X-Own": "1"}}}
    for header in ("X-Session-ID", "x-smg-routing-key", None):
        request = Request(model=model, messages=HELLO, base_url=greeting.url, key_env="SOME_KEY", **known)
        attempts(msgspec.structs.replace(request, session_header=header))
    named = [(each.get("x-session-id"), each.get("x-smg-routing-key"), each["x-own"]) for each in greeting.headers]
    assert named == [("5e55", None, "1"), (None, "5e55", "1"), (None, None, "1")]
    assert "5e55" not in json.dumps(greeting.requests)


@pytest.mark.parametrize(("header", "sent"), [("X-Session-ID", "5e55"), (None, None)])
def test_openai_is_told_the_conversations_id_as_the_key_of_its_cache(greeting, attempts, monkeypatch, header, sent):
    monkeypatch.setenv("OPENAI_BASE_URL", greeting.url)
    request = Request(model="openai/gpt-4o-mini", messages=HELLO, key_env="SOME_KEY", session="5e55")
    attempts(msgspec.structs.replace(request, session_header=header))
    assert greeting.requests[0].get("prompt_cache_key") == sent


# in OpenAI's place, in Moonshot's, and in DeepSeek's
@pytest.mark.parametrize(
    "where", [{"prompt_tokens_details": {"cached_tokens": 80}}, {"cached_tokens": 80}, {"prompt_cache_hit_tokens": 80}]
)
@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "hosted_vllm/m"])
def test_tokens_from_the_providers_cache_are_counted_and_priced(serve, scripted, attempts, model, where):
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, **where}
    server = serve(content=scripted.body(scripted.says("hi"), usage=usage))
    (answer,) = attempts(Request(model=model, messages=HELLO, base_url=server.url, key_env="SOME_KEY"))
    assert (answer.usage.prompt_tokens, answer.usage.cached_tokens) == (100, 80)
    if model != "hosted_vllm/m":
        assert answer.usage.cost == pytest.approx(20 * 0.15e-6 + 80 * 0.075e-6 + 10 * 0.6e-6)


def test_who_listens_to_litellm_hears_of_calls(greeting, monkeypatch):
    said, heard = [{"role": "user", "content": "is anybody there"}], []

    async def listener(kwargs, response, start, end):
        if kwargs["messages"] == said:  # the log of another test's call may come late
            heard.append(said)

    async def ask(url):
        await attempt(LiteLLMModel(), Request(model="hosted_vllm/m", messages=said, base_url=url))
        for _ in range(100):  # it logs in the background
            await asyncio.sleep(0.1)
            if heard:
                break

    monkeypatch.setattr(import_litellm(), "callbacks", [listener])
    asyncio.run(ask(greeting.url))
    assert heard == [said]


CANCELLED = """
import asyncio, sys
from lrat_sim.models.client import Request, attempt, close_connections, model_for
from lrat_sim.models.litellm_model import import_litellm

async def main():
    import_litellm()
    request = Request(model=sys.argv[1], base_url=sys.argv[2], messages=[{"role": "user", "content": "x"}])
    for steps in range(6):
        calls = [asyncio.ensure_future(attempt(model_for(request), request)) for _ in range(20)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert any(isinstance(each, asyncio.CancelledError) for each in ended)
    await asyncio.sleep(0.2)
    await close_connections()

asyncio.run(main())
"""


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
def test_calls_that_are_cancelled_leave_no_warning_behind(greeting, model):
    command = [sys.executable, "-c", CANCELLED, model, greeting.url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")


KEY = 'odd"key/5f1e9a77c0d24b13'
REPLY = {
    "role": "assistant",
    "content": f"it is {KEY}",
    "reasoning_content": f"{KEY}?",
    "tool_calls": [{**CALL, "id": KEY, "function": {"name": "search", "arguments": f'{{"query": "{KEY[4:]}"}}'}}],
}
QUOTED = {
    "a refusal": {"status": 401, **said(f"Incorrect API key provided: {KEY}", type="invalid", code=KEY)},
    "headers in a fault": {"status": 500, **said("debug: " + json.dumps({"authorization": f"Bearer {KEY}"}))},
    "a long fault": {"status": 400, **said("x" * 1930 + KEY)},
    "a page": {"status": 403, "content": f"<b>{html.escape(KEY)}</b>".encode(), "content_type": "text/html"},
    "a reply": {"content": {**COMPLETION, "choices": [{**CHOICE, "message": REPLY}]}},
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


# --- servers of one's own, through openai's client --------------------------------------------------------------------

CALLS = [CALL, {"id": "b", "type": "function", "function": {"name": "get_document", "arguments": "{}"}}]
MESSAGES = [
    {"role": "system", "content": "Search."},
    {"role": "user", "content": [{"type": "text", "text": "Which \u00e4 \u2028 harbour?"}]},
    {"role": "assistant", "content": "", "tool_calls": CALLS, "reasoning_content": "Why not."},
    {"role": "tool", "tool_call_id": "a", "content": "found"},
    {"role": "tool", "tool_call_id": "b", "content": "nothing"},
    {"role": "assistant", "content": "Then.", "reasoning_details": [{"type": "reasoning.text", "text": "So."}]},
    {"role": "user", "content": "Answer now."},
]
SAMPLING = {"temperature": 0.85, "top_p": 0.95, "presence_penalty": 1.1, "seed": 2025, "stop": ["</x>"]}
EXTRA = {"top_k": 20, "reasoning_effort": "high", "extra_headers": {"x-room": "7"}, "parallel_tool_calls": True}


def test_the_request_is_the_one_that_litellm_alone_would_send(serve, scripted, attempts):
    server = serve(content=scripted.body(scripted.says("hi", "I greet.")))
    request = {"model": "openai/m", "messages": MESSAGES, "tools": TOOLS, "tool_choice": "none"}
    more = {"sampling": SAMPLING, "extra": EXTRA, "base_url": server.url, "key_env": "SOME_KEY"}
    (ours,) = attempts(Request(**request, **more))
    more = {**SAMPLING, **EXTRA, "max_retries": 0, "timeout": 300.0, "api_base": server.url, "api_key": "k"}
    plain = asyncio.run(import_litellm().acompletion(**copy.deepcopy({**request, **more})))
    first, second = server.requests
    assert first == second
    assert first["messages"] == MESSAGES
    theirs = plain.choices[0].message.model_dump(exclude_none=True)
    assert isinstance(ours, Answer)
    assert ours.message == {name: theirs[name] for name in ("role", "content", "reasoning_content")}
    for headers in server.headers:
        assert (headers["authorization"], headers["x-room"]) == ("Bearer k", "7")
        assert headers["content-type"] == "application/json"


def test_a_loop_has_a_client_for_each_endpoint_and_key_until_they_are_closed():
    async def made():
        first = openai_client("http://127.0.0.1:9/v1", "a")
        assert openai_client("http://127.0.0.1:9/v1", "a") is first
        others = [openai_client("http://127.0.0.1:9/v1", "b"), openai_client("http://127.0.0.1:8/v1", "a")]
        assert len({id(client) for client in (first, *others)}) == 3
        await close_connections()
        assert all(client.is_closed() for client in (first, *others))
        assert openai_client("http://127.0.0.1:9/v1", "a") is not first
        await close_connections()
        return first

    assert asyncio.run(made()) is not asyncio.run(made())


@pytest.fixture
def ask(scripted, asked):
    """One attempt at a server that replies with what it is given."""
    body = scripted.body({"role": "assistant", "content": "Thornmouth"})
    return lambda **changed: asked("openai/m", content={**body, **changed})


def choices(content):
    return [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}]


COUNTS = [None, -3, "ten", "7", 2.5, [1], True, 10**40, 2_000_000_000, float("nan")]


@pytest.mark.parametrize(
    "usage", [None, [1, 2], "much", {}, *({"prompt_tokens": n, "completion_tokens": 5} for n in COUNTS)]
)
def test_usage_that_is_none_is_unknown_and_the_answer_counts(ask, usage):
    outcome = ask(usage=usage)
    assert isinstance(outcome, Answer)
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


CONTENTS = [
    [{"type": "text", "text": "Quay"}, 5, None], [{"type": "output_text", "text": "Quay"}], ["Quay", {}], 42,
    {"text": "Quay"},
]  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS)
def test_a_content_that_is_no_text_arrives_as_it_was_sent(ask, content):
    assert json.dumps(ask(choices=choices(content)).message["content"]) == json.dumps(content)
