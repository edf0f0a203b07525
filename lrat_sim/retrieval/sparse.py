"""Learned sparse search: a model weighs the terms of its vocabulary, an inverted index finds the documents.

SPLADE (Formal et al. 2021) weighs the terms of query and document by a masked language model; an inference-free model
looks the weights of a query's terms up in a table.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from sentence_transformers import SparseEncoder

from lrat_sim.artifact import ensure_folder, fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Hit
from lrat_sim.retrieval.base import LocalRetriever
from lrat_sim.retrieval.dense import DocumentsDtype, Length, documents_dtype, model_index, with_own_options
from lrat_sim.retrieval.hardware import Device, device_named
from lrat_sim.retrieval.index import ensure_index, shard_of_index
from lrat_sim.retrieval.inverted import TERMS, InvertedIndex, invert
from lrat_sim.retrieval.loading import (
    LONGEST,
    half_for_flash,
    loading,
    modules_identity,
    prompts_used,
    weights_fingerprint,
)
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.retrieval.query_text import QueryText, described_text
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.shards import Row, encode_shards, rows_a_shard
from lrat_sim.retrieval.vectors import Dtype
from lrat_sim.settings import Settings, Whole

_REMEMBERED_QUERIES = 4096


class SparseSettings(Settings, frozen=True, kw_only=True):
    """Settings of ``sparse``."""

    model: Annotated[str, Meta(description="Folder or hub id of a SparseEncoder or a masked language model.")]
    max_length: Annotated[Length | None, Meta(description="Tokens of a text; by default at most 512.")] = None
    max_query_length: Annotated[Length | None, Meta(description="Tokens of a query, if not max_length.")] = None
    query_prompt: Annotated[str | None, Meta(description="Put before each query; by default the model's own.")] = None
    document_prompt: Annotated[str | None, Meta(description="Put before documents; by default the model's own.")] = None
    query_terms: Annotated[Whole | None, Meta(description="Terms of a query that are kept; by default all.")] = None
    document_terms: Annotated[Whole | None, Meta(description="Terms of a document that are kept; likewise.")] = None
    query_text: QueryText = None
    # auto takes that of an existing index, else bfloat16 where the machine multiplies in it
    dtype: DocumentsDtype = "auto"
    device: Device = "auto"
    shard_rows: Annotated[Whole, Meta(description="Documents per shard; a killed build loses at most one.")] = 2048


class TermEncoder:
    """A SparseEncoder: documents in batches, in bf16 if asked to, queries one by one in fp32."""

    def __init__(self, model: str, settings: SparseSettings, dtype: Dtype = "float32"):
        self._made_from = model, settings, dtype
        self.device, self.dtype, self._settings = device_named(settings.device), dtype, settings
        self._model = load_sparse(model, self.device)
        own_length = min(self._model.max_seq_length or LONGEST, LONGEST)
        positions = getattr(getattr(self._model.transformers_model, "config", None), "max_position_embeddings", None)
        wanted = {"query": settings.max_query_length or settings.max_length, "document": settings.max_length}
        if positions is not None and max(tokens or 0 for tokens in wanted.values()) > positions:
            raise InputError(
                f"max_length is {max(filter(None, wanted.values()))}, but {model} reads at most {positions} tokens."
            )
        self._lengths = {task: tokens or own_length for task, tokens in wanted.items()}
        self._query_prompt, self._document_prompt = prompts_used(model, self._model, settings)
        self._lock = threading.Lock()  # a tokenizer keeps state while it works; torch uses all cores for one text
        self.vocabulary = int(self._encode("query", ["a trial"], 1).shape[1])

    def __reduce__(self) -> tuple[type[TermEncoder], tuple[Any, ...]]:
        """Another process loads the model again."""
        return TermEncoder, self._made_from

    def identity(self) -> dict[str, Any]:
        """All that decides the weights of terms, as plain JSON."""
        return {
            "weights": weights_fingerprint(self._model),
            "modules": modules_identity(self._model),
            "vocabulary": fingerprint(self._model.tokenizer.get_vocab()),
            "query_prompt": self._query_prompt,
            "document_prompt": self._document_prompt,
            "max_query_length": self._lengths["query"],
            "max_length": self._lengths["document"],
            "query_terms": self._settings.query_terms,
            "document_terms": self._settings.document_terms,
            "dtype": self.dtype,
        }

    def documents(self, texts: list[str]) -> list[Row]:
        """The (terms, weights) of documents, terms as ascending numbers of the vocabulary."""
        kind = torch.device(self.device).type
        with self._lock, torch.autocast(kind, dtype=torch.bfloat16, enabled=self.dtype == "bfloat16"):
            return _rows(self._encode("document", texts, 64 if kind == "cuda" else 16))

    def query(self, text: str) -> Row:
        """The same of a query; they depend on this text alone."""
        with self._lock:
            return _rows(self._encode("query", [text], 1))[0]

    def _encode(self, task: str, texts: list[str], batch: int) -> torch.Tensor:
        settings = self._settings
        encode, prompt, kept = (
            (self._model.encode_query, self._query_prompt, settings.query_terms)
            if task == "query"
            else (self._model.encode_document, self._document_prompt, settings.document_terms)
        )
        self._model.max_seq_length = self._lengths[task]
        encoded: torch.Tensor = encode(
            texts, prompt=prompt, batch_size=batch, max_active_dims=kept, save_to_cpu=True, show_progress_bar=False
        )
        return encoded


def _rows(encoded: torch.Tensor) -> list[Row]:
    matrix = encoded.float().coalesce().to_sparse_csr()
    starts, terms, weights = (part.numpy() for part in (matrix.crow_indices(), matrix.col_indices(), matrix.values()))
    return [
        (terms[start:stop].astype(np.int32), weights[start:stop].astype(np.float32))
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]


class SparseRetriever(LocalRetriever):
    """Ranks by the product of term weights; a query that shares no term with a document does not find it."""

    def __init__(self, corpus: Corpus, index: InvertedIndex, encoder: TermEncoder, description: dict[str, Any]):
        super().__init__(corpus, description)
        self._index, self._encoder = index, encoder
        # agents word the same query again; its terms depend on the text alone
        self._query = lru_cache(maxsize=_REMEMBERED_QUERIES)(self._encode)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        return [self.best(*self._index.scores(*self._query(self.reads(q))), k) if q.strip() else [] for q in queries]

    def _encode(self, query: str) -> Row:
        # half of a surrogate pair, as a broken tool call may hold, is no text to a tokenizer
        terms, weights = self._encoder.query(query.encode("utf-8", "replace").decode())
        if not np.isfinite(weights).all():
            raise RetrieverError(f"the encoder gave no finite weights for the query {query[:80]!r}")
        return terms, weights.astype(np.float64)


def load_sparse(model: str | Path, device: str, *, attention: str | None = None) -> SparseEncoder:
    """A sparse encoder, loaded as :func:`lrat_sim.retrieval.loading.load_model` loads an encoder.

    A plain masked language model is read as SPLADE; a model that would need new, random parts is refused.
    """
    with loading(model, "sparse model", "a folder of a SparseEncoder or of a masked language model", attention) as o:
        loaded = SparseEncoder(str(model), device=device, **o).float()
        with half_for_flash(device, attention):
            loaded.encode_query(["a trial"], show_progress_bar=False)  # parts that do not fit fail only here
    made_up = any(type(part).__name__ == "SparseAutoEncoder" for part in loaded.modules())
    if made_up and Path(model).is_dir() and model_kind(model) != "sparse":
        raise InputError(
            f"{model} is neither a SparseEncoder nor a masked language model; give one, such as naver/splade-v3."
        )
    return loaded


@takes_settings("sparse", SparseSettings)
def open_sparse(
    corpus: Corpus, indexes: Path, settings: SparseSettings, progress: ProgressCallback | None
) -> SparseRetriever:
    """Opens ``sparse``; each model has a folder of its own under ``indexes``, by its name and where it lies."""
    settings = with_own_options(settings, "sparse")
    name, folder = model_index(indexes, "sparse", settings.model, settings)
    encoder = TermEncoder(settings.model, settings, documents_dtype(settings.dtype, folder, settings.device))
    rows = rows_a_shard(len(corpus), settings.shard_rows)
    identity = {**encoder.identity(), "corpus": corpus.fingerprint}

    def build(folder: Path) -> None:
        shards = ensure_folder(folder / "shards")
        encode_shards(shards, corpus, TERMS, encoder, rows, progress)
        if shard_of_index() is None:
            invert(folder, shards, corpus, rows, encoder.vocabulary)

    ensure_index(folder, {**identity, "shard_rows": rows}, build, in_shards=True)
    description = {"kind": "sparse", "model": name, **identity, **described_text(settings.query_text)}
    return SparseRetriever(corpus, InvertedIndex(folder, len(corpus)), encoder, description)
