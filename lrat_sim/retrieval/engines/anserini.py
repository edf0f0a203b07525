"""Lucene indexes behind the REST service of Anserini, which Pyserini's speaks too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import UnknownDocument
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document
from lrat_sim.retrieval.connection import Connection, segment, sentence_of
from lrat_sim.retrieval.engines.base import EngineRetriever, EngineSettings, corpus_of, document_from, opening
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.schemas import read_token

_LONGEST_QUERY = 6_000  # bytes of a query within the address, of which the server takes eight thousand


class AnseriniSettings(EngineSettings, frozen=True, kw_only=True):
    """Settings of ``pyserini``."""

    index: Annotated[str, Meta(description="Name of a prebuilt index, or a path on the server.")]
    url: Annotated[str, Meta(description="The service's root.")] = "http://127.0.0.1:8080"


class _Candidate(Struct, frozen=True):
    docid: str
    score: float
    doc: Any = None


class _Answer(Struct, frozen=True):
    candidates: list[_Candidate]


class _Found(Struct, frozen=True):
    doc: Any = None


class AnseriniRetriever(EngineRetriever):
    """BM25 as the service is set, over an index that is there: nothing is indexed by it, and a query has no vector."""

    most = 1000

    def __init__(self, connection: Connection, index: str):
        super().__init__({"kind": "pyserini", "index": index})
        self._connection, self._index = connection, index

    def close(self) -> None:
        """See :meth:`Retriever.close`."""
        self._connection.close()

    def ask(self, query: str, k: int) -> Sequence[tuple[float, Document]]:
        """See :meth:`EngineRetriever.ask`."""
        address = _within(query, _LONGEST_QUERY)
        answer = self._read(f"/search?query={address}&hits={k}", _Answer)
        return [(found.score, self._document(found.docid, found.doc)) for found in answer.candidates]

    def fetch(self, docid: str) -> Document:
        """See :meth:`EngineRetriever.fetch`."""
        return self._document(docid, self._read(f"/doc/{segment(docid)}", _Found).doc)

    def compare_with(self, corpus: Corpus | None) -> None:
        """Tries the index, and says whether it holds the task set's documents."""
        self.ask("a trial", 1)
        self._description["corpus"] = corpus_of(f"the index {self._index} of pyserini", corpus, self.fetch)

    def _document(self, docid: str, doc: Any) -> Document:
        fields = {"contents": doc} if isinstance(doc, str) else doc if isinstance(doc, dict) else {}
        # fields in which collections of Anserini keep their texts
        names = ("text", "contents", "passage", "segment", "body")
        text = next((name for name in names if isinstance(fields.get(name), str)), "text")
        document = document_from(fields, docid, text=text)
        if document is None:
            raise self._connection.failure(
                f"gives document {docid!r} of {self._index} without a text; index it with -storeRaw or -storeContents"
            )
        return document

    def _read(self, path: str, kind: type[Any]) -> Any:
        response: httpx.Response = self._connection.ask(f"/v1/{segment(self._index)}{path}")
        said = sentence_of(response)
        if response.status_code == 404 and "/doc/" in path and "route" not in said:
            raise UnknownDocument(f"{self._connection.name} at {self._connection.url}: {said}")
        if response.status_code in (401, 403):
            raise self._connection.failure(f"does not accept the key (HTTP {response.status_code})")
        return self._connection.read(response, kind, "did not answer as Anserini's REST service does")


def _within(query: str, bytes_: int) -> str:
    """A query as part of an address, without its last words where it is too long."""
    while len(address := quote(query, safe="")) > bytes_:
        query = query[: len(query) * bytes_ // len(address)]
    return address


@takes_settings("pyserini", AnseriniSettings, own_documents=True)
def open_anserini(
    corpus: Corpus | None, indexes: Path, settings: AnseriniSettings, progress: ProgressCallback | None
) -> AnseriniRetriever:
    """Opens ``pyserini``."""
    key = read_token(settings.api_key_env)
    connection = Connection(
        settings.url, name="the service of Anserini", timeout=settings.timeout, attempts=settings.attempts,
        headers=None if key is None else {"x-api-key": key},
    )  # fmt: skip
    retriever = AnseriniRetriever(connection, settings.index)
    with opening("start it there, or correct the url, the index or api_key_env"):
        retriever.compare_with(corpus)
    return retriever
