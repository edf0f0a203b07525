"""The vectors of a corpus on disk: npy shards of float32 rows, written one by one and memory-mapped together.

float32, though float16 would halve the files: they are searched where they lie, without a conversion that costs more
than the product itself, and the pages are shared between processes.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from lrat_sim.artifact import replacing
from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.passage import passage_text
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.index import damaged, reading_index
from lrat_sim.settings import Whole

Matrix = npt.NDArray[np.float32]
Dtype = Literal["float32", "bfloat16"]
ShardRows = Annotated[Whole, Meta(description="Documents per shard; a killed build loses at most one shard.")]

_MOST_SHARDS = 512
"""Every memory-mapped file holds a descriptor, and 1,024 is what a process commonly has."""

_BLOCK = 512
"""Texts between two reports of progress; they are sorted by length so that a batch holds similar ones."""


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
    """Encodes every document into shards of a folder; those that an earlier, killed call finished are kept.

    Raises:
        InputError: the encoder gave something that is not a finite number, or vectors of several dimensions.
    """
    dimensions: int | None = None
    for number, start in enumerate(range(0, len(corpus), shard_rows)):
        stop = min(start + shard_rows, len(corpus))
        path = _shard(folder, number)
        finished = None
        with suppress(InputError), reading_index(folder):
            finished = np.load(path, mmap_mode="r")
        if finished is not None and finished.ndim == 2 and len(finished) == stop - start:
            dimensions = finished.shape[1]
        else:
            texts = [passage_text(document) for document in corpus.slice(start, stop)]
            vectors = _encode(texts, encoder, start, len(corpus), progress)
            if dimensions not in (None, vectors.shape[1]):
                raise InputError(
                    f"the encoder gave vectors of {vectors.shape[1]} dimensions after others of {dimensions}; delete "
                    f"{folder} and index with one model."
                )
            dimensions = vectors.shape[1]
            broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
            if len(broken):
                docid = corpus[start + int(broken[0])].id
                raise InputError(
                    f"the encoder gave no finite vector for document {docid!r}; use another model or dtype."
                )
            with replacing(path) as beside, beside.open("wb") as stream:
                np.save(stream, vectors)
        if progress:
            progress(stop, len(corpus), "documents")


def _encode(texts: list[str], encoder: Encoder, start: int, total: int, progress: ProgressCallback | None) -> Matrix:
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    vectors: Matrix | None = None
    for begin in range(0, len(order), _BLOCK):
        if progress and begin:
            progress(start + begin, total, "documents")
        rows = order[begin : begin + _BLOCK]
        block = encoder.documents([texts[row] for row in rows])
        if vectors is None:
            vectors = np.empty((len(texts), block.shape[-1]), np.float32)
        wanted = (len(rows), vectors.shape[1])
        if block.shape != wanted:
            raise InputError(f"the encoder gave vectors of shape {block.shape}, not {wanted}; use another model.")
        vectors[rows] = block
    assert vectors is not None, "a shard holds at least one document"
    return vectors


class Vectors:
    """The vectors of a corpus of so many ``rows``, memory-mapped from where :func:`encode_corpus` wrote them.

    Raises:
        InputError: a shard is missing or damaged.
    """

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
