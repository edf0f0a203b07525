"""What training must know of an encoder: of one with a vector for a text, for a token, or over a vocabulary.

:class:`Encoder` has what they share, and is the first of them; the others say how they are loaded, what loss they have,
how two texts are compared, and how they are saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import util
from sentence_transformers.util.similarity import maxsim
from torch import Tensor, nn

from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import InputError
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.retrieval.loading import DOCUMENT_PROMPTS, QUERY_PROMPTS, load_model, prompt_of
from lrat_sim.retrieval.multivector import load_multivector, set_lengths
from lrat_sim.retrieval.sparse import load_sparse
from lrat_sim.training.data import BUCKET, Batch, Example, Features, PairDataset, buckets, columns_of
from lrat_sim.training.distributed import share
from lrat_sim.training.held_out import HeldOutSearch
from lrat_sim.training.loss import CachedWeightedInfoNCE, Distillation, WeightedInfoNCE
from lrat_sim.training.loss_kinds import CachedWeightedMaxSim, CachedWeightedSplade, WeightedMaxSim, WeightedSplade
from lrat_sim.training.model import save_encoder
from lrat_sim.training.settings import ONLY_SPARSE, Kind, TrainingSettings


class Encoder:
    """A SentenceTransformer that is trained in place on pairs; lengths are cut to the limit of the base model.

    A further kind overrides what stands first.
    """

    kind: Kind = "encoder"
    losses: tuple[type[Any], type[Any]] = (WeightedInfoNCE, CachedWeightedInfoNCE)
    """The loss, and the same in little memory."""

    def load(self, base_model: str | Path) -> Any:
        """The base model in fp32."""
        return load_model(base_model, **attention(self.settings))

    def lengths(self) -> dict[str, int]:
        """Tokens of a query and of a document."""
        limit = self.model.max_seq_length or math.inf
        wanted = {"query": self.settings.max_query_length, "document": self.settings.max_document_length}
        return {task: int(min(length, limit)) for task, length in wanted.items()}

    def options(self) -> dict[str, Any]:
        """Of the loss."""
        settings = self.settings
        return {
            "temperature": settings.temperature,
            "similarity": settings.similarity,
            "in_batch_negatives": settings.in_batch_negatives,
        }

    def compare(self, queries: Any, documents: Any) -> Tensor:
        """The scores by which a search would rank, (queries, documents)."""
        scores: Tensor = (util.cos_sim if self.settings.similarity == "cosine" else util.dot_score)(queries, documents)
        return scores

    def save(self, folder: Path) -> None:
        """Writes the model; whoever loads it encodes documents at the length they were trained at."""
        self.model.max_seq_length = self._lengths["document"]
        save_encoder(self.model, folder)

    def __init__(self, base_model: str | Path, dataset: PairDataset, settings: TrainingSettings):
        refuse_only_sparse(settings, self.kind)
        self.dataset, self.settings = dataset, settings
        torch.manual_seed(settings.seed)  # of parts that the base model lacks
        self.model: Any = self.load(base_model)
        for name, prompt in (("query", settings.query_prompt), ("document", settings.document_prompt)):
            if prompt is not None:
                self.model.prompts[name] = prompt
        names = {"query": QUERY_PROMPTS, "document": DOCUMENT_PROMPTS}
        self._prompts = {task: prompt_of(self.model, *known) for task, known in names.items()}
        self._lengths = self.lengths()
        self.query_length = self._lengths["query"]

    def collate(self, examples: list[Example]) -> Batch:
        """Queries and documents under the model's own prompts, each distinct document once."""
        documents, labels = columns_of(examples, [self.dataset.passages(example) for example in examples])
        queries = self._tokenised("query", share([example.query for example in examples]))
        return Batch([queries, *buckets(documents, partial(self._tokenised, "document"))], labels)

    def documents(self) -> Iterator[Features]:
        """The documents of all pairs, tokenised, in the order of the corpus."""
        rows = sorted({row for example in self.dataset.examples for row in example.documents})
        for start in range(0, len(rows), BUCKET):
            texts = [passage_text(self.dataset.corpus[row]) for row in rows[start : start + BUCKET]]
            yield self._tokenised("document", texts)

    def _tokenised(self, task: str, texts: list[str]) -> Features:
        given = {"prompt": self._prompts[task], "task": task, "max_length": self._lengths[task]}
        return {**self.model.preprocess(texts, **given), **self.marked(task)}

    def marked(self, task: str) -> dict[str, str]:
        """What a column of texts names beside its tokens."""
        return {}

    def loss(self) -> nn.Module:
        """The weighted contrastive loss, with a distillation term where there is a teacher."""
        settings, options, (plain, cached) = self.settings, self.options(), self.losses
        if settings.teacher:
            options["distillation"] = Distillation(settings.distillation, settings.distillation_weight)
        if settings.mini_batch_size is None:
            chosen: nn.Module = plain(self.model, **options)
        else:
            chosen = cached(self.model, mini_batch_size=settings.mini_batch_size, **options)
        return chosen

    def evaluator(self) -> Callable[[Any], dict[str, float]] | None:
        """Measures a model by search for the held-out queries; None where there are none."""
        if not (held_out := self.dataset.development):
            return None
        return HeldOutSearch(held_out, self.dataset.corpus, self.settings.seed, self.compare, self._lengths)


