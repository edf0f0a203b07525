"""A sentence-transformers encoder with its own prompts and pooling."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError
from lrat_sim.foreign import reading
from lrat_sim.retrieval.dense import DenseSettings
from lrat_sim.retrieval.hardware import device_named
from lrat_sim.retrieval.vectors import Dtype, Matrix

LONGEST = 512  # tokens of a text, where neither settings nor model say less; the paper's length (section 6.1.4)
# names under which a model keeps its prompts; the first that it has counts
QUERY_PROMPTS = ("query",)
DOCUMENT_PROMPTS = ("document", "passage", "corpus")


class SentenceEncoder:
    """Encodes documents in batches, in bf16 if asked to, and queries one by one in fp32, since a batch rounds each of
    its rows differently than another batch would."""

    def __init__(self, model: str, settings: DenseSettings | None = None, dtype: Dtype = "float32"):
        settings = settings or DenseSettings()
        self._made_from = model, settings, dtype
        self.device, self.dtype = device_named(settings.device), dtype
        self._model = load_model(model, self.device)
        self._max_length = self._model.max_seq_length = self._length(model, settings.max_length)
        self._max_query_length = settings.max_query_length and self._length(model, settings.max_query_length)
        own = prompt_of(self._model, *QUERY_PROMPTS), prompt_of(self._model, *DOCUMENT_PROMPTS)
        self._query_prompt = own[0] if settings.query_prompt is None else settings.query_prompt
        self._document_prompt = own[1] if settings.document_prompt is None else settings.document_prompt
        self._lock = threading.Lock()  # a tokenizer keeps state while it works; torch uses all cores for one text

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
        kind = torch.device(self.device).type
        with self._lock, torch.autocast(kind, dtype=torch.bfloat16, enabled=self.dtype == "bfloat16"):
            self._model.max_seq_length = self._max_length
            vectors = self._model.encode_document(
                texts, prompt=self._document_prompt, batch_size=256 if kind == "cuda" else 32, show_progress_bar=False
            )
        return _unit(np.asarray(vectors, np.float32))

    def query(self, text: str) -> Matrix:
        """See :meth:`Encoder.query`."""
        with self._lock:
            self._model.max_seq_length = self._max_query_length or self._max_length
            vectors = self._model.encode_query([text], prompt=self._query_prompt, show_progress_bar=False)
        vector: Matrix = _unit(np.asarray(vectors, np.float32))[0]
        return vector

    def _length(self, model: str, wanted: int | None) -> int:
        own = self._model.max_seq_length
        backbone = self._model.transformers_model
        positions = getattr(getattr(backbone, "config", None), "max_position_embeddings", None)
        if wanted is not None and positions is not None and wanted > positions:
            raise InputError(f"max_length is {wanted}, but {model} reads at most {positions} tokens; lower it.")
        return wanted or min(own or LONGEST, LONGEST)


def load_model(model: str | Path, device: str, *, attention: str | None = None) -> SentenceTransformer:
    """The encoder in a folder, read without network, or by its hub id; ``attention`` is as transformers names it."""
    # a checkpoint in half precision is widened: in it a training step of 1e-6 would be lost
    with loading(model, "model", "a sentence-transformers folder", attention) as options:
        loaded = SentenceTransformer(str(model), device=device, **options).float()
        with half_for_flash(device, attention):
            loaded.encode("a trial", show_progress_bar=False)  # parts that do not fit together fail only here
        return loaded


def half_for_flash(device: str, attention: str | None) -> torch.autocast:
    """Half precision where flash attention is used, which supports no other."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled="flash" in (attention or ""))


@contextmanager
def loading(model: str | Path, kind: str, wanted: str, attention: str | None = None) -> Iterator[dict[str, Any]]:
    """A context in which another library loads a model; yields the options to load it with.

    Whatever the library raises becomes an :class:`InputError` that calls the model ``kind`` and asks for ``wanted``.
    """
    local = Path(model).is_dir()  # read without network; a path is never taken for a hub id
    if isinstance(model, Path) and not local:
        raise InputError(f"there is no model folder {model}; give an existing one, or a hub id.")
    problem, remedy = f"the {kind} {model} cannot be loaded", f"give {wanted}, or a hub id that can be reached"
    options: dict[str, Any] = {"local_files_only": local}
    if attention is not None:
        problem += f" with attn_implementation {attention!r}"
        remedy = f"leave attn_implementation out, install what it needs, or {remedy}"
        options["model_kwargs"] = {"attn_implementation": attention}
    with quiet(), reading(problem, remedy):
        yield options


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what transformers and sentence-transformers print of themselves, progress bars included."""
    names = ("transformers", "sentence_transformers", "accelerate")
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    bars: Any = transformers_logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        if shown:
            bars.enable_progress_bar()


def prompt_of(model: SentenceTransformer, *names: str) -> str:
    """The model's own prompt under the first of the names that it has, else its default one, else none: what
    ``encode_query`` and ``encode_document`` would use."""
    for name in (*names, model.default_prompt_name):
        if name in model.prompts:
            return str(model.prompts[name])
    return ""


def weights_fingerprint(model: torch.nn.Module) -> str:
    """A fingerprint of the weights as loaded, whichever files hold them."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _unit(vectors: Matrix) -> Matrix:
    # in double precision, so that the length is 1 as nearly as float32 can say
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit: Matrix = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit
