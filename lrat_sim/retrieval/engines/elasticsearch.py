"""Elasticsearch and OpenSearch: BM25, or nearest vectors by an encoder of ours, through the REST interface of both."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document
from lrat_sim.retrieval.connection import Connection, segment
from lrat_sim.retrieval.engines.base import TIES, EngineRetriever, EngineSettings, corpus_of, document_from, opening
from lrat_sim.retrieval.engines.upload import EncoderSpec, EngineEncoder, batches, index_name, open_encoder
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.retrieval.schemas import read_token
from lrat_sim.settings import NotNegative, Share, Whole

_CONTENTS = "contents"  # title and text of an index of ours, which BM25 searches as one field
_FILTER = "hits.hits._id,hits.hits._score,hits.hits._source"
_DEEPEST = 10_000  # candidates, and results, as both engines allow by default


class ElasticsearchSettings(EngineSettings, frozen=True, kw_only=True):
    """Settings of ``elasticsearch`` and ``opensearch``."""

    url: Annotated[str, Meta(description="The server's root, as http://127.0.0.1:9200.")]
    index: Annotated[
        str | None,
        Meta(
            description="An index that is there, searched as it is; by default one is made of the task set's documents."
        ),
    ] = None
    search: Annotated[Literal["bm25", "knn"], Meta(description="By words, or by vectors.")] = "bm25"
    fields: Annotated[str, Meta(description="Fields of `index` that BM25 searches, as title+text.")] = "text"
    title_field: Annotated[str, Meta(description="Field of `index` with a document's title.")] = "title"
    text_field: Annotated[str, Meta(description="Field of `index` with a document's text.")] = "text"
    vector_field: Annotated[str, Meta(description="Field with the vector.")] = "vector"
    encoder: EncoderSpec = "dense"
    candidates: Annotated[
        Whole | None, Meta(description="Vectors looked at per shard; by default 10 times k, 100 at least.")
    ] = None
    k1: Annotated[NotNegative, Meta(description="BM25's k1 of an index that is made.")] = 0.9
    b: Annotated[Share, Meta(description="BM25's b of an index that is made.")] = 0.4
    analyzer: Annotated[str, Meta(description="Text analysis of an index that is made.")] = "english"
    scheme: Annotated[
        Literal["apikey", "basic", "bearer"], Meta(description="How the key is sent; for basic it is user:password.")
    ] = "apikey"
    batch_size: Annotated[Whole, Meta(description="Documents per request while an index is made.")] = 500


class _Hit(Struct, frozen=True):
    id: str
    score: float | None = None
    source: dict[str, Any] = {}
    found: bool = True

    @classmethod
    def of(cls, hit: dict[str, Any]) -> _Hit:
        return cls(str(hit["_id"]), hit.get("_score"), hit.get("_source") or {}, hit.get("found", True))


class ElasticsearchRetriever(EngineRetriever):
    """An index of Elasticsearch, with the few words that OpenSearch says otherwise in :class:`OpenSearchRetriever`.

    Open one with :func:`open_elasticsearch`.
    """

    kind, name = "elasticsearch", "Elasticsearch"

    def __init__(
        self,
        connection: Connection,
        settings: ElasticsearchSettings,
        corpus: Corpus | None,
        encoder: EngineEncoder | None,
    ):
        self._connection, self._settings, self._encoder = connection, settings, encoder
        made = {} if encoder is None else encoder.identity()
        how = {"k1": settings.k1, "b": settings.b, "analyzer": settings.analyzer} if encoder is None else made
        if settings.index is not None:
            how = {"fields": settings.fields} if encoder is None else made
        elif corpus is None:
            raise InputError(
                f"{self.kind} has no documents to index, since the task set has none; name an index that is there."
            )
        own = {"kind": self.kind, "search": settings.search, **how}
        own |= {} if settings.candidates is None else {"candidates": settings.candidates}
        ours = {"kind": self.kind, **how, "corpus": corpus.fingerprint if corpus else None}
        self.index = settings.index or index_name(ours)
        super().__init__({**own, "index": self.index}, None if settings.index else corpus)

    def close(self) -> None:
        """See :meth:`Retriever.close`."""
        self._connection.close()

    # --- searching

    def ask(self, query: str, k: int) -> Sequence[tuple[float, Document]]:
        """See :meth:`EngineRetriever.ask`."""
        own, settings = self._own is not None, self._settings
        if self._encoder is not None:
            vector = [float(value) for value in self._encoder.query(query)]
            k = min(k + TIES, _DEEPEST)
            candidates = settings.candidates or max(100, 10 * k)
            body = self.nearest(settings.vector_field, vector, k, min(_DEEPEST, max(k, candidates)))
        else:
            fields = [_CONTENTS] if own else settings.fields.split("+")
            one = {"match": {fields[0]: {"query": query}}}
            body = {"query": one if len(fields) == 1 else {"multi_match": {"query": query, "fields": fields}}}
            if own:  # equal scores come by id, at the last place too
                body |= {"sort": ["_score", "docid"], "track_scores": True}
        shown = False if own else [settings.title_field, settings.text_field]
        path = f"/{segment(self.index)}/_search?filter_path={_FILTER}"
        reply = self._read(self._connection.ask(path, {**body, "size": k, "_source": shown}))
        hits = [_Hit.of(hit) for hit in reply.get("hits", {}).get("hits", [])]
        return [(hit.score or 0.0, self._document(hit)) for hit in hits]

    def nearest(self, field: str, vector: list[float], k: int, candidates: int) -> dict[str, Any]:
        """The body of a search by vector."""
        return {"knn": {"field": field, "query_vector": vector, "k": k, "num_candidates": candidates}}

    def fetch(self, docid: str) -> Document:
        """See :meth:`EngineRetriever.fetch`."""
        reply = self._read(self._connection.ask(f"/{segment(self.index)}/_mget", {"ids": [docid]}))
        hits = [_Hit.of(hit) for hit in reply.get("docs", [])]
        if not hits or not hits[0].found:
            raise UnknownDocument(f"the index {self.index} of {self._connection.url} has no document {docid!r}")
        return self._document(hits[0])

    def _document(self, hit: _Hit) -> Document:
        if self._own is not None:
            return Document(id=hit.id, text="")  # the corpus has it
        settings = self._settings
        document = document_from(hit.source, hit.id, title=settings.title_field, text=settings.text_field)
        if document is None:
            raise self._connection.failure(
                f"has no text in the field {settings.text_field!r} of document {hit.id!r} in {self.index}; name the "
                "field by text_field"
            )
        return document

    def _read(self, response: Any) -> dict[str, Any]:
        if response.status_code == 404:
            raise self._connection.failure(f"has no index {self.index!r}")
        if response.status_code in (401, 403):
            raise self._connection.failure(f"does not accept the key (HTTP {response.status_code})")
        reply: dict[str, Any] = self._connection.read(response, dict[str, Any], f"did not answer as {self.name} does")
        return reply

    # --- indexing

    def ensure(self, corpus: Corpus | None, progress: ProgressCallback | None) -> None:
        """Makes or completes the index of the corpus; one that is named is looked at, and never written to."""
        path = f"/{segment(self.index)}"
        if self._own is None:
            count = int(self._read(self._connection.ask(f"{path}/_count")).get("count", -1))
            name = f"the index {self.index} of {self.kind}"
            self._description["corpus"] = corpus_of(name, corpus, self.fetch, count)
            return
        self._description["corpus"] = self._own.fingerprint
        if self._connection.ask(path, method="HEAD").status_code == 404:
            created = self._connection.ask(path, self.mapping(), "PUT")
            if "resource_already_exists" not in created.text:  # as another process may have made it meanwhile
                self._read(created)
        done = self._count(path)
        for _, documents, vectors in batches(self._own, self._encoder, done, self._settings.batch_size, progress):
            lines: list[Any] = []
            for row, document in enumerate(documents):
                fields: dict[str, Any] = {"docid": document.id, "title": document.title, "text": document.text}
                if vectors is not None:
                    fields[self._settings.vector_field] = [float(value) for value in vectors[row]]
                lines += [{"index": {"_id": document.id}}, fields]
            self._written(self._read(self._connection.ask(f"{path}/_bulk", lines)))
        if done < len(self._own) != (count := self._count(path)):
            raise self._connection.failure(f"holds {count:,} of {len(self._own):,} documents in {self.index}")
        if done > len(self._own):
            raise self._connection.failure(
                f"holds others in {self.index}, which is ours by its name; delete that index"
            )

    def mapping(self) -> dict[str, Any]:
        """The settings and fields of an index of ours: one shard, so that words count as in the whole corpus."""
        contents = {"type": "text", "copy_to": _CONTENTS, "index": False}
        properties: dict[str, Any] = {"docid": {"type": "keyword"}, "title": contents, "text": contents}
        properties[_CONTENTS] = {"type": "text", "analyzer": self._settings.analyzer}
        if self._encoder is not None:
            properties[self._settings.vector_field] = self.vectors(len(self._encoder.query("a trial")))
        similarity = {"type": "BM25", "k1": self._settings.k1, "b": self._settings.b}
        return {
            "settings": {"index": {"number_of_shards": 1, "similarity": {"default": similarity}, **self.extra()}},
            "mappings": {"dynamic": False, "properties": properties},
        }

    def vectors(self, dimensions: int) -> dict[str, Any]:
        """The field of vectors."""
        return {"type": "dense_vector", "dims": dimensions, "index": True, "similarity": "cosine"}

    def extra(self) -> dict[str, Any]:
        """Further settings of an index of ours."""
        return {}

    def _count(self, path: str) -> int:
        self._read(self._connection.ask(f"{path}/_refresh", method="POST"))
        return int(self._read(self._connection.ask(f"{path}/_count")).get("count", -1))

    def _written(self, reply: dict[str, Any]) -> None:
        for item in reply.get("items", []) if reply.get("errors") else []:
            result = item.get("index", {})
            if "error" in result:
                reason = result["error"].get("reason", "no reason given")
                raise self._connection.failure(f"did not take document {result.get('_id')!r}: {reason}")


class OpenSearchRetriever(ElasticsearchRetriever):
    """An index of OpenSearch, whose vectors are those of its k-NN plugin."""

    kind, name = "opensearch", "OpenSearch"

    def nearest(self, field: str, vector: list[float], k: int, candidates: int) -> dict[str, Any]:
        """See :meth:`ElasticsearchRetriever.nearest`."""
        return {"query": {"knn": {field: {"vector": vector, "k": candidates}}}}

    def vectors(self, dimensions: int) -> dict[str, Any]:
        """See :meth:`ElasticsearchRetriever.vectors`."""
        method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
        return {"type": "knn_vector", "dimension": dimensions, "method": method}

    def extra(self) -> dict[str, Any]:
        """See :meth:`ElasticsearchRetriever.extra`."""
        return {} if self._encoder is None else {"knn": True}


def _opened(
    kind: type[ElasticsearchRetriever],
    corpus: Corpus | None,
    settings: ElasticsearchSettings,
    progress: ProgressCallback | None,
) -> ElasticsearchRetriever:
    key = read_token(settings.api_key_env)
    if key is not None and settings.scheme == "basic":
        key = base64.b64encode(key.encode()).decode()
    scheme = {"apikey": "ApiKey", "basic": "Basic", "bearer": "Bearer"}[settings.scheme]
    connection = Connection(
        settings.url, name=kind.name, timeout=settings.timeout, attempts=settings.attempts,
        headers=None if key is None else {"authorization": f"{scheme} {key}"},
    )  # fmt: skip
    encoder = open_encoder(settings.encoder) if settings.search == "knn" else None
    retriever = kind(connection, settings, corpus, encoder)
    with opening(
        "start it there, or correct the url, the index, or api_key_env and scheme; rerun the same command, and what is "
        "indexed is kept"
    ):
        retriever.ensure(corpus, progress)
    return retriever


@takes_settings("elasticsearch", ElasticsearchSettings, own_documents=True)
def open_elasticsearch(
    corpus: Corpus | None, indexes: Path, settings: ElasticsearchSettings, progress: ProgressCallback | None
) -> ElasticsearchRetriever:
    """Opens ``elasticsearch``."""
    return _opened(ElasticsearchRetriever, corpus, settings, progress)


@takes_settings("opensearch", ElasticsearchSettings, own_documents=True)
def open_opensearch(
    corpus: Corpus | None, indexes: Path, settings: ElasticsearchSettings, progress: ProgressCallback | None
) -> ElasticsearchRetriever:
    """Opens ``opensearch``."""
    return _opened(OpenSearchRetriever, corpus, settings, progress)
