"""Dense search with vectors from a provider's embedding endpoint, through litellm."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import tenacity
from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.keys import read_environment, read_key, redact
from lrat_sim.models.litellm_model import import_litellm
from lrat_sim.models.openai_model import openai_client
from lrat_sim.models.retry import failure, wait_as_asked
from lrat_sim.models.transport import on_loop, reach_directly
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.dense import SHARD_ROWS, DenseRetriever, open_vectors
from lrat_sim.retrieval.nearest import IndexKind
from lrat_sim.retrieval.registry import settings_from
from lrat_sim.retrieval.vectors import Matrix
from lrat_sim.settings import Positive, Whole
from lrat_sim.text import TOKENIZER, first_tokens

_AT_ONCE = 4
_LONGEST_WAIT = 60.0


class EmbeddingApiSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of ``embedding-api``.

    Args:
        model: litellm's name of the model, as ``openai/text-embedding-3-small``.
        dimensions: of the vectors, for models that can cut them.
        api_base: the endpoint, where it is not the provider's own.
        api_key_env: the environment variable that holds the key, where it is not the provider's usual one.
        query_prompt: put before each query.
        document_prompt: put before each document.
        max_length: tokens of a text that are sent; the rest is cut off.
        batch_size: texts a request.
        attempts: tries a request, in all.
        timeout: seconds a try.
        index: see :class:`~lrat_sim.retrieval.dense.DenseSettings`.
        shard_rows: documents a shard; a kill loses at most the shard under way.
    """

    model: str
    dimensions: Whole | None = None
    api_base: str | None = None
    api_key_env: str | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    max_length: Whole = 512
    batch_size: Whole = 64
    attempts: Whole = 6
    timeout: Positive = 60.0
    index: IndexKind = "exact"
    shard_rows: Whole = SHARD_ROWS


