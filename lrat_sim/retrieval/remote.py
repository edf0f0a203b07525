"""A retriever that is somewhere else: behind ``lrat-sim serve``, or behind a server of Search-R1."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import httpx
import msgspec
from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import FingerprintMismatch, InputError, RetrieverError, UnknownDocument
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever, check_search, corpora_of, ranked
from lrat_sim.retrieval.connection import Connection, segment, sentence_of
from lrat_sim.retrieval.engines.base import DocumentCache, document_from
from lrat_sim.retrieval.query_text import PLAIN, QueryText, TextName, described_text, text_of, texts_read
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.schemas import FINGERPRINT_HEADER, AskedBody, SearchAnswer, ServerCard, read_token
from lrat_sim.settings import Positive, Settings, Whole

_QUERIES_AT_ONCE = 256  # queries per request, at most; the server may allow fewer
_WITH_TEXT = 20  # up to so many hits a query come with their texts, since an agent is shown them all

S = TypeVar("S", bound=Struct)
Q = TypeVar("Q", bound=str | AskedBody)


class RemoteSettings(Settings, frozen=True, kw_only=True):
    """Settings of ``remote``."""

    url: Annotated[str, Meta(description="The server's root, as http://127.0.0.1:8000.")]
    protocol: Annotated[Literal["lrat-sim", "search-r1"], Meta(description="The server's protocol.")] = "lrat-sim"
    token_env: Annotated[str | None, Meta(description="Environment variable with the server's token, if any.")] = None
    query_text: Annotated[QueryText, Meta(description="What is sent to a server of search-r1.")] = None
    timeout: Annotated[Positive, Meta(description="Seconds per try.")] = 60.0
    attempts: Annotated[Whole, Meta(description="Tries per request.")] = 5


class RemoteRetriever(Retriever):
    """The retriever behind a search server, held to what the server said of itself when it was opened."""

    def __init__(self, connection: Connection, card: ServerCard):
        self._connection, self.card, self._cache = connection, card, DocumentCache(1 << 26)

    @property
    def documents(self) -> int | None:
        """The size of the corpus, where the server knows it."""
        return self.card.documents

    @property
    def fingerprint(self) -> str:
        """The server's, which every answer repeats."""
        return self.card.fingerprint

    def close(self) -> None:
        """See :meth:`Retriever.close`."""
        self._connection.close()

    def describe(self) -> dict[str, Any]:
        """What the retriever behind the server says of itself."""
        return dict(self.card.retriever)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`; a ``k`` above what the server gives is an :class:`InputError`."""
        check_search(queries, k)
        k = min(k, self.documents or k)
        limits = self.card.limits
        if k > limits.k:
            raise InputError(f"k is {k}, and the search server at {self._connection.url} gives {limits.k} at most.")
        results: list[list[Hit]] = []
        most = max(1, min(_QUERIES_AT_ONCE, limits.queries, limits.hits // k))
        # the rest of a run is sent to a retriever that reads it, and to no other
        asked = list(map(AskedBody.of, queries)) if texts_read(self.card.retriever) else list(map(str, queries))
        for part in _parts(asked, most, limits.body // 2):
            body = {"queries": part, "k": k, "text": k <= _WITH_TEXT}
            answer = self._checked(self._connection.ask("/search", msgspec.to_builtins(body)), SearchAnswer)
            if len(answer.results) != len(part):
                problem = f"gave {len(answer.results)} lists of hits for {len(part)} queries; is it lrat-sim serve?"
                raise self._connection.failure(problem)
            for hits in answer.results:
                for hit in hits:
                    if hit.text is not None:
                        self._cache.put(Document(id=hit.docid, title=hit.title or "", text=hit.text))
                results.append([Hit(docid=hit.docid, score=hit.score, rank=hit.rank) for hit in hits])
        return results

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`; documents lately seen are not asked for again."""
        document = self._cache.get(docid)
        if document is None:
            try:
                path = segment(docid)
            except UnicodeEncodeError:
                raise UnknownDocument(f"{docid!r} is no document id") from None
            document = self._checked(self._connection.ask(f"/document/{path}"), Document)
            self._cache.put(document)
        return document

    def _checked(self, response: httpx.Response, kind: type[S]) -> S:
        connection, served = self._connection, response.headers.get(FINGERPRINT_HEADER)
        if served is not None and served != self.card.fingerprint:
            prints = f"fingerprint {served}, not {self.card.fingerprint}"
            raise connection.failure(f"serves something else now ({prints}); open the retriever again")
        if response.status_code == 404 and served is not None:
            raise UnknownDocument(f"the search server at {connection.url}: {sentence_of(response)}")
        if response.status_code == 200 and served is None:
            raise connection.failure("gave an answer that does not name its fingerprint; is it lrat-sim serve?")
        return connection.read(response, kind, "gave what is not an answer; is it lrat-sim serve?")


class _Item(Struct, frozen=True):
    document: dict[str, Any]
    score: float | None = None


class _Answer(Struct, frozen=True):
    result: list[list[_Item]]


class SearchR1Retriever(Retriever):
    """A server that speaks Search-R1's protocol, which tells nothing of itself and gives documents only as hits: so a
    document is what a search brought, and the retriever's identity is its address."""

    def __init__(self, connection: Connection, query_text: TextName | None = None):
        self._connection, self._cache, self._query_text = connection, DocumentCache(1 << 28), query_text

    def close(self) -> None:
        """See :meth:`Retriever.close`."""
        self._connection.close()

    def describe(self) -> dict[str, Any]:
        """The address and the protocol; the corpus and the ranking behind them are unknown."""
        own = described_text(self._query_text)
        return {"kind": "remote", "protocol": "search-r1", "url": self._connection.url, **own}

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`; no score is taken as 1 / rank, no id as the fingerprint of the contents."""
        check_search(queries, k)
        results = []
        texts = [text_of(self._query_text or PLAIN, query) for query in queries]
        for part in _parts(texts, _QUERIES_AT_ONCE):
            response = self._connection.ask("/retrieve", {"queries": part, "topk": k, "return_scores": True})
            lists = self._connection.read(response, _Answer, "does not speak Search-R1's protocol").result
            if len(lists) != len(part):
                raise self._connection.failure(f"gave {len(lists)} lists for {len(part)} queries")
            results += [self._hits(items, k) for items in lists]
        return results

    def document(self, docid: str) -> Document:
        """A document of an earlier search, among those that brought 256 million characters last."""
        document = self._cache.get(docid)
        if document is None:
            raise UnknownDocument(f"no search at {self._connection.url} has brought a document {docid!r} lately")
        return document

    def _hits(self, items: list[_Item], k: int) -> list[Hit]:
        scores: dict[str, float] = {}
        for rank, item in enumerate(items, start=1):
            document = document_from(item.document, item.document.get("id"))
            if document is None:
                raise self._connection.failure("gave a document without `contents`")
            if document.id not in scores:
                scores[document.id] = 1.0 / rank if item.score is None else item.score
                self._cache.put(document)
        return ranked([(score, docid) for docid, score in scores.items()], k)


def _parts(queries: Sequence[Q], most: int, room: float = float("inf")) -> Iterator[list[Q]]:
    """The queries in requests of at most so many queries and, beyond a single one, so many bytes."""
    part: list[Q] = []
    left = room
    for query in queries:
        size = len(json.dumps(msgspec.to_builtins(query))) + 2
        if part and (len(part) == most or size > left):
            yield part
            part, left = [], room
        part.append(query)
        left -= size
    if part:
        yield part


@takes_settings("remote", RemoteSettings, own_documents=True)
def open_remote(
    corpus: Corpus | None, indexes: Path, settings: RemoteSettings, progress: ProgressCallback | None
) -> Retriever:
    """Opens ``remote``; ``corpus`` is that of the task set, if there is one: the server must rank the same."""
    search_r1 = settings.protocol == "search-r1"
    if settings.query_text is not None and not search_r1:
        raise InputError("query_text is for a server of Search-R1; lrat-sim serve knows what its retriever reads.")
    url = settings.url.rstrip("/").removesuffix("/retrieve") if search_r1 else settings.url
    token = read_token(settings.token_env)
    connection = Connection(url, token=token, timeout=settings.timeout, attempts=settings.attempts)
    try:
        if search_r1:
            retriever = SearchR1Retriever(connection, settings.query_text)
            retriever.search(["what is there"], 1)
            return retriever
        card = connection.read(connection.ask("/describe"), ServerCard, "is not lrat-sim serve")
    except RetrieverError as error:
        raise InputError(
            f"{str(error).rstrip('.')}; start it there, or correct the url, the protocol (search-r1 for a server of "
            "Search-R1) or token_env, which names the environment variable with its token."
        ) from error
    others = {*corpora_of(card.retriever)} - {corpus.fingerprint} if corpus is not None else set()
    if corpus is not None and others:
        raise FingerprintMismatch(
            f"the search server at {connection.url} ranks the corpus {', '.join(sorted(others))} and the task set has "
            f"{corpus.fingerprint}, so its documents are not the evidence; serve that task set, or choose its own."
        )
    return RemoteRetriever(connection, card)
