"""Queries that come at the same time go to the retriever together.

Requests with the same k that arrive within a few milliseconds, or while all threads are busy, become one call of
:meth:`Retriever.search`; others are kept apart, since a retriever may rank differently for another k.  An answer never
depends on who else asked: that is the contract of a retriever, and where a joint call fails, each request is asked
again alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from lrat_sim.errors import LratSimError, RetrieverError
from lrat_sim.records import Hit
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.schemas import Refused


class _Request(NamedTuple):
    queries: list[str]
    answer: asyncio.Future[list[list[Hit]]]


class Batcher:
    """Gathers concurrent searches on one event loop and runs them in threads.

    Args:
        window: seconds in which requests are gathered.
        size: queries in a call at which gathering ends; a request is never split.
        threads: calls under way at once.
        waiting: queries that may wait at once.
    """

    def __init__(
        self, retriever: Retriever, *, window: float = 0.002, size: int = 64, threads: int = 4, waiting: int = 16_384
    ):
        self.retriever, self.window, self.size, self.waiting = retriever, window, size, waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lrat-sim-search")
        self._free = asyncio.Semaphore(threads)
        self._queues: dict[int, deque[_Request]] = {}
        self._queued = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """As :meth:`Retriever.search`, without holding up the event loop.

        Raises:
            RetrieverError: the retriever failed on these queries, by whatever exception.
            Refused: 503, too many queries wait.
        """
        if not queries:
            return []
        if self._queued and self._queued + len(queries) > self.waiting:
            raise Refused(503, f"{self._queued} queries wait already; ask again later.", {"retry-after": "1"})
        request = _Request(list(queries), asyncio.get_running_loop().create_future())
        self._queued += len(queries)
        if k not in self._queues:
            self._queues[k] = deque()
            self._start(self._gather(k))
        self._queues[k].append(request)
        return await request.answer

    def close(self) -> None:
        """Gives up what waits; calls under way end by themselves."""
        for task in self._tasks:
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def _gather(self, k: int) -> None:
        queue = self._queues[k]
        await asyncio.sleep(self.window)
        while queue:
            await self._free.acquire()  # what comes meanwhile is gathered too
            batch: list[_Request] = []
            size = 0
            while queue and (not batch or size + len(queue[0].queries) <= self.size):
                size += len(queue[0].queries)
                batch.append(queue.popleft())
            self._queued -= size
            self._start(self._answer(batch, k))
        del self._queues[k]

    async def _answer(self, batch: list[_Request], k: int) -> None:
        try:
            await self._run([request for request in batch if not request.answer.done()], k)  # some clients have left
        finally:
            self._free.release()
            for request in batch:
                request.answer.cancel()  # nobody may wait for ever; an answer that stands already stays

    async def _run(self, batch: list[_Request], k: int) -> None:
        if not batch:
            return
        queries = [query for request in batch for query in request.queries]
        try:
            hits = iter(await asyncio.get_running_loop().run_in_executor(self._pool, self._search, queries, k))
        except LratSimError as error:
            if len(batch) > 1:  # one of them may have spoilt it for all
                await asyncio.gather(*(self._run([request], k) for request in batch))
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for request in batch:
            answer = [next(hits) for _ in request.queries]
            if not request.answer.done():
                request.answer.set_result(answer)

    def _search(self, queries: list[str], k: int) -> list[list[Hit]]:
        try:
            results = self.retriever.search(queries, k)
        except LratSimError:
            raise
        except Exception as error:  # a retriever may be the user's own: whatever it raises is a failure of its query
            raise RetrieverError(f"the retriever failed ({type(error).__name__}: {error})") from error
        if len(results) != len(queries):
            raise RetrieverError(f"the retriever gave {len(results)} lists of hits for {len(queries)} queries")
        return results
