"""Worker processes on the machines of a cluster, to which items are handed one by one."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from threading import Thread
from typing import Any, Generic, TypeVar

from lrat_sim.errors import InputError, LratSimError
from lrat_sim.progress import console

T = TypeVar("T")
U = TypeVar("U")

_TRIES = 4
"""How many workers an item may cost: one that is too large for any machine's memory ends each of them."""
_AHEAD = 2
"""Items that wait in line for each that is under way, so that no worker waits for the consumer."""
_PATIENCE = 30.0
"""Seconds without any worker after which that is said."""


class _Worker:
    """What runs in a worker process; Ray makes an actor of it."""

    def __init__(self) -> None:
        self._function: Callable[[Any], Any] | None = None
        self._beside = ThreadPoolExecutor(1)

    async def open(self, packed: bytes, wanted: str, folder: str) -> str:
        """Opens what the worker needs; returns the machine's name."""
        from ray import cloudpickle

        host = socket.gethostname()
        if (own := _version()) != wanted:
            raise InputError(f"{host} has lrat-sim {own}, not {wanted}; install one version on all machines.")
        with suppress(OSError):  # paths may be relative to where the command was called
            os.chdir(folder)
        try:
            self._function = cloudpickle.loads(packed)()
        except (InputError, ImportError) as error:
            said = str(error).rstrip(".")
            raise InputError(f"{said} (on {host}; all machines need the same packages and files).") from error
        return host

    async def call(self, item: Any) -> Any:
        """What the function makes of an item."""
        function = self._function
        assert function is not None, "opened before"
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            return await function(item)
        # beside the loop, since it may run one of its own; one at a time, since a worker is one processor
        return await asyncio.get_running_loop().run_in_executor(self._beside, function, item)


class _Handle:
    """A worker as the pool knows it."""

    def __init__(self, actor: Any):
        self.actor, self.load, self.ready, self.lost, self.host = actor, 0, False, False, "?"


class Workers(Generic[T, U]):
    """A pool of workers; a lost one is replaced, and its items are done by others.

    They are served by an event loop in a thread of its own, so that plain code, coroutines and notebooks can use them.
    """

    def __init__(self, open_: Callable[[], Callable[[T], Any]], *, count: int, at_once: int, gpus: int = 0):
        import ray
        from ray import cloudpickle

        try:
            self._packed: bytes = cloudpickle.dumps(open_)
        except (TypeError, AttributeError, ValueError) as error:  # what pickle raises for what it cannot take
            raise InputError(
                f"what the workers need cannot be sent to other machines ({error}); give retrievers, models and judges "
                "by name or folder, or leave --cluster out."
            ) from error
        self.count, self.at_once = count, at_once
        self._actor = ray.remote(_Worker).options(
            num_cpus=1, num_gpus=gpus, max_concurrency=max(2, at_once), scheduling_strategy="SPREAD"
        )
        self._ray = ray
        self._handles: list[_Handle] = []
        self._fault: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True, name="workers")

    @property
    def places(self) -> int:
        """Items that can be under way at once."""
        return self.count * self.at_once

    def __enter__(self) -> Workers[T, U]:
        self._changed = asyncio.Condition()
        self._thread.start()
        for _ in range(self.count):
            self._run(self._add())
        self._run(self._watch())
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all workers, whatever they are doing."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for handle in self._handles:
            self._kill(handle)

    def submit(self, item: T) -> Future[U]:
        """Hands an item to a worker that is free, now or later."""
        return self._run(self._call(item))

    async def call(self, item: T) -> U:
        """As :meth:`submit`, for coroutines."""
        return await asyncio.wrap_future(self.submit(item))

    def map(self, items: Iterable[T]) -> Iterator[tuple[T, U]]:
        """Each item with its result, in the order of the items, of which only some are drawn ahead."""
        waiting: deque[tuple[T, Future[U]]] = deque()
        for item in items:
            waiting.append((item, self.submit(item)))
            if len(waiting) >= (1 + _AHEAD) * self.count:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()

    def _run(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _add(self) -> None:
        """Starts a worker; it counts once it is open."""
        handle = _Handle(self._actor.remote())
        self._handles.append(handle)
        try:
            handle.host = await handle.actor.open.remote(self._packed, _version(), os.getcwd())
            handle.ready = True
        except Exception as error:
            self._kill(handle)
            if self._is_loss(error) and sum(known.lost for known in self._handles) < _TRIES * self.count:
                self._run(self._add())
            else:
                self._fault = _cause(error)
        async with self._changed:
            self._changed.notify_all()

    async def _call(self, item: T) -> U:
        for _ in range(_TRIES):
            handle = await self._free()
            try:
                result: U = await handle.actor.call.remote(item)
                return result
            except Exception as error:
                if not handle.lost:  # else it was given up, and what it still says counts for nothing
                    if not self._is_loss(error):
                        raise _cause(error) from None
                    self._kill(handle)
                    said = f"a worker on {handle.host} was lost; others do its work again"
                    console.print(said, markup=False, soft_wrap=True)
                    self._run(self._add())
            finally:
                handle.load -= 1
                async with self._changed:
                    self._changed.notify()
        raise InputError(
            f"{_TRIES} workers in a row were lost over one item, perhaps for want of memory; use fewer --workers, or "
            "machines with more memory. Finished work is kept."
        )

    async def _free(self) -> _Handle:
        """The worker with the least to do, when one has a place."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._fault is not None or self._least() is not None)
            if self._fault is not None:
                raise self._fault
            handle = self._least()
            assert handle is not None
            handle.load += 1
            return handle

    def _least(self) -> _Handle | None:
        free = (known for known in self._handles if known.ready and not known.lost and known.load < self.at_once)
        return min(free, key=lambda known: known.load, default=None)

    async def _watch(self) -> None:
        """Says so where the cluster has no room for any worker."""
        while True:
            await asyncio.sleep(_PATIENCE)
            if not any(known.ready and not known.lost for known in self._handles):
                said = "waiting for the cluster: no worker has begun yet, perhaps for want of a free processor or GPU"
                console.print(said, markup=False, soft_wrap=True)

    def _is_loss(self, error: Exception) -> bool:
        """Whether the worker or its machine is gone or cannot be reached; else the work itself failed."""
        errors = self._ray.exceptions
        gone = (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError, errors.NodeDiedError)
        return isinstance(error, gone)

    def _kill(self, handle: _Handle) -> None:
        handle.lost = True
        if self._ray.is_initialized():
            self._ray.kill(handle.actor)  # one that only cannot be reached must not go on either


def _cause(error: Exception) -> BaseException:
    """What a worker raised, without Ray's wrapping where it is an error of ours."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, LratSimError) else error


def _version() -> str:
    return version("lrat-sim")
