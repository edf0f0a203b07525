"""The vectors of a corpus on disk: npy shards, memory-mapped, as float32, float16 or int8.

An int8 row holds its largest number as 127 and ends with the float32 by which its numbers are multiplied.  What is
stored is what a search compares, exactly; how far it is from what the encoder gave is the price of the smaller type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from lrat_sim.artifact import replacing
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.index import damaged, reading_index, shard_of_index
from lrat_sim.retrieval.shards import Rows, encode_missing
from lrat_sim.settings import Settings, Whole

Matrix = npt.NDArray[np.float32]
Dtype = Literal["float32", "bfloat16", "int8"]
Store = Literal["float32", "float16", "int8"]

_LONGEST = "longest.npy"


class VectorSettings(Settings, frozen=True, kw_only=True):
    """Settings of all that rank by one vector a document: how vectors are stored and searched."""

    index: Annotated[
        str,
        Meta(
            description="exact; spread: exact, in parts on the machines of a cluster; or a factory string of faiss: "
            "Flat, HNSW32, IVF4096,PQ64.",
            min_length=1,
        ),
    ] = "exact"
    search_parameters: Annotated[str, Meta(description="faiss's, as nprobe=64 or efSearch=128.")] = ""
    candidates: Annotated[Whole, Meta(description="Rows per query that faiss proposes and exact scores rank.")] = 100
    store: Annotated[Store, Meta(description="Type in which vectors are stored, and compared exactly.")] = "float32"
    vectors: Annotated[str | None, Meta(description="Vectors made elsewhere: faiss index or Tevatron's pickles.")] = (
        None
    )
    ids: Annotated[str | None, Meta(description="File of the ids of these vectors, in their order.")] = None
    shard_rows: Annotated[Whole, Meta(description="Documents per shard; a killed build loses at most one.")] = 2048


class Encoder(Protocol):
    """Turns texts into vectors of length 1, float32."""

    def identity(self) -> dict[str, Any]:
        """All that decides the vectors, as plain JSON."""

    def documents(self, texts: list[str]) -> Matrix:
        """The vectors of documents, shape (texts, dimensions)."""

    def queries(self, texts: list[str]) -> Matrix:
        """The vectors of queries, shape (texts, dimensions); each depends on its own text alone."""


VectorsOf = Callable[[list[Rows]], Iterable[tuple[Rows, Matrix]]]
"""Gives the vectors of ranges of rows, in any order."""


def write_shards(
    folder: Path,
    corpus: Corpus,
    vectors_of: VectorsOf,
    shard_rows: int,
    store: Store,
    progress: ProgressCallback | None,
) -> None:
    """Writes the vectors of every document to shards of a folder, or of those that are this process's share; those that
    an earlier, killed call finished are kept, and the length of the longest vector is noted beside them."""
    part, missing, longest, dimensions = shard_of_index(), list[Rows](), 0.0, set[int]()
    for number, start in enumerate(range(0, len(corpus), shard_rows)):
        stop = min(start + shard_rows, len(corpus))
        stored = None
        with suppress(InputError), reading_index(folder):
            stored = np.load(_shard(folder, number), mmap_mode="r")
        if stored is not None and stored.ndim == 2 and len(stored) == stop - start and stored.dtype == store:
            vectors = unpack(stored)
            dimensions.add(vectors.shape[1])
            longest = max(longest, _longest(vectors))
        elif part is None or part.takes(number):
            missing.append((start, stop))
    for (first, last), vectors in vectors_of(missing):
        dimensions.add(vectors.shape[1])
        if len(dimensions) > 1:
            problem = f"vectors of {vectors.shape[1]} dimensions after others of {min(dimensions - {vectors.shape[1]})}"
            raise InputError(f"the encoder gave {problem}; delete {folder} and index with one model.")
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            problem = f"there is no finite vector for document {corpus[first + int(broken[0])].id!r}"
            raise InputError(f"{problem}; use another model or dtype.")
        stored = pack(vectors, store)
        with replacing(_shard(folder, first // shard_rows), contested=True) as beside, beside.open("wb") as stream:
            np.save(stream, stored)
        longest = max(longest, _longest(unpack(stored)))
        if progress:
            progress(last, len(corpus), "documents")
    if part is None:
        with replacing(folder / _LONGEST) as beside, beside.open("wb") as stream:
            np.save(stream, longest)


def _longest(vectors: Matrix) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())


def encode_corpus(
    folder: Path,
    corpus: Corpus,
    encoder: Encoder,
    shard_rows: int,
    progress: ProgressCallback | None,
    store: Store = "float32",
) -> None:
    """Encodes every document into shards of a folder, as :func:`write_shards`; the workers of a cluster do so, where
    there is one and the encoder can be opened on them."""

    def encoded(missing: list[Rows]) -> Iterator[tuple[Rows, Matrix]]:
        return encode_missing(corpus, encoder, missing, _stacked, progress)

    write_shards(folder, corpus, encoded, shard_rows, store, progress)


def _stacked(vectors: list[Matrix]) -> Matrix:
    shapes = {vector.shape for vector in vectors}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise InputError(f"the encoder gave vectors of shapes {sorted(shapes)}; use another model.")
    return np.stack(vectors)


def pack(vectors: Matrix, store: Store) -> npt.NDArray[Any]:
    """Vectors as they are stored, shape (rows, dimensions), or 4 bytes more a row for int8."""
    if store != "int8":
        return vectors.astype(store)
    scales = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-30).astype(np.float32) / np.float32(127)
    return np.hstack([np.rint(vectors / scales).astype(np.int8), scales.view(np.int8)])


def unpack(stored: npt.NDArray[Any]) -> Matrix:
    """The vectors that :func:`pack` stored, as float32."""
    if stored.dtype != np.int8:
        return stored.astype(np.float32)
    scales = np.ascontiguousarray(stored[:, -4:]).view(np.float32)
    vectors: Matrix = stored[:, :-4] * scales
    return vectors


class Vectors:
    """The vectors of a corpus of so many ``rows``, memory-mapped from where :func:`write_shards` wrote them."""

    def __init__(self, folder: Path, rows: int, shard_rows: int, store: Store = "float32"):
        self.rows, self.shard_rows, self.store = rows, shard_rows, store
        self.shards: list[npt.NDArray[Any]] = []
        for number, start in enumerate(range(0, rows, shard_rows)):
            path = _shard(folder, number)
            with reading_index(folder):
                # copy-on-write, so that torch takes it without a copy and without a warning; nobody writes
                shard = np.load(path, mmap_mode="c")
            if shard.shape[:1] != (min(shard_rows, rows - start),) or shard.dtype != store or shard.ndim != 2:
                raise damaged(folder, f"{path.name} has shape {shard.shape} and type {shard.dtype}")
            self.shards.append(shard)
        with reading_index(folder):
            self.longest = float(np.load(folder / _LONGEST))
        self.dimensions: int = self.shards[0].shape[1] - (4 if store == "int8" else 0)

    def take(self, rows: npt.NDArray[np.int64]) -> Matrix:
        """Some rows, shape (len(rows), dimensions)."""
        stored = np.empty((len(rows), self.shards[0].shape[1]), self.store)
        shard_of = rows // self.shard_rows
        order = np.argsort(shard_of, kind="stable")
        numbers, starts = np.unique(shard_of[order], return_index=True)
        for number, places in zip(numbers, np.split(order, starts[1:]), strict=True):
            stored[places] = self.shards[number][rows[places] - number * self.shard_rows]
        return unpack(stored)


def _shard(folder: Path, number: int) -> Path:
    return folder / f"vectors-{number:05}.npy"
