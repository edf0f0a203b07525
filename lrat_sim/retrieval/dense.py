"""Dense search: an encoder, the vectors of the corpus, the nearest ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import RetrieverError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Hit
from lrat_sim.retrieval.hardware import best_device, gains_from_bf16
from lrat_sim.retrieval.index import ensure_index, read_card
from lrat_sim.retrieval.local import LocalRetriever
from lrat_sim.retrieval.nearest import ExactSearch, FaissSearch, IndexKind, Search, exact_scores
from lrat_sim.retrieval.registry import settings_from
from lrat_sim.retrieval.vectors import Dtype, Encoder, Matrix, Vectors, encode_corpus, rows_a_shard
from lrat_sim.settings import Whole
from lrat_sim.text import minilm_folder

SHARD_ROWS = 2048

_REMEMBERED_QUERIES = 4096


class DenseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of ``dense``.

    Args:
        model: the folder of a sentence-transformers encoder, or a hub id; all-MiniLM-L6-v2 by default.
        max_length: tokens of a text; by default the model's own limit, at most 512.
        max_query_length: tokens of a query, where it may be longer or shorter than a document.
        query_prompt: put before each query; by default the model's own.
        document_prompt: the same for documents.
        dtype: in which documents are encoded; ``auto`` is bf16 where the machine multiplies in it, and whatever an
            index that exists was made with.
        index: ``exact``, or with faiss installed ``faiss`` (exact too) or ``faiss-hnsw``.
        device: ``cpu``, ``cuda``, or ``auto``.
        shard_rows: documents a shard; a kill loses at most the shard under way.
    """

    model: str | None = None
    max_length: Annotated[int, Meta(ge=4, le=1_000_000_000)] | None = None
    max_query_length: Annotated[int, Meta(ge=4, le=1_000_000_000)] | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    index: IndexKind = "exact"
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    shard_rows: Whole = SHARD_ROWS


class DenseRetriever(LocalRetriever):
    """Ranks by the cosine of query and document vectors; an empty query finds nothing.

    Open one with :func:`open_dense`, or over an encoder of your own with :func:`open_vectors`.
    """

    def __init__(self, corpus: Corpus, vectors: Vectors, encoder: Encoder, search: Search, description: dict[str, Any]):
        super().__init__(corpus)
        self._vectors, self._encoder, self._search = vectors, encoder, search
        self._description = description
        # agents word the same query again; a vector depends on the text alone
        self._query = lru_cache(maxsize=_REMEMBERED_QUERIES)(self._encode)

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        return dict(self._description)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        results: list[list[Hit]] = [[] for _ in queries]
        asked = [place for place, query in enumerate(queries) if query.strip()]
        if not asked:
            return results
        vectors = np.stack([self._query(queries[place]) for place in asked])
        for place, vector, rows in zip(asked, vectors, self._search.candidates(vectors, k), strict=True):
            results[place] = self.best(rows, exact_scores(self._vectors, rows, vector), k)
        return results

    def _encode(self, query: str) -> Matrix:
        # half of a surrogate pair, as a broken tool call may hold, is no text to a tokenizer
        vector = self._encoder.query(query.encode("utf-8", "replace").decode())
        if vector.shape != (self._vectors.dimensions,):
            raise RetrieverError(f"the query has {vector.shape} numbers, the index {self._vectors.dimensions}")
        if not np.isfinite(vector).all():
            raise RetrieverError(f"the encoder gave no finite vector for the query {query[:80]!r}")
        return vector


def open_dense(
    corpus: Corpus, indexes: Path, *, progress: ProgressCallback | None = None, **options: Any
) -> DenseRetriever:
    """Opens ``dense``; the fields of :class:`DenseSettings` are its options.

    Each model has a folder of its own under ``indexes``, by its name and where it lies.

    Raises:
        InputError: an option is not allowed, the model cannot be loaded, or the index is damaged.
        FingerprintMismatch: the index was built from another corpus, other weights, or with other settings.
    """
    from lrat_sim.retrieval.encoder import SentenceEncoder  # not needed by vectors of another kind, and slow to load

    settings = settings_from("dense", DenseSettings, options)
    model = settings.model or str(minilm_folder())
    name, place = _name(model)
    folder = indexes / f"dense-{name}{place}"
    device = best_device() if settings.device == "auto" else settings.device
    encoder = SentenceEncoder(
        model,
        max_length=settings.max_length,
        max_query_length=settings.max_query_length,
        query_prompt=settings.query_prompt,
        document_prompt=settings.document_prompt,
        dtype=_dtype(settings, folder, device),
        device=device,
    )
    return open_vectors(
        {"kind": "dense", "model": name},
        corpus,
        folder,
        encoder,
        settings.index,
        device,
        shard_rows=settings.shard_rows,
        progress=progress,
    )


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
        corpus: the documents.
        folder: of this index alone.
        encoder: gives the vectors.
        index: how the nearest are found.
        device: where ``exact`` compares.
        shard_rows: documents a shard.
        progress: told the documents that are encoded.

    Raises:
        InputError: the index is damaged, or faiss is asked for and not installed.
        FingerprintMismatch: the index was built from something else.
    """
    rows = rows_a_shard(len(corpus), shard_rows)
    identity = {**encoder.identity(), "corpus": corpus.fingerprint}
    stored = {**identity, "shard_rows": rows}
    ensure_index(folder, stored, lambda folder: encode_corpus(folder, corpus, encoder, rows, progress))
    vectors = Vectors(folder, len(corpus), rows)
    search: Search
    if index == "exact":
        search = ExactSearch(vectors, best_device() if device == "auto" else device)
    else:
        search = FaissSearch(vectors, folder.with_name(f"{folder.name}.{index}"), index, stored)
    return DenseRetriever(corpus, vectors, encoder, search, {**description, **identity, "index": index})


def _dtype(settings: DenseSettings, folder: Path, device: str) -> Dtype:
    if settings.dtype != "auto":
        return settings.dtype
    card = read_card(folder)
    if card is not None and card.identity.get("dtype") in ("float32", "bfloat16"):
        recorded: Dtype = card.identity["dtype"]
        return recorded
    return "bfloat16" if gains_from_bf16(device) else "float32"


def _name(model: str) -> tuple[str, str]:
    """A model's name to be read, and what tells it from others of that name."""
    folder = Path(model)
    if not folder.is_dir():
        return model.replace("/", "--"), ""
    if folder == minilm_folder():
        return "all-MiniLM-L6-v2", ""
    return folder.resolve().name, f"-{fingerprint(str(folder.resolve()))[:8]}"
