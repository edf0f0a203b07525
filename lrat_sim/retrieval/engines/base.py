"""What all engines share: queries and results are bounded, documents remembered, and it is said whose they are."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Annotated, Any

from msgspec import Meta

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError, RetrieverError, UnknownDocument
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever, check_search, ranked
from lrat_sim.retrieval.result_format import LONGEST_QUERY
from lrat_sim.settings import Positive, Settings, Whole

_REMEMBERED_QUERIES, _REMEMBERED_CHARACTERS = 4096, 1 << 27
TIES = 8
"""Further results to ask of an engine for, whose equal scores come in no order of ids: those at the last place too."""
_COMPARED = 16  # documents by which an engine's and a task set's are compared

# for the queries of one call; an agent asks one at a time
_THREADS = ThreadPoolExecutor(8, thread_name_prefix="lrat-sim-engine")


class EngineSettings(Settings, frozen=True, kw_only=True):
    """How an engine is reached."""

    api_key_env: Annotated[str | None, Meta(description="Environment variable with the engine's key, if any.")] = None
    timeout: Annotated[Positive, Meta(description="Seconds per try.")] = 60.0
    attempts: Annotated[Whole, Meta(description="Tries per request.")] = 5


class EngineRetriever(Retriever):
    """A retriever whose documents lie in an engine; a subclass implements :meth:`ask` and :meth:`fetch`.

    Queries that were lately asked, and documents that were lately seen, are not asked for again.  Where the engine
    indexes a ``corpus``, documents are read from there.
    """

    most = 10_000
    """Results that the engine gives at most; for a larger k there are so many."""

    def __init__(self, description: dict[str, Any], corpus: Corpus | None = None):
        self._description, self._documents = description, DocumentCache(_REMEMBERED_CHARACTERS)
        if corpus is not None:
            self.corpus = corpus
        self._own = corpus
        self._found = lru_cache(maxsize=_REMEMBERED_QUERIES)(self._ask)

    @abstractmethod
    def ask(self, query: str, k: int) -> Sequence[tuple[float, Document]]:
        """The best ``k`` documents with their scores, the larger the better; raises RetrieverError."""

    @abstractmethod
    def fetch(self, docid: str) -> Document:
        """One document; raises UnknownDocument or RetrieverError."""

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`; what an engine holds may change without this."""
        return dict(self._description)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`."""
        check_search(queries, k)
        # half of a surrogate pair, as a broken tool call may hold, is no text to an engine
        texts = [query[:LONGEST_QUERY].encode("utf-8", "replace").decode() for query in queries]
        if len(texts) == 1:
            return [list(self._found(texts[0], min(k, self.most)))]
        return [list(hits) for hits in _THREADS.map(lambda text: self._found(text, min(k, self.most)), texts)]

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`."""
        if self._own is not None:
            return self._own.document(docid)
        document = self._documents.get(docid)
        if document is None:
            document = self.fetch(_an_id(docid))
            self._documents.put(document)
        return document

    def _ask(self, query: str, k: int) -> tuple[Hit, ...]:
        scores: dict[str, float] = {}
        for score, document in self.ask(query, k) if query.strip() else ():
            if self._own is None:
                self._documents.put(document)
            scores[document.id] = max(score, scores.get(document.id, score))
        return tuple(ranked([(score, docid) for docid, score in scores.items()], k))


def _an_id(docid: str) -> str:
    try:
        docid.encode()
    except UnicodeEncodeError:
        raise UnknownDocument(f"{docid!r} is no document id") from None
    if not docid:
        raise UnknownDocument("a document id is not empty")
    return docid


@contextmanager
def opening(remedy: str) -> Iterator[None]:
    """A context in which an engine is tried for the first time: what fails there is for the user to correct."""
    try:
        yield
    except RetrieverError as error:
        raise InputError(f"{str(error).rstrip('.')}; {remedy}.") from error


def corpus_of(name: str, corpus: Corpus | None, fetch: Callable[[str], Document], documents: int | None = None) -> str:
    """What an engine's description calls the documents that it came with: the task set's corpus, where they are equal.

    They are taken to be if there are as many (``documents``, where the engine says) and sixteen of them, spread over
    the corpus, are there under the same ids with the same text.  Else ``name``: then arms of a comparison differ in
    their corpus, and it says so.
    """
    if corpus is None or documents not in (None, len(corpus)):
        return name
    rows = {row * (len(corpus) - 1) // (_COMPARED - 1) for row in range(_COMPARED)}
    try:
        same = all(passage_text(fetch(corpus[row].id)) == passage_text(corpus[row]) for row in sorted(rows))
    except UnknownDocument:
        return name
    return corpus.fingerprint if same else name


def document_from(
    fields: Mapping[str, Any], docid: object = None, *, title: str = "title", text: str = "text"
) -> Document | None:
    """A document from an engine's fields; None where there is no text in them.

    That is a title and a text, or else ``contents`` (or the text alone), whose first line is the title where it stands
    in quotes, as in the passages of DPR and Search-R1.  Without an id the fingerprint of the contents is one.
    """
    heading, body, contents = (fields.get(name) for name in (title, text, "contents"))
    if not isinstance(contents, str):
        contents = body
    if not isinstance(contents, str):
        return None
    if not isinstance(docid, str | int) or docid == "":
        docid = fingerprint(contents)
    if not (isinstance(heading, str) and isinstance(body, str)):
        first, _, rest = contents.partition("\n")
        quoted = len(first) > 1 and first[0] == first[-1] == '"'
        heading, body = (first[1:-1], rest) if quoted else ("", contents)
    return Document(id=str(docid), title=heading, text=body)


class DocumentCache:
    """Documents lately used, up to a number of characters; safe to use from several threads."""

    def __init__(self, characters: int):
        self._left = characters
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, document: Document) -> None:
        """Keeps a document, and drops those that were not used for longest where room is short."""
        with self._lock:
            if (before := self._documents.pop(document.id, None)) is not None:
                self._left += _size(before)
            self._documents[document.id] = document
            self._left -= _size(document)
            while self._left < 0 and len(self._documents) > 1:
                self._left += _size(self._documents.popitem(last=False)[1])

    def get(self, docid: str) -> Document | None:
        """A document that is kept, None for any other."""
        with self._lock:
            if docid in self._documents:
                self._documents.move_to_end(docid)
            return self._documents.get(docid)


def _size(document: Document) -> int:
    return len(document.text) + len(document.title) + 500  # some hundreds of bytes of an entry are not its text
