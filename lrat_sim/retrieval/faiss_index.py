"""An index of faiss, by its factory string, that proposes rows; their exact scores rank them.

The proposals are inexact unless the index compares every vector (``Flat``).  Queries are searched one by one, since a
batch is rounded differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lrat_sim.artifact import replacing
from lrat_sim.errors import InputError
from lrat_sim.foreign import reading
from lrat_sim.retrieval.index import ensure_index, reading_index
from lrat_sim.retrieval.nearest import Rows, Scores, Search, exact_scores
from lrat_sim.retrieval.vectors import Matrix, Vectors, VectorSettings

_SPARE = 16  # candidates beyond k, for what rounding may have put in the wrong order
_POINTS = 64  # vectors for each centroid that is trained; faiss asks for 39 or more
_CODES = 1 << 16  # vectors that train a quantizer


def import_faiss(wanted: str) -> Any:
    """faiss, or an InputError that says what wants it."""
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            f"{wanted} needs faiss, which is not installed; install lrat-sim[faiss-cpu] or lrat-sim[faiss-gpu], or use "
            "index=exact."
        ) from error
    return faiss


def faiss_search(
    vectors: Vectors, folder: Path, settings: VectorSettings, identity: dict[str, Any], device: str
) -> Search:
    """Builds an index next to ``folder``, or opens it, and moves it to a GPU where faiss and the index can use it.

    Raises:
        InputError: faiss is missing, does not know the factory string or a search parameter, or has too few vectors to
            train the index.
    """
    faiss = import_faiss(f"index={settings.index}")

    def sample(wanted: int) -> Matrix:
        draw = np.random.default_rng(0)
        return vectors.take(np.sort(draw.choice(vectors.rows, min(wanted, vectors.rows), replace=False)))

    def blocks() -> Iterator[Matrix]:
        for start in range(0, vectors.rows, vectors.shard_rows):
            yield vectors.take(np.arange(start, min(start + vectors.shard_rows, vectors.rows)))

    own = folder.with_name(f"{folder.name}.{re.sub('[^A-Za-z0-9]+', '-', settings.index)}")
    index = built_index(own, settings.index, identity, vectors.dimensions, sample, blocks)
    index, space = _on_device(faiss, index, device)
    parameters = settings.search_parameters or _usual_parameters(faiss, index)
    if parameters:
        with reading(f"search_parameters={parameters} cannot be used", "give faiss's, such as nprobe=64"):
            space.set_index_parameters(index, parameters)

    def search(queries: Matrix, k: int) -> list[tuple[Rows, Scores]]:
        wanted = min(max(k + _SPARE, settings.candidates), vectors.rows)
        found = []
        for query in queries:
            rows = index.search(query[None], wanted)[1][0].astype(np.int64)
            rows = np.sort(rows[rows >= 0])
            found.append((rows, exact_scores(vectors, rows, query)))
        return found

    return search


def built_index(
    folder: Path,
    factory: str,
    identity: dict[str, Any],
    dimensions: int,
    sample: Callable[[int], Matrix],
    blocks: Callable[[], Iterable[Matrix]],
) -> Any:
    """Builds an index in a folder of its own, or opens it.

    Args:
        factory: what faiss builds (``IVF4096,PQ64``).
        identity: of the vectors.
        sample: at most so many of them, shape (vectors, dimensions), to train the index with.
        blocks: all of them, in order.

    Raises:
        InputError: faiss is missing, does not know the factory string, or has too few vectors to train the index.
    """
    faiss = import_faiss(f"index={factory}")

    def build(folder: Path) -> None:
        try:
            index = faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT)
            if not index.is_trained:
                lists = faiss.try_extract_index_ivf(index)
                index.train(sample(max(_CODES, _POINTS * (lists.nlist if lists else 0))))
            for block in blocks():
                index.add(block)
        except RuntimeError as error:
            reason = re.sub(r"^Error in .*?:\d+: ", "", str(error).strip())  # without faiss's own file and line
            raise InputError(f"faiss cannot build index={factory} ({reason}); use another, or index=exact.") from error
        with replacing(folder / "index.faiss") as beside:
            faiss.write_index(index, str(beside))

    ensure_index(folder, {**identity, "index": factory}, build)
    with reading_index(folder):
        # the flag of older versions maps inverted lists only
        return faiss.read_index(str(folder / "index.faiss"), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))


def _on_device(faiss: Any, index: Any, device: str) -> tuple[Any, Any]:
    """The index on a GPU, or as it is where faiss was built without or has no such index there (HNSW)."""
    if device.startswith("cuda") and hasattr(faiss, "StandardGpuResources"):
        number = int(device.partition(":")[2] or 0)
        try:
            moved = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), number, index)
        except RuntimeError:
            return index, faiss.ParameterSpace()
        return moved, faiss.GpuParameterSpace()
    return index, faiss.ParameterSpace()


def _usual_parameters(faiss: Any, index: Any) -> str:
    """How much of an index is searched: more finds more of the true best, in more time."""
    if isinstance(index, faiss.IndexHNSW):
        return "efSearch=128"
    if hasattr(index, "nlist") or faiss.try_extract_index_ivf(index):
        return "nprobe=64"
    return ""
