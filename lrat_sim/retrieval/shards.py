"""A corpus encoded into npy shards of ragged rows: token vectors, or the terms of a sparse vector.

Each shard is written whole or not at all, so that a killed build loses at most one.  The rows of a shard lie one after
the other in arrays of one length; ``offsets`` says where each begins, and is written last.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lrat_sim.artifact import replacing
from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.index import damaged, reading_index

OFFSETS = "offsets"
_BLOCK = 512  # texts between two reports of progress; sorted by length, so that a batch holds similar ones

Array = npt.NDArray[Any]
Row = tuple[Array, ...]
"""What an encoder gives of one document: arrays of one length, such as (columns, values)."""


def encode_shards(
    folder: Path,
    corpus: Corpus,
    names: tuple[str, ...],
    encode: Callable[[list[str]], list[Row]],
    shard_rows: int,
    progress: ProgressCallback | None,
) -> None:
    """Encodes every document into shards of a folder; those that an earlier, killed call finished are kept.

    ``names`` are those of the arrays in each row that ``encode`` gives.
    """
    for number, start in enumerate(range(0, len(corpus), shard_rows)):
        stop = min(start + shard_rows, len(corpus))
        if not _finished(folder, number, stop - start):
            rows = _encode(corpus, start, stop, encode, progress)
            for name, parts in zip(names, zip(*rows, strict=True), strict=True):
                _write(_path(folder, name, number), np.concatenate(parts))
            lengths = [len(row[0]) for row in rows]
            _write(_path(folder, OFFSETS, number), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        if progress:
            progress(stop, len(corpus), "documents")


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


def _encode(
    corpus: Corpus, start: int, stop: int, encode: Callable[[list[str]], list[Row]], progress: ProgressCallback | None
) -> list[Row]:
    texts = [passage_text(document) for document in corpus.slice(start, stop)]
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    encoded: dict[int, Row] = {}
    for begin in range(0, len(order), _BLOCK):
        if progress and begin:
            progress(start + begin, len(corpus), "documents")
        chosen = order[begin : begin + _BLOCK]
        for row, arrays in zip(chosen, encode([texts[row] for row in chosen]), strict=True):
            if not all(np.isfinite(array).all() for array in arrays):
                problem = f"no finite numbers for document {corpus[start + row].id!r}"
                raise InputError(f"the encoder gave {problem}; use another model or dtype.")
            encoded[row] = arrays
    return [encoded[row] for row in range(len(texts))]


def _write(path: Path, array: Array) -> None:
    with replacing(path) as beside, beside.open("wb") as stream:
        np.save(stream, array)


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05}.npy"
