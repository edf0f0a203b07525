"""The oracle: an upper bound for any retriever, since it knows which documents prove the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.plans import Passage, reference, states
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Hit, Hop, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.bm25 import Bm25Retriever, open_bm25
from lrat_sim.retrieval.local import LocalRetriever, ranked
from lrat_sim.retrieval.words import words
from lrat_sim.text import normalise

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
        hops = task.plan.hops if task is not None and task.plan is not None else []
        named = [_subject(hops, place) for place in range(len(hops))]
        self._hops = [
            _Fact(
                [normalise(phrasing.replace("{subject}", subject)) for phrasing in (*hop.phrasings, hop.relation)],
                frozenset(
                    docid
                    for docid in found
                    if docid in corpus and states(_passage(corpus.document(docid)), subject, hop.object)
                ),
            )
            for hop, subject in zip(hops, named, strict=True)
        ]
        self._rows = [corpus.row(docid) for docid in found if docid in corpus]
        self._evidence = [(docid, *_words_of(corpus.document(docid))) for docid in found if docid in corpus]

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`; the same for every task, since it is one rule for all of them."""
        return {
            "kind": "oracle",
            "knows": "the evidence and the plan of the task it is asked for",
            "fill": self._fill.describe(),
        }

    def for_task(self, task: Task) -> Retriever:
        """The same retriever with this task's evidence on top; evidence that the corpus lacks is left out."""
        return OracleRetriever(self.corpus, self._fill, task)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`.

        With k = 1 an agent still gets the document of the hop it asks for: evidence is ordered by how much of a
        wording of its hop the query holds, one that the query begins with before all others; then by the words it
        shares with the query, those in its title twice; then by BM25.
        """
        return [self._merge(query, hits, k) for query, hits in zip(queries, self._fill.search(queries, k), strict=True)]

    def _merge(self, query: str, hits: Sequence[Hit], k: int) -> list[Hit]:
        if not self._evidence:
            return list(hits)
        asked = set(words(query))
        lexical = self._fill.scores(query, self._rows)
        meant = {fact: fact.meant_by(query) for fact in self._hops}
        first = [
            (
                _ABOVE * (1.0 + max((share for fact, share in meant.items() if docid in fact.documents), default=0.0))
                + len(asked & text)
                + len(asked & title)
                + max(score, 0.0) / (1.0 + max(score, 0.0)),
                docid,
            )
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


class _Fact:
    """A hop of the task: its wordings, and the evidence that states it."""

    def __init__(self, wordings: list[str], documents: frozenset[str]):
        self.wordings, self.documents = wordings, documents

    def meant_by(self, query: str) -> float:
        """How much of its best wording a query holds, 0 to 1; 2 where the query begins with one."""
        plain = normalise(query)
        asked = set(plain.split())
        shares = [
            len(asked.intersection(wording.split())) / len(wording.split()) for wording in self.wordings if wording
        ]
        begins = any(wording and f"{plain} ".startswith(f"{wording} ") for wording in self.wordings)
        return 2.0 if begins else max(shares, default=0.0)


def _subject(hops: Sequence[Hop], place: int) -> str:
    """The true name that a hop is about."""
    before = reference(hops[place].subject)
    return hops[place].subject if before is None else hops[before - 1].object


def _passage(document: Document) -> Passage:
    return Passage(document.title, document.text)


def _words_of(document: Document) -> tuple[frozenset[str], frozenset[str]]:
    title = frozenset(words(document.title))
    return title, title | frozenset(words(document.text))
