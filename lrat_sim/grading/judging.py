"""Runs a judge over a stream of trajectories: bounded, written down before it is announced, usable from plain code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from lrat_sim.artifact import Store
from lrat_sim.errors import InputError
from lrat_sim.models.client import close_connections
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Record, Trajectory
from lrat_sim.work import bounded_map

R = TypeVar("R", bound=Record)
T = TypeVar("T")


def judge_all(
    worker: Callable[[Trajectory], Awaitable[list[R]]],
    trajectories: Iterable[Trajectory],
    *,
    store: Store[R] | None,
    concurrency: int,
    progress: ProgressCallback | None,
    what: str,
) -> Iterator[R]:
    """Applies a judge's worker to every trajectory and yields its records, each after it was written to the store.

    It runs an event loop of its own, so that plain code can iterate.

    Args:
        worker: gives the records of one trajectory; turns its own failures into data.
        trajectories: drawn lazily.
        store: an open store, or None.
        concurrency: trajectories under way at once.
        progress: told the trajectories done.
        what: the name of the work, for ``progress``.

    Raises:
        InputError: ``concurrency`` is below 1, or the caller is itself inside an event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise InputError("a judge was called inside a running event loop; call it in a thread (asyncio.to_thread).")
    stream = bounded_map(worker, trajectories, concurrency)

    async def following() -> tuple[Trajectory, list[R]] | None:
        return await anext(stream, None)

    done = 0
    with asyncio.Runner() as runner:
        try:
            while (result := _run(runner.get_loop(), following())) is not None:
                for record in result[1]:
                    if store is not None:
                        store.append(record)
                    yield record
                done += 1
                if progress is not None:
                    progress(done, None, what)
        finally:
            runner.run(_close(stream.aclose()))  # cancels what is under way where the consumer stopped early
            runner.run(close_connections())


def _run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """As ``Runner.run``, which sets and resets a signal handler each time: too slow for once a trajectory."""
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():  # Ctrl-C: the stream can only be closed when nobody is in it
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        raise


async def _close(closing: Awaitable[None]) -> None:
    await closing  # Runner.run takes coroutines alone
