"""Who may ask the search server, and how much: host name, token and size of the body, before anything is read.

A server on loopback is open to every program of its machine, but not to web pages: one that a browser has loaded
from elsewhere could reach it under a name of its own (DNS rebinding), so the ``Host`` and ``Origin`` of a request must
be this machine.  Any other address takes a token.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrat_sim.errors import InputError
from lrat_sim.models.transport import is_loopback
from lrat_sim.retrieval.schemas import Refused, ServerLimits

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = "/health"  # the one path that takes no token: it says nothing but that the server is there

_AUTHORITY = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z.-]+))(?::[0-9]{1,5})?")
_ORIGIN = re.compile(f"https?://{_AUTHORITY.pattern}")

_DRAINED = 4  # times the limit of a body are read and thrown away, so that a client still sending hears why


class AccessControl:
    """Lets requests through to an application, each with its whole body; ``host`` is where the server listens."""

    def __init__(self, app: ASGIApp, *, host: str, token: str | None, limits: ServerLimits):
        self.app, self.limits = app, limits
        self._token = None if token is None else token.encode()
        self._hosts = _LOOPBACK | {host.lower()} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the start and end of the server."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            self._admit(Headers(scope=scope), scope["path"])
            body = await self._body(receive)
        except Refused as refused:
            return await refusal(refused)(scope, receive, send)
        if body is None:  # the client has gone
            return None
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        return await self.app(scope, replay, send)

    def _admit(self, headers: Headers, path: str) -> None:
        # starlette's TrustedHostMiddleware knows no origins, and how strictly it reads a host depends on its version
        if self._hosts is not None:
            if _host(headers.get("host", "")) not in self._hosts:
                raise Refused(421, "this server answers for this machine only; ask it as 127.0.0.1 or localhost.")
            if any(_host(origin, _ORIGIN) not in self._hosts for origin in headers.getlist("origin")):
                raise Refused(403, "a web page from elsewhere may not ask this server; ask it from this machine.")
        if self._token is not None and path.rstrip("/") != _OPEN:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            # compared in constant time: how much of a guess is right must not show
            right = hmac.compare_digest(given.strip().encode(), self._token)
            if scheme.lower() != "bearer" or not right:
                sentence = "the token is missing or wrong; send the header `Authorization: Bearer TOKEN`."
                raise Refused(401, sentence, {"www-authenticate": "Bearer"})

    async def _body(self, receive: Receive) -> bytes | None:
        body, size, more = bytearray(), 0, True
        try:
            async with asyncio.timeout(self.limits.seconds):
                while more and size <= _DRAINED * self.limits.body:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    piece, more = message.get("body", b""), message.get("more_body", False)
                    size += len(piece)
                    if size <= self.limits.body:
                        body += piece
        except TimeoutError as error:
            sentence = f"the body did not arrive within {self.limits.seconds:g} seconds; send it at once."
            raise Refused(408, sentence, {"connection": "close"}) from error
        if size > self.limits.body:
            sentence = f"the body is larger than {self.limits.body} bytes; send fewer queries per request."
            raise Refused(413, sentence, {"connection": "close"})
        return bytes(body)


def refusal(refused: Refused, headers: dict[str, str] | None = None) -> Response:
    """A refusal as an answer: ``{"error": sentence}``, in ASCII, since it may repeat what was sent."""
    body = json.dumps({"error": refused.sentence}).encode()
    return Response(body, refused.status, {**refused.headers, **(headers or {})}, "application/json")


def check_token(token: str | None, host: str) -> None:
    """Refuses an address that needs a token without one, and a token that no header can carry (InputError)."""
    if token is None and not is_loopback(host):
        raise InputError(f"{host} can be reached from other machines; give a token, or listen on 127.0.0.1.")
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        raise InputError("the token is empty or has characters that a header cannot hold; choose plain letters.")


def _host(text: str, form: re.Pattern[str] = _AUTHORITY) -> str | None:
    """The host that ``text`` names, in lower case, without the brackets of IPv6; None where it is anything else."""
    # matched as a whole: `127.0.0.1:80@elsewhere` names another machine, though not to who splits at a colon
    parts = form.fullmatch(text)
    return (parts["address"] or parts["name"]).lower() if parts else None
