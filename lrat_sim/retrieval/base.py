"""The one interface of retrieval."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

from lrat_sim.artifact import fingerprint
from lrat_sim.records import Document, Hit, Task


class Retriever(ABC):
    """Ranks the documents of one corpus for a query.

    A retriever is found by name through the entry-point group ``lrat_sim.retrievers``, so that a user's own class
    is a name on the command line.  It must answer from several threads at once, and a query's answer must not
    depend on the other queries of the batch.
    """

    @abstractmethod
    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best documents for each query.

        Args:
            queries: any texts; an empty one, or one without a known word, has an empty result or an arbitrary one
                of score 0, never an error.
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


def corpora_of(description: Any) -> Iterator[str]:
    """The fingerprints of all corpora that a retriever's description names, those of its members too."""
    if isinstance(description, dict):
        if isinstance(description.get("corpus"), str):
            yield description["corpus"]
        description = list(description.values())
    if isinstance(description, list):
        for part in description:
            yield from corpora_of(part)
