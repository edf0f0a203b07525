"""Retrievers altered on purpose, for testing agents: lists in random order, and lists spoiled at a known rate.

Whatever is random depends on the query alone, so the same query has the same answer, in any order and process.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import Any

from lrat_sim.errors import InputError
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever


class Altered(Retriever):
    """Another retriever with its lists altered; a kind of it implements :meth:`alter`.

    Args:
        base: the retriever itself.
        seed: decides, with the query, what is random.
    """

    def __init__(self, base: Retriever, seed: int = 0):
        self.base, self.seed = base, seed

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`; scores count down from k, since those of the base no longer hold."""
        found = self.base.search(queries, k)
        altered = []
        for query, hits in zip(queries, found, strict=True):
            seed = blake2b(f"{self.seed}\x1f{query}".encode(), digest_size=8).digest()
            docids = self.alter([hit.docid for hit in hits], Random(int.from_bytes(seed, "big")))
            count = len(docids)
            altered.append(
                [Hit(docid=docid, score=float(count - index), rank=index + 1) for index, docid in enumerate(docids)]
            )
        return altered

    def alter(self, docids: list[str], rng: Random) -> list[str]:
        """One list, altered."""
        raise NotImplementedError

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`."""
        return self.base.document(docid)


class Shuffled(Altered):
    """The same hits in random order: what an agent opens then says how it attends to rank, whatever the retriever.

    Args:
        base: the retriever itself.
        seed: of the orders.
    """

    def alter(self, docids: list[str], rng: Random) -> list[str]:
        """See :meth:`Altered.alter`."""
        return rng.sample(docids, len(docids))

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        return {"kind": "shuffled", "seed": self.seed, "base": self.base.describe()}

    def for_task(self, task: Task) -> Shuffled:
        """See :meth:`Retriever.for_task`; passed on to the base."""
        return Shuffled(self.base.for_task(task), self.seed)


class Degraded(Altered):
    """Each hit is a random document of the corpus with a given probability: worse by construction the higher it is.

    A hit that is spoiled at one rate is spoiled at every higher one, and by the same document.

    Args:
        base: the retriever itself.
        rate: the probability, 0 to 1.
        corpus: the ids from which random documents come.
        seed: of what is spoiled.

    Raises:
        InputError: the rate is no probability.
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
        return {"kind": "degraded", "rate": self.rate, "seed": self.seed, "base": self.base.describe()}

    def for_task(self, task: Task) -> Degraded:
        """See :meth:`Retriever.for_task`; passed on to the base."""
        return Degraded(self.base.for_task(task), self.rate, self._corpus, self.seed)
