"""The protocol of Search-R1's retrieval server, as a client: ``POST /retrieve {queries, topk, return_scores}``.

The server tells nothing of itself and gives documents only as hits, so what is known of a document is what a search
brought, and the retriever's identity is its address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RetrieverError, UnknownDocument
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.connection import Connection, Shelf, sentence_of
from lrat_sim.retrieval.local import check_search, ranked

_SHELF = 1 << 28
_QUERIES = 256


class _Item(Struct, frozen=True):
    document: dict[str, Any]
    score: float | None = None


class _Answer(Struct, frozen=True):
    result: list[list[_Item]]


class SearchR1Retriever(Retriever):
    """A server that speaks Search-R1's protocol.

    Args:
        connection: to the server.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._shelf = Shelf(_SHELF)

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
        found: list[list[Hit]] = []
        for start in range(0, len(queries), _QUERIES):
            part = list(queries[start : start + _QUERIES])
            for items in self._retrieve(part, k):
                scored: dict[str, float] = {}
                for rank, item in enumerate(items, start=1):
                    document = self._read(item.document)
                    if document.id not in scored:
                        scored[document.id] = 1.0 / rank if item.score is None else item.score
                        self._shelf.put(document)
                found.append(ranked([(score, docid) for docid, score in scored.items()], k))
        return found

    def document(self, docid: str) -> Document:
        """A document of an earlier search, among those that brought 256 million characters last.

        Raises:
            UnknownDocument: no search has brought it, or long ago.
        """
        document = self._shelf.get(docid)
        if document is None:
            raise UnknownDocument(f"no search at {self._connection.url} has brought a document {docid!r} lately")
        return document

    def _retrieve(self, queries: list[str], k: int) -> list[list[_Item]]:
        body = {"queries": queries, "topk": k, "return_scores": True}
        response, url = self._connection.post("/retrieve", body), self._connection.url
        if response.status_code != 200:
            raise RetrieverError(
                f"the search server at {url} refused (HTTP {response.status_code}): {sentence_of(response)}"
            )
        try:
            result = msgspec.json.decode(response.content, type=_Answer).result
        except (ValueError, RecursionError) as error:
            raise RetrieverError(f"the search server at {url} does not speak Search-R1's protocol ({error})") from error
        if len(result) != len(queries):
            raise RetrieverError(f"the search server at {url} gave {len(result)} lists for {len(queries)} queries")
        return result

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
