"""A retriever that is somewhere else: behind ``lrat-sim serve``, or behind a server of Search-R1."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import FingerprintMismatch, InputError, RetrieverError, UnknownDocument
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever, corpora_of
from lrat_sim.retrieval.connection import Connection, DocumentCache, sentence_of
from lrat_sim.retrieval.local import check_search
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.schemas import FINGERPRINT_HEADER, SearchAnswer, ServerCard, read_token
from lrat_sim.retrieval.search_r1 import SearchR1Retriever
from lrat_sim.settings import Positive, Settings, Whole

_CACHED_CHARACTERS = 1 << 26
_QUERIES_AT_ONCE = 256
"""Queries per request, at most; the server may allow fewer."""

_WITH_TEXT = 20
"""Up to so many hits a query come with their texts: an agent is shown them all, and each would be another request."""

S = TypeVar("S", bound=Struct)


class RemoteSettings(Settings, frozen=True, kw_only=True):
    """Settings of ``remote``."""

    url: Annotated[str, Meta(description="The server's root, as http://127.0.0.1:8000.")]
    protocol: Annotated[
        Literal["lrat-sim", "search-r1"],
        Meta(description="lrat-sim for lrat-sim serve; search-r1 for POST /retrieve of Search-R1."),
    ] = "lrat-sim"
    token_env: Annotated[
        str | None, Meta(description="Environment variable that holds the server's token, if it requires one.")
    ] = None
    timeout: Annotated[Positive, Meta(description="Seconds per try.")] = 60.0
    attempts: Annotated[Whole, Meta(description="Tries per request.")] = 5


class RemoteRetriever(Retriever):
    """The retriever behind a search server; it describes itself as that one, since it gives the same answers.

    ``card`` is what the server said of itself when it was opened; it is held to that.
    """

    def __init__(self, connection: Connection, card: ServerCard):
        self._connection, self.card = connection, card
        self._documents = DocumentCache(_CACHED_CHARACTERS)

    @property
    def documents(self) -> int | None:
        """The size of the corpus, where the server knows it."""
        return self.card.documents

    @property
    def fingerprint(self) -> str:
        """The server's, which every answer repeats."""
        return self.card.fingerprint

    def describe(self) -> dict[str, Any]:
        """What the retriever behind the server says of itself."""
        return dict(self.card.retriever)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`.

        Raises:
            InputError: ``queries`` is a single text, ``k`` is below 1, or above what the server gives.
            RetrieverError: the server did not answer, refused, or serves something else now.
        """
        check_search(queries, k)
        k = min(k, self.documents or k)
        most = self.card.limits.k
        if k > most:
            raise InputError(f"k is {k}, and the search server at {self._connection.url} gives {most} at most.")
        results: list[list[Hit]] = []
        for part in self._parts(queries, k):
            body = {"queries": part, "k": k, "text": k <= _WITH_TEXT}
            answer = self._checked(self._connection.post("/search", body), SearchAnswer)
            if len(answer.results) != len(part):
                raise self._wrong(f"{len(answer.results)} lists of hits for {len(part)} queries")
            for hits in answer.results:
                for hit in hits:
                    if hit.text is not None:
                        self._documents.put(Document(id=hit.docid, title=hit.title or "", text=hit.text))
                results.append([Hit(docid=hit.docid, score=hit.score, rank=hit.rank) for hit in hits])
        return results

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`; documents lately seen are not asked for again.

        Raises:
            UnknownDocument: the server has no such document.
            RetrieverError: as :meth:`search`.
        """
        document = self._documents.get(docid)
        if document is None:
            try:
                # dots too: a path segment of nothing but dots would be resolved on the way
                path = quote(docid, safe="").replace(".", "%2E")
            except UnicodeEncodeError:
                raise UnknownDocument(f"{docid!r} is no document id") from None
            document = self._checked(self._connection.get(f"/document/{path}"), Document)
            self._documents.put(document)
        return document

    def _parts(self, queries: Sequence[str], k: int) -> Iterator[list[str]]:
        """The queries in requests that are within the server's limits."""
        limits = self.card.limits
        most = max(1, min(_QUERIES_AT_ONCE, limits.queries, limits.hits // k))
        part: list[str] = []
        room = limits.body // 2
        for query in queries:
            size = len(json.dumps(query)) + 2
            if part and (len(part) == most or size > room):
                yield part
                part, room = [], limits.body // 2
            part.append(query)
            room -= size
        if part:
            yield part

    def _checked(self, response: httpx.Response, kind: type[S]) -> S:
        url, served = self._connection.url, response.headers.get(FINGERPRINT_HEADER)
        if served is not None and served != self.card.fingerprint:
            raise RetrieverError(
                f"the search server at {url} serves something else now (fingerprint {served}, not "
                f"{self.card.fingerprint}); open the retriever again"
            )
        if response.status_code == 404 and served is not None:
            raise UnknownDocument(f"the search server at {url}: {sentence_of(response)}")
        if response.status_code == 200 and served is None:
            raise self._wrong("an answer that does not name its fingerprint")
        return self._connection.read(response, kind, "gave what is not an answer; is it lrat-sim serve?")

    def _wrong(self, what: str) -> RetrieverError:
        return RetrieverError(f"the search server at {self._connection.url} gave {what}; is it lrat-sim serve?")


@takes_settings("remote", RemoteSettings)
def open_remote(
    corpus: Corpus | None, indexes: Path, settings: RemoteSettings, progress: ProgressCallback | None
) -> Retriever:
    """Opens ``remote``; the fields of :class:`RemoteSettings` are its options, and it raises as :func:`open_retriever`.

    ``corpus`` is that of the task set, if there is one: the server must rank the same.
    """
    search_r1 = settings.protocol == "search-r1"
    url = settings.url.rstrip("/").removesuffix("/retrieve") if search_r1 else settings.url
    token = read_token(settings.token_env)
    connection = Connection(url, token=token, timeout=settings.timeout, attempts=settings.attempts)
    try:
        if search_r1:
            retriever = SearchR1Retriever(connection)
            retriever.search(["what is there"], 1)
            return retriever
        card = _read_card(connection)
    except RetrieverError as error:
        raise InputError(f"{error}; start it there, or give another url.") from error
    others = {*corpora_of(card.retriever)} - {corpus.fingerprint} if corpus is not None else set()
    if corpus is not None and others:
        raise FingerprintMismatch(
            f"the search server at {connection.url} ranks the corpus {', '.join(sorted(others))} and the task set has "
            f"{corpus.fingerprint}, so its documents are not the evidence; serve that task set, or choose its own."
        )
    return RemoteRetriever(connection, card)


def _read_card(connection: Connection) -> ServerCard:
    response = connection.get("/describe")
    if response.status_code in (401, 403):
        raise InputError(
            f"the search server at {connection.url} refused: {sentence_of(response)} The option token_env names the "
            "environment variable with its token."
        )
    try:
        if response.status_code != 200:
            raise ValueError(f"HTTP {response.status_code}")
        return msgspec.json.decode(response.content, type=ServerCard)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"what answers at {connection.url} is not lrat-sim serve ({error}); give another url, or "
            "protocol=search-r1 for a server of Search-R1."
        ) from error
