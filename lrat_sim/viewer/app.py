"""The viewer as an application, and its server on loopback.

Documents are hostile: templates escape whatever comes from a file, ids are percent-encoded in addresses, and headers
forbid the browser all scripts and styles but ours and all requests elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from msgspec import Struct
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrat_sim.colours import variables
from lrat_sim.errors import InputError
from lrat_sim.models.transport import is_loopback
from lrat_sim.retrieval.access import AccessControl
from lrat_sim.retrieval.schemas import ServerLimits
from lrat_sim.retrieval.server import serve_app
from lrat_sim.viewer import pages
from lrat_sim.viewer.library import Corpora, Library
from lrat_sim.viewer.listing import Query

_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}

_PAGES: dict[str, tuple[type[Struct], Callable[[Library, Any], Response]]] = {
    "/": (Query, pages.home),
    "/trajectories": (Query, pages.trajectories),
    "/runs": (pages.Address, pages.runs),
    "/trajectory": (pages.TrajectoryAddress, pages.trajectory),
    "/record": (pages.TrajectoryAddress, pages.record),
    "/document": (pages.DocumentAddress, pages.document),
    "/compare": (pages.CompareAddress, pages.compare),
    "/versus": (pages.VersusAddress, pages.versus),
    "/pairs": (pages.PairsAddress, pages.pairs),
    "/pair": (pages.PairAddress, pages.pair),
}
"""Every page: the parameters of its address, and what answers."""


def viewer_app(library: Library, *, host: str = "127.0.0.1") -> ASGIApp:
    """The viewer as an ASGI application at a loopback address; requests for another host name are refused."""

    def answering(path: str) -> Callable[[Request], Response]:
        address, page = _PAGES[path]

        def answer(request: Request) -> Response:  # in a thread, since all pages read files
            parameters = pages.read_address(request.query_params, address)
            library.refresh()
            return page(library, parameters)

        return answer

    async def refused(_: Request, error: Exception) -> Response:
        status, sentence = 500, f"the page could not be made ({type(error).__name__}: {error})."
        if isinstance(error, InputError):
            status, sentence = 400 if isinstance(error, pages.BadAddress) else 404, str(error)
        elif isinstance(error, HTTPException):
            status, sentence = error.status_code, "there is no such page; begin at the list."
            sentence = sentence if status == 404 else "pages can only be read."
        return pages.page(library, "error.html", status, sentence=sentence)

    light, dark = (f":root {{ {variables(dark)} }}" for dark in (False, True))
    colours = f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n"
    app = Starlette(
        routes=[
            *(Route(path, answering(path)) for path in _PAGES),
            Route("/colours.css", lambda _: Response(colours, media_type="text/css")),
            Mount("/static", StaticFiles(directory=str(files("lrat_sim.viewer") / "static"))),
        ],
        exception_handlers=dict.fromkeys((InputError, 404, 405, 500), refused),
    )
    guarded = AccessControl(app, host=host, token=None, limits=ServerLimits())

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":  # refusals included
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await guarded(scope, receive, add)

    return with_headers


def view(
    folder: Path,
    *,
    corpus: Path | None = None,
    data: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    announce: Callable[[str], object] = print,
) -> None:
    """Serves the trajectories of a folder to a browser of this machine, until Ctrl-C or SIGTERM.

    ``corpus`` gives titles and texts: a corpus or prepared task set; by default the one that the runs searched, where
    it is near the folder or in ``data``.  Port 0 takes any that is free; ``announce`` is told the URL once it listens.
    """
    if not is_loopback(host):
        raise InputError(f"the viewer listens on this machine only and {host} is not loopback; leave --host out.")
    library = Library(folder, Corpora(folder, corpus, data))
    serve_app(lambda address: viewer_app(library, host=address), host=host, port=port, announce=announce)
