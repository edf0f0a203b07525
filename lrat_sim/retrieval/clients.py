"""The search server's side of its clients' connections: none may be held open for nothing.

uvicorn waits for ever for the head of a request (line and headers), so that a thousand clients that send half a one
would leave no file descriptor for any other.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

_KEPT_FREE = 128
"""File descriptors left for indexes, documents and logs."""


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, with an end to waiting.

    A connection on which the head of a request does not arrive within uvicorn's ``timeout_keep_alive`` is closed.
    Where this process has no file descriptor to spare, the one that has waited longest makes room for a new one.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client has connected."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > most_connections():
            others = [each for each in self.connections if isinstance(each, BoundedProtocol)]
            idlest = min(others, key=BoundedProtocol._gives_way)
            self.connections.discard(idlest)  # now, since of many that come at once each must displace another
            idlest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """A client has sent something."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """A client has gone."""
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

    def _gives_way(self) -> float:
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
