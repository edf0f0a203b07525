"""Dense search: an encoder, the vectors of the corpus, the nearest ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from lrat_sim import catalog
from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import RetrieverError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Hit
from lrat_sim.retrieval.base import LocalRetriever
from lrat_sim.retrieval.faiss_index import faiss_search, import_faiss
from lrat_sim.retrieval.hardware import Device, device_named, gains_from_bf16
from lrat_sim.retrieval.index import ensure_index, read_card
from lrat_sim.retrieval.nearest import ExactSearch, Search, SpreadSearch
from lrat_sim.retrieval.prebuilt import prebuilt_identity, prebuilt_vectors
from lrat_sim.retrieval.query_text import PLAIN, QueryText, described_text
from lrat_sim.retrieval.registry import is_recipe, own_options, takes_settings, trained_text
from lrat_sim.retrieval.shards import rows_a_shard
from lrat_sim.retrieval.vectors import (
    Dtype,
    Encoder,
    Matrix,
    Vectors,
    VectorSettings,
    encode_corpus,
    write_shards,
)
from lrat_sim.settings import Settings
from lrat_sim.text import minilm_folder

S = TypeVar("S", bound=Settings)

_REMEMBERED_QUERIES = 4096
Length = Annotated[int, Meta(ge=4, le=1_000_000_000)]
DocumentsDtype = Annotated[Literal["auto", "float32", "bfloat16"], Meta(description="Documents' precision.")]


class LoadSettings(VectorSettings, frozen=True, kw_only=True):
    """How the files of an encoder are read, where they do not say it themselves, or something else."""

    model: Annotated[str | None, Meta(description="Folder or hub id; by default all-MiniLM-L6-v2.")] = None
    revision: Annotated[str | None, Meta(description="Commit, tag or branch on the hub.")] = None
    pooling: Annotated[
        Literal["last", "mean", "cls"] | None,
        Meta(description="Which tokens make the vector; needed for a model without sentence-transformers files."),
    ] = None
    causal: Annotated[bool | None, Meta(description="Whether a token sees only those before it.")] = None
    end_token: Annotated[
        str | None, Meta(description="Token that ends every text; appended where the tokenizer does not.")
    ] = None
    padding_side: Annotated[Literal["left", "right"] | None, Meta(description="Where short texts are padded.")] = None
    weights: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        Meta(description="Precision of the weights, by default float32; in half precision, all is computed in it."),
    ] = None
    attn_implementation: Annotated[
        str | None,
        Meta(description="Attention of the transformer: eager, sdpa, flash_attention_2 (reads no padding), …"),
    ] = None


class DenseSettings(LoadSettings, frozen=True, kw_only=True):
    """Settings of ``dense``."""

    max_length: Annotated[Length | None, Meta(description="Tokens of a text; by default at most 512.")] = None
    max_query_length: Annotated[Length | None, Meta(description="Tokens of a query, if not max_length.")] = None
    query_prompt: Annotated[str | None, Meta(description="Put before each query; by default the model's own.")] = None
    document_prompt: Annotated[str | None, Meta(description="Put before documents; by default the model's own.")] = None
    query_text: QueryText = None
    # auto takes that of an existing index, else bfloat16 where the machine multiplies in it
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "int8"], Meta(description="Documents' precision.")] = "auto"
    device: Device = "auto"


class DenseRetriever(LocalRetriever):
    """Ranks by the cosine of query and document vectors; an empty query finds nothing.

    Open one with :func:`open_dense`, or over an encoder of your own with :func:`open_vectors`.
    """

    def __init__(self, corpus: Corpus, vectors: Vectors, encoder: Encoder, search: Search, description: dict[str, Any]):
        super().__init__(corpus, description)
        self._vectors, self._encoder, self._nearest = vectors, encoder, search
        # agents word the same query again; a vector depends on the text alone
        self._known: OrderedDict[str, Matrix] = OrderedDict()
        self._known_lock = threading.Lock()

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        results: list[list[Hit]] = [[] for _ in queries]
        filled = [index for index, query in enumerate(queries) if query.strip()]
        if not filled:
            return results
        # half of a surrogate pair, as a broken tool call may hold, is no text to a tokenizer
        texts = [self.reads(queries[index]).encode("utf-8", "replace").decode() for index in filled]
        for index, (rows, scores) in zip(filled, self._nearest(self._encoded(texts), k), strict=True):
            results[index] = self.best(rows, scores, k)
        return results

    def _encoded(self, queries: list[str]) -> Matrix:
        with self._known_lock:
            known = {query: self._known[query] for query in queries if query in self._known}
        if new := [query for query in dict.fromkeys(queries) if query not in known]:
            vectors = self._encoder.queries(new)
            if vectors.shape != (len(new), self._vectors.dimensions):
                problem = f"the queries have vectors of shape {vectors.shape}, the index {self._vectors.dimensions}"
                raise RetrieverError(f"{problem} dimensions")
            for query, vector in zip(new, vectors, strict=True):
                if not np.isfinite(vector).all():
                    raise RetrieverError(f"the encoder gave no finite vector for the query {query[:80]!r}")
                known[query] = vector
        with self._known_lock:
            for query in known:
                self._known[query] = known[query]
                self._known.move_to_end(query)
            while len(self._known) > _REMEMBERED_QUERIES:
                self._known.popitem(last=False)
        return np.stack([known[query] for query in queries])


@takes_settings("dense", DenseSettings)
def open_dense(
    corpus: Corpus, indexes: Path, settings: DenseSettings, progress: ProgressCallback | None
) -> DenseRetriever:
    """Opens ``dense``; each model has a folder of its own under ``indexes``, by its name and where it lies."""
    # not needed by vectors of another kind, and slow to load
    from lrat_sim.retrieval.encoder import SentenceEncoder
    from lrat_sim.retrieval.int8 import sample_of

    settings = with_own_options(settings)
    model = settings.model or str(minilm_folder())
    name, folder = model_index(indexes, "dense", model, settings)
    dtype = documents_dtype(settings.dtype, folder, settings.device)
    encoder = SentenceEncoder(model, settings, dtype, partial(sample_of, corpus))
    return open_vectors(
        {"kind": "dense", "model": name, **described_text(settings.query_text)},
        corpus, folder, encoder, settings, settings.device, progress=progress,
    )  # fmt: skip


def model_index(indexes: Path, kind: str, model: str, settings: Settings) -> tuple[str, Path]:
    """What a model is called, and the folder of its index under ``indexes``, by its name and where it lies."""
    name, suffix = model.replace("/", "--"), ""
    if Path(model) == minilm_folder():
        name = "all-MiniLM-L6-v2"
    elif Path(model).is_dir():  # several models may lie in folders of one name
        path = Path(model).resolve()
        name, suffix = path.name, f"-{fingerprint(str(path))[:8]}"
    if isinstance(settings, LoadSettings):  # the same model read in another way has another index
        read = {*LoadSettings.__struct_fields__, "query_text"} - {*VectorSettings.__struct_fields__, "model"}
        how = {field: value for field in sorted(read) if (value := getattr(settings, field)) not in (None, PLAIN)}
        suffix += f"-{fingerprint(how)[:8]}" if how else ""
    return name, indexes / f"{kind}-{name}{suffix}"


def documents_dtype(asked: Literal["auto"] | Dtype, folder: Path, device: str) -> Dtype:
    """What documents are encoded in; ``auto`` is that of the index in a folder, else bf16 where the device gains."""
    if asked != "auto":
        return asked
    card = read_card(folder)
    known = None if card is None else card.identity.get("dtype")
    if known in ("float32", "bfloat16", "int8"):
        return known  # type: ignore[no-any-return]  # an identity may hold anything
    return "bfloat16" if gains_from_bf16(device_named(device)) else "float32"


def with_own_options(settings: S, kind: str = "dense") -> S:
    """Settings with what the model's own recipe says where they say nothing; see :func:`own_options`.

    Raises:
        InputError: they give another query text than the one that the model was trained on.
    """
    fields = msgspec.structs.asdict(settings)
    model = fields["model"]
    given = {**fields, "query_text": trained_text(model, kind, fields["query_text"])}
    if is_recipe(model or ""):
        given["model"] = None  # the name of a recipe, which names the model
    missing = {field: value for field, value in own_options(model, kind).items() if given.get(field) is None}
    return catalog.checked({**given, **missing}, type(settings), None, f"the recipe of {model}")


def open_vectors(
    description: dict[str, Any],
    corpus: Corpus,
    folder: Path,
    encoder: Encoder,
    settings: VectorSettings | None = None,
    device: str = "auto",
    *,
    progress: ProgressCallback | None = None,
) -> DenseRetriever:
    """A dense retriever over any encoder; encodes what of the corpus is not encoded yet.

    Args:
        description: the retriever's kind and name, to which all that decides its answers is added.
        folder: of this index alone.
        settings: how vectors are stored and searched, or where they come from.
        device: where they are compared.

    Raises:
        InputError: the index is damaged, or faiss is asked for and not installed.
        FingerprintMismatch: the index was built from something else.
    """
    settings = settings or VectorSettings()
    if settings.index not in ("exact", "spread"):
        import_faiss(f"index={settings.index}")  # said before hours of encoding
    rows = rows_a_shard(len(corpus), settings.shard_rows)
    identity = {**encoder.identity(), "corpus": corpus.fingerprint}
    if settings.store != "float32":
        identity["store"] = settings.store
    if settings.vectors is not None:
        identity["vectors"] = prebuilt_identity(settings.vectors)

    def build(folder: Path) -> None:
        if settings.vectors is None:
            encode_corpus(folder, corpus, encoder, rows, progress, settings.store)
            return
        with prebuilt_vectors(settings.vectors, settings.ids, corpus, folder) as vectors_of:
            write_shards(folder, corpus, vectors_of, rows, settings.store, progress)

    stored = {**identity, "shard_rows": rows}
    ensure_index(folder, stored, build, in_shards=True)
    vectors = Vectors(folder, len(corpus), rows, settings.store)
    how: dict[str, Any] = {"index": settings.index}
    if settings.index == "exact":
        search: Search = ExactSearch(vectors, device_named(device))
    elif settings.index == "spread":
        search, how["index"] = SpreadSearch(folder, vectors, stored, device), "exact"  # as far as hits go
    else:
        search = faiss_search(vectors, folder, settings, stored, device_named(device))
        how |= {"search_parameters": settings.search_parameters, "candidates": settings.candidates}
    return DenseRetriever(corpus, vectors, encoder, search, {**description, **identity, **how})
