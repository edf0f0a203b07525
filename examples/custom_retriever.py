"""A retriever of one's own in a comparison: BM25, but documents whose title the query names come first."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

import lrat_sim as ls
from lrat_sim.comparison.table import render
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.base import ranked
from lrat_sim.text import normalise

DEPTH, ABOVE = 50, 1000.0  # hits that are looked at; what a named title adds to the score


class TitleFirst(ls.Retriever):
    """Looks at the best hits of another retriever; a query names a title where it holds it as whole words."""

    def __init__(self, base: ls.Retriever):
        self.base = base

    def search(self, queries: Sequence[str], k: int) -> list[list[ls.Hit]]:
        found = self.base.search(queries, max(k, DEPTH))
        return [
            ranked([(hit.score + self._bonus(query, hit), hit.docid) for hit in hits], k)
            for query, hits in zip(queries, found, strict=True)
        ]

    def _bonus(self, query: str, hit: ls.Hit) -> float:
        title = normalise(self.document(hit.docid).title)
        return ABOVE if title and f" {title} " in f" {normalise(query)} " else 0.0

    def document(self, docid: str) -> ls.Document:
        return self.base.document(docid)

    def describe(self) -> dict[str, Any]:
        # all that decides an answer: a run with another depth or base has another fingerprint, and is run anew
        return {"kind": "title-first", "depth": DEPTH, "above": ABOVE, "base": self.base.describe()}


def open_title_first(corpus: Any, indexes: Any, *, progress: Any = None, base: str = "bm25") -> TitleFirst:
    """For an entry point: with it in your package's metadata, `title-first` is a name on the command line."""
    return TitleFirst(open_retriever(base, corpus, indexes, progress=progress))


if __name__ == "__main__":
    OUT = "runs/custom-retriever"
    data = ls.prepare("world", f"{OUT}/data", documents=1000, train_tasks=5, test_tasks=25)
    own = open_title_first(data.corpus, data.folder / "indexes")
    result = ls.compare({"bm25": "bm25", "title-first": own, "oracle": "oracle"}, data, f"{OUT}/runs")
    Console().print(render(result.comparisons["."]))
