"""The one interface of retrieval, and what all retrievers over a corpus on this disk share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, LratSimError, RetrieverError
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.query_text import PLAIN, TextName, text_of


class Retriever(ABC):
    """Ranks the documents of one corpus for a query.

    A retriever is found by name through the entry-point group ``lrat_sim.retrievers``, so that a user's own class
    is a name on the command line.  It must answer from several threads at once, and a query's answer must not
    depend on the other queries of the batch.
    """

    reopening: tuple[Callable[..., Retriever], tuple[Any, ...]] | None = None
    """A function and its arguments by which another process opens the same; set where a retriever is opened by name."""

    @abstractmethod
    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best documents for each query.

        Args:
            queries: any texts; an empty one, or one without a known word, has an empty result or an arbitrary one
                of score 0, never an error.  Those of an agent are :class:`~lrat_sim.retrieval.query_text.Asked`, texts
                that also know the question, the reasoning and the earlier searches of their run.
            k: how many hits a query, 1 or more; fewer come where the corpus holds fewer.

        Returns:
            One list a query, by descending score, ties by document id, ranks from 1, no document twice.

        Raises:
            RetrieverError: the retriever could not answer.
        """

    @abstractmethod
    def document(self, docid: str) -> Document:
        """One document in full.

        Raises:
            UnknownDocument: the corpus has no such id.
        """

    def listed(self, docid: str) -> Document:
        """A document as a list of results shows it: itself, or what the search told of it where opening it is a request
        of its own."""
        return self.document(docid)

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """All that decides this retriever's answers, as plain JSON: kind, settings, model and corpus fingerprints."""

    @property
    def fingerprint(self) -> str:
        """The identity of this retriever: equal only where every answer is equal."""
        return fingerprint(self.describe())

    def close(self) -> None:  # noqa: B027  # most hold nothing open
        """Frees what the retriever holds open, such as connections; called at the end of a ``with`` statement."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def for_task(self, task: Task) -> Retriever:
        """The retriever as seen from one task: itself, but for an oracle, which knows the task's evidence."""
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Another process opens it again, where it was opened by name: an index is mapped there, not copied."""
        return self.reopening or super().__reduce_ex__(protocol)


class LocalRetriever(Retriever):
    """A retriever that holds its corpus; a subclass implements :meth:`rank` and says what :meth:`describe` returns.

    A ``query_text`` in the description names what it reads of a search, which :meth:`reads` gives.
    """

    def __init__(self, corpus: Corpus, description: dict[str, Any]):
        self.corpus, self._description, self._ids = corpus, description, corpus.ids()
        self._query_text: TextName = description.get("query_text", PLAIN)

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        return dict(self._description)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`; raises :class:`InputError` as :func:`check_search`."""
        check_search(queries, k)
        return self.rank(queries, min(k, len(self.corpus)))

    @abstractmethod
    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The search itself, with ``k`` between 1 and the size of the corpus."""

    def reads(self, query: str) -> str:
        """What this retriever reads of a query; one that is made of others hands them the query as it came."""
        return text_of(self._query_text, query)

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`."""
        return self.corpus.document(docid)

    def best(self, rows: npt.NDArray[np.int64], scores: npt.NDArray[Any], k: int) -> list[Hit]:
        """The best ``k`` of some rows of the corpus, each given once, as :func:`ranked` orders them."""
        if len(rows) > k:
            floor = np.partition(scores, len(scores) - k)[len(scores) - k]
            # every row tied at the last rank is kept, since the id decides among them
            rows, scores = rows[scores >= floor], scores[scores >= floor]
        return ranked([(score, self._ids[int(row)]) for score, row in zip(scores.tolist(), rows, strict=True)], k)


def ranked(scored: Sequence[tuple[float, str]], k: int) -> list[Hit]:
    """Hits from (score, document id), by descending score, ties by document id, at most ``k``."""
    order = sorted(scored, key=lambda item: (-item[0], item[1]))[:k]
    return [Hit(docid=docid, score=score, rank=rank) for rank, (score, docid) in enumerate(order, start=1)]


def check_search(queries: Sequence[str], k: int) -> None:
    """Refuses a single text in place of a list of queries, and a ``k`` below 1, by :class:`InputError`."""
    if isinstance(queries, str):
        raise InputError("search takes a list of queries, not a single text; put it in a list.")
    if k < 1:
        raise InputError(f"k is {k}; ask for 1 document or more.")


@contextmanager
def retriever_failures(
    attempt: str, *, passing: type[Exception] | tuple[type[Exception], ...] = LratSimError
) -> Iterator[None]:
    """Whatever a retriever raises, which may be the user's own, becomes a :class:`RetrieverError`, but ``passing``."""
    try:
        yield
    except passing:
        raise
    except Exception as error:
        raise RetrieverError(f"{attempt}: {type(error).__name__}: {error}") from error


def corpora_of(description: Any) -> Iterator[str]:
    """The fingerprints of all corpora that a retriever's description names, those of its members included."""
    if isinstance(description, dict):
        if isinstance(description.get("corpus"), str):
            yield description["corpus"]
        description = list(description.values())
    if isinstance(description, list):
        for part in description:
            yield from corpora_of(part)
