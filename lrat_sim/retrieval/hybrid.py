"""Reciprocal-rank fusion of any retrievers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from operator import is_
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Hit, Task
from lrat_sim.retrieval.base import LocalRetriever, Retriever, ranked
from lrat_sim.retrieval.registry import open_retriever, takes_settings
from lrat_sim.settings import NotNegative, Settings, Whole


class HybridSettings(Settings, frozen=True, kw_only=True):
    """Settings of ``hybrid``."""

    members: Annotated[list[str] | str, Meta(description="Retrievers, as a list or as text.")] = "bm25+dense"
    constant: Annotated[NotNegative, Meta(description="The larger, the less the first ranks stand out.")] = 60.0
    depth: Annotated[Whole, Meta(description="Hits taken from each member, or k where that is more.")] = 100


class HybridRetriever(LocalRetriever):
    """Scores a document by the sum over its members of 1 / (constant + rank) (Cormack et al., SIGIR 2009)."""

    def __init__(self, corpus: Corpus, members: Sequence[Retriever], constant: float = 60.0, depth: int = 100):
        described = [member.describe() for member in members]
        super().__init__(corpus, {"kind": "hybrid", "members": described, "constant": constant, "depth": depth})
        self.members, self.constant, self.depth = tuple(members), constant, depth

    def for_task(self, task: Task) -> HybridRetriever:
        """See :meth:`Retriever.for_task`; passed on to the members."""
        members = [member.for_task(task) for member in self.members]
        if all(map(is_, members, self.members)):
            return self
        return HybridRetriever(self.corpus, members, self.constant, self.depth)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        results = []
        lists = [member.search(queries, max(k, self.depth)) for member in self.members]
        for of_query in zip(*lists, strict=True):
            scores: defaultdict[str, float] = defaultdict(float)
            for hit in chain(*of_query):
                scores[hit.docid] += 1.0 / (self.constant + hit.rank)
            results.append(ranked([(score, docid) for docid, score in scores.items()], k))
        return results


@takes_settings("hybrid", HybridSettings)
def open_hybrid(
    corpus: Corpus, indexes: Path, settings: HybridSettings, progress: ProgressCallback | None
) -> HybridRetriever:
    """Opens ``hybrid``."""
    members = settings.members.split("+") if isinstance(settings.members, str) else settings.members
    if len(members) < 2 or not all(members):
        raise InputError(f"hybrid has the members {settings.members!r}; give two or more, as in hybrid:bm25+dense.")
    opened = [open_retriever(member, corpus, indexes, progress=progress) for member in members]
    return HybridRetriever(corpus, opened, settings.constant, settings.depth)
