"""Vectors that were computed elsewhere: an index of faiss, or the shards that Tevatron writes.

Both name documents by their place, or by a list of ids.  A pickle, which Tevatron's shards are, can run code when it is
loaded; here it may only hold arrays of numbers and plain values, and anything else is refused.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lrat_sim.corpus.documents import Corpus
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.foreign import reading, shortened
from lrat_sim.retrieval.faiss_index import import_faiss
from lrat_sim.retrieval.nearest import Rows
from lrat_sim.retrieval.vectors import Matrix, VectorsOf

_PICKLES = (".pkl", ".pickle", ".pt")


def prebuilt_files(path: str) -> list[Path]:
    """The files that hold the vectors: one, or all pickles of a folder in the order of their names."""
    given = Path(path)
    files = sorted(file for file in given.iterdir() if file.suffix in _PICKLES) if given.is_dir() else [given]
    if not files or not all(file.is_file() for file in files):
        raise InputError(f"there are no vectors at {path}; give an index of faiss, or a folder of Tevatron's pickles.")
    return files


def prebuilt_identity(path: str) -> list[Any]:
    """Names and sizes of the files of vectors, by which a finished index knows them again."""
    return [[file.name, file.stat().st_size] for file in prebuilt_files(path)]


@contextmanager
def prebuilt_vectors(path: str, ids: str | None, corpus: Corpus, scratch: Path) -> Iterator[VectorsOf]:
    """A context that gives the vectors of a corpus' rows.

    Args:
        path: an index of faiss, or a pickle, or a folder of pickles.
        ids: a file of the ids in the order of the vectors: JSON, a line each, or a pickle of a list.  Without one,
            pickles name their documents themselves, and vectors of faiss are those of the corpus in its order.
        corpus: whose documents need a vector each; vectors of further documents are left out.
        scratch: a folder for the vectors of pickles, which are removed afterwards.

    Raises:
        InputError: a file cannot be read or holds something else, or a document has no vector.
    """
    files = prebuilt_files(path)
    given = None if ids is None else read_ids(Path(ids))
    parts: list[Path] = []
    try:
        if files[0].suffix in _PICKLES:
            named: list[str] = []
            for number, file in enumerate(files):
                vectors, own = read_tevatron(file)
                parts.append(scratch / f"prebuilt-{number:05}.npy")
                np.save(parts[-1], vectors)
                named += own
            count, rows_of = _of_arrays(parts)
            given = named if given is None else given
        else:
            count, rows_of = _of_faiss(files[0])
        places = _places(path, count, given, corpus)
        yield lambda missing: ((rows, rows_of(places[slice(*rows)])) for rows in missing)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _places(path: str, count: int, ids: list[str] | None, corpus: Corpus) -> Rows:
    """Where the vector of each row of the corpus is."""
    if count != (len(corpus) if ids is None else len(ids)):
        what = f"{len(corpus)} documents in the corpus" if ids is None else f"{len(ids)} ids"
        raise InputError(f"{path} holds {count} vectors for {what}; give a list of their ids that fits.")
    if ids is None:
        return np.arange(count)
    places = np.full(len(corpus), -1, np.int64)
    for place, docid in enumerate(ids):
        try:
            places[corpus.row(docid)] = place
        except UnknownDocument:
            continue
    missing = np.flatnonzero(places < 0)
    if len(missing):
        names = shortened([corpus[int(row)].id for row in missing[:6]])
        raise InputError(
            f"{path} has no vector for {len(missing)} documents ({names}); index the corpus it was made of."
        )
    return places


def _of_arrays(paths: list[Path]) -> tuple[int, Callable[[Rows], Matrix]]:
    arrays = [np.load(path, mmap_mode="r") for path in paths]
    starts = np.cumsum([0, *map(len, arrays)])
    if len({array.shape[1] for array in arrays}) != 1:
        raise InputError("the shards hold vectors of different dimensions; give the shards of one model.")

    def rows_of(places: Rows) -> Matrix:
        vectors = np.empty((len(places), arrays[0].shape[1]), np.float32)
        for number, array in enumerate(arrays):
            within = (places >= starts[number]) & (places < starts[number + 1])
            vectors[within] = array[places[within] - starts[number]]
        return vectors

    return int(starts[-1]), rows_of


def _of_faiss(path: Path) -> tuple[int, Callable[[Rows], Matrix]]:
    faiss = import_faiss(f"vectors={path}")
    remedy = "give an index of faiss that keeps its vectors"
    with reading(f"{path} cannot be read as an index of faiss", remedy):
        index = faiss.read_index(str(path), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))
        lists = faiss.try_extract_index_ivf(index)
        if lists:
            lists.make_direct_map()

    def rows_of(places: Rows) -> Matrix:
        with reading(f"{path} gives no vectors", remedy):
            vectors: Matrix = index.reconstruct_batch(places)
            return vectors

    return int(index.ntotal), rows_of


# --- pickles


def read_tevatron(path: Path) -> tuple[Matrix, list[str]]:
    """The vectors of a shard, shape (documents, dimensions), and their ids; reads nothing but numbers and texts."""
    content = read_pickle(path)
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise InputError(f"{path} holds no pair of vectors and ids; give a shard as Tevatron writes it.")
    vectors, ids = content
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise InputError(f"{path} holds no table of vectors; give a shard as Tevatron writes it.")
    ids = _as_ids(ids, path)
    if len(ids) != len(vectors):
        raise InputError(f"{path} holds {len(vectors)} vectors for {len(ids)} ids; encode it again.")
    return vectors.astype(np.float32, copy=False), ids


def read_ids(path: Path) -> list[str]:
    """A list of ids from a JSON file, a text file with one a line, or a pickle."""
    if path.suffix in _PICKLES:
        return _as_ids(read_pickle(path), path)
    with reading(f"the ids in {path} cannot be read", "give a JSON list, or a text file with an id a line"):
        content = path.read_bytes()
        return _as_ids(from_json(content), path) if path.suffix == ".json" else content.decode().splitlines()


def _as_ids(ids: Any, path: Path) -> list[str]:
    if isinstance(ids, dict):  # of places and ids, as some keep them
        ids = [ids.get(place) for place in range(len(ids))]
    ids = ids.tolist() if isinstance(ids, np.ndarray) else list(ids) if isinstance(ids, tuple | list) else None
    if ids is None or not all(isinstance(docid, str | int) for docid in ids):
        raise InputError(f"{path} holds no list of ids; give one in the order of the vectors.")
    return [str(docid) for docid in ids]


def read_pickle(path: Path) -> Any:
    """What a pickle of arrays and plain values holds; InputError where it would call anything else."""
    remedy = "give one of arrays and texts alone, or convert it where it comes from"
    with reading(f"the pickle {path} cannot be read", remedy):
        content = path.read_bytes()
        return _ArraysOnly(io.BytesIO(content)).load()


def _empty_array(kind: Any, shape: Any, typecode: Any) -> Any:
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("an array that is none")
    return np.empty(0, np.int8)  # its state follows


def _dtype(code: Any, *_: Any) -> Any:
    """The type of numbers or texts; objects, which could be anything, are refused."""
    dtype = np.dtype(code) if isinstance(code, str) else None
    if dtype is None or dtype.kind not in "fiubU":
        raise pickle.UnpicklingError(f"an array of {code!r}")
    return dtype


def _array_from(buffer: Any, dtype: Any, shape: Any, order: Any) -> Any:
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _latin1(text: Any, encoding: Any) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r}")
    return bytes(text, "latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _latin1,  # bytes in the protocols before 3
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_from for core in ("core", "_core")},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it would call {module}.{name}")
        return _ALLOWED[module, name]
