"""Retrievers altered on purpose, for testing agents: lists in random order, and lists spoiled at a known rate.

Whatever is random depends on the query alone, so the same query has the same answer, in any order and process.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from hashlib import blake2b
from random import Random
from typing import Any, Self

from lrat_sim.errors import InputError
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever


class Altered(Retriever):
    """The retriever ``base`` with its lists altered; ``seed`` decides, with the query, what is random."""

    def __init__(self, base: Retriever, seed: int = 0):
        self.base, self.seed = base, seed

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`; scores count down, since those of the base no longer hold."""
        altered = []
        for query, hits in zip(queries, self.base.search(queries, k), strict=True):
            seed = blake2b(f"{self.seed}\x1f{query}".encode(), digest_size=8).digest()
            docids = self.alter([hit.docid for hit in hits], Random(int.from_bytes(seed, "big")))
            best = float(len(docids))
            altered.append([Hit(docid=docid, score=best - at, rank=at + 1) for at, docid in enumerate(docids)])
        return altered

    @abstractmethod
    def alter(self, docids: list[str], rng: Random) -> list[str]:
        """One list, altered."""

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`."""
        return self.base.document(docid)

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        return {"kind": type(self).__name__.lower(), "seed": self.seed, "base": self.base.describe()}

    def for_task(self, task: Task) -> Self:
        """See :meth:`Retriever.for_task`; passed on to the base."""
        altered = copy(self)
        altered.base = self.base.for_task(task)
        return altered


class Shuffled(Altered):
    """The same hits in random order: what an agent opens then shows how it attends to rank, whatever the retriever."""

    def alter(self, docids: list[str], rng: Random) -> list[str]:
        """See :meth:`Altered.alter`."""
        return rng.sample(docids, len(docids))


class Degraded(Altered):
    """Each hit is, with probability ``rate``, a random id of ``corpus``: worse by construction the higher it is.

    A hit that is spoiled at one rate is spoiled at every higher one, and by the same document.
    """

    def __init__(self, base: Retriever, rate: float, corpus: Sequence[str], seed: int = 0):
        super().__init__(base, seed)
        if not 0.0 <= rate <= 1.0:
            raise InputError(f"the rate of degradation is {rate}; give a number from 0 to 1.")
        self.rate, self._corpus = rate, corpus

    def alter(self, docids: list[str], rng: Random) -> list[str]:
        """See :meth:`Altered.alter`."""
        draws = [(rng.random(), self._corpus[rng.randrange(len(self._corpus))]) for _ in docids]
        spoiled = [other if chance < self.rate else own for own, (chance, other) in zip(docids, draws, strict=True)]
        return list(dict.fromkeys(spoiled))

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        return {**super().describe(), "rate": self.rate}
