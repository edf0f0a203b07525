"""What the search server does, whatever the protocol it is asked by: check, search in batches, add the texts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache

from lrat_sim import __version__
from lrat_sim.errors import InputError, LratSimError, RetrieverError, UnknownDocument
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.batching import Batcher
from lrat_sim.retrieval.control_tokens import unescaped
from lrat_sim.retrieval.result_format import ResultFormat, show_document, show_hits
from lrat_sim.retrieval.schemas import Refused, ServerCard, ServerLimits
from lrat_sim.text import first_tokens


class Service:
    """One retriever, asked by many.  Make it on the event loop that uses it.

    Args:
        retriever: what answers.
        limits: of a request.
        shown: how much the tools show.

    Raises:
        InputError: the retriever answers each task differently, which a server is not told.
    """

    def __init__(self, retriever: Retriever, limits: ServerLimits | None = None, shown: ResultFormat | None = None):
        self.retriever, self.shown = retriever, shown or ResultFormat()
        described = retriever.describe()
        if _answers_by_task(retriever):
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
        self.text = lru_cache(maxsize=1 << 15)(self._text)  # result lists show the same ones again and again

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
        """A document in full; it blocks, and so belongs in a thread.

        Raises:
            UnknownDocument: there is no such document.
            RetrieverError: the retriever failed.
        """
        try:
            return self.retriever.document(docid)
        except UnknownDocument as error:
            raise UnknownDocument(f"there is no document {docid!r}; ask for an id of a result list") from error
        except LratSimError:
            raise
        except Exception as error:  # as in the batcher
            reason = f"the retriever failed ({type(error).__name__}: {error})"
            raise RetrieverError(f"document {docid!r}: {reason}") from error

    def _text(self, docid: str, tokens: int) -> tuple[str, str]:
        document = self.document(docid)
        return document.title, first_tokens(document.text, tokens)

    async def show_search(self, query: str) -> str:
        """The result list of a query as an agent is shown it."""
        (hits,) = await self.search([query], self.shown.k)
        return await asyncio.to_thread(show_hits, query, hits, self.text, self.shown.snippet_tokens)

    async def show_document(self, docid: str) -> str:
        """A document as an agent is shown it; its id may be written as result lists show it, where a backslash breaks
        what could pass for a control token (:mod:`lrat_sim.retrieval.control_tokens`)."""
        return await asyncio.to_thread(show_document, unescaped(docid), self.text, self.shown.document_tokens)


def _answers_by_task(retriever: Retriever) -> bool:
    """Whether :meth:`Retriever.for_task` gives other answers: an oracle, or a fusion with one."""
    members = getattr(retriever, "members", ())
    own = type(retriever).for_task is not Retriever.for_task
    return any(map(_answers_by_task, members)) if members else own
