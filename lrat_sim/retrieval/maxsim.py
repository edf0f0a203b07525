"""The token vectors of a corpus, and the documents nearest to a query by MaxSim (Khattab and Zaharia 2020).

MaxSim of a query and a document is the sum, over the query's vectors, of the largest product with any vector of the
document.  As in :mod:`lrat_sim.retrieval.vectors`, a product with many documents at once is rounded differently for
every shape, but its error is bounded: it only finds the documents that may belong to the best k, and each of these is
scored again on its own in double precision.  So the result is the same whatever the batch, the shards or the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lrat_sim.retrieval.faiss_index import built_index, import_faiss
from lrat_sim.retrieval.index import damaged
from lrat_sim.retrieval.shards import Array, open_shards
from lrat_sim.retrieval.vectors import Matrix

TOKENS = ("tokens",)
"""The arrays of a shard, as :func:`lrat_sim.retrieval.shards.encode_shards` names them."""
_QUERY_TOKENS = 1024  # of the queries that are compared together; a longer query is compared alone
_TOKENS_AT_ONCE = {"cpu": 1 << 16, "cuda": 1 << 20}  # of documents
_PRODUCTS_AT_ONCE = {"cpu": 1 << 24, "cuda": 1 << 27}
_FOUND = 256  # document vectors that faiss finds for each vector of a query

# from the vectors of each query and k to some rows for each, each once, that may belong to the best k
Candidates = Callable[[list[Matrix], int], list[npt.NDArray[np.int64]]]


class TokenVectors:
    """The token vectors of a corpus of so many ``rows``, memory-mapped shards of (offsets, vectors)."""

    def __init__(self, folder: Path, rows: int, shard_rows: int):
        self.rows, self.shard_rows = rows, shard_rows
        self.shards = open_shards(folder, TOKENS, rows, shard_rows)
        shapes = {tokens.shape[1:] for _, tokens in self.shards}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 1:
            raise damaged(folder, "its token vectors are not of one size")
        self.dimensions: int = shape[0]

    def of(self, row: int) -> Array:
        """The vectors of one document, (tokens, dimensions)."""
        offsets, tokens = self.shards[row // self.shard_rows]
        start, stop = offsets[row % self.shard_rows : row % self.shard_rows + 2]
        return tokens[start:stop]


class ExactMaxSim:
    """Compares queries with every document, by torch; on ``cuda`` it keeps a copy that fits in half the free memory.

    A document without vectors is never found.
    """

    def __init__(self, vectors: TokenVectors, device: str):
        self._device = torch.device(device)
        self._shards = [(offsets, torch.from_numpy(tokens)) for offsets, tokens in vectors.shards]
        if self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            if sum(tokens.nbytes for _, tokens in vectors.shards) <= free // 2:
                self._shards = [(offsets, tokens.to(self._device)) for offsets, tokens in self._shards]
        self._dimensions = vectors.dimensions

    def candidates(self, queries: list[Matrix], k: int) -> list[npt.NDArray[np.int64]]:
        """See :data:`Candidates`; every row of the true best k is among them."""
        return [rows for batch in _batches(queries) for rows in self._candidates(batch, k)]

    @torch.inference_mode()
    def _candidates(self, queries: list[Matrix], k: int) -> list[npt.NDArray[np.int64]]:
        tokens = torch.from_numpy(np.concatenate(queries)).to(self._device)
        lengths = torch.tensor([len(query) for query in queries])
        of_query = torch.repeat_interleave(torch.arange(len(queries)), lengths).to(self._device)
        sizes = torch.zeros(len(queries), device=self._device)
        sizes.index_add_(0, of_query, torch.linalg.vector_norm(tokens, dim=1))
        # a bound on the rounding error of a score over the largest length of a document's vectors: of the products,
        # and of their sum over the query's
        error = (self._dimensions + int(lengths.max())) * 2.0**-24 * 1.01
        if torch.get_float32_matmul_precision() != "highest":
            error += 2.0**-7  # torch may round the factors first (tf32, bf16)
        errors = (error * sizes)[:, None]
        longest = torch.zeros((), device=self._device)
        best = torch.empty((len(queries), 0), device=self._device)
        floor = torch.full((len(queries), 1), -torch.inf, device=self._device)
        parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for start, counts, block in self._blocks(len(tokens)):
            longest = torch.maximum(longest, torch.linalg.vector_norm(block, dim=1).max()) if len(block) else longest
            nearest = torch.segment_reduce(block @ tokens.T, "max", lengths=counts, axis=0, initial=-torch.inf)
            scores = torch.zeros((len(counts), len(queries)), device=self._device)
            scores = scores.index_add_(1, of_query, nearest).T
            best = torch.cat([best, scores.topk(min(k, len(counts))).values], dim=1)
            best = best.topk(min(k, best.shape[1])).values
            if best.shape[1] == k:
                floor = best[:, -1:] - 2 * errors * longest
            query, row = torch.nonzero((scores >= floor) & (scores > -torch.inf), as_tuple=True)
            parts.append((query, row + start, scores[query, row]))
        query, row, score = (torch.cat(part) for part in zip(*parts, strict=True))
        keep = score >= floor[query, 0]  # the floor has risen since the first blocks
        of_query_kept, rows = query[keep].cpu().numpy(), row[keep].cpu().numpy()
        return [rows[of_query_kept == number] for number in range(len(queries))]

    def _blocks(self, query_tokens: int) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """Of some documents at a time, one at least: the first row, the number of vectors of each, the vectors."""
        kind, start = self._device.type, 0
        most = min(_TOKENS_AT_ONCE[kind], _PRODUCTS_AT_ONCE[kind] // query_tokens)
        for offsets, tokens in self._shards:
            first, rows = 0, len(offsets) - 1
            while first < rows:
                last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + most, side="right")) - 1)
                counts = torch.from_numpy(np.diff(offsets[first : last + 1])).to(self._device)
                block = tokens[int(offsets[first]) : int(offsets[last])].to(self._device, torch.float32)
                yield start + first, counts, block
                first = last
            start += rows


def _batches(queries: list[Matrix]) -> Iterator[list[Matrix]]:
    batch: list[Matrix] = []
    for query in queries:
        if batch and sum(map(len, batch)) + len(query) > _QUERY_TOKENS:
            yield batch
            batch = []
        batch.append(query)
    if batch:
        yield batch


def exact_maxsim(vectors: TokenVectors, rows: npt.NDArray[np.int64], query: Matrix) -> npt.NDArray[np.float64]:
    """The scores of a query with some rows in double precision, each computed alone, shape (rows,)."""
    wide = query.T.astype(np.float64)
    return np.array([(vectors.of(row).astype(np.float64) @ wide).max(axis=0).sum() for row in rows.tolist()])


def faiss_maxsim(
    vectors: TokenVectors, folder: Path, factory: str, probes: int, depth: int, identity: dict[str, Any]
) -> Candidates:
    """Finds candidates in a faiss index of all token vectors, in a folder of its own.

    For each vector of a query faiss gives the nearest token vectors of the corpus.  A document's approximate MaxSim is
    the sum of the best product found for each query vector; where none of its vectors was found, the lowest product
    that was found for that query vector stands in, as in XTR (Lee et al. 2023).  The best ``depth`` documents by it, or
    twice k where that is more, are the candidates.

    Args:
        factory: of the index, as faiss reads it (``IVF4096,PQ32``).
        probes: lists of the index that each query vector is compared with.
    """
    index = built_index(
        folder,
        factory,
        identity,
        vectors.dimensions,
        lambda wanted: _sample(vectors, wanted),
        lambda: (np.ascontiguousarray(tokens, np.float32) for _, tokens in vectors.shards),
    )
    faiss = import_faiss(f"index={factory}")
    if (inverted := faiss.try_extract_index_ivf(index)) is not None:
        inverted.nprobe = min(probes, inverted.nlist)
    ends = np.cumsum([offsets[-1] for offsets, _ in vectors.shards])

    def documents_of(found: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        rows = np.empty(len(found), np.int64)
        shard_of = np.searchsorted(ends, found, side="right")
        for number in np.unique(shard_of):
            within, offsets = shard_of == number, vectors.shards[number][0]
            inside = found[within] - (ends[number] - offsets[-1])
            rows[within] = np.searchsorted(offsets, inside, side="right") - 1 + number * vectors.shard_rows
        return rows

    def of_query(query: Matrix, k: int) -> npt.NDArray[np.int64]:
        products, found = index.search(query, min(_FOUND, index.ntotal))
        token, place = np.nonzero(found >= 0)
        documents, column = np.unique(documents_of(found[token, place]), return_inverse=True)
        lowest = np.where(found >= 0, products, np.inf).min(axis=1)
        table = np.broadcast_to(np.where(np.isfinite(lowest), lowest, 0.0)[:, None], (len(query), len(documents)))
        table = np.array(table)
        np.maximum.at(table, (token, column), products[token, place])
        return documents[np.argsort(-table.sum(axis=0), kind="stable")[: max(depth, 2 * k)]]

    # query by query: in a batch the products would be rounded differently
    return lambda queries, k: [of_query(query, k) for query in queries]


def _sample(vectors: TokenVectors, wanted: int) -> Matrix:
    """At most so many token vectors, an equal share of each shard, evenly spaced."""
    share = min(1.0, wanted / max(1, sum(len(tokens) for _, tokens in vectors.shards)))
    chosen = [tokens[np.linspace(0, len(tokens) - 1, max(1, round(share * len(tokens)))).astype(int)]
              for _, tokens in vectors.shards if len(tokens)]  # fmt: skip
    return np.concatenate(chosen).astype(np.float32)
