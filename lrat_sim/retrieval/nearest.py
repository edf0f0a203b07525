"""The nearest vectors of a query, exactly: as arithmetic without rounding would rank them.

A batch's product with the corpus is rounded differently for every shape of the batch, but its error is bounded.  So it
only finds all rows that may belong to the best k.  These are scored again by sums of whole numbers, in which the order
does not matter: the result is the same bits whatever the batch, the shards, the number of threads or the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lrat_sim.artifact import fingerprint
from lrat_sim.cluster import actors_on_all_machines, ask_all
from lrat_sim.retrieval.hardware import device_named
from lrat_sim.retrieval.vectors import Matrix, Store, Vectors

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

# from queries, shape (queries, dimensions), and k to rows and their exact scores for each, each row once: at least the
# best k with all that tie with the last, or, from an index that is not exact, what it found of them
Search = Callable[[Matrix, int], list[tuple[Rows, Scores]]]

_QUERIES_AT_ONCE = 64
_ROWS_AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 22}  # the scores of a batch take 4 bytes for each row and query
_COLUMNS = 128  # rows of which only the best is looked at first: a maximum costs less than a place among the best
_SPARE = 16  # rows beyond k that are kept: that many may lie within the rounding error of the last
_FIXED_BITS = 61


class ExactSearch:
    """Compares queries with every vector, by torch; on ``cuda`` it keeps a copy that fits in half the free memory."""

    def __init__(self, vectors: Vectors, device: str):
        self._vectors, self._device = vectors, torch.device(device)
        self.rows = vectors.rows
        self._shards = [torch.from_numpy(shard) for shard in vectors.shards]
        self._resident = False
        if self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            if sum(shard.nbytes for shard in vectors.shards) <= free // 2:
                self._shards = [torch.cat([shard.to(self._device) for shard in self._shards])]
                self._resident = True
        self._blocks = self._grouped()

    def __call__(self, queries: Matrix, k: int) -> list[tuple[Rows, Scores]]:
        """See :data:`Search`."""
        found = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            found += self._search(queries[start : start + _QUERIES_AT_ONCE], k, _SPARE)
        return found

    @torch.inference_mode()
    def _search(self, queries: Matrix, k: int, spare: int) -> list[tuple[Rows, Scores]]:
        batch = torch.from_numpy(queries).to(self._device)
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
        scores, rows, lost = self._approximate(batch, min(k + spare, self._vectors.rows))
        # a bound on the rounding error of a product, in whatever order it is summed
        error = (self._vectors.dimensions + 2) * 2.0**-24 * 1.01
        if torch.get_float32_matmul_precision() != "highest":
            error += 2.0**-7  # torch may round the factors first (tf32, bf16)
        bound = torch.from_numpy(2 * error * lengths * self._vectors.longest).to(self._device)
        floor = scores[:, k - 1].double() - bound
        near = scores.double() >= floor[:, None]
        some = near.any(0)  # most of the spare ones are far from the last
        rows, near = rows[:, some], near[:, some]
        exact = fixed_point(self._take(rows), batch, self._vectors.longest)
        columns = (rows, exact, near, lost.double() >= floor)
        kept_rows, kept_scores, keep, again = (column.cpu().numpy() for column in columns)
        found = [(kept_rows[query][keep[query]], kept_scores[query][keep[query]]) for query in range(len(queries))]
        for query in np.flatnonzero(again):  # more rows lie so close together than were kept
            found[query] = self._search(queries[query : query + 1], k, 8 * spare)[0]
        return found

    def _approximate(self, batch: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The ``most`` rows of the best rounded scores for each query, best first, as scores and rows, and the best
        score that any other row may have."""
        scores, rows = batch.new_empty((len(batch), 0)), batch.new_empty((len(batch), 0), dtype=torch.int64)
        lost = torch.full((len(batch),), -torch.inf, device=batch.device)
        for start, shards in self._blocks:
            lengths = [len(shard) for shard in shards]
            size = sum(lengths)
            width = -(-size // _COLUMNS)
            table = batch.new_empty((len(batch), _COLUMNS * width))
            table[:, size:] = -torch.inf
            asked, out = (batch[0], table[0]) if len(batch) == 1 else (batch, table)
            for shard, scored in zip(shards, torch.split_with_sizes(out[..., :size], lengths, dim=-1), strict=True):
                self._multiply(asked, shard, scored)
            columns = table.view(len(batch), _COLUMNS, width)
            best = columns.amax(1).topk(min(most, width))
            picked = columns.gather(2, best.indices[:, None, :].expand(-1, _COLUMNS, -1)).flatten(1)
            top = picked.topk(min(most, size, picked.shape[1]))
            row = top.indices // best.indices.shape[1] * width
            row += best.indices.gather(1, top.indices % best.indices.shape[1])
            if best.indices.shape[1] < width:
                lost = torch.maximum(lost, best.values[:, -1])
            if top.indices.shape[1] < size:
                lost = torch.maximum(lost, top.values[:, -1])
            scores, rows = torch.cat([scores, top.values], 1), torch.cat([rows, row + start], 1)
            if scores.shape[1] > most:
                merged = scores.topk(most)
                scores, rows = merged.values, rows.gather(1, merged.indices)
                lost = torch.maximum(lost, scores[:, -1])
        return scores, rows, lost

    def _grouped(self) -> list[tuple[int, list[torch.Tensor]]]:
        """Shards in groups that are ranked together, each with its first row."""
        most = _ROWS_AT_ONCE[self._device.type]
        blocks: list[tuple[int, list[torch.Tensor]]] = []
        start = filled = 0
        for shard in self._shards:
            for part in torch.split(shard, most):
                if not blocks or filled + len(part) > most:
                    blocks.append((start, []))
                    filled = 0
                blocks[-1][1].append(part)
                filled += len(part)
                start += len(part)
        return blocks

    def _multiply(self, batch: torch.Tensor, shard: torch.Tensor, out: torch.Tensor) -> None:
        stored = shard.to(self._device)
        vectors = stored[:, :-4].float() if self._vectors.store == "int8" else stored.float()
        if batch.ndim == 1:
            torch.mv(vectors, batch, out=out)
        else:
            torch.mm(batch, vectors.T, out=out)
        if self._vectors.store == "int8":
            out *= stored[:, -4:].contiguous().view(torch.float32).flatten()

    def _take(self, rows: torch.Tensor) -> torch.Tensor:
        """The vectors of rows, shape (queries, rows, dimensions)."""
        if not self._resident:
            taken = torch.from_numpy(self._vectors.take(rows.flatten().cpu().numpy())).to(self._device)
        else:
            taken = self._shards[0][rows.flatten()]
            if self._vectors.store == "int8":
                taken = taken[:, :-4] * taken[:, -4:].contiguous().view(torch.float32)
        return taken.view(*rows.shape, -1).float()


class SpreadSearch:
    """Compares queries with every vector, of which each machine of a cluster holds a part; a machine that is lost is
    replaced by another, which maps its part anew.  Processes of one cluster share the machines' parts."""

    def __init__(self, folder: Path, vectors: Vectors, identity: dict[str, Any], device: str):
        name = f"vectors-{fingerprint([identity, str(folder.absolute())])}"
        shape = folder.absolute(), vectors.rows, vectors.shard_rows, vectors.store
        self._parts = actors_on_all_machines(name, _Part, (shape, device), most=len(vectors.shards))

    def __call__(self, queries: Matrix, k: int) -> list[tuple[Rows, Scores]]:
        """See :data:`Search`: what all parts found, together."""
        found = ask_all(self._parts, queries, k)
        together = []
        for of_query in zip(*found, strict=True):
            rows, scores = zip(*of_query, strict=True)
            together.append((np.concatenate(rows), np.concatenate(scores)))
        return together


class _Part:
    """A part of the vectors, on a machine of its own."""

    def __init__(self, number: int, count: int, shape: tuple[Path, int, int, Store], device: str):
        vectors = Vectors(*shape)
        low, high = (len(vectors.shards) * place // count for place in (number, number + 1))
        self._first = low * vectors.shard_rows
        vectors.shards = vectors.shards[low:high]
        vectors.rows = sum(map(len, vectors.shards))
        self._search = ExactSearch(vectors, device_named(device))

    def ask(self, queries: Matrix, k: int) -> list[tuple[Rows, Scores]]:
        """Rows of the whole corpus."""
        return [(rows + self._first, scores) for rows, scores in self._search(queries, min(k, self._search.rows))]


def fixed_point(taken: torch.Tensor, batch: torch.Tensor, longest: float) -> torch.Tensor:
    """The products of queries, shape (queries, dimensions), with vectors of their own, shape (queries, rows,
    dimensions), none longer than ``longest``, in double precision, shape (queries, rows).

    Each product of two numbers is exact in double precision; it becomes a whole number of 2^-shift, and these are added
    without rounding.  The shift is the largest with which no sum overflows.
    """
    largest = batch.abs().amax(1).cpu().numpy().astype(np.float64)
    bound = np.maximum(largest * (math.sqrt(batch.shape[1]) * longest), 1e-30)  # of the sum, by Cauchy and Schwarz
    shift = torch.from_numpy(np.ldexp(1.0, _FIXED_BITS - np.frexp(bound)[1])).to(batch.device)
    products = taken.double() * batch.double()[:, None, :]
    sums = torch.round(products * shift[:, None, None]).long().sum(2)
    return sums.double() / shift[:, None]


def exact_scores(vectors: Vectors, rows: Rows, query: Matrix) -> Scores:
    """The products of a query with some rows, as :func:`fixed_point` gives them, shape (rows,)."""
    taken = torch.from_numpy(vectors.take(rows))[None]
    scores: Scores = fixed_point(taken, torch.from_numpy(query)[None], vectors.longest)[0].numpy()
    return scores
