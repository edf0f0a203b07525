"""How many calls are in flight: as many as allowed, or as many as the provider turns out to accept."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from lrat_sim.errors import InputError

START = 20  # calls in flight that an adaptive limiter starts with


class PrioritySemaphore:
    """A semaphore whose ``size`` may change; waiters enter by priority, then in the order in which they came."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size, self.taken = size, 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = itertools.count(1)

    @property
    def limit(self) -> int:
        """How many slots there are now."""
        return self._size()

    @asynccontextmanager
    async def slot(self, priority: int = 0) -> AsyncIterator[int]:
        """One slot for the lowest ``priority`` of those who wait; gives the number of the entry, which grows."""
        self.wake()  # nobody waits while there is room, so nobody can be overtaken
        if self.taken < self.limit:
            self.taken += 1
        else:
            await self._granted(priority)
        try:
            yield next(self._tickets)
        finally:
            self.taken -= 1
            self.wake()

    async def _granted(self, priority: int) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._tickets), granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():  # let in and cancelled at the same moment
                self.taken -= 1
                self.wake()
            raise

    def wake(self) -> None:
        """Lets waiters in while there is room; to be called whenever there may be more."""
        while self._waiting and self.taken < self.limit:
            granted = heapq.heappop(self._waiting)[2]
            if not granted.done():  # else it was cancelled
                self.taken += 1
                granted.set_result(None)


class AdaptiveLimiter(PrioritySemaphore):
    """Bounds the calls in flight.

    It starts at 20 and grows with every answer until the provider first says 429, which doubles it in a round trip.
    From then on a 429 halves the limit, once a round trip, and a round trip of answers adds one, as in TCP.  Where it
    is not ``adaptive``, the ``ceiling`` holds from the start, whatever the provider says.
    """

    def __init__(self, ceiling: int, *, adaptive: bool = True):
        if ceiling < 1:
            raise InputError(f"concurrency is {ceiling}; give 1 or more.")
        super().__init__(lambda: int(self._limit))
        self.ceiling, self.adaptive = ceiling, adaptive
        self.pausing = 0
        self.changed: Callable[[], None] = lambda: None
        self._limit = float(min(START, ceiling) if adaptive else ceiling)
        self._starting = True
        self._shrunk_at = 0

    def answered(self) -> None:
        """To be called when a call is answered, while it still holds its slot."""
        # a limit that is not reached says nothing about what the provider accepts; at first, while the runs still
        # come, half of it is enough
        wanted = self.taken * (2 if self._starting else 1) >= self.limit
        if self.adaptive and wanted and self._limit < self.ceiling:
            self._set(min(self.ceiling, self._limit + (1 if self._starting else 1 / self._limit)))

    def refused(self, ticket: int) -> None:
        """The provider wants fewer calls; one whose ``ticket`` is older than the last shrinking says nothing new."""
        if self.adaptive and ticket > self._shrunk_at:
            self._starting = False
            self._shrunk_at = next(self._tickets)
            self._set(max(1.0, self._limit / 2))

    def _set(self, limit: float) -> None:
        self._limit = limit
        self.wake()
        self.changed()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """A context in which a call waits for its next attempt; it holds no slot meanwhile."""
        self.pausing += 1
        self.changed()
        try:
            yield
        finally:
            self.pausing -= 1


class RunLimiter(PrioritySemaphore):
    """Bounds the runs whose calls go through a limiter: enough to fill it, and one for each call that waits to be tried
    again, up to ``most`` times the limiter's ceiling; not more, since a run's time counts from when it is let in."""

    SPARE = 1.25  # runs per slot, since a run also searches

    def __init__(self, calls: AdaptiveLimiter, *, most: int = 4):
        most *= calls.ceiling
        super().__init__(lambda: min(most, int(calls.limit * self.SPARE) + calls.pausing))
        calls.changed = self.wake
