"""A sentence-transformers encoder with its own prompts and pooling."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from sentence_transformers.util import batch_to_device

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError
from lrat_sim.retrieval.dense import DenseSettings, with_own_options
from lrat_sim.retrieval.hardware import device_named
from lrat_sim.retrieval.int8 import Int8Documents
from lrat_sim.retrieval.loading import LONGEST, load_model, prompts_used, weights_fingerprint
from lrat_sim.retrieval.query_batches import QueryBatches
from lrat_sim.retrieval.vectors import Dtype, Matrix


class SentenceEncoder:
    """Encodes documents in batches, in bf16 or int8 if asked to, and queries in fp32, each to the same bits whatever is
    encoded with it.

    Args:
        model: folder, hub id or recipe.
        settings: how it is read, and how it encodes.
        dtype: what documents are encoded in.
        sample: documents like those to come, by which int8 chooses its scales; by default the first that come.
    """

    def __init__(
        self,
        model: str,
        settings: DenseSettings | None = None,
        dtype: Dtype = "float32",
        sample: Callable[[], list[str]] | None = None,
    ):
        settings = settings or with_own_options(DenseSettings(model=model))
        model = settings.model or model
        self._made_from = model, settings, dtype, sample
        half = settings.weights not in (None, "float32")
        attention = settings.attn_implementation
        if "flash" in (attention or "") and not half:
            raise InputError(f"attn_implementation={attention} computes in half precision; give weights=bfloat16 too.")
        self.device, self.dtype = device_named(settings.device), settings.weights if half else dtype
        self._autocast = self.dtype == "bfloat16" and not half
        self._model = load_model(model, self.device, attention=attention, how=settings)
        self._sample = sample
        self._int8: Int8Documents | None = None  # made when the first document comes, since that takes a while
        self._max_length = self._model.max_seq_length = self._length(model, settings.max_length)
        self._max_query_length = settings.max_query_length and self._length(model, settings.max_query_length)
        self._query_prompt, self._document_prompt = prompts_used(model, self._model, settings)
        how = ("causal", "end_token", "padding_side", "attn_implementation")
        self._loaded = {field: value for field in how if (value := getattr(settings, field)) is not None}
        self._lock = threading.Lock()  # a tokenizer keeps state while it works; torch uses all cores for one batch
        self._batches = QueryBatches(
            self._model, self._query_prompt, self._max_query_length or self._max_length, self._lock
        )

    def __reduce__(self) -> tuple[type[SentenceEncoder], tuple[Any, ...]]:
        """Another process loads the model again."""
        return SentenceEncoder, self._made_from

    def identity(self) -> dict[str, Any]:
        """Weights, architecture, vocabulary, prompts, length and dtype."""
        tokenizer: Any = self._model.tokenizer
        parts: list[Any] = list(self._model)
        return {
            "weights": weights_fingerprint(self._model),
            "modules": [type(part).__name__ for part in parts],
            **self._loaded,
            "pooling": [part.get_config_dict() for part in parts if type(part).__name__ == "Pooling"],
            "vocabulary": fingerprint(tokenizer.get_vocab()),
            "query_prompt": self._query_prompt,
            "document_prompt": self._document_prompt,
            "max_length": self._max_length,
            **({"max_query_length": self._max_query_length} if self._max_query_length else {}),
            "dtype": self.dtype,
        }

    def documents(self, texts: list[str]) -> Matrix:
        """See :meth:`Encoder.documents`."""
        with self._lock:
            self._model.max_seq_length = self._max_length
            if self.dtype != "int8":
                return _unit(self._encode(texts))
            if self._int8 is None:
                sample = self._sample() if self._sample else texts
                self._int8 = Int8Documents(self._model, self._document_prompt, sample)
            return _unit(self._int8.encode(texts))

    @torch.inference_mode()
    def _encode(self, texts: list[str]) -> Matrix:
        """The model's vectors of documents; a thread tokenises what comes next while the device computes."""
        kind = torch.device(self.device).type
        size = 256 if kind == "cuda" else 32
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))  # little padding in a batch
        batches = [[texts[place] for place in order[start : start + size]] for start in range(0, len(texts), size)]
        tokenise = partial(self._model.preprocess, prompt=self._document_prompt, task="document")
        with ThreadPoolExecutor(1) as ahead, torch.autocast(kind, torch.bfloat16, enabled=self._autocast):
            found = [
                self._model(batch_to_device(features, self._model.device), task="document")["sentence_embedding"]
                for features in ahead.map(tokenise, batches)
            ]
        vectors = torch.cat(found).float().cpu().numpy()
        return vectors[np.argsort(order)]

    def queries(self, texts: list[str]) -> Matrix:
        """See :meth:`Encoder.queries`; those of several threads are encoded together."""
        return _unit(self._batches.encode(texts))

    def query(self, text: str) -> Matrix:
        """The vector of one query, shape (dimensions,)."""
        vector: Matrix = self.queries([text])[0]
        return vector

    def _length(self, model: str, wanted: int | None) -> int:
        own = self._model.max_seq_length
        backbone = self._model.transformers_model
        positions = getattr(getattr(backbone, "config", None), "max_position_embeddings", None)
        if wanted is not None and positions is not None and wanted > positions:
            raise InputError(f"max_length is {wanted}, but {model} reads at most {positions} tokens; lower it.")
        return wanted or min(own or LONGEST, LONGEST)


def _unit(vectors: Matrix) -> Matrix:
    # in double precision, so that the length is 1 as nearly as float32 can say
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit: Matrix = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit
