"""Any retriever over HTTP: our own endpoints, Search-R1's, and MCP.

======================  ==============================================================================================
``POST /search``        ``{queries | query, k, snippet_tokens, text}`` -> ``{results: [[{docid, score, rank, …}]]}``
``GET /document/ID``    ``{id, title, text}``; the id percent-encoded
``GET /describe``       what is served: the retriever, its fingerprint, the limits; also ``GET /``
``GET /health``         ``{status: ok}``, without a token
``POST /retrieve``      Search-R1's ``{queries, topk, return_scores}`` -> ``{result: [[{document, score}]]}``
``/mcp``                the tools ``search`` and ``get_document``, over streamable HTTP
======================  ==============================================================================================

A slash at the end of a path changes nothing, but in an id.  Whatever cannot be answered gives ``{error: sentence}``:
401 without the token, 404 for an unknown document, 413 and 422 for a request over a limit or malformed, 502 where the
retriever failed, 503 where too many wait.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from lrat_sim.errors import InputError, LratSimError, UnknownDocument
from lrat_sim.retrieval.access import AccessControl, check_token, refusal
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.result_format import ResultFormat
from lrat_sim.retrieval.schemas import (
    FINGERPRINT_HEADER,
    Refused,
    RetrieveBody,
    SearchBody,
    ServerLimits,
    encode_answer,
    read_body,
)
from lrat_sim.retrieval.service import Service

logger = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[bytes]]


class _AnyId(Convertor[str]):
    """A document id in a path: whatever it holds, slashes and line breaks too."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("docid", _AnyId())


def search_app(
    retriever: Retriever,
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    limits: ServerLimits | None = None,
    mcp: bool = True,
    shown: ResultFormat | None = None,
) -> ASGIApp:
    """The search server as an ASGI application, for a server of one's own; ``serve`` runs it by itself.

    Args:
        retriever: what answers.
        host: the address that it will be reached at: on loopback, requests for another host name are refused.
        token: what each request must bring; needed where ``host`` is not loopback.
        limits: what a request may ask for.
        mcp: whether ``/mcp`` is offered.
        shown: what the tools of ``/mcp`` show.

    Raises:
        InputError: the retriever cannot be served, the token is missing or unusable, or a limit is not allowed.
    """
    check_token(token, host)
    service = Service(retriever, limits, shown)

    async def describe(_: Request) -> bytes:
        return encode_answer(service.card)

    async def health(_: Request) -> bytes:
        return encode_answer({"status": "ok"})

    async def search(request: Request) -> bytes:
        return await service.answer_search(read_body(await request.body(), SearchBody))

    async def retrieve(request: Request) -> bytes:
        return await service.answer_retrieve(read_body(await request.body(), RetrieveBody))

    async def document(request: Request) -> bytes:
        return encode_answer(await service.document(request.path_params["docid"]))

    # guides write addresses with a slash at the end, and few clients follow a redirect with a body
    both_ways = [
        ("/describe", describe, "GET"), ("/health", health, "GET"), ("/search", search, "POST"),
        ("/retrieve", retrieve, "POST"),
    ]  # fmt: skip
    routes: list[BaseRoute] = [
        Route("/", _answering(describe, service)),
        Route("/document/{docid:docid}", _answering(document, service)),
        *(
            Route(path + slash, _answering(endpoint, service), methods=[method])
            for path, endpoint, method in both_ways
            for slash in ("", "/")
        ),
    ]
    manager = None
    if mcp:
        from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager

        from lrat_sim.retrieval.mcp_server import mcp_server

        # without sessions: every call stands for itself, so there is nothing to keep or to lose
        manager = StreamableHTTPSessionManager(
            mcp_server(service), stateless=True, json_response=True, max_request_body_size=service.card.limits.body
        )
        # nor is there anything to say but answers, so no stream is opened for a GET
        routes += [Route(path, StreamableHTTPASGIApp(manager), methods=["POST"]) for path in ("/mcp", "/mcp/")]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with contextlib.closing(service):
            async with manager.run() if manager is not None else contextlib.nullcontext():
                yield

    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _no_such})
    app.router.redirect_slashes = False
    return AccessControl(app, host=host, token=token, limits=service.card.limits)


def _answering(endpoint: Endpoint, service: Service) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint whose failures are answers too; each answer names the fingerprint of what is served."""
    served = {FINGERPRINT_HEADER: service.card.fingerprint}

    async def answer(request: Request) -> Response:
        try:
            return Response(await endpoint(request), 200, served, "application/json")
        except Refused as refused:
            return refusal(refused, served)
        except UnknownDocument as error:
            return refusal(Refused(404, f"{error}."), served)
        except InputError as error:
            return refusal(Refused(422, str(error)), served)
        except LratSimError as error:
            return refusal(Refused(502, f"{str(error).rstrip('.')}."), served)
        except Exception:  # a defect of the server: told in one sentence there, in full here
            logger.exception("the search server failed on %s", request.url.path)
            return refusal(Refused(500, "the server failed on this request; its log says why."), served)

    return answer


async def _no_such(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(getattr(error, "headers", None) or {})
    sentence = f"{request.method} {request.url.path} is not offered; GET /describe says what is served."
    return refusal(Refused(status, sentence, headers))
