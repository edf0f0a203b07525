"""openai's client, sending a conversation as it stands.

Before it sends, openai's client walks through the whole conversation and compares every field of every message with
every type that a message may have, to rename fields that chat messages do not have.  With each turn there is more to
walk through: it is a third of the processor time of a short call, and most of a long one's.  A server of one's own is
called often enough for that to matter.  Everything else (connections, errors, how an answer is read) stays openai's.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import cached_property, lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from lrat_sim.models import import_litellm
from lrat_sim.models.faults import without_faults
from lrat_sim.models.transport import BoundedTransport, no_cookies

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Any]] = WeakKeyDictionary()
"""A loop's clients, by endpoint and key: connections belong to the loop in which they were made."""


def direct_client(base_url: str, key: str) -> Any:
    """The running loop's client for an endpoint, to be given to litellm as ``client``.

    None where litellm was told to use a session of the caller's, which is not to be passed over.

    Args:
        base_url: of the endpoint.
        key: which it is sent.
    """
    litellm = import_litellm()
    if litellm.aclient_session is not None:
        return None
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    if (base_url, key) not in clients:
        from openai import AsyncOpenAI

        # time limits go with each call, and the tries are ours to count
        client: Any = AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=_connections())
        client.chat = _direct_chat()(client)
        clients[base_url, key] = client
    return clients[base_url, key]


async def close_direct() -> None:
    """Closes the running loop's clients."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        with contextlib.suppress(Exception):  # what a broken connection says on closing helps nobody
            await client.close()


def _connections() -> httpx.AsyncClient:
    """Connections as litellm makes them for openai's client, with a bound to replies."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, get_ssl_configuration

    verify = get_ssl_configuration()
    given = {"ssl_verify": verify} if isinstance(verify, bool) else {"ssl_context": verify}
    transport = AsyncHTTPHandler.create_async_transport(**given) or httpx.AsyncHTTPTransport(verify=verify)
    proxies = AsyncHTTPHandler.create_httpx_proxy_mounts(transport, verify=verify, cert=None) or {}
    return httpx.AsyncClient(
        transport=BoundedTransport(transport),
        mounts={pattern: BoundedTransport(proxy) if proxy else None for pattern, proxy in proxies.items()},
        cookies=no_cookies(),
        follow_redirects=True,  # httpx sends no key to another host
    )


@lru_cache(maxsize=1)
def _direct_chat() -> type:
    """The part of the client that sends conversations; made late, as openai is not to be imported with this module."""
    from openai.resources.chat import AsyncChat, AsyncCompletions
    from openai.types.chat import ChatCompletion

    class Reply(ChatCompletion):
        @classmethod
        def construct(cls, _fields_set: set[str] | None = None, **values: Any) -> ChatCompletion:  # type: ignore[override]
            return super().construct(_fields_set, **without_faults(values))

    class Completions(AsyncCompletions):
        async def create(  # type: ignore[override]  # litellm names every parameter
            self,
            *,
            extra_headers: Any = None,
            extra_query: Any = None,
            extra_body: Any = None,
            timeout: Any = None,
            **body: Any,
        ) -> ChatCompletion:
            options = {"headers": extra_headers, "params": extra_query, "extra_json": extra_body, "timeout": timeout}
            given: Any = {name: value for name, value in options.items() if value is not None}
            return await self._client.post("/chat/completions", cast_to=Reply, body=body, options=given)

    class Chat(AsyncChat):
        @cached_property
        def completions(self) -> AsyncCompletions:
            return Completions(self._client)

    return Chat
