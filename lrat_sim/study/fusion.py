"""How much BM25 counts beside an encoder: fitted on mined pairs, or given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from lrat_sim.corpus.dataset import Dataset
from lrat_sim.records import Hit, Pair
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.hybrid import HybridRetriever, fuse
from lrat_sim.study.arms import opened

_SHARES = tuple(tenth / 10 for tenth in range(10))
_QUERIES, _DEPTH, _CUT = 1000, 100, 10


def _weights(share: float) -> list[float]:
    return [round(1 - share, 6), share]  # rounded, since the weights are read by people


def with_bm25(dataset: Dataset, encoder: Retriever, share: float) -> Retriever:
    """An encoder with a share (from 0 to below 1) of BM25 in the score of a document; 0 leaves it alone."""
    if not share:
        return encoder
    return HybridRetriever(dataset.corpus, [encoder, opened("bm25", dataset)], _weights(share))


def fused_spec(model: Path, share: float) -> str:
    """How :func:`with_bm25` over the encoder of a folder is named, wherever a retriever is."""
    return f"hybrid:members={model}+bm25,weights={'+'.join(map(str, _weights(share)))}" if share else str(model)


def fit_share(pairs: Iterable[Pair], dataset: Dataset, base: Retriever) -> float:
    """The share of BM25, in tenths from 0 to 0.9, by which the pairs' queries find their positives best.

    That is the mean reciprocal rank among the first 10, over at most 1,000 distinct queries.  It is measured with the
    encoder that training starts from, not with the trained one, which knows these pairs: there BM25 would seem
    useless.  The lists that the pairs were mined from favour the encoder, if anything.  Of equal shares it is the
    smallest.

    Args:
        pairs: those that the encoder is trained on.
        dataset: whose documents they name.
        base: the encoder before training.
    """
    positives: defaultdict[str, set[str]] = defaultdict(set)
    plain: dict[str, str] = {}  # whatever the encoder reads, BM25 gets the query that ran
    for pair in pairs:
        if pair.satisfied and (pair.query in positives or len(positives) < _QUERIES):
            positives[pair.query].add(pair.positive)
            plain.setdefault(pair.query, pair.query if pair.search is None else pair.search)
    if not positives:
        return 0.0
    lists = [base.search([*plain], _DEPTH), opened("bm25", dataset).search([*plain.values()], _DEPTH)]
    found = {share: fmean(_reciprocal_ranks(positives, lists, share)) for share in _SHARES}
    return max(_SHARES, key=lambda share: (found[share], -share))


def _reciprocal_ranks(
    positives: Mapping[str, set[str]], lists: Sequence[Sequence[Sequence[Hit]]], share: float
) -> list[float]:
    ranks = []
    for relevant, *of_query in zip(positives.values(), *lists, strict=True):
        scores = fuse(of_query, _weights(share))
        best = sorted(scores, key=lambda docid: (-scores[docid], docid))[:_CUT]
        ranks.append(next((1 / rank for rank, docid in enumerate(best, start=1) if docid in relevant), 0.0))
    return ranks
