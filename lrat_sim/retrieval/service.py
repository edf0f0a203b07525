"""What the search server does, whatever the protocol it is asked by: check, search in batches, add the texts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from lrat_sim import __version__
from lrat_sim.errors import InputError, LratSimError, RetrieverError, UnknownDocument
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.batching import Batcher
from lrat_sim.retrieval.control_tokens import unescaped
from lrat_sim.retrieval.result_format import ResultFormat, show_document, show_hits
from lrat_sim.retrieval.schemas import (
    Refused,
    RetrieveBody,
    SearchBody,
    SearchHit,
    ServerCard,
    ServerLimits,
    encode_answer,
)
from lrat_sim.text import first_tokens

RETRIEVE_TOPK = 3
"""Hits a query where a client of ``/retrieve`` names no number; Search-R1's server has the same."""


class Service:
    """One retriever, asked by many; ``shown`` is how much the tools show.  Make it on the event loop that uses it."""

    def __init__(self, retriever: Retriever, limits: ServerLimits | None = None, shown: ResultFormat | None = None):
        self.retriever, self.shown = retriever, shown or ResultFormat()
        self.card = describe_server(retriever, limits or ServerLimits())
        self._batcher = Batcher(retriever, waiting=self.card.limits.waiting)
        self._text = lru_cache(maxsize=1 << 15)(self._first_tokens)  # result lists show the same ones again and again

    def close(self) -> None:
        """Gives up what waits."""
        self._batcher.close()

    async def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Hits for each query, as the retriever itself gives them.

        Raises:
            Refused: the request is over a limit.
            LratSimError: the retriever failed.
        """
        limits = self.card.limits
        for value, most, what in (
            (k, limits.k, "hits a query"),
            (len(queries), limits.queries, "queries a request"),
            (k * len(queries), limits.hits, "hits a request, over all its queries"),
            (max(map(len, queries), default=0), limits.query_characters, "characters a query"),
        ):
            if value > most:
                # a number of a thousand digits is not repeated
                asked = value if value < 10**12 else "many more"
                raise Refused(422, f"this server gives {most} {what} at most, not {asked}; ask for less.")
        return await self._batcher.search(queries, k)

    async def document(self, docid: str) -> Document:
        """A document in full.

        Raises:
            UnknownDocument: there is no such document.
            RetrieverError: the retriever failed.
        """
        return await asyncio.to_thread(self._document, docid)

    async def answer_search(self, body: SearchBody) -> bytes:
        """The answer to ``POST /search``, as JSON."""
        if (body.query is None) == (body.queries is None):
            raise Refused(422, "the body has neither or both of `query` and `queries`; give one of them.")
        queries = [body.query] if body.query is not None else body.queries or []
        lists = await self.search(queries, body.k)
        return await asyncio.to_thread(
            lambda: encode_answer({"results": [[self._with_texts(hit, body) for hit in hits] for hits in lists]})
        )

    async def answer_retrieve(self, body: RetrieveBody) -> bytes:
        """The answer to Search-R1's ``POST /retrieve``, as JSON; without scores the documents stand alone."""
        lists = await self.search(body.queries, body.topk or RETRIEVE_TOPK)

        def render(hit: Hit) -> dict[str, Any]:
            document = self._document(hit.docid)
            # the first line is always the title, since that project's clients take the first line for it
            entry = {"id": document.id, "contents": f'"{" ".join(document.title.split())}"\n{document.text}'}
            return {"document": entry, "score": hit.score} if body.return_scores else entry

        return await asyncio.to_thread(
            lambda: encode_answer({"result": [[render(hit) for hit in hits] for hits in lists]})
        )

    async def show_search(self, query: str) -> str:
        """The result list of a query as an agent is shown it."""
        (hits,) = await self.search([query], self.shown.k)
        return await asyncio.to_thread(show_hits, query, hits, self._text, self.shown.snippet_tokens)

    async def show_document(self, docid: str) -> str:
        """A document as an agent is shown it; its id may be written as result lists show it, where a backslash breaks
        what could pass for a control token (:mod:`lrat_sim.retrieval.control_tokens`)."""
        return await asyncio.to_thread(show_document, unescaped(docid), self._text, self.shown.document_tokens)

    def _with_texts(self, hit: Hit, body: SearchBody) -> SearchHit:
        texts: dict[str, str] = {}
        if body.text:
            document = self._document(hit.docid)
            texts |= {"title": document.title, "text": document.text}
        if body.snippet_tokens is not None:
            texts["title"], texts["snippet"] = self._text(hit.docid, body.snippet_tokens)
        return SearchHit(docid=hit.docid, score=hit.score, rank=hit.rank, **texts)

    def _document(self, docid: str) -> Document:
        try:
            return self.retriever.document(docid)
        except UnknownDocument as error:
            raise UnknownDocument(f"there is no document {docid!r}; ask for an id of a result list") from error
        except LratSimError:
            raise
        except Exception as error:  # as in the batcher
            said = f"the retriever failed ({type(error).__name__}: {error})"
            raise RetrieverError(f"document {docid!r}: {said}") from error

    def _first_tokens(self, docid: str, tokens: int) -> tuple[str, str]:
        document = self._document(docid)
        return document.title, first_tokens(document.text, tokens)


def describe_server(retriever: Retriever, limits: ServerLimits) -> ServerCard:
    """What ``/describe`` says.

    Raises:
        InputError: the retriever answers each task differently, which a server is not told; or a limit is not allowed.
    """
    if answers_by_task(retriever):
        raise InputError(
            f"{retriever.describe().get('kind')} answers by the task it is asked for, which a search server is not "
            "told; serve another retriever."
        )
    try:
        limits = msgspec.convert(msgspec.to_builtins(limits), type=ServerLimits)
    except msgspec.ValidationError as error:
        raise InputError(f"the limits of the server: {error}; correct that one.") from error
    return ServerCard(
        name="lrat-sim",
        version=__version__,
        fingerprint=retriever.fingerprint,
        retriever=retriever.describe(),
        documents=corpus_size(retriever),
        limits=limits,
    )


def answers_by_task(retriever: Retriever) -> bool:
    """Whether :meth:`Retriever.for_task` gives other answers: an oracle, or a fusion with one."""
    members = getattr(retriever, "members", ())
    own = type(retriever).for_task is not Retriever.for_task
    return any(answers_by_task(member) for member in members) if members else own


def corpus_size(retriever: Retriever) -> int | None:
    """The number of documents behind a retriever, None where it does not say."""
    corpus = getattr(retriever, "corpus", None)
    documents = getattr(retriever, "documents", None) if corpus is None else len(corpus)
    return documents if isinstance(documents, int) else None
