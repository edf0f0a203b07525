"""Any retriever over HTTP: our own endpoints, Search-R1's, and MCP.

======================  ==============================================================================================
``POST /search``        ``{queries | query, k, snippet_tokens, text}`` -> ``{results: [[{docid, score, rank, …}]]}``;
                        a query is a text, or an object with the question, the reasoning and the earlier searches
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

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from lrat_sim.errors import InputError, LratSimError, UnknownDocument
from lrat_sim.records import Hit
from lrat_sim.retrieval.access import AccessControl, check_token, refusal
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.result_format import ResultFormat
from lrat_sim.retrieval.schemas import (
    FINGERPRINT_HEADER,
    Refused,
    RetrieveBody,
    SearchAnswer,
    SearchBody,
    SearchHit,
    ServerLimits,
    encode_answer,
    read_body,
)
from lrat_sim.retrieval.service import Service

RETRIEVE_TOPK = 3  # hits a query where a client of /retrieve names no number, as in Search-R1's server


class _AnyId(PathConvertor):
    """A document id in a path: whatever it holds, line breaks too."""

    regex = "(?s:.*)"


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
        InputError: the retriever cannot be served, or the token is missing or unusable.
    """
    check_token(token, host)
    service = Service(retriever, limits, shown)
    served = {FINGERPRINT_HEADER: service.card.fingerprint}

    def answer(content: Any) -> Response:
        return Response(encode_answer(content), 200, served, "application/json")

    async def describe(_: Request) -> Response:
        return answer(service.card)

    async def health(_: Request) -> Response:
        return answer({"status": "ok"})

    async def document(request: Request) -> Response:
        return answer(await asyncio.to_thread(service.document, request.path_params["docid"]))

    async def search(request: Request) -> Response:
        body = read_body(await request.body(), SearchBody)
        if (body.query is None) == (body.queries is None):
            raise Refused(422, "the body has neither or both of `query` and `queries`; give one of them.")
        given = [body.query] if body.query is not None else body.queries or []
        queries = [query if isinstance(query, str) else query.asked() for query in given]
        lists = await service.search(queries, body.k)

        def with_texts(hit: Hit) -> SearchHit:
            texts: dict[str, str] = {}
            if body.text:
                document = service.document(hit.docid)
                texts |= {"title": document.title, "text": document.text}
            if body.snippet_tokens is not None:
                texts["title"], texts["snippet"] = service.listed(hit.docid, body.snippet_tokens)
            return SearchHit(docid=hit.docid, score=hit.score, rank=hit.rank, **texts)

        return await asyncio.to_thread(lambda: answer(SearchAnswer([list(map(with_texts, hits)) for hits in lists])))

    async def retrieve(request: Request) -> Response:
        body = read_body(await request.body(), RetrieveBody)
        lists = await service.search(body.queries, body.topk or RETRIEVE_TOPK)

        def render(hit: Hit) -> dict[str, Any]:
            document = service.document(hit.docid)
            # the first line is always the title, since that project's clients take the first line for it
            entry = {"id": document.id, "contents": f'"{" ".join(document.title.split())}"\n{document.text}'}
            return {"document": entry, "score": hit.score} if body.return_scores else entry

        return await asyncio.to_thread(lambda: answer({"result": [list(map(render, hits)) for hits in lists]}))

    routes: list[BaseRoute] = [Route("/", describe), Route("/document/{docid:docid}", document)]
    for path, endpoint, method in (
        ("/describe", describe, "GET"),
        ("/health", health, "GET"),
        ("/search", search, "POST"),
        ("/retrieve", retrieve, "POST"),
    ):
        # guides write addresses with a slash at the end, and few clients follow a redirect with a body
        routes += [Route(address, endpoint, methods=[method]) for address in (path, f"{path}/")]
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

    async def failed(request: Request, error: Exception) -> Response:
        return refusal(_refused(request, error), served)

    # an `Exception` is a defect of the server: told in one sentence there, and logged by uvicorn in full
    failures = dict.fromkeys((HTTPException, Refused, LratSimError, Exception), failed)
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=failures)
    app.router.redirect_slashes = False
    return AccessControl(app, host=host, token=token, limits=service.card.limits)


def _refused(request: Request, error: Exception) -> Refused:
    """The status and the sentence for what went wrong."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, HTTPException):  # no such path, or another method
        sentence = f"{request.method} {request.url.path} is not offered; GET /describe says what is served."
        return Refused(error.status_code, sentence, dict(error.headers or {}))
    if isinstance(error, LratSimError):
        status = 404 if isinstance(error, UnknownDocument) else 422 if isinstance(error, InputError) else 502
        return Refused(status, f"{str(error).rstrip('.')}.")
    return Refused(500, "the server failed on this request; its log says why.")
