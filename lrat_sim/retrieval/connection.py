"""Requests to servers elsewhere: one way to send them, with a bound on time, size and number of tries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import tenacity

from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.keys import redact
from lrat_sim.models.retry import failure, wait_as_asked
from lrat_sim.models.transport import BoundedTransport, ReplyTooLarge, no_cookies, on_loop, proxy_for, reach_directly

_CONNECTIONS = 128
_LONGEST_WAIT = 10.0

T = TypeVar("T")


def send(request: Callable[[], Coroutine[Any, Any, T]], *, attempts: int, timeout: float) -> T:
    """The result of a request, for callers without an event loop; a failure that may pass is tried again.

    ``timeout`` is the seconds of one try up to the last byte of the answer, after which it raises httpx.ReadTimeout.
    """
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, Exception) and failure(error).may_pass),
        wait=wait_as_asked(otherwise=_LONGEST_WAIT, longest=6 * _LONGEST_WAIT),
        reraise=True,
    )

    async def one_try() -> T:
        try:
            async with asyncio.timeout(timeout):
                return await request()
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"no whole answer within {timeout:g} seconds") from error

    result: T = retrying(on_loop, one_try)
    return result


class Connection:
    """Requests to one search server, retried by :func:`send`: repeating one is safe, since they read, or write the same
    under the same ids.  ``name`` is what messages call the server."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        name: str = "the search server",
        timeout: float = 60.0,
        attempts: int = 5,
    ):
        self.url, self.name = _checked(url), name
        self._timeout, self._attempts = timeout, attempts
        reach_directly(self.url)
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._client = httpx.AsyncClient(
            headers={"authorization": f"Bearer {token}"} if token else headers,
            timeout=timeout,
            cookies=no_cookies(),
            transport=BoundedTransport(httpx.AsyncHTTPTransport(limits=limits, proxy=proxy_for(self.url))),
        )

    def close(self) -> None:
        """Ends the connections."""
        on_loop(self._client.aclose)

    def ask(self, path: str, body: object = None, method: str | None = None) -> httpx.Response:
        """The answer to a POST of ``body``, or to a GET without one, whatever its status, outages aside.

        The body is sent as JSON, a list as a line each.
        """
        # in ASCII: a query may hold half a surrogate pair, which UTF-8 cannot
        content, headers = None, None
        if isinstance(body, list):
            content = b"".join(json.dumps(line).encode() + b"\n" for line in body)
            headers = {"content-type": "application/x-ndjson"}
        elif body is not None:
            content, headers = json.dumps(body).encode(), {"content-type": "application/json"}
        method = method or ("GET" if body is None else "POST")

        async def request() -> httpx.Response:
            response = await self._client.request(method, self.url + path, content=content, headers=headers)
            if response.status_code >= 500 or response.status_code in (408, 425, 429):
                reason = f"HTTP {response.status_code}: {sentence_of(response)}"
                raise httpx.HTTPStatusError(reason, request=response.request, response=response)
            return response

        try:
            return send(request, attempts=self._attempts, timeout=self._timeout)
        except ReplyTooLarge as error:
            raise self.failure(f"gave too much: {error}; ask it for less") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            cause = str(error) if isinstance(error, httpx.HTTPStatusError) else f"{type(error).__name__}: {error}"
            tries = "1 try" if self._attempts == 1 else f"{self._attempts} tries"
            raise self.failure(f"gave no answer in {tries}, last: {cause}") from error

    def read(self, response: httpx.Response, kind: type[T], expected: str) -> T:
        """The record in an answer; a :class:`RetrieverError` where the server refused or gave something else."""
        if response.status_code != 200:
            raise self.failure(f"refused (HTTP {response.status_code}): {sentence_of(response)}")
        try:
            return from_json(response.content, kind)
        except (ValueError, RecursionError) as error:
            raise self.failure(f"{expected} ({error})") from error

    def failure(self, problem: str) -> RetrieverError:
        """The error that says what this server did."""
        return RetrieverError(f"{self.name} at {self.url} {problem}")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise InputError(f"{url!r} is not the address of a search server; give one like http://127.0.0.1:8000.")
    if parts.username or parts.password:
        raise InputError("the address of the search server holds a password; name a variable by token_env instead.")
    return url.rstrip("/")


def segment(text: str) -> str:
    """A text as one segment of a path."""
    # dots too: a segment of nothing but dots would be resolved on the way
    return quote(text, safe="").replace(".", "%2E")


def sentence_of(response: httpx.Response) -> str:
    """What a server says about its refusal: the sentence in ``error`` (or ``reason`` in that), ``detail`` or
    ``message``, or the beginning of the body."""
    try:
        content = response.json()
    except (ValueError, RecursionError):
        content = None
    for name in ("error", "detail", "message"):
        sentence = content.get(name) if isinstance(content, dict) else None
        if isinstance(sentence, dict):
            sentence = sentence.get("reason")
        if isinstance(sentence, str):
            return redact(sentence)[:2000]
    return redact(" ".join(response.text[:20_000].split()))[:200] or response.reason_phrase
