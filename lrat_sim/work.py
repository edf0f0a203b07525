"""What long work has in common: its shards, and the bounded map that rollouts and judges share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import NamedTuple, TypeVar

from lrat_sim.errors import InputError

T = TypeVar("T")
U = TypeVar("U")

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
