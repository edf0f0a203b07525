"""Replies without end, packed or not, and proxies: what every client of the package is kept from."""

import asyncio
import gzip
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import httpx
import pytest

from lrat_sim.models import transport
from lrat_sim.models.call import Answer, Request
from lrat_sim.models.transport import BoundedTransport, ReplyTooLarge, no_cookies, proxy_for, reach_directly

MOST = 100_000


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("lrat_sim.models.transport.MOST_BYTES", MOST)


def ask(answer, **client):
    async def asked():
        transport = BoundedTransport(httpx.MockTransport(answer))
        async with httpx.AsyncClient(transport=transport, **client) as http:
            return [await http.get("http://x.example/") for _ in range(2)][-1]

    return asyncio.run(asked())


async def pieces(content):
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


@pytest.mark.parametrize("size", [0, 1, MOST])
@pytest.mark.parametrize(
    ("packing", "pack"),
    [("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress), ("GZIP", gzip.compress)],
)
def test_a_reply_within_the_bound_comes_whole(size, packing, pack):
    content, headers = b"a" * size, {"content-encoding": packing, "x-a": "b"}
    reply = ask(lambda _: httpx.Response(201, headers=headers, content=pieces(pack(content))))
    assert (reply.status_code, reply.headers["x-a"], reply.content) == (201, "b", content)


@pytest.mark.parametrize(("packing", "pack"), [("identity", bytes), ("gzip", gzip.compress)])
def test_a_reply_beyond_the_bound_is_read_no_further(packing, pack):
    read = []

    async def watched(content):
        async for piece in pieces(content):
            read.append(len(piece))
            yield piece

    endless = pack(b"x" * 20 * MOST)
    with pytest.raises(ReplyTooLarge, match="100,000 bytes"):
        ask(lambda _: httpx.Response(200, headers={"content-encoding": packing}, content=watched(endless)))
    assert sum(read) <= MOST + 1000


@pytest.mark.parametrize("packing", ["br", "zstd", "gzip, gzip", "gzip"])
def test_a_reply_packed_otherwise_than_was_asked_for_is_an_error(packing):
    with pytest.raises(httpx.DecodingError, match="packed"):
        ask(lambda _: httpx.Response(200, headers={"content-encoding": packing}, content=pieces(b"plain")))


def test_threads_that_ask_at_once_share_one_event_loop(monkeypatch):
    fresh = lru_cache(maxsize=1)(transport._loop.__wrapped__)
    monkeypatch.setattr(transport, "_loop", fresh)
    together = threading.Barrier(8)

    async def here():
        return asyncio.get_running_loop()

    def ask_once(_):
        together.wait()
        return transport.on_loop(here)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask_once, range(8)))) == 1
    assert fresh.cache_info().misses == 1


def test_cookies_are_not_kept():
    seen = []

    def answer(request):
        seen.append(request.headers.get("cookie"))
        return httpx.Response(200, headers={"set-cookie": "a=b"})

    ask(answer, cookies=no_cookies())
    assert seen == [None, None]


def test_a_model_that_sends_too_much_fails_with_the_reason(serve, reply, scripted, attempts):
    large = scripted.body(scripted.says("a" * 2 * MOST))
    server = serve(lambda _, number: reply() if number else reply(content=large))
    request = Request(model="openai/m", messages=[], base_url=server.url)
    failed, answered = attempts(request, request)
    assert failed.cause == "passing"
    assert "larger than 100,000 bytes" in failed.message
    assert isinstance(answered, Answer)


def test_cookies_of_a_model_are_not_sent_back(serve, attempts):
    server = serve(set_cookie="a=b")
    attempts(*[Request(model="openai/m", messages=[], base_url=server.url)] * 2)
    assert [headers.get("cookie") for headers in server.headers] == [None, None]


PROXY = "http://192.0.2.1:3128"


@pytest.fixture
def proxied(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "")  # so that what is set for it is undone after the test
    monkeypatch.setenv("all_proxy", PROXY)
    monkeypatch.setenv("no_proxy", "inner.example")


def test_this_machine_is_reached_without_the_proxy_of_the_environment(proxied):
    for url in ("http://localhost:1", "http://127.0.0.1:1/v1", "http://[::1]:1", "https://127.8.0.1"):
        reach_directly(url)
        assert proxy_for(url) is None
    assert proxy_for("https://inner.example") is None
    assert proxy_for("https://127.0.0.1.example") == PROXY


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
def test_a_model_on_this_machine_is_called_without_the_proxy(proxied, greeting, attempts, model):
    (outcome,) = attempts(Request(model=model, messages=[], base_url=greeting.url, timeout=120))
    assert isinstance(outcome, Answer)
