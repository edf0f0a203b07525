"""openai's client without its walk through the conversation: what is sent is what litellm alone would send."""

import asyncio

import pytest

from lrat_sim.models import close_connections, import_litellm
from lrat_sim.models.attempt import Answered, attempt
from lrat_sim.models.call import Request
from lrat_sim.models.direct import direct_client

CALLS = [
    {"id": "a", "type": "function", "function": {"name": "search", "arguments": '{"query": "x"}'}},
    {"id": "b", "type": "function", "function": {"name": "get_document", "arguments": "{}"}},
]
MESSAGES = [
    {"role": "system", "content": "Search."},
    {"role": "user", "content": [{"type": "text", "text": "Which \u00e4 \u2028 harbour?"}]},
    {"role": "assistant", "content": "", "tool_calls": CALLS, "reasoning_content": "Why not."},
    {"role": "tool", "tool_call_id": "a", "content": "found"},
    {"role": "tool", "tool_call_id": "b", "content": "nothing"},
    {"role": "assistant", "content": "Then.", "reasoning_details": [{"type": "reasoning.text", "text": "So."}]},
    {"role": "user", "content": "Answer now."},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Searches.",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
        },
    }
]
SAMPLING = {"temperature": 0.85, "top_p": 0.95, "presence_penalty": 1.1, "seed": 2025, "stop": ["</x>"]}
EXTRA = {"top_k": 20, "reasoning_effort": "high", "extra_headers": {"x-room": "7"}, "parallel_tool_calls": True}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "k")


def test_the_request_is_the_one_that_litellm_alone_would_send(scripted):
    async def both(url):
        request = Request(
            model="openai/m",
            messages=MESSAGES,
            tools=TOOLS,
            tool_choice="none",
            sampling=SAMPLING,
            extra=EXTRA,
            base_url=url,
            key_env="SOME_KEY",
        )
        ours = await attempt(request)
        plain = await import_litellm().acompletion(
            model="openai/m",
            messages=MESSAGES,
            tools=TOOLS,
            tool_choice="none",
            api_base=url,
            api_key="k",
            max_retries=0,
            timeout=300.0,
            **SAMPLING,
            **EXTRA,
        )
        await close_connections()
        return ours, plain

    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi", "I greet.")))) as server:
        ours, plain = asyncio.run(both(server.url))
    first, second = server.requests
    assert first == second
    assert first["messages"] == MESSAGES
    theirs = plain.choices[0].message.model_dump(exclude_none=True)
    assert isinstance(ours, Answered)
    assert ours.message == theirs
    headers, plainly = server.headers
    assert headers == plainly
    assert (headers["authorization"], headers["x-room"]) == ("Bearer k", "7")


def test_the_walk_is_spared(scripted, monkeypatch):
    """So that a change of openai's or litellm's, by which this comes to nothing, is seen."""
    import openai.resources.chat.completions.completions as openais

    async def walk(*_):
        raise AssertionError("openai walks through the conversation")

    monkeypatch.setattr(openais, "async_maybe_transform", walk)
    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        outcome = asyncio.run(attempt(Request(model="openai/m", messages=MESSAGES, base_url=server.url)))
    assert isinstance(outcome, Answered), outcome


def test_a_loop_has_a_client_for_each_endpoint_and_key_until_they_are_closed():
    async def made():
        first = direct_client("http://127.0.0.1:9/v1", "a")
        assert direct_client("http://127.0.0.1:9/v1", "a") is first
        others = [direct_client("http://127.0.0.1:9/v1", "b"), direct_client("http://127.0.0.1:8/v1", "a")]
        assert len({id(client) for client in (first, *others)}) == 3
        assert not first.is_closed()
        await close_connections()
        assert all(client.is_closed() for client in (first, *others))
        assert direct_client("http://127.0.0.1:9/v1", "a") is not first
        await close_connections()
        return first

    assert asyncio.run(made()) is not asyncio.run(made())


def test_a_session_that_litellm_was_given_is_not_passed_over(scripted, monkeypatch):
    import httpx

    async def run(url):
        seen = []

        async def look(request):
            seen.append(str(request.url))

        async with httpx.AsyncClient(event_hooks={"request": [look]}) as session:
            monkeypatch.setattr(import_litellm(), "aclient_session", session)
            await attempt(Request(model="openai/m", messages=MESSAGES, base_url=url))
            import_litellm().in_memory_llm_clients_cache.flush_cache()
        return seen

    with scripted.Server(lambda *_: scripted.Reply(scripted.body(scripted.says("hi")))) as server:
        assert asyncio.run(run(server.url)) == [f"{server.url}/chat/completions"]
