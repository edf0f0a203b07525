"""The viewer as an application, and its server on loopback.

Documents are hostile: whatever comes from a file is escaped by the templates, ids are percent-encoded in addresses,
and the headers of every answer forbid the browser all scripts and styles but our own, and all requests elsewhere.
Only this machine may ask, under its own name (:mod:`lrat_sim.retrieval.access`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrat_sim.errors import InputError
from lrat_sim.models.transport import is_loopback
from lrat_sim.retrieval.access import AccessControl
from lrat_sim.retrieval.schemas import ServerLimits
from lrat_sim.retrieval.server import serve_app
from lrat_sim.viewer.compare_pages import ComparePages
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.pages import Pages
from lrat_sim.viewer.pair_pages import PairPages
from lrat_sim.viewer.site import Site
from lrat_sim.viewer.titles import Corpora

_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


def viewer_app(library: Library, *, host: str = "127.0.0.1") -> ASGIApp:
    """The viewer as an ASGI application.

    Args:
        library: what is shown.
        host: the loopback address that it is reached at; requests for another host name are refused.
    """
    site = Site(library)
    pages, compare, pairs = Pages(site), ComparePages(site), PairPages(site)
    app = Starlette(
        routes=[
            Route("/", pages.trajectories),
            Route("/runs", pages.runs),
            Route("/trajectory", pages.trajectory),
            Route("/record", pages.record),
            Route("/document", pages.document),
            Route("/compare", compare.compare),
            Route("/versus", compare.versus),
            Route("/pairs", pairs.pairs),
            Route("/pair", pairs.pair),
            Mount("/static", StaticFiles(directory=str(files("lrat_sim.viewer") / "static"))),
        ],
        exception_handlers={InputError: site.refused, 404: site.not_found, 405: site.not_found, 500: site.failed},
    )
    return _Guarded(AccessControl(app, host=host, token=None, limits=ServerLimits()))


class _Guarded:
    """Adds the headers to every answer, refusals included."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self.app(scope, receive, guarded)


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

    Args:
        folder: a run folder, that of a comparison or a flywheel, or any above them.
        corpus: a corpus or prepared task set that gives titles and texts; by default the one that the runs searched,
            where it is found near the folder or in ``data``.
        data: where prepared task sets are kept.
        host: a loopback address.
        port: the port; 0 takes any that is free.
        announce: told the URL once it listens.

    Raises:
        InputError: the folder holds no run, ``corpus`` is none, or the address is not of loopback or taken.
    """
    if not is_loopback(host):
        raise InputError(f"the viewer listens on this machine only and {host} is not loopback; leave --host out.")
    library = Library(folder, Corpora(folder, corpus, data))
    serve_app(lambda address: viewer_app(library, host=address), host=host, port=port, announce=announce)
