"""A retriever of one's own in a comparison: BM25, but documents whose title the query names come first."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from lrat_sim.comparison.table import render
from lrat_sim.corpus import prepare
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval import Retriever, open_retriever
from lrat_sim.retrieval.local import ranked
from lrat_sim.study import compare
from lrat_sim.text import normalise

DEPTH, ABOVE = 50, 1000.0  # hits that are looked at; what a named title adds to the score


class TitleFirst(Retriever):
    """Looks at the best hits of another retriever; a query names a title where it holds it as whole words."""

    def __init__(self, base: Retriever):
        self.base = base

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        found = self.base.search(queries, max(k, DEPTH))
        return [
            ranked([(hit.score + self._bonus(query, hit), hit.docid) for hit in hits], k)
            for query, hits in zip(queries, found, strict=True)
        ]

    def _bonus(self, query: str, hit: Hit) -> float:
        title = normalise(self.document(hit.docid).title)
        return ABOVE if title and f" {title} " in f" {normalise(query)} " else 0.0

    def document(self, docid: str) -> Document:
        return self.base.document(docid)

    def describe(self) -> dict[str, Any]:
        # all that decides an answer: a run with another depth or base has another fingerprint, and is run anew
        return {"kind": "title-first", "depth": DEPTH, "above": ABOVE, "base": self.base.describe()}


def open_title_first(corpus: Any, indexes: Any, *, progress: Any = None, base: str = "bm25") -> TitleFirst:
    """For an entry point: with it in your package's metadata, `title-first` is a name on the command line."""
    return TitleFirst(open_retriever(base, corpus, indexes, progress=progress))


if __name__ == "__main__":
    OUT = "runs/custom-retriever"
    data = prepare("world", f"{OUT}/data", options={"documents": 1000, "train_tasks": 5, "test_tasks": 25})
    indexes = data.folder / "indexes"
    arms = {
        "bm25": open_retriever("bm25", data.corpus, indexes),
        "title-first": open_title_first(data.corpus, indexes),
        "oracle": open_retriever("oracle", data.corpus, indexes),
    }
    result = compare(arms, data, f"{OUT}/runs")
    Console().print(render(result.comparisons["."]))
