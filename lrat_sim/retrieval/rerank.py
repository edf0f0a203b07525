"""A cross-encoder over any retriever: reads query and document together, and so ranks few documents well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever, check_search, ranked
from lrat_sim.retrieval.hardware import Device, device_named
from lrat_sim.retrieval.pair_scorer import PairForm, Scorer, load_cross_encoder
from lrat_sim.retrieval.query_text import PLAIN, QueryText, TextName, described_text, text_of
from lrat_sim.retrieval.registry import open_retriever, takes_settings, trained_text
from lrat_sim.settings import Whole


class RerankSettings(PairForm, frozen=True, kw_only=True):
    """Settings of ``rerank``."""

    model: Annotated[str, Meta(description="Folder or hub id of a cross-encoder, or of a language model that judges.")]
    base: Annotated[str, Meta(description="The retriever whose hits are reranked.")] = "dense"
    depth: Annotated[Whole, Meta(description="Hits taken from the base, or k where that is more.")] = 50
    max_length: Annotated[
        Annotated[int, Meta(ge=8, le=1_000_000_000)] | None,
        Meta(description="Tokens of query and document together; by default the model's own limit."),
    ] = None
    query_text: QueryText = None
    # in bfloat16 many scores of one query are equal
    dtype: Annotated[
        Literal["auto", "float32", "float16", "bfloat16"],
        Meta(description="Precision of the model; auto: float16 on a GPU, else float32."),
    ] = "float32"
    device: Device = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.irrelevant is not None and self.relevant is None:
            raise InputError("irrelevant is given without relevant; name both answers, or neither.")
        if self.template is None and (self.prefix or self.suffix or self.instruction):
            raise InputError(
                "prefix, suffix and instruction belong to a template; give one, with {query} and {document}."
            )
        if self.template is not None and not all(slot in "".join(self.template) for slot in ("{query}", "{document}")):
            raise InputError(f"template is {self.template!r}; it must hold {{query}} and {{document}}.")


class RerankRetriever(Retriever):
    """Ranks the best hits of another retriever by a cross-encoder's score of (query, document), before any activation.

    A document is read as it is indexed: title, line break, text.  An empty query keeps the order of the base.
    """

    def __init__(self, base: Retriever, scorer: Scorer, depth: int = 50, query_text: TextName | None = None):
        self.base, self.scorer, self.depth, self.query_text = base, scorer, depth, query_text
        self.corpus: Corpus | None = getattr(base, "corpus", None)

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        own = {"depth": self.depth, **self.scorer.identity, **described_text(self.query_text)}
        return {"kind": "rerank", "base": self.base.describe(), **own}

    def for_task(self, task: Task) -> RerankRetriever:
        """See :meth:`Retriever.for_task`; passed on to the base."""
        base = self.base.for_task(task)
        same = base is self.base
        return self if same else RerankRetriever(base, self.scorer, self.depth, self.query_text)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`."""
        check_search(queries, k)
        lists = self.base.search(queries, max(k, self.depth))
        return [self._reranked(query, hits, k) for query, hits in zip(queries, lists, strict=True)]

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`."""
        return self.base.document(docid)

    def close(self) -> None:
        """See :meth:`Retriever.close`."""
        self.base.close()

    def _reranked(self, query: str, hits: list[Hit], k: int) -> list[Hit]:
        if not hits or not query.strip():
            return hits[:k]
        docids = tuple(sorted(hit.docid for hit in hits))  # so that equal sets of documents are remembered as one
        texts = tuple(passage_text(self.base.document(docid)) for docid in docids)
        scores = self.scorer.scores(text_of(self.query_text or PLAIN, query), texts)
        return ranked(list(zip(scores, docids, strict=True)), k)


@takes_settings("rerank", RerankSettings)
def open_rerank(
    corpus: Corpus, indexes: Path, settings: RerankSettings, progress: ProgressCallback | None
) -> RerankRetriever:
    """Opens ``rerank``."""
    folder, device = Path(settings.model), device_named(settings.device)
    dtype = settings.dtype
    if dtype == "auto":
        dtype = "float16" if device.startswith("cuda") else "float32"
    model = load_cross_encoder(settings.model, device, max_length=settings.max_length, form=settings, dtype=dtype)
    scorer = Scorer(model, folder.resolve().name if folder.is_dir() else settings.model, settings)
    base = open_retriever(settings.base, corpus, indexes, progress=progress)
    text = trained_text(settings.model, "rerank", settings.query_text)
    return RerankRetriever(base, scorer, settings.depth, text)
