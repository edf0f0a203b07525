"""The documents of a corpus on their way into an engine, with their vectors where it searches by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, said_plainly
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document
from lrat_sim.retrieval.query_text import PLAIN, TextName, described_text, text_of
from lrat_sim.retrieval.registry import parse_spec
from lrat_sim.retrieval.vectors import Encoder, Matrix

EncoderSpec = Annotated[
    str, Meta(description="The encoder of documents and queries: dense or embedding-api with options, a model folder.")
]


class EngineEncoder:
    """An encoder with what it reads of a query: see :mod:`lrat_sim.retrieval.query_text`."""

    def __init__(self, encoder: Encoder, query_text: TextName | None):
        self._encoder, self._query_text = encoder, query_text
        self.documents = encoder.documents

    def identity(self) -> dict[str, Any]:
        """See :meth:`Encoder.identity`."""
        return {**self._encoder.identity(), **described_text(self._query_text)}

    def query(self, query: str) -> Matrix:
        """The vector of a query, of shape (dimensions,)."""
        vector: Matrix = self._encoder.queries([text_of(self._query_text or PLAIN, query)])[0]
        return vector


def open_encoder(spec: str) -> EngineEncoder:
    """The encoder that a spec of a dense retriever names; InputError where it names another kind of retriever."""
    kind, options = parse_spec(spec)
    try:
        if kind == "embedding-api":
            from lrat_sim.retrieval.embedding_api import ApiEncoder, EmbeddingApiSettings

            api = convert(options, EmbeddingApiSettings, strict=False)
            return EngineEncoder(ApiEncoder(api), api.query_text)
        if kind != "dense":
            raise InputError(f"the encoder is {spec!r}, which makes no vectors; name dense, embedding-api or a model.")
        # slow to load
        from lrat_sim.retrieval.dense import DenseSettings, with_own_options
        from lrat_sim.retrieval.encoder import SentenceEncoder
        from lrat_sim.retrieval.hardware import device_named, gains_from_bf16
        from lrat_sim.text import minilm_folder

        settings = with_own_options(convert(options, DenseSettings, strict=False))
    except msgspec.ValidationError as error:
        problem = said_plainly(error)
        raise InputError(f"the encoder {spec!r} cannot take these options: {problem}; correct them.") from error
    dtype = settings.dtype
    if dtype == "auto":
        dtype = "bfloat16" if gains_from_bf16(device_named(settings.device)) else "float32"
    encoder = SentenceEncoder(str(Path(settings.model or minilm_folder())), settings, dtype)
    return EngineEncoder(encoder, settings.query_text)


def batches(
    corpus: Corpus, encoder: EngineEncoder | None, done: int, size: int, progress: ProgressCallback | None
) -> Iterator[tuple[int, list[Document], Matrix | None]]:
    """The documents that an engine lacks: the row of the first, some of them, and their vectors.

    ``done`` documents are there.  They came in this order, so that all batches before the one that holds the next are
    whole; that one is sent again, under the same ids.
    """
    for start in range(done // size * size, len(corpus), size) if done < len(corpus) else ():
        documents = list(corpus.slice(start, start + size))
        vectors = None if encoder is None else encoder.documents([passage_text(document) for document in documents])
        if vectors is not None and not np.isfinite(vectors).all():
            raise InputError(f"the encoder gave no finite vector for one of the documents from row {start} on.")
        yield start, documents, vectors
        if progress:
            progress(min(start + size, len(corpus)), len(corpus), "documents")


def index_name(identity: dict[str, Any]) -> str:
    """The name of an index of ours: another corpus or encoder has another."""
    from lrat_sim.artifact import fingerprint

    return f"lrat-sim-{fingerprint(identity)}"
