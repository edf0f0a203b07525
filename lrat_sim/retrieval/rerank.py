"""A cross-encoder over any retriever: reads query and document together, and so ranks few documents well."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from sentence_transformers import CrossEncoder

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Hit, Task
from lrat_sim.retrieval.base import LocalRetriever, Retriever, ranked
from lrat_sim.retrieval.encoder import half_for_flash, loading, weights_fingerprint
from lrat_sim.retrieval.hardware import Device, device_named
from lrat_sim.retrieval.query_text import QueryText, TextName, described_text
from lrat_sim.retrieval.registry import open_retriever, takes_settings, trained_text
from lrat_sim.settings import Settings, Whole

_REMEMBERED_QUERIES = 4096
_AT_ONCE = 32


class RerankSettings(Settings, frozen=True, kw_only=True):
    """Settings of ``rerank``."""

    model: Annotated[str, Meta(description="Folder or hub id of a cross-encoder with one output.")]
    base: Annotated[str, Meta(description="The retriever whose hits are reranked.")] = "dense"
    depth: Annotated[Whole, Meta(description="Hits taken from the base, or k where that is more.")] = 50
    max_length: Annotated[
        Annotated[int, Meta(ge=8, le=1_000_000_000)] | None,
        Meta(description="Tokens of query and document together; by default the model's own limit."),
    ] = None
    query_text: QueryText = None
    device: Device = "auto"


class RerankRetriever(LocalRetriever):
    """Ranks the best hits of another retriever by a cross-encoder's score of (query, document), before any activation.

    A document is read as it is indexed: title, line break, text.  An empty query keeps the order of the base.
    """

    def __init__(
        self, corpus: Corpus, base: Retriever, scorer: Scorer, depth: int = 50, query_text: TextName | None = None
    ):
        own = {"depth": depth, **scorer.identity, **described_text(query_text)}
        super().__init__(corpus, {"kind": "rerank", "base": base.describe(), **own})
        self.base, self.scorer, self.depth, self.query_text = base, scorer, depth, query_text

    def for_task(self, task: Task) -> RerankRetriever:
        """See :meth:`Retriever.for_task`; passed on to the base."""
        base = self.base.for_task(task)
        same = base is self.base
        return self if same else RerankRetriever(self.corpus, base, self.scorer, self.depth, self.query_text)

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        lists = self.base.search(queries, max(k, self.depth))
        return [self._reranked(query, hits, k) for query, hits in zip(queries, lists, strict=True)]

    def _reranked(self, query: str, hits: list[Hit], k: int) -> list[Hit]:
        if not hits or not query.strip():
            return hits[:k]
        docids = tuple(sorted(hit.docid for hit in hits))  # so that equal sets are scored in equal batches
        texts = tuple(passage_text(self.corpus.document(docid)) for docid in docids)
        return ranked(list(zip(self.scorer.scores(self.reads(query), texts), docids, strict=True)), k)


class Scorer:
    """Scores texts for one query at a time, since a batch rounds each of its rows differently than another would."""

    def __init__(self, model: CrossEncoder, name: str):
        self._model = model
        self.identity = {
            "model": name,
            "weights": weights_fingerprint(model),
            "vocabulary": fingerprint(model.tokenizer.get_vocab()),
            "max_length": model.max_seq_length,
        }
        self._lock = threading.Lock()  # a tokenizer keeps state while it works; torch uses all cores for one query
        # agents word the same query again
        self.scores = lru_cache(maxsize=_REMEMBERED_QUERIES)(self._scores)

    def _scores(self, query: str, texts: tuple[str, ...]) -> tuple[float, ...]:
        clean = query.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text to a tokenizer
        with self._lock:
            scores = self._model.predict(
                [(clean, text) for text in texts],
                activation_fn=torch.nn.Identity(),
                batch_size=_AT_ONCE,
                show_progress_bar=False,
            )
        if not np.isfinite(scores).all():
            raise RetrieverError(f"the cross-encoder gave no finite score for the query {query[:80]!r}")
        return tuple(float(score) for score in scores)


def load_cross_encoder(
    model: str | Path, device: str, *, max_length: int | None = None, attention: str | None = None
) -> CrossEncoder:
    """A cross-encoder with one output, loaded as :func:`lrat_sim.retrieval.encoder.load_model` loads an encoder."""
    with loading(model, "cross-encoder", "a folder of one", attention) as options:
        loaded: CrossEncoder = CrossEncoder(str(model), device=device, max_length=max_length, **options).float()
        with half_for_flash(device, attention):
            loaded.predict([("a", "trial")], show_progress_bar=False)  # parts that do not fit together fail only here
    if loaded.num_labels != 1:
        raise InputError(f"the cross-encoder {model} has {loaded.num_labels} outputs; give one with a single score.")
    return loaded


@takes_settings("rerank", RerankSettings)
def open_rerank(
    corpus: Corpus, indexes: Path, settings: RerankSettings, progress: ProgressCallback | None
) -> RerankRetriever:
    """Opens ``rerank``."""
    folder = Path(settings.model)
    model = load_cross_encoder(settings.model, device_named(settings.device), max_length=settings.max_length)
    scorer = Scorer(model, folder.resolve().name if folder.is_dir() else settings.model)
    base = open_retriever(settings.base, corpus, indexes, progress=progress)
    text = trained_text(settings.model, "rerank", settings.query_text)
    return RerankRetriever(corpus, base, scorer, settings.depth, text)
