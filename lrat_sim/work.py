"""Work that is shared out: its shards, the bounded map of rollouts and judges, and the map over processes.

A worker turns its own failures into data; what it raises is a defect or bad input and ends the map.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple, TypeVar

from lrat_sim.errors import InputError

T = TypeVar("T")
U = TypeVar("U")

_AHEAD = 3
"""Items under way for each process."""
SHARDS = "shards"
"""Where a result's shards lie until they are joined, in folders I-of-N."""


class Shard(NamedTuple):
    """One of several equal shares of some work, each done by a command of its own; ``number`` counts from 1."""

    number: int
    total: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """A shard as it is written, I/N, such as 3/8."""
        known = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        shard = cls(int(known[1]), int(known[2])) if known else cls(0, 0)
        if not 1 <= shard.number <= shard.total:
            raise InputError(f"the shard is {text!r}; write I/N with I from 1 to N, such as 3/8.")
        return shard

    @property
    def folder(self) -> str:
        """What the folder of its results is called."""
        return f"{self.number}-of-{self.total}"

    def takes(self, place: int) -> bool:
        """Whether the item at a place (from 0) is in it; further items at the end change nothing for the others."""
        return place % self.total == self.number - 1


async def bounded_map(
    worker: Callable[[T], Awaitable[U]], items: Iterable[T], concurrency: int
) -> AsyncGenerator[tuple[T, U], None]:
    """Applies ``worker`` to every item, at most ``concurrency`` at once, and yields (item, result) as each is ready.

    A worker turns its own failures into data; what it raises is a defect or bad input and ends the map.

    Items may be endless: one is drawn only when a place is free.  When the consumer stops or is cancelled, what is
    under way is cancelled too (``contextlib.aclosing`` makes that happen at once).
    """
    if concurrency < 1:
        raise InputError(f"concurrency is {concurrency}; give 1 or more.")
    source = iter(items)
    running: dict[asyncio.Task[U], T] = {}
    # asyncio.wait would look at all that is running for each that is done
    finished: asyncio.Queue[asyncio.Task[U]] = asyncio.Queue()

    def refill() -> None:
        while len(running) < concurrency:
            try:
                item = next(source)
            except StopIteration:
                return
            task = asyncio.ensure_future(worker(item))
            task.add_done_callback(finished.put_nowait)
            running[task] = item

    try:
        refill()
        while running:
            done = [await finished.get(), *(finished.get_nowait() for _ in range(finished.qsize()))]
            # what is ready is handed out before a defect of a neighbour ends the map
            for task in sorted(done, key=_failed):
                item = running.pop(task)
                yield item, task.result()
            refill()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _failed(task: asyncio.Task[U]) -> bool:
    return task.cancelled() or task.exception() is not None


def map_in_processes(function: Callable[[T], U], items: Iterable[T], processes: int) -> Iterator[tuple[T, U]]:
    """Applies a function to every item in several processes, and yields (item, result) in order.

    Items may be endless: a few are drawn ahead.  A script that uses it needs ``if __name__ == "__main__"``.

    Raises:
        InputError: a process was killed.
    """
    # not forked: this process may hold threads, whose locks a fork would copy as they are
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        waiting: deque[tuple[T, Future[U]]] = deque()
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) >= _AHEAD * processes:
                    first, future = waiting.popleft()
                    yield first, future.result()
            yield from ((item, future.result()) for item, future in waiting)
        except BrokenProcessPool as error:
            raise InputError(
                "one of the processes was killed, perhaps for want of memory; run it again with fewer processes."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
