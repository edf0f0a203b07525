"""The oracle: an upper bound for any retriever, since it knows which documents prove the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrat_sim.corpus.documents import Corpus
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.bm25 import Bm25Retriever, open_bm25
from lrat_sim.retrieval.local import LocalRetriever, ranked
from lrat_sim.retrieval.words import words

_ABOVE = 1e6
"""Puts any evidence above any score of BM25."""


class OracleRetriever(LocalRetriever):
    """BM25, but for one task its evidence first, whatever the query.

    Args:
        corpus: the documents.
        fill: ranks what is not evidence.
        task: the task whose evidence is known; None outside of a run, where this is BM25.
    """

    def __init__(self, corpus: Corpus, fill: Bm25Retriever, task: Task | None = None):
        super().__init__(corpus)
        self._fill = fill
        found = dict.fromkeys(task.evidence if task else [])
        self._rows = [corpus.row(docid) for docid in found if docid in corpus]
        self._evidence = [(docid, *_words_of(corpus.document(docid))) for docid in found if docid in corpus]

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`; the same for every task, since it is one rule for all of them."""
        return {"kind": "oracle", "knows": "the evidence of the task it is asked for", "fill": self._fill.describe()}

    def for_task(self, task: Task) -> Retriever:
        """The same retriever with this task's evidence on top; evidence that the corpus lacks is left out."""
        return OracleRetriever(self.corpus, self._fill, task)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`.

        Evidence is ordered by the words it shares with the query, those in its title twice, then by BM25: with
        k = 1 an agent still gets the document of the hop it asks for.
        """
        return [self._merge(query, hits, k) for query, hits in zip(queries, self._fill.search(queries, k), strict=True)]

    def _merge(self, query: str, hits: Sequence[Hit], k: int) -> list[Hit]:
        if not self._evidence:
            return list(hits)
        asked = set(words(query))
        lexical = self._fill.scores(query, self._rows)
        first = [
            (_ABOVE + len(asked & text) + len(asked & title) + max(score, 0.0) / (1.0 + max(score, 0.0)), docid)
            for (docid, title, text), score in zip(self._evidence, lexical, strict=True)
        ]
        evidence = {docid for docid, _, _ in self._evidence}
        return ranked([*first, *((hit.score, hit.docid) for hit in hits if hit.docid not in evidence)], k)


def open_oracle(
    corpus: Corpus, indexes: Path, *, progress: ProgressCallback | None = None, **options: Any
) -> OracleRetriever:
    """Opens ``oracle``; its options are those of ``bm25``, by which it fills up.

    Raises:
        InputError: see :func:`~lrat_sim.retrieval.bm25.open_bm25`.
    """
    return OracleRetriever(corpus, open_bm25(corpus, indexes, progress=progress, **options))


def _words_of(document: Document) -> tuple[frozenset[str], frozenset[str]]:
    title = frozenset(words(document.title))
    return title, title | frozenset(words(document.text))