class MultiVector(Encoder):
    """A MultiVectorEncoder; of any other encoder it is the transformer with a projection that is drawn at random."""

    kind: Kind = "multivector"
    losses = (WeightedMaxSim, CachedWeightedMaxSim)

    def load(self, base_model: str | Path) -> Any:
        """See :meth:`Encoder.load`."""
        return load_multivector(base_model, **attention(self.settings))

    def lengths(self) -> dict[str, int]:
        """See :meth:`Encoder.lengths`; a model that pads its queries to a fixed length keeps that."""
        within = super().lengths()
        return set_lengths(self.model, "the base model", within["query"], within["document"])

    def marked(self, task: str) -> dict[str, str]:
        """See :meth:`Encoder.marked`; the model masks the tokens of queries and of documents differently."""
        return {"task": task}

    def compare(self, queries: Any, documents: Any) -> Tensor:
        """See :meth:`Encoder.compare`."""
        scores: Tensor = maxsim(queries, documents)
        return scores

    def save(self, folder: Path) -> None:
        """Writes the model as sentence-transformers does; its lengths are those of training."""
        self.model.save_pretrained(str(folder), create_model_card=False)


class Sparse(Encoder):
    """A SparseEncoder, inference-free or not; search compares its vectors by their product, and so does training."""

    kind: Kind = "sparse"
    losses = (WeightedSplade, CachedWeightedSplade)

    def load(self, base_model: str | Path) -> Any:
        """See :meth:`Encoder.load`."""
        if self.settings.similarity != "dot":
            raise InputError(
                f"the training setting similarity is {self.settings.similarity!r}, but sparse vectors are searched by "
                "their product; use the recipe train-sparse, or set similarity to dot and temperature to about 1."
            )
        return load_sparse(base_model, **attention(self.settings))

    def options(self) -> dict[str, Any]:
        """See :meth:`Encoder.options`; with the penalties for vectors that are not sparse."""
        return {**super().options(), **{name: getattr(self.settings, name) for name in ONLY_SPARSE}}

    def compare(self, queries: Any, documents: Any) -> Tensor:
        """See :meth:`Encoder.compare`."""
        return util.dot_score(queries, documents).to_dense()

    def save(self, folder: Path) -> None:
        """Writes the model as sentence-transformers does."""
        self.model.max_seq_length = self._lengths["document"]
        self.model.save_pretrained(str(folder), create_model_card=False)


def refuse_only_sparse(settings: TrainingSettings, kind: Kind) -> None:
    """Refuses, for any other kind, settings that only sparse encoders have."""
    usual = TrainingSettings()
    for name in ONLY_SPARSE:
        if kind != "sparse" and getattr(settings, name) != getattr(usual, name):
            raise InputError(f"the training setting {name} is for sparse encoders, not for kind {kind}; leave it out.")


def attention(settings: TrainingSettings) -> dict[str, Any]:
    """With another attention than the usual the first encoding must be on the device that has it."""
    chosen = settings.attn_implementation
    return {"device": best_device() if chosen else "cpu", "attention": chosen}
