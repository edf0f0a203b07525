"""Dense search: an encoder, the vectors of the corpus, the nearest ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import RetrieverError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Hit
from lrat_sim.retrieval.base import LocalRetriever
from lrat_sim.retrieval.hardware import Device, device_named, gains_from_bf16
from lrat_sim.retrieval.index import ensure_index, read_card
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.vectors import (
    Candidates,
    Encoder,
    ExactSearch,
    IndexKind,
    Matrix,
    ShardRows,
    SpreadSearch,
    Vectors,
    encode_corpus,
    exact_scores,
    faiss_search,
    rows_a_shard,
)
from lrat_sim.settings import Settings
from lrat_sim.text import minilm_folder

SHARD_ROWS = 2048

_REMEMBERED_QUERIES = 4096
_Length = Annotated[int, Meta(ge=4, le=1_000_000_000)]


class DenseSettings(Settings, frozen=True, kw_only=True):
    """Settings of ``dense``."""

    model: Annotated[str | None, Meta(description="Folder or hub id; by default all-MiniLM-L6-v2.")] = None
    max_length: Annotated[_Length | None, Meta(description="Tokens of a text; by default at most 512.")] = None
    max_query_length: Annotated[_Length | None, Meta(description="Tokens of a query, if not max_length.")] = None
    query_prompt: Annotated[str | None, Meta(description="Put before each query; by default the model's own.")] = None
    document_prompt: Annotated[str | None, Meta(description="Put before documents; by default the model's own.")] = None
    # auto takes that of an existing index, else bfloat16 where the machine multiplies in it
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], Meta(description="Documents' precision.")] = "auto"
    index: IndexKind = "exact"
    device: Device = "auto"
    shard_rows: ShardRows = SHARD_ROWS


class DenseRetriever(LocalRetriever):
    """Ranks by the cosine of query and document vectors; an empty query finds nothing.

    Open one with :func:`open_dense`, or over an encoder of your own with :func:`open_vectors`.
    """

    def __init__(
        self, corpus: Corpus, vectors: Vectors, encoder: Encoder, candidates: Candidates, description: dict[str, Any]
    ):
        super().__init__(corpus, description)
        self._vectors, self._encoder, self._candidates = vectors, encoder, candidates
        # agents word the same query again; a vector depends on the text alone
        self._query = lru_cache(maxsize=_REMEMBERED_QUERIES)(self._encode)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        results: list[list[Hit]] = [[] for _ in queries]
        filled = [index for index, query in enumerate(queries) if query.strip()]
        if not filled:
            return results
        vectors = np.stack([self._query(queries[index]) for index in filled])
        for index, vector, rows in zip(filled, vectors, self._candidates(vectors, k), strict=True):
            results[index] = self.best(rows, exact_scores(self._vectors, rows, vector), k)
        return results

    def _encode(self, query: str) -> Matrix:
        # half of a surrogate pair, as a broken tool call may hold, is no text to a tokenizer
        vector = self._encoder.query(query.encode("utf-8", "replace").decode())
        if vector.shape != (self._vectors.dimensions,):
            raise RetrieverError(f"the query has {vector.shape} numbers, the index {self._vectors.dimensions}")
        if not np.isfinite(vector).all():
            raise RetrieverError(f"the encoder gave no finite vector for the query {query[:80]!r}")
        return vector


@takes_settings("dense", DenseSettings)
def open_dense(
    corpus: Corpus, indexes: Path, settings: DenseSettings, progress: ProgressCallback | None
) -> DenseRetriever:
    """Opens ``dense``; each model has a folder of its own under ``indexes``, by its name and where it lies."""
    from lrat_sim.retrieval.encoder import SentenceEncoder  # not needed by vectors of another kind, and slow to load

    model = settings.model or str(minilm_folder())
    name, suffix = model.replace("/", "--"), ""
    if Path(model) == minilm_folder():
        name = "all-MiniLM-L6-v2"
    elif Path(model).is_dir():  # several models may lie in folders of one name
        path = Path(model).resolve()
        name, suffix = path.name, f"-{fingerprint(str(path))[:8]}"
    folder = indexes / f"dense-{name}{suffix}"
    dtype: Any = settings.dtype
    if dtype == "auto":
        card = read_card(folder)
        dtype = None if card is None else card.identity.get("dtype")
        if dtype not in ("float32", "bfloat16"):
            dtype = "bfloat16" if gains_from_bf16(device_named(settings.device)) else "float32"
    encoder = SentenceEncoder(model, settings, dtype)
    return open_vectors(
        {"kind": "dense", "model": name}, corpus, folder, encoder, settings.index, settings.device,
        shard_rows=settings.shard_rows, progress=progress,
    )  # fmt: skip


def open_vectors(
    description: dict[str, Any],
    corpus: Corpus,
    folder: Path,
    encoder: Encoder,
    index: IndexKind = "exact",
    device: str = "auto",
    *,
    shard_rows: int = SHARD_ROWS,
    progress: ProgressCallback | None = None,
) -> DenseRetriever:
    """A dense retriever over any encoder; encodes what of the corpus is not encoded yet.

    Args:
        description: the retriever's kind and name, to which all that decides its answers is added.
        folder: of this index alone.
        index, shard_rows: as in :class:`DenseSettings`.
        device: where ``exact`` compares.

    Raises:
        InputError: the index is damaged, or faiss is asked for and not installed.
        FingerprintMismatch: the index was built from something else.
    """
    rows = rows_a_shard(len(corpus), shard_rows)
    identity = {**encoder.identity(), "corpus": corpus.fingerprint}
    stored = {**identity, "shard_rows": rows}
    ensure_index(folder, stored, lambda folder: encode_corpus(folder, corpus, encoder, rows, progress), in_shards=True)
    vectors = Vectors(folder, len(corpus), rows)
    candidates: Candidates
    if index == "exact":
        candidates = ExactSearch(vectors, device_named(device)).candidates
    elif index == "spread":
        candidates, index = SpreadSearch(folder, vectors, stored, device).candidates, "exact"  # as far as hits go
    else:
        candidates = faiss_search(vectors, folder.with_name(f"{folder.name}.{index}"), index, stored)
    return DenseRetriever(corpus, vectors, encoder, candidates, {**description, **identity, "index": index})
