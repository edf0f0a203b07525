"""An inverted index on disk: for each term the documents that have it, with its weight in each.

It is made from shards of documents, and memory-mapped.  A score is summed in double precision, term by term in one
order, so that it depends on the query and the document alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from lrat_sim.corpus.documents import Corpus
from lrat_sim.retrieval.index import damaged, reading_index
from lrat_sim.retrieval.shards import Array, open_shards

TERMS = ("terms", "weights")
"""The arrays of a shard, as :func:`lrat_sim.retrieval.shards.encode_shards` names them."""
_STARTS, _ROWS, _WEIGHTS = "starts.npy", "rows.npy", "weights.npy"


def invert(folder: Path, shards: Path, corpus: Corpus, shard_rows: int, vocabulary: int) -> None:
    """Turns the shards of a corpus, each document's terms and weights, into the postings of each term.

    The postings of a term are in the order of the corpus.  One shard is in memory at a time; ``shards`` is removed.
    """
    documents = open_shards(shards, TERMS, len(corpus), shard_rows)
    starts = np.zeros(vocabulary + 1, np.int64)
    for _, terms, _ in documents:
        starts[1:] += np.bincount(terms, minlength=vocabulary)
    starts = np.cumsum(starts)
    rows = open_memmap(folder / _ROWS, "w+", np.int32, (int(starts[-1]),))
    weights = open_memmap(folder / _WEIGHTS, "w+", np.float32, (int(starts[-1]),))
    filled, first = starts[:-1].copy(), 0
    for offsets, terms, of_terms in documents:
        order = np.argsort(terms, kind="stable")
        counts = np.bincount(terms, minlength=vocabulary)
        within = np.arange(len(terms)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.repeat(filled, counts) + within
        rows[places] = np.repeat(np.arange(first, first + len(offsets) - 1), np.diff(offsets))[order]
        weights[places] = of_terms[order]
        filled += counts
        first += len(offsets) - 1
    rows.flush()
    weights.flush()
    np.save(folder / _STARTS, starts)
    shutil.rmtree(shards)


class InvertedIndex:
    """The postings that :func:`invert` wrote of a corpus of so many ``rows``, memory-mapped."""

    def __init__(self, folder: Path, rows: int):
        self.rows = rows
        with reading_index(folder):
            self._starts = np.load(folder / _STARTS)
            self._rows = np.load(folder / _ROWS, mmap_mode="r")
            self._weights = np.load(folder / _WEIGHTS, mmap_mode="r")
        if not len(self._rows) == len(self._weights) == self._starts[-1]:
            raise damaged(folder, f"it has {len(self._rows)} rows, {len(self._weights)} weights of its terms")
        self.vocabulary = len(self._starts) - 1

    def scores(self, terms: Array, weights: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The rows that share a term with a query, ascending, and the product of each with it.

        ``terms``, each once and ascending, and their ``weights`` are those of the query.
        """
        scores, shared = np.zeros(self.rows), np.zeros(self.rows, bool)
        for term, weight in zip(terms.tolist(), weights.tolist(), strict=True):
            posting = slice(self._starts[term], self._starts[term + 1])
            rows = self._rows[posting]
            scores[rows] += self._weights[posting].astype(np.float64) * weight
            shared[rows] = True
        found = np.flatnonzero(shared)
        return found, scores[found]
