"""What all retrievers over a corpus on this disk share: the documents, and the order of hits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval.base import Retriever


class LocalRetriever(Retriever):
    """A retriever that holds its corpus; a subclass implements :meth:`rank`.

    Args:
        corpus: the documents.
        description: what :meth:`describe` returns.
    """

    def __init__(self, corpus: Corpus, description: dict[str, Any]):
        self.corpus = corpus
        self._description = description
        self._ids = corpus.ids()

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        return dict(self._description)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`.

        Raises:
            InputError: ``queries`` is a single text, or ``k`` is below 1.
        """
        check_search(queries, k)
        return self.rank(queries, min(k, len(self.corpus)))

    @abstractmethod
    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The search itself, with ``k`` between 1 and the size of the corpus."""

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`."""
        return self.corpus.document(docid)

    def best(self, rows: npt.NDArray[np.int64], scores: npt.NDArray[Any], k: int) -> list[Hit]:
        """The best ``k`` of some rows of the corpus, by descending score, ties by document id.

        Args:
            rows: shape (n,), each row once.
            scores: shape (n,).
            k: number of hits.
        """
        if len(rows) > k:
            floor = np.partition(scores, len(scores) - k)[len(scores) - k]
            # every row tied at the last rank is kept, since the id decides among them
            rows, scores = rows[scores >= floor], scores[scores >= floor]
        return ranked([(score, self._ids[int(row)]) for score, row in zip(scores.tolist(), rows, strict=True)], k)


def check_search(queries: Sequence[str], k: int) -> None:
    """Refuses what no retriever takes.

    Raises:
        InputError: ``queries`` is a single text, or ``k`` is below 1.
    """
    if isinstance(queries, str):
        raise InputError("search takes a list of queries, not a single text; put it in a list.")
    if k < 1:
        raise InputError(f"k is {k}; ask for 1 document or more.")


def ranked(scored: Sequence[tuple[float, str]], k: int) -> list[Hit]:
    """Hits from (score, document id), by descending score, ties by document id, at most ``k``."""
    order = sorted(scored, key=lambda item: (-item[0], item[1]))[:k]
    return [Hit(docid=docid, score=score, rank=rank) for rank, (score, docid) in enumerate(order, start=1)]
