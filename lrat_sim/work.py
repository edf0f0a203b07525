"""The bounded map that rollouts and judges share.

A worker turns its own failures into data; what it raises is a defect or bad input and ends the map.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

from lrat_sim.errors import InputError

T = TypeVar("T")
U = TypeVar("U")


async def bounded_map(
    worker: Callable[[T], Awaitable[U]], items: Iterable[T], concurrency: int
) -> AsyncGenerator[tuple[T, U], None]:
    """Applies ``worker`` to every item, at most ``concurrency`` at once, and yields (item, result) as each is ready.

    Items may be endless: one is drawn only when a place is free.  When the consumer stops or is cancelled, what is
    under way is cancelled too (``contextlib.aclosing`` makes that happen at once).
    """
    if concurrency < 1:
        raise InputError(f"concurrency is {concurrency}; give 1 or more.")
    source = iter(items)
    running: dict[asyncio.Task[U], T] = {}

    def refill() -> None:
        while len(running) < concurrency:
            try:
                item = next(source)
            except StopIteration:
                return
            running[asyncio.ensure_future(worker(item))] = item

    try:
        refill()
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
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
