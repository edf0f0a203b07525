"""The protocol of Search-R1's retrieval server, as a client: ``POST /retrieve {queries, topk, return_scores}``.

The server tells nothing of itself and gives documents only as hits, so what is known of a document is what a search
brought, and the retriever's identity is its address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RetrieverError, UnknownDocument
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.connection import Connection, DocumentCache
from lrat_sim.retrieval.local import check_search, ranked

_CACHED_CHARACTERS = 1 << 28
_QUERIES_AT_ONCE = 256


class _Item(Struct, frozen=True):
    document: dict[str, Any]
    score: float | None = None


class _Answer(Struct, frozen=True):
    result: list[list[_Item]]


class SearchR1Retriever(Retriever):
    """A server that speaks Search-R1's protocol."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._documents = DocumentCache(_CACHED_CHARACTERS)

    def describe(self) -> dict[str, Any]:
        """The address and the protocol; the corpus and the ranking behind them are unknown."""
        return {"kind": "remote", "protocol": "search-r1", "url": self._connection.url}

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`.

        A hit without a score has 1 / rank; a document without an id has the fingerprint of its contents.

        Raises:
            InputError: ``queries`` is a single text, or ``k`` is below 1.
            RetrieverError: the server did not answer, refused, or gave something else.
        """
        check_search(queries, k)
        starts = range(0, len(queries), _QUERIES_AT_ONCE)
        answers = (self._retrieve(list(queries[start : start + _QUERIES_AT_ONCE]), k) for start in starts)
        return [self._hits(items, k) for answer in answers for items in answer]

    def document(self, docid: str) -> Document:
        """A document of an earlier search, among those that brought 256 million characters last.

        Raises:
            UnknownDocument: no search has brought it, or long ago.
        """
        document = self._documents.get(docid)
        if document is None:
            raise UnknownDocument(f"no search at {self._connection.url} has brought a document {docid!r} lately")
        return document

    def _retrieve(self, queries: list[str], k: int) -> list[list[_Item]]:
        body = {"queries": queries, "topk": k, "return_scores": True}
        response, url = self._connection.post("/retrieve", body), self._connection.url
        result = self._connection.read(response, _Answer, "does not speak Search-R1's protocol").result
        if len(result) != len(queries):
            raise RetrieverError(f"the search server at {url} gave {len(result)} lists for {len(queries)} queries")
        return result

    def _hits(self, items: list[_Item], k: int) -> list[Hit]:
        scores: dict[str, float] = {}
        for rank, item in enumerate(items, start=1):
            document = self._read(item.document)
            if document.id not in scores:
                scores[document.id] = 1.0 / rank if item.score is None else item.score
                self._documents.put(document)
        return ranked([(score, docid) for docid, score in scores.items()], k)

    def _read(self, document: dict[str, Any]) -> Document:
        """A document from its fields, or from ``contents``: the title in quotes on a line of its own, then the text."""
        title, text, contents = (document.get(name) for name in ("title", "text", "contents"))
        if not isinstance(contents, str):
            contents = text
        if not isinstance(contents, str):
            raise RetrieverError(f"the search server at {self._connection.url} gave a document without `contents`")
        docid = document.get("id")
        if not isinstance(docid, str | int) or docid == "":
            docid = fingerprint(contents)
        if not (isinstance(title, str) and isinstance(text, str)):
            first, _, rest = contents.partition("\n")
            quoted = len(first) > 1 and first[0] == first[-1] == '"'
            title, text = (first[1:-1], rest) if quoted else ("", contents)
        return Document(id=str(docid), title=title, text=text)