class ApiEncoder:
    """Encodes by requests; a failed one is tried again if its cause may pass: limits, timeouts, outages.

    Args:
        settings: the model and how it is reached.

    Raises:
        InputError: the key's environment variable is not set.
    """

    def __init__(self, settings: EmbeddingApiSettings):
        self._settings = settings
        self._key: str | None = None
        if settings.api_key_env:
            self._key = read_key(settings.api_key_env)
            if not self._key:
                raise InputError(f"the environment variable {settings.api_key_env} is not set; put the key there.")
        read_environment()  # litellm may take a key from there
        self._litellm = cast(Any, import_litellm())
        reach_directly(settings.api_base)
        self._dimensions = settings.dimensions

    def identity(self) -> dict[str, Any]:
        """Model, dimensions, prompts and length; not where it is reached."""
        shown = ("model", "dimensions", "query_prompt", "document_prompt", "max_length")
        return {**{name: getattr(self._settings, name) for name in shown}, "tokenizer": TOKENIZER}

    def documents(self, texts: list[str]) -> Matrix:
        """See :meth:`Encoder.documents`; requests run side by side, their order is kept.

        Raises:
            RetrieverError: the provider did not answer, or its vectors cannot be ranked by.
        """
        size = self._settings.batch_size
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return np.concatenate(
                list(pool.map(lambda batch: self._embed(self._settings.document_prompt, batch), batches))
            )

    def query(self, text: str) -> Matrix:
        """See :meth:`Encoder.query`; raises as :meth:`documents`."""
        return cast(Matrix, self._embed(self._settings.query_prompt, [text])[0])

    def _embed(self, prompt: str, texts: list[str]) -> Matrix:
        settings = self._settings
        given: dict[str, Any] = {"api_base": settings.api_base, "api_key": self._key}
        if settings.dimensions:
            # litellm knows the models that take it by name, and would refuse it to a server of one's own
            given |= {"dimensions": settings.dimensions, "allowed_openai_params": ["dimensions"]}
        inputs = [prompt + first_tokens(text, settings.max_length) for text in texts]
        try:
            answer = self._retrying()(on_loop, lambda: self._ask(inputs, given))
        except self._litellm.exceptions.openai.OpenAIError as error:
            raise RetrieverError(f"{settings.model} gave no vectors ({redact(failure(error).message)})") from error
        return self._vectors(answer, len(texts))

    async def _ask(self, inputs: list[str], given: dict[str, Any]) -> Any:
        settings = self._settings
        if settings.api_base is not None and settings.model.startswith("openai/"):
            # a server of one's own is asked as one for chat is: its reply has a bound
            key = self._key or os.environ.get("OPENAI_API_KEY") or "none"
            given = {**given, "client": openai_client(settings.api_base, key)}
        try:
            async with asyncio.timeout(settings.timeout * 1.05 + 1):
                return await self._litellm.aembedding(
                    model=settings.model,
                    input=inputs,
                    encoding_format="float",
                    timeout=settings.timeout,
                    max_retries=0,
                    **given,
                )
        except TimeoutError as error:  # which a reply that comes byte by byte would put off in the client
            said = f"no whole answer came within {settings.timeout:g} seconds"
            raise self._litellm.exceptions.Timeout(said, settings.model, "openai") from error

    def _vectors(self, answer: Any, wanted: int) -> Matrix:
        """The vectors in the order of the texts, of length 1; refuses those by which nothing can be ranked."""
        model = self._settings.model
        try:
            found = {item["index"]: item["embedding"] for item in answer.data}
            places = [item["index"] for item in answer.data]
            vectors = np.array([found[place] for place in sorted(found)], np.float64)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise RetrieverError(f"{model} gave what is not a table of numbers ({error!r})") from error
        if sorted(places) != list(range(wanted)):
            raise RetrieverError(f"{model} gave {len(places)} vectors for {wanted} texts, numbered {_few(places)}")
        if vectors.ndim != 2 or not vectors.shape[1]:
            raise RetrieverError(f"{model} gave what is not a table of numbers (shape {vectors.shape})")
        if self._dimensions not in (None, vectors.shape[1]):
            raise RetrieverError(
                f"{model} gave vectors of {vectors.shape[1]} dimensions where {self._dimensions} were expected"
            )
        self._dimensions = vectors.shape[1]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            wrong = "all zeros" if not lengths.all() else "without finite numbers"
            raise RetrieverError(f"{model} gave a vector {wrong}, by which nothing can be ranked")
        unit: Matrix = (vectors / lengths).astype(np.float32)
        return unit

    def _retrying(self) -> tenacity.Retrying:
        named = self._litellm.exceptions
        passing = (
            named.RateLimitError,
            named.Timeout,
            named.APIConnectionError,
            named.InternalServerError,
            named.ServiceUnavailableError,
            named.BadGatewayError,
        )
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._settings.attempts),
            retry=tenacity.retry_if_exception_type(passing),
            wait=wait_as_asked(otherwise=_LONGEST_WAIT, longest=_LONGEST_WAIT),
            reraise=True,
        )


def _few(places: list[Any]) -> str:
    return ", ".join(map(str, places[:8])) + (", ..." if len(places) > 8 else "") if places else "not at all"


def open_embedding_api(
    corpus: Corpus, indexes: Path, *, progress: ProgressCallback | None = None, **options: Any
) -> DenseRetriever:
    """Opens ``embedding-api``; the fields of :class:`EmbeddingApiSettings` are its options.

    Raises:
        InputError: an option is not allowed, the provider gave no vectors for the documents, or the index is damaged.
        FingerprintMismatch: the index was built from another corpus or model, or with other settings.
    """
    settings = settings_from("embedding-api", EmbeddingApiSettings, options)
    folder = indexes / f"embedding-api-{settings.model.replace('/', '--')}"
    try:
        return open_vectors(
            {"kind": "embedding-api"},
            corpus,
            folder,
            ApiEncoder(settings),
            settings.index,
            shard_rows=settings.shard_rows,
            progress=progress,
        )
    except RetrieverError as error:
        raise InputError(
            f"the index at {folder} is unfinished: {error}; mend the cause and run the same command again, "
            "which keeps the shards that are done."
        ) from error
