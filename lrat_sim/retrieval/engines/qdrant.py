"""Qdrant: nearest vectors by an encoder of ours, on a server or embedded in this process."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from msgspec import Meta

from lrat_sim.artifact import ensure_folder
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RetrieverError, UnknownDocument
from lrat_sim.models.retry import failure
from lrat_sim.models.transport import on_loop, reach_directly
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document
from lrat_sim.retrieval.connection import send
from lrat_sim.retrieval.engines.base import TIES, EngineRetriever, EngineSettings, corpus_of, document_from, opening
from lrat_sim.retrieval.engines.upload import EncoderSpec, EngineEncoder, batches, index_name, open_encoder
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.schemas import read_token
from lrat_sim.settings import Whole

T = TypeVar("T")


class QdrantSettings(EngineSettings, frozen=True, kw_only=True):
    """Settings of ``qdrant``."""

    url: Annotated[
        str | None, Meta(description="The server's root, as http://127.0.0.1:6333; by default embedded, on this disk.")
    ] = None
    collection: Annotated[
        str | None,
        Meta(description="One that is there, searched as it is; by default one is made of the task set's documents."),
    ] = None
    encoder: EncoderSpec = "dense"
    vector_name: Annotated[str | None, Meta(description="The vector's name in `collection`, if it has one.")] = None
    id_field: Annotated[str | None, Meta(description="Field with a document's id, if not the point's own.")] = None
    title_field: Annotated[str, Meta(description="Field of `collection` with a document's title.")] = "title"
    text_field: Annotated[str, Meta(description="Field of `collection` with a document's text.")] = "text"
    exact: Annotated[bool, Meta(description="Compare with every vector, not by the index.")] = False
    batch_size: Annotated[Whole, Meta(description="Documents per request while a collection is made.")] = 256


class QdrantRetriever(EngineRetriever):
    """A collection of Qdrant; a search by words alone it does not have here."""

    def __init__(self, client: Any, settings: QdrantSettings, corpus: Corpus | None, encoder: EngineEncoder):
        if settings.collection is None and corpus is None:
            raise InputError("qdrant has no documents to index, since the task set has none; name a collection.")
        made = {"kind": "qdrant", **encoder.identity()}
        self.collection = settings.collection or index_name({**made, "corpus": corpus.fingerprint if corpus else None})
        described = {**made, "collection": self.collection, "exact": settings.exact or settings.url is None}
        super().__init__(described, None if settings.collection else corpus)
        self._client, self._settings, self._encoder = client, settings, encoder

    def close(self) -> None:
        """See :meth:`Retriever.close`."""
        on_loop(self._client.close)

    def ask(self, query: str, k: int) -> Sequence[tuple[float, Document]]:
        """See :meth:`EngineRetriever.ask`."""
        from qdrant_client import models

        own, settings = self._own is not None, self._settings
        encoded = self._encoder.query(query)
        vector, embedded = encoded.tolist(), settings.url is None
        found = self._call(
            lambda: self._client.query_points(
                self.collection, query=vector, using=settings.vector_name, limit=k + TIES,
                with_payload=["id"] if own else True, with_vectors=embedded,
                search_params=models.SearchParams(exact=settings.exact),
            )
        )  # fmt: skip
        # an embedded one rounds a score in one call as in no other: it is taken again, in double precision
        scores = [
            float(np.asarray(point.vector, np.float64) @ encoded) if embedded and own else point.score
            for point in found.points
        ]
        return [(score, self._document(point)) for score, point in zip(scores, found.points, strict=True)]

    def fetch(self, docid: str) -> Document:
        """See :meth:`EngineRetriever.fetch`."""
        from qdrant_client import models

        if self._settings.id_field is not None:
            match = models.FieldCondition(key=self._settings.id_field, match=models.MatchValue(value=docid))
            wanted = models.Filter(must=[match])
            points = self._call(lambda: self._client.scroll(self.collection, scroll_filter=wanted, limit=1))[0]
        else:
            point: int | str = int(docid) if docid.isdecimal() else docid
            try:
                points = self._call(lambda: self._client.retrieve(self.collection, [point]))
            except RetrieverError as error:  # an id is a number or a UUID, and any other text is refused
                if getattr(error.__cause__, "status_code", None) == 400 or isinstance(error.__cause__, ValueError):
                    points = []
                else:
                    raise
        if not points:
            raise UnknownDocument(f"the collection {self.collection} of {self._where} has no document {docid!r}")
        return self._document(points[0])

    def ensure(self, progress: ProgressCallback | None) -> None:
        """Makes or completes the collection of the corpus; one that is named is never written to."""
        from qdrant_client import models

        if self._own is None:
            return
        self._description["corpus"] = self._own.fingerprint
        if not self._call(lambda: self._client.collection_exists(self.collection)):
            size = len(self._encoder.query("a trial"))
            # of vectors of length 1, that is their cosine, which the embedded Qdrant would shorten anew at every search
            vectors = models.VectorParams(size=size, distance=models.Distance.DOT)
            self._call(lambda: self._client.create_collection(self.collection, vectors_config=vectors))
        done = self._count()
        for start, documents, vectors_ in batches(self._own, self._encoder, done, self._settings.batch_size, progress):
            assert vectors_ is not None
            batch = models.Batch(
                ids=list(range(start, start + len(documents))),
                vectors=vectors_.tolist(),
                payloads=[
                    {"id": document.id, "title": document.title, "text": document.text} for document in documents
                ],
            )
            self._call(partial(self._client.upsert, self.collection, points=batch, wait=True))
        if (count := self._count()) != len(self._own):
            raise RetrieverError(f"{self._where} holds {count:,} of {len(self._own):,} documents in {self.collection}")

    def compare_with(self, corpus: Corpus | None) -> None:
        """Says whether a collection that is named holds the task set's documents, and whether the encoder fits it."""
        if self._own is None:
            self.ask("a trial", 1)
            name = f"the collection {self.collection} of qdrant"
            self._description["corpus"] = corpus_of(name, corpus, self.fetch, self._count())

    @property
    def _where(self) -> str:
        return f"Qdrant at {self._settings.url}" if self._settings.url else "the embedded Qdrant"

    def _count(self) -> int:
        return int(self._call(lambda: self._client.count(self.collection, exact=True)).count)

    def _document(self, point: Any) -> Document:
        fields, settings = point.payload or {}, self._settings
        if self._own is not None:
            return Document(id=str(fields.get("id")), text="")  # the corpus has it
        docid = point.id if settings.id_field is None else fields.get(settings.id_field)
        document = document_from(fields, docid, title=settings.title_field, text=settings.text_field)
        if document is None or docid is None:
            field = f"{settings.text_field!r}" if document is None else f"{settings.id_field!r}"
            raise RetrieverError(
                f"{self._where} has no field {field} in point {point.id!r} of {self.collection}; correct text_field or "
                "id_field"
            )
        return document

    def _call(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return send(request, attempts=self._settings.attempts, timeout=self._settings.timeout)
        except Exception as error:  # the client raises errors of many kinds; each is this request's failure
            failed = failure(error)
            said = {401: "does not accept the key", 403: "does not accept the key"}.get(failed.status or 0, "failed")
            raise RetrieverError(f"{self._where} {said} ({failed.message})") from error


def _client(settings: QdrantSettings, indexes: Path) -> Any:
    try:
        from qdrant_client import AsyncQdrantClient
    except ImportError as error:
        raise InputError("qdrant needs its client; pip install 'lrat-sim[qdrant]'.") from error
    key, folder = read_token(settings.api_key_env), indexes / "qdrant"
    where: dict[str, Any] = {"path": str(folder)}
    if settings.url is not None:
        reach_directly(settings.url)
        where = {
            "url": settings.url,
            "api_key": key,
            "timeout": int(settings.timeout) + 1,
            "check_compatibility": False,
        }
    else:
        ensure_folder(folder)

    async def made() -> Any:
        with warnings.catch_warnings():
            # what an unencrypted or a large embedded one means, the documentation says
            warnings.simplefilter("ignore", UserWarning)
            return AsyncQdrantClient(**where)

    try:
        return on_loop(made)  # the embedded one belongs to the thread that made it
    except Exception as error:
        raise InputError(
            f"Qdrant cannot be opened ({type(error).__name__}: {error}); correct the url, or where {folder} is in use "
            "by another process, wait for that or run a server and name its url."
        ) from error


@takes_settings("qdrant", QdrantSettings, own_documents=True)
def open_qdrant(
    corpus: Corpus | None, indexes: Path, settings: QdrantSettings, progress: ProgressCallback | None
) -> QdrantRetriever:
    """Opens ``qdrant``."""
    encoder = open_encoder(settings.encoder)
    retriever = QdrantRetriever(_client(settings, indexes), settings, corpus, encoder)
    try:
        with opening(
            "start it there, or correct the url, the collection, the encoder or api_key_env; rerun the same command, "
            "and what is indexed is kept"
        ):
            retriever.ensure(progress)
            retriever.compare_with(corpus)
    except BaseException:
        retriever.close()  # an embedded one would stay locked
        raise
    return retriever
