"""A corpus encoded shard by shard: by this process, its share of several jobs, or the workers of a cluster.

Each shard is written whole or not at all, so that a killed build loses at most one.  The shards here hold ragged rows
(token vectors, or the terms of a sparse vector), which lie one after the other in arrays of one length; ``offsets``
says where each begins, and is written last.  :mod:`lrat_sim.retrieval.vectors` has those of one vector a document.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lrat_sim.artifact import check_fingerprint, replacing
from lrat_sim.cluster import current
from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.index import damaged, reading_index, shard_of_index

OFFSETS = "offsets"
_BLOCK = 512  # texts between two reports of progress; sorted by length, so that a batch holds similar ones
_MOST_SHARDS = 512  # each memory-mapped file holds a descriptor, and a process commonly has 1,024

T = TypeVar("T")
Array = npt.NDArray[Any]
Row = tuple[Array, ...]
"""What an encoder gives of one document: arrays of one length, such as (columns, values)."""
Rows = tuple[int, int]
"""A range of rows of the corpus: the first, and the one after the last."""


class DocumentEncoder(Protocol):
    """Encodes documents; one that pickle can take is opened on the workers of a cluster."""

    def identity(self) -> dict[str, Any]:
        """All that decides what it gives, as plain JSON."""

    def documents(self, texts: list[str]) -> Any:
        """What it makes of each text, in order."""


def rows_a_shard(documents: int, wanted: int) -> int:
    """The rows of each shard but the last: as wanted, or more where there would be too many files."""
    return max(wanted, -(-documents // _MOST_SHARDS))


def encode_missing(
    corpus: Corpus,
    encoder: DocumentEncoder,
    missing: Sequence[Rows],
    joined: Callable[[list[Any]], T],
    progress: ProgressCallback | None,
) -> Iterator[tuple[Rows, T]]:
    """Encodes ranges of rows, on the workers of a cluster where there is one and the encoder can be opened on them.

    ``joined`` makes one result of those of a range's documents, where they were encoded; it is picklable.
    """
    cluster = current()
    if cluster is None or not missing or type(encoder).__reduce__ is object.__reduce__:
        yield from ((rows, joined(_encode(corpus, encoder, rows, progress))) for rows in missing)
        return
    opened = partial(_open, corpus, encoder, encoder.identity(), joined)
    with cluster.workers(opened, most=len(missing), gpu=True) as workers:
        yield from workers.map(missing)


def _open(
    corpus: Corpus, encoder: DocumentEncoder, identity: dict[str, Any], joined: Callable[[list[Any]], T]
) -> Callable[[Rows], T]:
    remedy = "let all machines have the same model files and packages"
    check_fingerprint(f"the encoder on {platform.node()}", identity, encoder.identity(), remedy)
    return lambda rows: joined(_encode(corpus, encoder, rows, None))


def _encode(corpus: Corpus, encoder: DocumentEncoder, rows: Rows, progress: ProgressCallback | None) -> list[Any]:
    texts = [passage_text(document) for document in corpus.slice(*rows)]
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    encoded: dict[int, Any] = {}
    for begin in range(0, len(order), _BLOCK):
        if progress and begin:
            progress(rows[0] + begin, len(corpus), "documents")
        places = order[begin : begin + _BLOCK]
        given = encoder.documents([texts[place] for place in places])
        if len(given) != len(places):
            raise InputError(f"the encoder gave {len(given)} results for {len(places)} texts; use another model.")
        encoded.update(zip(places, given, strict=True))
    return [encoded[place] for place in range(len(texts))]


def encode_shards(
    folder: Path,
    corpus: Corpus,
    names: tuple[str, ...],
    encoder: DocumentEncoder,
    shard_rows: int,
    progress: ProgressCallback | None,
) -> None:
    """Encodes every document into shards of a folder, or those that are this process's share; those that an earlier,
    killed call finished are kept.

    ``names`` are those of the arrays in each :data:`Row` that the encoder gives.
    """
    part, missing = shard_of_index(), []
    for number, start in enumerate(range(0, len(corpus), shard_rows)):
        stop = min(start + shard_rows, len(corpus))
        if not _finished(folder, number, stop - start) and (part is None or part.takes(number)):
            missing.append((start, stop))
    for (start, stop), (offsets, arrays) in encode_missing(corpus, encoder, missing, _joined, progress):
        for name, array in zip(names, arrays, strict=True):
            broken = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
            if len(broken):
                row = start + int(np.searchsorted(offsets, broken[0], side="right")) - 1
                problem = f"no finite numbers for document {corpus[row].id!r}"
                raise InputError(f"the encoder gave {problem}; use another model or dtype.")
            _write(_path(folder, name, start // shard_rows), array)
        _write(_path(folder, OFFSETS, start // shard_rows), offsets)
        if progress:
            progress(stop, len(corpus), "documents")


def _joined(rows: list[Row]) -> tuple[npt.NDArray[np.int64], list[Array]]:
    """The offsets of rows, and their arrays, one after the other."""
    offsets = np.concatenate([[0], np.cumsum([len(row[0]) for row in rows])]).astype(np.int64)
    return offsets, [np.concatenate(arrays) for arrays in zip(*rows, strict=True)]


def open_shards(folder: Path, names: tuple[str, ...], rows: int, shard_rows: int) -> list[tuple[Array, ...]]:
    """The shards of ``rows`` documents, memory-mapped: of each its offsets, then its arrays in the order of names."""
    shards = []
    for number, start in enumerate(range(0, rows, shard_rows)):
        with reading_index(folder):
            # copy-on-write, so that torch takes it without a copy and without a warning; nobody writes
            shard = tuple(np.load(_path(folder, name, number), mmap_mode="c") for name in (OFFSETS, *names))
        offsets, *arrays = shard
        whole = offsets.shape == (min(shard_rows, rows - start) + 1,) and offsets.dtype == np.int64
        if not whole or any(len(array) != offsets[-1] for array in arrays):
            raise damaged(folder, f"shard {number} holds arrays of {[array.shape for array in shard]}")
        shards.append(shard)
    return shards


def _finished(folder: Path, number: int, rows: int) -> bool:
    with suppress(InputError), reading_index(folder):
        return bool(np.load(_path(folder, OFFSETS, number), mmap_mode="r").shape == (rows + 1,))
    return False


def _write(path: Path, array: Array) -> None:
    with replacing(path, contested=True) as beside, beside.open("wb") as stream:
        np.save(stream, array)


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05}.npy"
