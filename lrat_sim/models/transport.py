"""HTTP to any server: replies are bounded, and this machine is reached without a proxy."""

from __future__ import annotations

import asyncio
import atexit
import http.cookiejar
import ipaddress
import os
import threading
import urllib.request
import zlib
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

T = TypeVar("T")

MOST_BYTES = 32 << 20  # of a reply, unpacked; a model's longest and a hundred long documents have some megabytes


class ReplyTooLarge(httpx.DecodingError):
    """A reply has more than :data:`MOST_BYTES`."""


class BoundedTransport(httpx.AsyncBaseTransport):
    """Reads each reply whole, unpacked, and up to :data:`MOST_BYTES`; the caller bounds the time."""

    def __init__(self, inner: httpx.AsyncBaseTransport):
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx; raises :class:`ReplyTooLarge`, or DecodingError for a reply that is not packed as it says."""
        request.headers["accept-encoding"] = "gzip, deflate"  # others may hold terabytes in a packet
        response = await self._inner.handle_async_request(request)
        try:
            content = await _unpacked(response)
        finally:
            await response.aclose()
        of_packing = (b"content-encoding", b"content-length", b"transfer-encoding")
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in of_packing]
        return httpx.Response(response.status_code, headers=headers, content=content, extensions=response.extensions)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._inner.aclose()


async def _unpacked(response: httpx.Response) -> bytes:
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "gzip", "x-gzip", "deflate", ""):
        raise httpx.DecodingError(f"the reply is packed as {packing!r}, which was not asked for")
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if packing not in ("identity", "") else None
    content = bytearray()
    async for piece in response.stream:  # type: ignore[union-attr]  # an asynchronous transport's
        try:
            # one byte more than there may be shows that there are more; the rest is not unpacked
            content += unpack.decompress(piece, MOST_BYTES + 1 - len(content)) if unpack else piece
        except zlib.error as error:
            raise httpx.DecodingError(f"the reply is not packed as it says ({error})") from error
        if len(content) > MOST_BYTES:
            raise ReplyTooLarge(f"the reply is larger than {MOST_BYTES:,} bytes")
    return bytes(content)


def pooled_client(url: str) -> httpx.AsyncClient:
    """A client for many requests at once to one server, over aiohttp; it belongs to the running event loop."""
    import aiohttp  # not above: importing lrat-sim takes long enough
    from httpx_aiohttp import AiohttpTransport

    def session() -> aiohttp.ClientSession:
        # callers bound the requests in flight; a second bound here would let them wait unseen
        connector = aiohttp.TCPConnector(limit=0, ssl=httpx.create_ssl_context())
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    reach_directly(url)
    proxy = proxy_for(url)
    sender = AiohttpTransport(client=session, proxy=None if proxy is None else httpx.Proxy(proxy))
    return httpx.AsyncClient(
        transport=BoundedTransport(sender),
        cookies=no_cookies(),
        follow_redirects=True,  # httpx sends no key to another host
    )


def on_loop(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What ``call`` gives, awaited in a thread that does nothing else; for callers that have no event loop."""
    # only an event loop can bound a whole request: a client that blocks bounds the time between two bytes
    with _ONE_LOOP:
        loop = _loop()
    return asyncio.run_coroutine_threadsafe(call(), loop).result()


_ONE_LOOP = threading.Lock()  # else two threads make two loops, and one's connections are never closed


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    from lrat_sim.models.client import close_connections

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="lrat-sim-requests", daemon=True).start()
    atexit.register(on_loop, close_connections)  # sessions that nobody closed complain when the process ends
    return loop


def no_cookies() -> http.cookiejar.CookieJar:
    """A jar that keeps no cookies, so that those of one run are not sent with another's calls."""
    return http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))


def reach_directly(url: str | None = None) -> None:
    """Makes sure that no proxy of the environment is used for this machine, by its usual names and that of ``url``."""
    # in the environment, since that is where every HTTP library looks, those that litellm uses included
    proxies = urllib.request.getproxies_environment()
    if not proxies.keys() - {"no"}:
        return
    try:
        host = urlsplit(url or "").hostname or ""
    except ValueError:
        host = ""
    names = ["localhost", "127.0.0.1", "::1", *([host] if is_loopback(host) else [])]
    if missing := [name for name in names if not urllib.request.proxy_bypass(name)]:
        # in both spellings: which one is read first differs
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [proxies.get("no"), *missing]))


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for ``url``, for a client that does not look there itself."""
    parts, proxies = urlsplit(url), urllib.request.getproxies_environment()
    proxy = None if urllib.request.proxy_bypass(parts.hostname or "") else proxies.get(parts.scheme, proxies.get("all"))
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
