"""What the search server does, whatever the protocol it is asked by: check, search in batches, add the texts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

from lrat_sim import __version__
from lrat_sim.errors import InputError, LratSimError, RetrieverError, UnknownDocument
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever, retriever_failures
from lrat_sim.retrieval.result_format import ResultFormat, show_document, show_hits, unescaped
from lrat_sim.retrieval.schemas import Refused, ServerCard, ServerLimits
from lrat_sim.text import first_tokens


class _Request(NamedTuple):
    queries: list[str]
    answer: asyncio.Future[list[list[Hit]]]


class Batcher:
    """Queries with the same k that come within ``window`` seconds, or while all threads are busy, go to the retriever
    together, about ``size`` at once; where such a call fails, each request is asked again alone.

    ``waiting`` bounds the queries that may wait.  Other k are kept apart, since a retriever may rank them differently.
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
        """As :meth:`Retriever.search`, without holding up the event loop; refused (503) where too many queries wait."""
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
        with retriever_failures("the retriever failed"):
            results = self.retriever.search(queries, k)
        if len(results) != len(queries):
            raise RetrieverError(f"the retriever gave {len(results)} lists of hits for {len(queries)} queries")
        return results


class Service:
    """One retriever, asked by many; ``shown`` is how much the tools show.  Make it on the event loop that uses it."""

    def __init__(self, retriever: Retriever, limits: ServerLimits | None = None, shown: ResultFormat | None = None):
        self.retriever, self.shown = retriever, shown or ResultFormat()
        described = retriever.describe()
        if retriever.for_task(Task(id="none", question="")) is not retriever:  # an oracle, or a fusion with one
            raise InputError(
                f"{described.get('kind')} answers by the task it is asked for, which a search server is not told; "
                "serve another retriever."
            )
        # the size of the corpus, if the retriever has one, or knows that of the server behind it
        corpus = getattr(retriever, "corpus", None)
        documents = getattr(retriever, "documents", None) if corpus is None else len(corpus)
        self.card = ServerCard(
            name="lrat-sim",
            version=__version__,
            fingerprint=retriever.fingerprint,
            retriever=described,
            documents=documents if isinstance(documents, int) else None,
            limits=limits or ServerLimits(),
        )
        self._batcher = Batcher(retriever, waiting=self.card.limits.waiting)
        # result lists show the same ones again and again
        self.text = lru_cache(maxsize=1 << 15)(lambda docid, tokens: self._text(self.document, docid, tokens))
        self.listed = lru_cache(maxsize=1 << 15)(lambda docid, tokens: self._text(retriever.listed, docid, tokens))

    def close(self) -> None:
        """Gives up what waits."""
        self._batcher.close()

    async def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Hits for each query, as the retriever itself gives them; refused where the request is over a limit."""
        limits = self.card.limits
        for value, most, what in (
            (k, limits.k, "hits a query"),
            (len(queries), limits.queries, "queries a request"),
            (k * len(queries), limits.hits, "hits a request, over all its queries"),
            (max(map(len, queries), default=0), limits.query_characters, "characters a query"),
        ):
            if value > most:
                # a number of a thousand digits is not repeated
                wanted = value if value < 10**12 else "many more"
                raise Refused(422, f"this server gives {most} {what} at most, not {wanted}; ask for less.")
        return await self._batcher.search(queries, k)

    def document(self, docid: str) -> Document:
        """A document in full, as :meth:`Retriever.document`; it blocks, and so belongs in a thread."""
        try:
            with retriever_failures(f"document {docid!r}: the retriever failed"):
                return self.retriever.document(docid)
        except UnknownDocument as error:
            raise UnknownDocument(f"there is no document {docid!r}; ask for an id of a result list") from error

    def _text(self, get: Callable[[str], Document], docid: str, tokens: int) -> tuple[str, str]:
        document = get(docid)
        return document.title, first_tokens(document.text, tokens)

    async def show_search(self, query: str) -> str:
        """The result list of a query as an agent is shown it."""
        (hits,) = await self.search([query], self.shown.k)
        return await asyncio.to_thread(show_hits, query, hits, self.listed, self.shown.snippet_tokens)

    async def show_document(self, docid: str) -> str:
        """A document as an agent is shown it; its id may be escaped, as in a result list."""
        return await asyncio.to_thread(show_document, unescaped(docid), self.text, self.shown.document_tokens)
