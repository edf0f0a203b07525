"""Requests to servers elsewhere: one way to send them, with a bound on time, size and number of tries."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import tenacity

from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.keys import redact
from lrat_sim.models.retry import wait_as_asked
from lrat_sim.models.transport import BoundedTransport, ReplyTooLarge, no_cookies, on_loop, proxy_for, reach_directly
from lrat_sim.records import Document

_CONNECTIONS = 128
_LONGEST_WAIT = 10.0
_PASSING = frozenset({408, 425, 429})

T = TypeVar("T")


class Unreachable(RetrieverError):
    """The server did not answer, or only with failures that should have passed."""


class _Passing(Exception):
    """An answer that may be another one the next time; ``response`` tells how long to wait."""

    def __init__(self, response: httpx.Response):
        self.response, self.status_code = response, response.status_code
        super().__init__(f"HTTP {response.status_code}: {sentence_of(response)}")


def bounded_client(url: str, *, timeout: float, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """Connections to one server: bounded replies, no cookies, and no proxy to this machine."""
    reach_directly(url)
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    transport = httpx.AsyncHTTPTransport(limits=limits, proxy=proxy_for(url))
    return httpx.AsyncClient(
        headers=headers, timeout=timeout, cookies=no_cookies(), transport=BoundedTransport(transport)
    )


def send(request: Callable[[], Coroutine[Any, Any, T]], *, attempts: int, timeout: float) -> T:
    """The result of a request, for callers without an event loop, from any thread.

    A request that the network dropped, that took too long, or that was answered with 429 or 5xx is sent again, after
    the time that the server asks for or a random, growing one.

    Args:
        request: sends it; called again for each try.
        attempts: tries in all.
        timeout: seconds of one try, up to the last byte of the answer: a server may send one byte a minute for hours.

    Raises:
        httpx.ReadTimeout: the last try took too long.
        Exception: what the last try raised.
    """
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        retry=tenacity.retry_if_exception(_may_pass),
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


def _may_pass(error: BaseException) -> bool:
    status = getattr(error, "status_code", 0)  # of ours, openai's and litellm's errors
    return isinstance(error, httpx.TransportError) or status in _PASSING or (isinstance(status, int) and status >= 500)


class Connection:
    """Requests to one search server, sent again by :func:`send`: all requests of a retriever only read.

    Args:
        url: the server's root.
        token: sent with each request.
        timeout: seconds of one try, up to the last byte of the answer.
        attempts: tries of a request, in all.

    Raises:
        InputError: ``url`` is not the address of a server.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 60.0, attempts: int = 5):
        self.url = checked_url(url)
        self._timeout, self._attempts = timeout, attempts
        headers = {"authorization": f"Bearer {token}"} if token else None
        self._client = bounded_client(self.url, timeout=timeout, headers=headers)

    def get(self, path: str) -> httpx.Response:
        """The answer to a GET, whatever its status, passing failures aside.

        Raises:
            Unreachable: every try failed.
        """
        return self._send("GET", path, None)

    def post(self, path: str, body: object) -> httpx.Response:
        """As :meth:`get`, for a POST of ``body`` as JSON."""
        # in ASCII: a query may hold half a surrogate pair, which UTF-8 cannot
        return self._send("POST", path, json.dumps(body).encode())

    def read(self, response: httpx.Response, kind: type[T], expected: str) -> T:
        """The record in an answer.

        Raises:
            RetrieverError: the server refused, or what it gave is not what was ``expected``.
        """
        if response.status_code != 200:
            said = f"refused (HTTP {response.status_code}): {sentence_of(response)}"
            raise RetrieverError(f"the search server at {self.url} {said}")
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (ValueError, RecursionError) as error:
            raise RetrieverError(f"the search server at {self.url} {expected} ({error})") from error

    def _send(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        headers = {"content-type": "application/json"} if body is not None else None

        async def request() -> httpx.Response:
            response = await self._client.request(method, self.url + path, content=body, headers=headers)
            if response.status_code >= 500 or response.status_code in _PASSING:
                raise _Passing(response)
            return response

        try:
            return send(request, attempts=self._attempts, timeout=self._timeout)
        except ReplyTooLarge as error:
            raise RetrieverError(f"the search server at {self.url}: {error}; ask it for less") from error
        except (httpx.HTTPError, httpx.InvalidURL, _Passing) as error:
            cause = str(error) if isinstance(error, _Passing) else f"{type(error).__name__}: {error}"
            tries = "1 try" if self._attempts == 1 else f"{self._attempts} tries"
            raise Unreachable(f"the search server at {self.url} gave no answer in {tries}, last: {cause}") from error


class DocumentCache:
    """Documents lately used, up to a number of characters; safe to use from several threads."""

    def __init__(self, characters: int):
        self._left = characters
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, document: Document) -> None:
        """Keeps a document, and drops those that were not used for longest where room is short."""
        with self._lock:
            self._left += _size(self._documents.pop(document.id, None)) - _size(document)
            self._documents[document.id] = document
            while self._left < 0 and len(self._documents) > 1:
                self._left += _size(self._documents.popitem(last=False)[1])

    def get(self, docid: str) -> Document | None:
        """The document, or None where it is not kept."""
        with self._lock:
            document = self._documents.get(docid)
            if document is not None:
                self._documents.move_to_end(docid)
            return document


def checked_url(url: str) -> str:
    """The root of a server, without a slash at its end.

    Raises:
        InputError: it is no address of HTTP, or holds a password, which would be recorded with every run.
    """
    try:
        parts = urlsplit(url)
        named, _ = parts.hostname, parts.port
    except ValueError:
        named = None
    if not named or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise InputError(f"{url!r} is not the address of a search server; give one like http://127.0.0.1:8000.")
    if parts.username or parts.password:
        raise InputError("the address of the search server holds a password; name a variable by token_env instead.")
    return url.rstrip("/")


def sentence_of(response: httpx.Response) -> str:
    """What a server says about its refusal: the sentence in ``error``, or the beginning of the body."""
    try:
        content = response.json()
    except (ValueError, RecursionError):
        content = None
    said = content.get("error") if isinstance(content, dict) else None
    if isinstance(said, str):
        return redact(said)[:2000]
    return redact(" ".join(response.text[:20_000].split()))[:200] or response.reason_phrase


def _size(document: Document | None) -> int:
    # some hundreds of bytes of an entry are not its text
    return len(document.text) + len(document.title) + 500 if document is not None else 0
