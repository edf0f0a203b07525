"""The way to a search server: a pool of connections, bounded retries, and what the server says when it refuses."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from urllib.parse import urlsplit

import httpx
import tenacity

from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.keys import redact
from lrat_sim.models.retry import wait_as_asked
from lrat_sim.models.transport import BoundedTransport, ReplyTooLarge, no_cookies, on_loop, proxy_for, reach_directly
from lrat_sim.records import Document

_CONNECTIONS = 128
_LONGEST_WAIT = 10.0
_PASSING = frozenset({408, 425, 429})


class Unreachable(RetrieverError):
    """The server did not answer, or only with failures that should have passed."""


class _Passing(Exception):
    """An answer that may be another one the next time; ``response`` tells how long to wait."""

    def __init__(self, response: httpx.Response):
        self.response = response
        super().__init__(f"HTTP {response.status_code}: {sentence_of(response)}")


class Connection:
    """Requests to one server, from any thread.

    A request that the network dropped, that took too long, or that was answered with 429 or 5xx is sent again, after
    the time that the server asks for or a random, growing one.  All requests of a retriever only read.

    Args:
        url: the server's root.
        token: goes with each request.
        timeout: seconds of one try, up to the last byte of the answer.
        attempts: tries a request, in all.

    Raises:
        InputError: ``url`` is none.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 60.0, attempts: int = 5):
        self.url = checked_url(url)
        self._timeout, self._attempts = timeout, attempts
        reach_directly(self.url)
        self._client = httpx.AsyncClient(
            headers={"authorization": f"Bearer {token}"} if token else None,
            timeout=timeout,
            cookies=no_cookies(),
            transport=BoundedTransport(
                httpx.AsyncHTTPTransport(
                    limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
                    proxy=proxy_for(self.url),
                )
            ),
        )

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

    def _send(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            retry=tenacity.retry_if_exception_type((httpx.TransportError, _Passing)),
            wait=wait_as_asked(otherwise=_LONGEST_WAIT, longest=6 * _LONGEST_WAIT),
            reraise=True,
        )
        try:
            return retrying(self._try, method, path, body)
        except ReplyTooLarge as error:
            raise RetrieverError(f"the search server at {self.url}: {error}; ask it for less") from error
        except (httpx.HTTPError, httpx.InvalidURL, _Passing) as error:
            cause = str(error) if isinstance(error, _Passing) else f"{type(error).__name__}: {error}"
            tries = "1 try" if self._attempts == 1 else f"{self._attempts} tries"
            raise Unreachable(f"the search server at {self.url} gave no answer in {tries}, last: {cause}") from error

    def _try(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        headers = {"content-type": "application/json"} if body is not None else None

        async def ask() -> httpx.Response:
            # httpx bounds the time between two bytes, which a server may send one by one for hours
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._client.request(method, self.url + path, content=body, headers=headers)
            except TimeoutError as error:
                raise httpx.ReadTimeout(f"no whole answer within {self._timeout:g} seconds") from error

        response = on_loop(ask)
        if response.status_code >= 500 or response.status_code in _PASSING:
            raise _Passing(response)
        return response


class Shelf:
    """Documents at hand, those last used, up to a number of characters; safe to use from several threads."""

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
        """The document, or None where it is not at hand."""
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
