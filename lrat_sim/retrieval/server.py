"""Runs the search server, until a signal or for a while; :mod:`lrat_sim.retrieval.search_app` says what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lrat_sim.errors import InputError
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.schemas import ServerLimits
from lrat_sim.retrieval.search_app import search_app

_BACKLOG = 2048  # connections that may wait to be accepted: a thousand agents may come at once
# those that are accepted in a row: asyncio would take all that wait, and fail for want of file descriptors before
# `_BoundedProtocol` hears of the first
_ACCEPTED = 16
_KEPT_FREE = 128  # file descriptors left for indexes, documents and logs
_SECONDS = ServerLimits().seconds


def serve(
    retriever: Retriever,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    announce: Callable[[str], object] = print,
    **options: Any,
) -> None:
    """Serves a retriever over HTTP until Ctrl-C or SIGTERM; requests under way are answered first.

    Args:
        retriever: answers the queries.
        host: the address to listen on.
        port: the port; 0 takes any that is free.
        announce: told where it listens once it does.
        options: the others of :func:`search_app`.

    Raises:
        InputError: as :func:`search_app`, or the address cannot be listened on.
    """

    def listening(url: str) -> None:
        tools = f", MCP at {url}/mcp" if options.get("mcp", True) else ""
        kind = retriever.describe().get("kind", type(retriever).__name__)
        announce(f"serving {kind} ({retriever.fingerprint}) at {url}{tools}; Ctrl-C stops it.")

    serve_app(
        lambda address: search_app(retriever, host=address, **options),
        host=host, port=port, seconds=_head_seconds(options), announce=listening,
    )  # fmt: skip


def serving(
    retriever: Retriever, *, host: str = "127.0.0.1", port: int = 0, **options: Any
) -> contextlib.AbstractContextManager[str]:
    """Serves a retriever from a thread for as long as the block runs, and gives its URL; arguments as :func:`serve`."""
    return serving_app(
        lambda address: search_app(retriever, host=address, **options),
        host=host, port=port, seconds=_head_seconds(options),
    )  # fmt: skip


def _head_seconds(options: dict[str, Any]) -> float:
    return (options.get("limits") or ServerLimits()).seconds


def serve_app(
    app: Callable[[str], ASGIApp],
    *,
    host: str,
    port: int,
    seconds: float = _SECONDS,
    announce: Callable[[str], object] = print,
) -> None:
    """Serves the application that ``app`` makes for an address, over HTTP until Ctrl-C or SIGTERM; ``seconds`` is the
    time in which the head of a request must have arrived."""
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        # a signal is an end like any other, from before the server starts until it has answered its last request
        is_main = threading.current_thread() is threading.main_thread()  # signals arrive nowhere else
        for number in (signal.SIGINT, signal.SIGTERM) if is_main else ():
            stack.callback(signal.signal, number, signal.signal(number, lambda *_: ended.set()))
        announce(stack.enter_context(serving_app(app, host=host, port=port, seconds=seconds, ended=ended)))
        ended.wait()


@contextlib.contextmanager
def serving_app(
    app: Callable[[str], ASGIApp],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seconds: float = _SECONDS,
    ended: threading.Event | None = None,
) -> Iterator[str]:
    """Serves an application as :func:`serve_app`, from a thread for as long as the block runs, and gives its URL;
    ``ended`` is set where the server ends by itself."""
    started, over = threading.Event(), ended or threading.Event()
    with _listening(host, port) as listener:
        server = _Uvicorn(app(listener.getsockname()[0]), seconds, started.set)

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                over.set()

        thread = threading.Thread(target=run, name="lrat-sim-server")
        thread.start()
        try:
            while not started.wait(0.05):
                if not thread.is_alive():
                    raise InputError("the server did not start; its reason is in the log.")
            address, number = listener.getsockname()[:2]
            yield f"http://[{address}]:{number}" if ":" in address else f"http://{address}:{number}"
        finally:
            server.should_exit = True
            thread.join()


class _BoundedProtocol(H11Protocol):
    """uvicorn's protocol, which waits for the head of a request no longer than ``timeout_keep_alive``; where no file
    descriptor is to spare, the connection that has waited longest makes room for a new one."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > most_connections():
            known = [protocol for protocol in self.connections if isinstance(protocol, _BoundedProtocol)]
            idlest = min(known, key=_BoundedProtocol._closes_at)
            self.connections.discard(idlest)  # now, since of many that come at once each must displace another
            idlest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def _watch(self) -> None:
        """Sets the deadline of a head that is not here yet, once: each further byte would put it off."""
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)
        elif not waiting and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _closes_at(self) -> float:
        """When it is closed unless a request comes; never, while one is under way."""
        timer = self._deadline or self.timeout_keep_alive_task
        return timer.when() if timer is not None else float("inf")


def most_connections() -> int:
    """Connections that this process has file descriptors for."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 1 << 30
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if limit == resource.RLIM_INFINITY else max(1, limit - _KEPT_FREE)


class _Uvicorn(uvicorn.Server):
    """Uvicorn that says when it listens, logs nothing but faults, and does not wait for open streams at the end."""

    def __init__(self, app: ASGIApp, seconds: float, started: Callable[[], object]):
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                backlog=_ACCEPTED,
                http=_BoundedProtocol,
                timeout_keep_alive=seconds,  # type: ignore[arg-type]  # parts of a second will do, too
                timeout_graceful_shutdown=5,
            )
        )
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():  # asyncio has set it to what is accepted in a row
            listener.listen(_BACKLOG)
        self._tell()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens; the caller closes it."""
    if not 0 <= port <= 65_535:  # what resolves names would take the rest of a division
        raise InputError(f"there is no port {port}; give one from 1 to 65535, or 0 for any that is free.")
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # with the protocol by its number: asyncio sends at once (TCP_NODELAY) only where it is named, and otherwise
        # every answer waits 40 ms for an acknowledgement
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        return listener
    except (OSError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{host}, port {port}, cannot be listened on ({reason}); choose another.") from error
