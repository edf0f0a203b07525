"""Fusion of any retrievers: by reciprocal ranks, or by weighted scores."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from operator import is_
from pathlib import Path
from typing import Annotated, Any

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
    weights: Annotated[
        list[float] | str | None,
        Meta(description="Each member's share of the score, as a list or as in 0.7+0.3; none fuses by ranks."),
    ] = None
    constant: Annotated[NotNegative, Meta(description="The larger, the less the first ranks stand out.")] = 60.0
    depth: Annotated[Whole, Meta(description="Hits taken from each member, or k where that is more.")] = 100


class HybridRetriever(LocalRetriever):
    """Sums what each member makes of a document, over those that have it among their first ``depth``.

    With ``weights`` w that is the convex combination of scores, each member's scaled to 0..1 over its own list:
    sum_m w_m (s_m - min) / (max - min) (Bruch et al., ACM TOIS 2023).  Without, it is reciprocal-rank fusion: sum_m
    1 / (constant + rank_m) (Cormack et al., SIGIR 2009), which needs no choice but lets a bad member count as much as
    a good one.
    """

    def __init__(
        self,
        corpus: Corpus,
        members: Sequence[Retriever],
        weights: Sequence[float] | None = None,
        constant: float = 60.0,
        depth: int = 100,
    ):
        how = {"constant": constant} if weights is None else {"weights": [*weights]}
        described = [member.describe() for member in members]
        super().__init__(corpus, {"kind": "hybrid", "members": described, **how, "depth": depth})
        self.members, self.weights, self.constant, self.depth = tuple(members), weights, constant, depth

    def for_task(self, task: Task) -> HybridRetriever:
        """See :meth:`Retriever.for_task`; passed on to the members."""
        members = [member.for_task(task) for member in self.members]
        if all(map(is_, members, self.members)):
            return self
        return HybridRetriever(self.corpus, members, self.weights, self.constant, self.depth)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """One that was made of open retrievers is made of them again."""
        arguments = self.corpus, self.members, self.weights, self.constant, self.depth
        return self.reopening or (HybridRetriever, arguments)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        lists = [member.search(queries, max(k, self.depth)) for member in self.members]
        fused = (fuse(of_query, self.weights, self.constant) for of_query in zip(*lists, strict=True))
        return [ranked([(score, docid) for docid, score in scores.items()], k) for scores in fused]


def fuse(lists: Sequence[Sequence[Hit]], weights: Sequence[float] | None, constant: float = 60.0) -> dict[str, float]:
    """The score of each document in one query's lists, as :class:`HybridRetriever` says; ``weights`` has one a list."""
    scores: defaultdict[str, float] = defaultdict(float)
    for member, hits in enumerate(lists):
        low, high = min((hit.score for hit in hits), default=0.0), max((hit.score for hit in hits), default=0.0)
        for hit in hits:
            if weights is None:
                scores[hit.docid] += 1.0 / (constant + hit.rank)
            else:  # a list of equal scores tells nothing but that it has them
                scores[hit.docid] += weights[member] * ((hit.score - low) / (high - low) if high > low else 1.0)
    return scores


@takes_settings("hybrid", HybridSettings)
def open_hybrid(
    corpus: Corpus, indexes: Path, settings: HybridSettings, progress: ProgressCallback | None
) -> HybridRetriever:
    """Opens ``hybrid``."""
    members = settings.members.split("+") if isinstance(settings.members, str) else settings.members
    if len(members) < 2 or not all(members):
        raise InputError(f"hybrid has the members {settings.members!r}; give two or more, as in hybrid:bm25+dense.")
    weights = _weights(settings.weights, len(members))
    opened = [open_retriever(member, corpus, indexes, progress=progress) for member in members]
    return HybridRetriever(corpus, opened, weights, settings.constant, settings.depth)


def _weights(given: list[float] | str | None, members: int) -> list[float] | None:
    try:
        weights = [*map(float, given.split("+"))] if isinstance(given, str) else given
    except ValueError:
        weights = []
    if weights is not None and (len(weights) != members or not all(0 < weight < math.inf for weight in weights)):
        raise InputError(f"hybrid has the weights {given!r}; give one above 0 for each of its {members} members.")
    return weights
