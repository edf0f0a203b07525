"""The oracle: an upper bound for any retriever, since it knows which documents prove the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.plans import Passage, fill, reference, references, states
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Hit, Hop, Task
from lrat_sim.retrieval.base import LocalRetriever, Retriever, ranked
from lrat_sim.retrieval.bm25 import Bm25Retriever, open_bm25, tokenize
from lrat_sim.text import normalise

_ABOVE = 1e6  # puts any evidence above any score of BM25


class OracleRetriever(LocalRetriever):
    """BM25 that puts the evidence of one ``task`` first, whatever the query; without a task it is BM25.

    Evidence is ordered by how much of a wording of its hop the query holds, one that the query begins with before all
    others; then by the words it shares with the query, those in its title twice; then by BM25.
    """

    def __init__(self, corpus: Corpus, fill: Bm25Retriever, task: Task | None = None):
        # the same for every task, since it is one rule for all of them
        knows = "the evidence and the plan of the task it is asked for"
        super().__init__(corpus, {"kind": "oracle", "knows": knows, "fill": fill.describe()})
        self._fill = fill
        evidence = [docid for docid in dict.fromkeys(task.evidence if task else []) if docid in corpus]
        documents = {docid: corpus.document(docid) for docid in evidence}
        hops = task.plan.hops if task and task.plan else []
        self._facts = [_Fact(index, hops, documents) for index in range(len(hops))]
        self._rows = [corpus.row(docid) for docid in evidence]
        self._evidence = {
            docid: (set(tokenize(document.title)), set(tokenize(f"{document.title} {document.text}")))
            for docid, document in documents.items()
        }

    def for_task(self, task: Task) -> Retriever:
        """The same retriever with this task's evidence on top."""
        return OracleRetriever(self.corpus, self._fill, task)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        filled = self._fill.search(queries, k)
        if not self._evidence:
            return filled
        return [self._merge(query, hits, k) for query, hits in zip(queries, filled, strict=True)]

    def _merge(self, query: str, hits: list[Hit], k: int) -> list[Hit]:
        words = set(tokenize(query))
        shares = [(fact.documents, fact.share_in(query)) for fact in self._facts]
        scored = [(hit.score, hit.docid) for hit in hits if hit.docid not in self._evidence]
        lexical = self._fill.scores(query, self._rows)
        for (docid, (title, text)), score in zip(self._evidence.items(), lexical, strict=True):
            share = max((share for documents, share in shares if docid in documents), default=0.0)
            shared = len(words & text) + len(words & title)
            # BM25 adds less than 1, so that it decides only among equals
            scored.append((_ABOVE * (1.0 + share) + shared + max(score, 0.0) / (1.0 + max(score, 0.0)), docid))
        return ranked(scored, k)


def open_oracle(
    corpus: Corpus, indexes: Path, *, progress: ProgressCallback | None = None, **options: Any
) -> OracleRetriever:
    """Opens ``oracle``; its options, and what it raises, are those of ``bm25``, which ranks all other documents."""
    return OracleRetriever(corpus, open_bm25(corpus, indexes, progress=progress, **options))


class _Fact:
    """A hop of the task: its wordings, and the evidence that states it."""

    def __init__(self, index: int, hops: Sequence[Hop], evidence: dict[str, Document]):
        hop, found = hops[index], {place: hops[place - 1].object for place in references(hops, index)}
        before = reference(hop.subject)
        subject = hop.subject if before is None else hops[before - 1].object  # the true name that the hop is about
        wordings = (normalise(fill(text, subject, found)) for text in (*hop.phrasings, hop.relation))
        self.wordings = [wording for wording in wordings if wording]
        self.documents = {
            docid
            for docid, document in evidence.items()
            if states(Passage(document.title, document.text), subject, hop.object)
        }

    def share_in(self, query: str) -> float:
        """How much of its best wording a query holds, 0 to 1; 2 where the query begins with one."""
        plain = normalise(query)
        if any(f"{plain} ".startswith(f"{wording} ") for wording in self.wordings):
            return 2.0
        words = set(plain.split())
        return max((len(words & set(parts)) / len(parts) for parts in map(str.split, self.wordings)), default=0.0)
