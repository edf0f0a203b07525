"""Dense search with vectors from an embedding endpoint: a server of one's own, or a provider through litellm."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
from msgspec import Meta

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.keys import read_environment
from lrat_sim.models.litellm_model import import_litellm
from lrat_sim.models.openai_model import post
from lrat_sim.models.retry import failure
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.connection import send
from lrat_sim.retrieval.dense import DenseRetriever, open_vectors
from lrat_sim.retrieval.query_text import QueryText, described_text
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.schemas import read_token
from lrat_sim.retrieval.vectors import Matrix, VectorSettings
from lrat_sim.settings import Positive, Whole
from lrat_sim.text import TOKENIZER, first_tokens

_REQUESTS_AT_ONCE = 4


class EmbeddingApiSettings(VectorSettings, frozen=True, kw_only=True):
    """Settings of ``embedding-api``."""

    model: Annotated[str, Meta(description="litellm's name of the model, as openai/text-embedding-3-small.")]
    dimensions: Annotated[Whole | None, Meta(description="Dimensions, for models that can cut their vectors.")] = None
    api_base: Annotated[str | None, Meta(description="The endpoint, where it is not the provider's own.")] = None
    api_key_env: Annotated[str | None, Meta(description="Variable with the key, if not the provider's usual.")] = None
    query_prompt: Annotated[str, Meta(description="Put before each query.")] = ""
    document_prompt: Annotated[str, Meta(description="Put before each document.")] = ""
    query_text: QueryText = None
    max_length: Annotated[Whole, Meta(description="Tokens of a text that are sent; the rest is cut off.")] = 512
    batch_size: Annotated[Whole, Meta(description="Texts per request.")] = 64
    attempts: Annotated[Whole, Meta(description="Tries per request.")] = 6
    timeout: Annotated[Positive, Meta(description="Seconds per try.")] = 60.0


class ApiEncoder:
    """Encodes by requests, sent again where their failure may pass; the key's variable must be set (InputError)."""

    def __init__(self, settings: EmbeddingApiSettings):
        self._settings, self._dimensions = settings, settings.dimensions
        self._key = read_token(settings.api_key_env)
        read_environment()  # litellm may take a key from there
        import_litellm()  # which takes seconds, and must not count as a request's

    def identity(self) -> dict[str, Any]:
        """Model, dimensions, prompts and length; not where it is reached."""
        fields = ("model", "dimensions", "query_prompt", "document_prompt", "max_length")
        return {**{name: getattr(self._settings, name) for name in fields}, "tokenizer": TOKENIZER}

    def documents(self, texts: list[str]) -> Matrix:
        """See :meth:`Encoder.documents`; a provider that does not answer as it should is a :class:`RetrieverError`."""
        size = self._settings.batch_size
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            vectors = pool.map(lambda batch: self._embed(self._settings.document_prompt, batch), batches)
            return np.concatenate(list(vectors))

    def queries(self, texts: list[str]) -> Matrix:
        """See :meth:`Encoder.queries`; a request each, since a server may round a batch differently; raises as
        :meth:`documents`."""
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            vectors = pool.map(lambda text: self._embed(self._settings.query_prompt, [text]), texts)
            return np.concatenate(list(vectors))

    def _embed(self, prompt: str, texts: list[str]) -> Matrix:
        settings = self._settings
        inputs = [prompt + first_tokens(text, settings.max_length) for text in texts]
        try:
            answer = send(lambda: self._ask(inputs), attempts=settings.attempts, timeout=settings.timeout)
        except Exception as error:  # openai and litellm raise errors of many kinds; each is this request's failure
            raise RetrieverError(f"{settings.model} gave no vectors ({failure(error).message})") from error
        return self._vectors(answer, len(texts))

    async def _ask(self, inputs: list[str]) -> Any:
        """The reply as JSON, ``{"data": [{"index", "embedding"}]}``."""
        settings = self._settings
        more: dict[str, Any] = {} if settings.dimensions is None else {"dimensions": settings.dimensions}
        if settings.api_base is not None and settings.model.startswith("openai/"):
            key = self._key or os.environ.get("OPENAI_API_KEY") or "none"
            name = settings.model.removeprefix("openai/")
            body = {"model": name, "input": inputs, "encoding_format": "float", **more}
            return await post(settings.api_base, key, "/embeddings", body, settings.timeout)
        if more:
            more["allowed_openai_params"] = ["dimensions"]  # litellm would refuse it to models that it does not know
        response = await cast(Any, import_litellm()).aembedding(
            model=settings.model, input=inputs, encoding_format="float", timeout=settings.timeout, max_retries=0,
            api_base=settings.api_base, api_key=self._key, **more,
        )  # fmt: skip
        return {"data": response.data}

    def _vectors(self, answer: Any, wanted: int) -> Matrix:
        """The vectors in the order of the texts, of length 1; refuses those by which nothing can be ranked."""
        model = self._settings.model
        try:
            items = sorted(answer["data"], key=lambda item: item["index"])
            numbers = [item["index"] for item in items]
            vectors = np.array([item["embedding"] for item in items], np.float64)
            if items and (vectors.ndim != 2 or not vectors.shape[1]):
                raise ValueError(f"shape {vectors.shape}")
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise RetrieverError(f"{model} gave what is not a table of numbers ({error!r})") from error
        if numbers != list(range(wanted)):
            first = ", ".join(map(str, numbers[:8])) or "not at all"
            raise RetrieverError(f"{model} gave {len(numbers)} vectors for {wanted} texts, numbered {first}")
        expected, self._dimensions = self._dimensions, vectors.shape[1]
        if expected not in (None, self._dimensions):
            raise RetrieverError(f"{model} gave {self._dimensions} dimensions where {expected} were expected")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            wrong = "all zeros" if not lengths.all() else "without finite numbers"
            raise RetrieverError(f"{model} gave a vector {wrong}, by which nothing can be ranked")
        unit: Matrix = (vectors / lengths).astype(np.float32)
        return unit


@takes_settings("embedding-api", EmbeddingApiSettings)
def open_embedding_api(
    corpus: Corpus, indexes: Path, settings: EmbeddingApiSettings, progress: ProgressCallback | None
) -> DenseRetriever:
    """Opens ``embedding-api``; the fields of :class:`EmbeddingApiSettings` are its options."""
    folder = indexes / f"embedding-api-{settings.model.replace('/', '--')}"
    try:
        return open_vectors(
            {"kind": "embedding-api", **described_text(settings.query_text)},
            corpus, folder, ApiEncoder(settings), settings, progress=progress,
        )  # fmt: skip
    except RetrieverError as error:
        raise InputError(
            f"the index at {folder} is unfinished: {error}; correct the cause and rerun the same command, which keeps "
            "the shards that are done."
        ) from error
