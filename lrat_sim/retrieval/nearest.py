"""The nearest vectors: candidates by a fast product, then their order by an exact one.

The product of a batch of queries with the corpus is rounded differently for every shape of the batch.  Its error is
bounded, so it is used to find all rows that may belong to the best k, and these are scored again in double
precision, one query and one row at a time.  The result is that of exact arithmetic on the stored vectors, whatever
the batch, the cut into shards, the number of threads, or the device.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta

from lrat_sim.artifact import replacing
from lrat_sim.errors import InputError
from lrat_sim.retrieval.index import ensure_index, reading_index
from lrat_sim.retrieval.vectors import Matrix, Vectors

IndexKind = Annotated[
    Literal["exact", "faiss", "faiss-hnsw"],
    Meta(description="exact, or with faiss installed faiss (exact, too) or faiss-hnsw (a graph, approximate)."),
]

_QUERIES_AT_ONCE, _ROWS_AT_ONCE = 64, 8192
_SPARE = 16  # candidates beyond k that are asked of faiss, for what its rounding may have put in the wrong order
_BREADTH = 128  # nodes of the graph that a search keeps open: more find more of the true best, in more time


Candidates = Callable[[Matrix, int], list[npt.NDArray[np.int64]]]
"""For each query, shape (queries, dimensions), some rows, each once, that may belong to the best k."""


class ExactSearch:
    """Compares a query with every vector, by torch.

    On ``cuda`` the vectors are copied there once, where half of its free memory holds them.
    """

    def __init__(self, vectors: Vectors, device: str):
        self._device = torch.device(device)
        self._shards = [torch.from_numpy(shard) for shard in vectors.shards]
        if self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            if vectors.rows * vectors.dimensions * 4 <= free // 2:
                self._shards = [shard.to(self._device) for shard in self._shards]
        self._dimensions = vectors.dimensions

    def candidates(self, queries: Matrix, k: int) -> list[npt.NDArray[np.int64]]:
        """See :data:`Candidates`; every row of the true best k is among them."""
        starts = range(0, len(queries), _QUERIES_AT_ONCE)
        batches = (self._candidates(queries[start : start + _QUERIES_AT_ONCE], k) for start in starts)
        return [rows for batch in batches for rows in batch]

    @torch.inference_mode()
    def _candidates(self, queries: Matrix, k: int) -> list[npt.NDArray[np.int64]]:
        asked = torch.from_numpy(queries).to(self._device)
        best = torch.empty((len(queries), 0), device=self._device)
        floor = torch.full((len(queries), 1), -torch.inf, device=self._device)
        # a bound on the rounding error of a product of two vectors of length 1, in whatever order it is summed
        error = self._dimensions * 2.0**-24 * 1.01
        if torch.get_float32_matmul_precision() != "highest":
            error += 2.0**-7  # torch may round the factors first (tf32, bf16)
        parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        start = 0
        for shard in self._shards:
            for block in torch.split(shard, _ROWS_AT_ONCE):
                scores = asked @ block.to(self._device).T
                best = torch.cat([best, scores.topk(min(k, len(block))).values], dim=1)
                best = best.topk(min(k, best.shape[1])).values
                if best.shape[1] == k:
                    floor = best[:, -1:] - 2 * error
                query, row = torch.nonzero(scores >= floor, as_tuple=True)
                parts.append((query, row + start, scores[query, row]))
                start += len(block)
        query, row, score = (torch.cat(part) for part in zip(*parts, strict=True))
        keep = score >= floor[query, 0]  # the floor has risen since the first blocks
        of_query, rows = query[keep].cpu().numpy(), row[keep].cpu().numpy()
        return [rows[of_query == number] for number in range(len(queries))]


def faiss_search(vectors: Vectors, folder: Path, kind: IndexKind, identity: dict[str, Any]) -> Candidates:
    """Asks a faiss index in a folder of its own: all vectors (``faiss``), or a graph that skips most of them, inexact.

    Raises:
        InputError: faiss is not installed, or the index is damaged.
    """
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            f"index={kind} needs faiss, which is not installed; install lrat-sim[faiss-cpu] or "
            "lrat-sim[faiss-gpu], or use index=exact."
        ) from error

    def build(folder: Path) -> None:
        size, product = vectors.dimensions, faiss.METRIC_INNER_PRODUCT
        index = faiss.IndexFlatIP(size) if kind == "faiss" else faiss.IndexHNSWFlat(size, 32, product)
        for shard in vectors.shards:
            index.add(np.ascontiguousarray(shard))
        with replacing(folder / "index.faiss") as beside:
            faiss.write_index(index, str(beside))

    ensure_index(folder, {**identity, "index": kind}, build)
    with reading_index(folder):
        # the flag of older versions maps inverted lists only
        index = faiss.read_index(str(folder / "index.faiss"), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))
    if kind == "faiss-hnsw":
        index.hnsw.efSearch = _BREADTH

    def candidates(queries: Matrix, k: int) -> list[npt.NDArray[np.int64]]:
        wanted = min(k + _SPARE, index.ntotal)
        # one by one: in a batch they would be rounded differently
        lists = [index.search(query[None], wanted)[1][0] for query in queries]
        return [rows[rows >= 0].astype(np.int64) for rows in lists]

    return candidates


def exact_scores(vectors: Vectors, rows: npt.NDArray[np.int64], query: Matrix) -> npt.NDArray[np.float64]:
    """The products of a query with some rows in double precision, each independent of the others, shape (rows,)."""
    wide = query.astype(np.float64)
    parts = [
        # not a matrix product, whose order of summation would depend on the number of rows
        (vectors.take(rows[start : start + _ROWS_AT_ONCE]).astype(np.float64) * wide).sum(axis=1)
        for start in range(0, len(rows), _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)
