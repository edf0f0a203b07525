"""The vectors of a corpus on disk (npy shards of float32 rows, memory-mapped together), and the nearest of them.

A batch's product with the corpus is rounded differently for every shape of the batch, but its error is bounded.  So it
only finds all rows that may belong to the best k; these are scored again in double precision, each on its own.  The
result is that of exact arithmetic, whatever the batch, the shards, the number of threads or the device.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta

from lrat_sim.artifact import check_fingerprint, fingerprint, replacing
from lrat_sim.cluster import actors_on_all_machines, ask_all, current
from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.hardware import device_named
from lrat_sim.retrieval.index import damaged, ensure_index, reading_index, shard_of_index
from lrat_sim.settings import Whole

Matrix = npt.NDArray[np.float32]
Dtype = Literal["float32", "bfloat16"]
ShardRows = Annotated[Whole, Meta(description="Documents per shard; a killed build loses at most one shard.")]

IndexKind = Annotated[
    Literal["exact", "spread", "faiss", "faiss-hnsw"],
    Meta(
        description="exact; spread is exact, with a part of the vectors on each machine of a cluster; with faiss "
        "installed also faiss (exact) or faiss-hnsw (approximate)."
    ),
]

_MOST_SHARDS = 512  # each memory-mapped file holds a descriptor, and a process commonly has 1,024
_BLOCK = 512  # texts between two reports of progress; sorted by length, so that a batch holds similar ones


class Encoder(Protocol):
    """Turns texts into vectors of length 1, float32."""

    def identity(self) -> dict[str, Any]:
        """All that decides the vectors, as plain JSON."""

    def documents(self, texts: list[str]) -> Matrix:
        """The vectors of documents, shape (texts, dimensions)."""

    def query(self, text: str) -> Matrix:
        """The vector of a query, shape (dimensions,); it depends on this text alone."""


def rows_a_shard(documents: int, wanted: int) -> int:
    """The rows of each shard but the last: as wanted, or more where there would be too many files."""
    return max(wanted, -(-documents // _MOST_SHARDS))


def encode_corpus(
    folder: Path, corpus: Corpus, encoder: Encoder, shard_rows: int, progress: ProgressCallback | None
) -> None:
    """Encodes every document into shards of a folder; those that an earlier, killed call finished are kept."""
    part, dimensions, missing = shard_of_index(), None, list[tuple[int, int]]()
    for number, start in enumerate(range(0, len(corpus), shard_rows)):
        stop = min(start + shard_rows, len(corpus))
        finished = None
        with suppress(InputError), reading_index(folder):
            finished = np.load(_shard(folder, number), mmap_mode="r")
        if finished is not None and finished.ndim == 2 and len(finished) == stop - start:
            dimensions = finished.shape[1]
        elif part is None or part.takes(number):
            missing.append((start, stop))
    for (first, last), vectors in _encoded(missing, corpus, encoder, progress):
        if dimensions not in (None, vectors.shape[1]):
            problem = f"vectors of {vectors.shape[1]} dimensions after others of {dimensions}"
            raise InputError(f"the encoder gave {problem}; delete {folder} and index with one model.")
        dimensions = vectors.shape[1]
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            problem = f"no finite vector for document {corpus[first + int(broken[0])].id!r}"
            raise InputError(f"the encoder gave {problem}; use another model or dtype.")
        with replacing(_shard(folder, first // shard_rows), contested=True) as beside, beside.open("wb") as stream:
            np.save(stream, vectors)
        if progress:
            progress(last, len(corpus), "documents")


def _encoded(
    missing: list[tuple[int, int]], corpus: Corpus, encoder: Encoder, progress: ProgressCallback | None
) -> Iterator[tuple[tuple[int, int], Matrix]]:
    """Ranges of rows with their vectors; made by the workers of a cluster, where there is one and the encoder can be
    opened on them."""
    cluster = current()
    if cluster is None or not missing or type(encoder).__reduce__ is object.__reduce__:
        yield from ((rows, _encode_rows(corpus, encoder, rows, progress)) for rows in missing)
        return
    opened = partial(_open_encoder, corpus, encoder, encoder.identity())
    with cluster.workers(opened, most=len(missing), gpu=True) as workers:
        yield from workers.map(missing)


def _open_encoder(corpus: Corpus, encoder: Encoder, identity: dict[str, Any]) -> Callable[[tuple[int, int]], Matrix]:
    remedy = "let all machines have the same model files and packages"
    check_fingerprint(f"the encoder on {platform.node()}", identity, encoder.identity(), remedy)
    return lambda rows: _encode_rows(corpus, encoder, rows, None)


def _encode_rows(corpus: Corpus, encoder: Encoder, rows: tuple[int, int], progress: ProgressCallback | None) -> Matrix:
    """The vectors of a range of rows."""
    texts, start, total = [passage_text(document) for document in corpus.slice(*rows)], rows[0], len(corpus)
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    vectors: Matrix | None = None
    for begin in range(0, len(order), _BLOCK):
        if progress and begin:
            progress(start + begin, total, "documents")
        places = order[begin : begin + _BLOCK]
        block = encoder.documents([texts[place] for place in places])
        if vectors is None:
            vectors = np.empty((len(texts), block.shape[-1]), np.float32)
        wanted = (len(places), vectors.shape[1])
        if block.shape != wanted:
            raise InputError(f"the encoder gave vectors of shape {block.shape}, not {wanted}; use another model.")
        vectors[places] = block
    assert vectors is not None, "a shard holds at least one document"
    return vectors


class Vectors:
    """The vectors of a corpus of so many ``rows``, memory-mapped from where :func:`encode_corpus` wrote them."""

    def __init__(self, folder: Path, rows: int, shard_rows: int):
        self.rows, self.shard_rows = rows, shard_rows
        self.shards: list[Matrix] = []
        for number, start in enumerate(range(0, rows, shard_rows)):
            path = _shard(folder, number)
            with reading_index(folder):
                # copy-on-write, so that torch takes it without a copy and without a warning; nobody writes
                shard = np.load(path, mmap_mode="c")
            if shard.shape[:1] != (min(shard_rows, rows - start),) or shard.dtype != np.float32 or shard.ndim != 2:
                raise damaged(folder, f"{path.name} has shape {shard.shape} and type {shard.dtype}")
            self.shards.append(shard)
        self.dimensions: int = self.shards[0].shape[1]

    def take(self, rows: npt.NDArray[np.int64]) -> Matrix:
        """Some rows, shape (len(rows), dimensions)."""
        taken = np.empty((len(rows), self.dimensions), np.float32)
        shard_of = rows // self.shard_rows
        for number in np.unique(shard_of):
            within = shard_of == number
            taken[within] = self.shards[number][rows[within] - number * self.shard_rows]
        return taken


def _shard(folder: Path, number: int) -> Path:
    return folder / f"vectors-{number:05}.npy"


_QUERIES_AT_ONCE, _ROWS_AT_ONCE = 64, 8192
_SPARE = 16  # candidates beyond k that are asked of faiss, for what its rounding may have put in the wrong order
_BREADTH = 128  # nodes of the graph that a search keeps open: more find more of the true best, in more time

# from queries, shape (queries, dimensions), and k to some rows for each, each once, that may belong to the best k
Candidates = Callable[[Matrix, int], list[npt.NDArray[np.int64]]]


class ExactSearch:
    """Compares a query with every vector, by torch; on ``cuda`` it keeps a copy that fits in half the free memory."""

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
        batch = torch.from_numpy(queries).to(self._device)
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
                scores = batch @ block.to(self._device).T
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


class SpreadSearch:
    """Compares a query with every vector, of which each machine of a cluster holds a part; a machine that is lost is
    replaced by another, which maps its part anew.  Processes of one cluster share the machines' parts."""

    def __init__(self, folder: Path, vectors: Vectors, identity: dict[str, Any], device: str):
        name = f"vectors-{fingerprint([identity, str(folder.absolute())])}"
        shape = folder.absolute(), vectors.rows, vectors.shard_rows
        self._parts = actors_on_all_machines(name, _Part, (shape, device), most=len(vectors.shards))

    def candidates(self, queries: Matrix, k: int) -> list[npt.NDArray[np.int64]]:
        """See :data:`Candidates`: those of all parts together."""
        found = ask_all(self._parts, queries, k)
        return [np.concatenate(of_query) for of_query in zip(*found, strict=True)]


class _Part:
    """A part of the vectors, on a machine of its own."""

    def __init__(self, number: int, count: int, shape: tuple[Path, int, int], device: str):
        vectors = Vectors(*shape)
        low, high = (len(vectors.shards) * place // count for place in (number, number + 1))
        self._first = low * vectors.shard_rows
        vectors.shards = vectors.shards[low:high]
        vectors.rows = sum(map(len, vectors.shards))
        self._search = ExactSearch(vectors, device_named(device))

    def ask(self, queries: Matrix, k: int) -> list[npt.NDArray[np.int64]]:
        """Rows of the whole corpus."""
        return [rows + self._first for rows in self._search.candidates(queries, k)]


def faiss_search(vectors: Vectors, folder: Path, kind: IndexKind, identity: dict[str, Any]) -> Candidates:
    """Searches a faiss index in a folder of its own: all vectors (``faiss``), or a graph that skips most (inexact)."""
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
