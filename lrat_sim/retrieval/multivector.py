"""Late interaction: a vector for each token, compared by MaxSim (ColBERT, Khattab and Zaharia 2020)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Hit
from lrat_sim.retrieval.base import LocalRetriever
from lrat_sim.retrieval.dense import DocumentsDtype, Length, documents_dtype, model_index, with_own_options
from lrat_sim.retrieval.faiss_index import import_faiss
from lrat_sim.retrieval.hardware import Device, device_named
from lrat_sim.retrieval.index import ensure_index
from lrat_sim.retrieval.loading import (
    LONGEST,
    half_for_flash,
    loading,
    modules_identity,
    prompts_used,
    weights_fingerprint,
)
from lrat_sim.retrieval.maxsim import TOKENS, Candidates, ExactMaxSim, TokenVectors, exact_maxsim, faiss_maxsim
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.retrieval.query_text import QueryText, described_text
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.shards import Row, encode_shards, rows_a_shard
from lrat_sim.retrieval.vectors import Dtype, Matrix
from lrat_sim.settings import Settings, Whole

_REMEMBERED_QUERIES = 512  # of a few hundred vectors each


class MultiVectorSettings(Settings, frozen=True, kw_only=True):
    """Settings of ``multivector``."""

    model: Annotated[str, Meta(description="Folder or hub id of a MultiVectorEncoder, PyLate or ColBERT model.")]
    max_length: Annotated[Length | None, Meta(description="Tokens of a document; by default the model's own.")] = None
    max_query_length: Annotated[Length | None, Meta(description="Tokens of a query; likewise.")] = None
    query_prompt: Annotated[str | None, Meta(description="Put before each query; by default the model's own.")] = None
    document_prompt: Annotated[str | None, Meta(description="Put before documents; by default the model's own.")] = None
    pool_factor: Annotated[
        Whole, Meta(description="A document's vectors are merged by likeness to one in so many; 1 keeps all.")
    ] = 1
    query_text: QueryText = None
    # auto takes that of an existing index, else bfloat16 where the machine multiplies in it
    dtype: DocumentsDtype = "auto"
    stored: Annotated[Literal["float16", "float32"], Meta(description="Numbers of the stored vectors.")] = "float16"
    index: Annotated[
        str, Meta(description="exact, or a faiss factory string (IVF4096,PQ32) for candidates, scored exactly.")
    ] = "exact"
    probes: Annotated[Whole, Meta(description="Lists of an IVF index that each query vector is compared with.")] = 32
    depth: Annotated[Whole, Meta(description="Candidates of a faiss index that are scored exactly.")] = 256
    device: Device = "auto"
    shard_rows: Annotated[Whole, Meta(description="Documents per shard; a killed build loses at most one.")] = 2048


class TokenEncoder:
    """A MultiVectorEncoder: documents in batches, in bf16 if asked to, queries one by one in fp32."""

    def __init__(self, model: str, settings: MultiVectorSettings, dtype: Dtype = "float32"):
        self._made_from = model, settings, dtype
        self.device, self.dtype, self.stored = device_named(settings.device), dtype, settings.stored
        self._model = load_multivector(model, self.device)
        self._lengths = set_lengths(self._model, model, settings.max_query_length, settings.max_length)
        self._query_prompt, self._document_prompt = prompts_used(model, self._model, settings)
        self._pool_factor = settings.pool_factor
        self._pooling = HierarchicalTokenPooling(pool_factor=self._pool_factor) if self._pool_factor > 1 else None
        self._lock = threading.Lock()  # a tokenizer keeps state while it works; torch uses all cores for one text

    def __reduce__(self) -> tuple[type[TokenEncoder], tuple[Any, ...]]:
        """Another process loads the model again."""
        return TokenEncoder, self._made_from

    def identity(self) -> dict[str, Any]:
        """All that decides the vectors, as plain JSON."""
        return {
            "weights": weights_fingerprint(self._model),
            "modules": modules_identity(self._model),
            "vocabulary": fingerprint(self._model.tokenizer.get_vocab()),
            "query_prompt": self._query_prompt,
            "document_prompt": self._document_prompt,
            "max_query_length": self._lengths["query"],
            "max_length": self._lengths["document"],
            "pool_factor": self._pool_factor,
            "dtype": self.dtype,
            "stored": self.stored,
        }

    def documents(self, texts: list[str]) -> list[Row]:
        """The vectors of documents, a (tokens, dimensions) for each, in the numbers that are stored."""
        kind = torch.device(self.device).type
        with self._lock, torch.autocast(kind, dtype=torch.bfloat16, enabled=self.dtype == "bfloat16"):
            encoded = self._model.encode_document(
                texts,
                prompt=self._document_prompt,
                batch_size=128 if kind == "cuda" else 32,
                token_pooling=self._pooling,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return [(vectors.astype(self.stored),) for vectors in encoded]

    def query(self, text: str) -> Matrix:
        """The vectors of a query, (tokens, dimensions) in fp32; they depend on this text alone."""
        with self._lock:
            (vectors,) = self._model.encode_query(
                [text], prompt=self._query_prompt, convert_to_numpy=True, show_progress_bar=False
            )
        matrix: Matrix = vectors.astype(np.float32)
        return matrix


class MultiVectorRetriever(LocalRetriever):
    """Ranks by MaxSim of the query's token vectors with a document's; an empty query finds nothing."""

    def __init__(
        self,
        corpus: Corpus,
        vectors: TokenVectors,
        encoder: TokenEncoder,
        candidates: Candidates,
        description: dict[str, Any],
    ):
        super().__init__(corpus, description)
        self._vectors, self._encoder, self._candidates = vectors, encoder, candidates
        # agents word the same query again; its vectors depend on the text alone
        self._query = lru_cache(maxsize=_REMEMBERED_QUERIES)(self._encode)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        results: list[list[Hit]] = [[] for _ in queries]
        vectors = {index: self._query(self.reads(query)) for index, query in enumerate(queries) if query.strip()}
        vectors = {index: found for index, found in vectors.items() if len(found)}
        for (index, query), rows in zip(vectors.items(), self._candidates([*vectors.values()], k), strict=True):
            results[index] = self.best(rows, exact_maxsim(self._vectors, rows, query), k)
        return results

    def _encode(self, query: str) -> Matrix:
        # half of a surrogate pair, as a broken tool call may hold, is no text to a tokenizer
        vectors = self._encoder.query(query.encode("utf-8", "replace").decode())
        if not np.isfinite(vectors).all():
            raise RetrieverError(f"the encoder gave no finite vectors for the query {query[:80]!r}")
        return vectors


def load_multivector(model: str | Path, device: str, *, attention: str | None = None) -> MultiVectorEncoder:
    """A multi-vector encoder, loaded as :func:`lrat_sim.retrieval.loading.load_model` loads an encoder.

    Of any other encoder it gets the transformer, with a projection to 128 numbers a token drawn at random.
    """
    with loading(model, "multi-vector model", "a folder of one", attention) as options:
        loaded = MultiVectorEncoder(str(model), device=device, **options).float()
        with half_for_flash(device, attention):
            loaded.encode_query(["a trial"], show_progress_bar=False)  # parts that do not fit fail only here
        return loaded


def set_lengths(model: MultiVectorEncoder, name: str | Path, query: int | None, document: int | None) -> dict[str, int]:
    """Sets the tokens that a model reads of a query and of a document, and returns them; None is the model's own.

    A model that pads each query to a fixed length keeps that.
    """
    transformer: Any = model[0]
    positions = getattr(getattr(model.transformers_model, "config", None), "max_position_embeddings", None)
    most = min(model.max_seq_length or LONGEST, LONGEST)
    own = {"query": transformer.query_length or most, "document": transformer.document_length or most}
    for task, wanted in (("query", query), ("document", document)):
        if wanted is not None and positions is not None and wanted > positions:
            raise InputError(f"{task} length {wanted} is asked for, but {name} reads at most {positions} tokens.")
        own[task] = wanted or own[task]
    expansion = transformer.query_expansion
    if expansion is not None:
        fixed = expansion["strategy"] == "fixed"
        own["query"] = expansion["length"] if fixed else max(own["query"], expansion["length"])
    transformer.query_length, transformer.document_length = own["query"], own["document"]
    return own


@takes_settings("multivector", MultiVectorSettings)
def open_multivector(
    corpus: Corpus, indexes: Path, settings: MultiVectorSettings, progress: ProgressCallback | None
) -> MultiVectorRetriever:
    """Opens ``multivector``; each model has a folder of its own under ``indexes``, by its name and where it lies."""
    settings = with_own_options(settings, "multivector")
    model = settings.model
    if Path(model).is_dir() and (kind := model_kind(model)) != "multivector":
        raise InputError(
            f"{model} is not a multi-vector model; search with {kind}:model={model}, or train it by kind multivector."
        )
    if settings.index != "exact":
        import_faiss(f"index={settings.index}")  # said before hours of encoding
    name, folder = model_index(indexes, "multivector", model, settings)
    encoder = TokenEncoder(model, settings, documents_dtype(settings.dtype, folder, settings.device))
    rows = rows_a_shard(len(corpus), settings.shard_rows)
    identity = {**encoder.identity(), "corpus": corpus.fingerprint}
    stored = {**identity, "shard_rows": rows}
    ensure_index(
        folder, stored, lambda folder: encode_shards(folder, corpus, TOKENS, encoder, rows, progress), in_shards=True
    )
    vectors = TokenVectors(folder, len(corpus), rows)
    description = {"kind": "multivector", "model": name, **identity, "index": settings.index}
    description |= described_text(settings.query_text)
    candidates: Candidates
    if settings.index == "exact":
        candidates = ExactMaxSim(vectors, device_named(settings.device)).candidates
    else:
        place = folder.with_name(f"{folder.name}.{fingerprint(settings.index)[:8]}")
        candidates = faiss_maxsim(vectors, place, settings.index, settings.probes, settings.depth, stored)
        description |= {"probes": settings.probes, "depth": settings.depth}
    return MultiVectorRetriever(corpus, vectors, encoder, candidates, description)
