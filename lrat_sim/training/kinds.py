"""The two kinds of model in training, an encoder and a reranker, and what the training loop must know of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from sentence_transformers import util
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from torch import nn

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError
from lrat_sim.retrieval.encoder import DOCUMENT_PROMPTS, QUERY_PROMPTS, load_model, prompt_of
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.retrieval.pair_scorer import load_cross_encoder
from lrat_sim.training.data import BUCKET, Batch, Example, Features, PairDataset, buckets, columns_of
from lrat_sim.training.distributed import share
from lrat_sim.training.folder import METRIC
from lrat_sim.training.loss import CachedWeightedInfoNCE, Distillation, WeightedInfoNCE, WeightedListwise
from lrat_sim.training.model import save_encoder
from lrat_sim.training.settings import TrainingSettings

_HELD_OUT, _FURTHER_DOCUMENTS, _DEPTH = 500, 500, 100


class Encoder:
    """A SentenceTransformer that is trained in place on pairs; lengths are cut to the limit of the base model."""

    kind = "encoder"

    def __init__(self, base_model: str | Path, dataset: PairDataset, settings: TrainingSettings):
        self.dataset, self.settings = dataset, settings
        self.model: Any = load_model(base_model, **_attention(settings))
        for name, prompt in (("query", settings.query_prompt), ("document", settings.document_prompt)):
            if prompt is not None:
                self.model.prompts[name] = prompt
        names = {"query": QUERY_PROMPTS, "document": DOCUMENT_PROMPTS}
        self._prompts = {task: prompt_of(self.model, *known) for task, known in names.items()}
        self._lengths = lengths(self.model, settings)
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
        return dict(self.model.preprocess(texts, prompt=self._prompts[task], task=task, max_length=self._lengths[task]))

    def loss(self) -> nn.Module:
        """The weighted contrastive loss, with a distillation term where there is a teacher."""
        settings = self.settings
        options: dict[str, Any] = {
            "temperature": settings.temperature,
            "similarity": settings.similarity,
            "in_batch_negatives": settings.in_batch_negatives,
        }
        if settings.teacher:
            options["distillation"] = Distillation(settings.distillation, settings.distillation_weight)
        if settings.mini_batch_size is None:
            return WeightedInfoNCE(self.model, **options)
        return CachedWeightedInfoNCE(self.model, mini_batch_size=settings.mini_batch_size, **options)

    def evaluator(self) -> Callable[[Any], dict[str, float]] | None:
        """Measures a model by search for the held-out queries; None where there are none."""
        held_out = self.dataset.development
        return HeldOutSearch(held_out, self.dataset.corpus, self.settings) if held_out else None

    def save(self, folder: Path) -> None:
        """Writes the model; whoever loads it encodes documents at the length they were trained at."""
        self.model.max_seq_length = self._lengths["document"]
        save_encoder(self.model, folder)


def _attention(settings: TrainingSettings) -> dict[str, Any]:
    """With another attention than the usual the first encoding must be on the device that has it."""
    attention = settings.attn_implementation
    return {"device": best_device() if attention else "cpu", "attention": attention}


def lengths(model: Any, settings: TrainingSettings) -> dict[str, int]:
    """Tokens of a query and of a document."""
    limit = model.max_seq_length or math.inf
    wanted = {"query": settings.max_query_length, "document": settings.max_document_length}
    return {task: int(min(length, limit)) for task, length in wanted.items()}


class HeldOutSearch(InformationRetrievalEvaluator):
    """Queries of held-out questions with their positives, and a sample of the corpus in which to find them.

    The sample holds the positives and mined negatives of at most 500 pairs, and 500 more documents; texts that occur
    under two ids are one.
    """

    def __init__(self, examples: list[Example], corpus: Corpus, settings: TrainingSettings):
        generator = numpy.random.default_rng([settings.seed, 2])
        if len(examples) > _HELD_OUT:
            chosen = sorted(generator.choice(len(examples), size=_HELD_OUT, replace=False).tolist())
            examples = [examples[index] for index in chosen]
        rows = dict.fromkeys(row for example in examples for row in example.documents)
        further = generator.choice(len(corpus), size=min(_FURTHER_DOCUMENTS, len(corpus)), replace=False)
        texts = {row: passage_text(corpus[row]) for row in (*rows, *further.tolist())}
        ids = {text: str(index) for index, text in enumerate(dict.fromkeys(texts.values()))}
        relevant: dict[str, set[str]] = {}
        for example in examples:
            relevant.setdefault(example.query, set()).add(ids[texts[example.positive]])
        super().__init__(
            queries={query: query for query in relevant},
            corpus={docid: text for text, docid in ids.items()},
            relevant_docs=relevant,
            score_functions={"similarity": util.cos_sim if settings.similarity == "cosine" else util.dot_score},
            batch_size=64,
            mrr_at_k=[_DEPTH],
            write_csv=False,
        )
        self.settings = settings

    def embed_inputs(self, model: Any, sentences: Any, encode_fn_name: Any = None, *args: Any, **options: Any) -> Any:
        """With a length of their own for queries and for documents."""
        own, model.max_seq_length = model.max_seq_length, lengths(model, self.settings)[encode_fn_name]
        try:
            return super().embed_inputs(model, sentences, encode_fn_name, *args, **options)
        finally:
            model.max_seq_length = own

    def __call__(self, model: Any, *args: Any, **options: Any) -> dict[str, float]:
        """The means over the queries, as the model's weights are now."""
        figures = super().__call__(model, *args, **options)
        return {METRIC: float(figures["similarity_ndcg@10"]), "RR": float(figures[f"similarity_mrr@{_DEPTH}"])}


class Reranker:
    """A CrossEncoder that is trained in place on pairs; an encoder as base gets a new output, drawn at random.

    The lengths of query and passage are one limit together; settings that only encoders have are refused.
    """

    kind = "reranker"

    def __init__(self, base_model: str | Path, dataset: PairDataset, settings: TrainingSettings):
        usual = TrainingSettings()
        for name in ("mini_batch_size", "lora_rank", "query_prompt", "document_prompt", "base_share", "teacher"):
            if getattr(settings, name) != getattr(usual, name):
                raise InputError(f"the training setting {name} is for encoders, not for rerankers; leave it out.")
        if settings.in_batch_negatives:
            raise InputError("in_batch_negatives is on, but a reranker scores no others than mined ones; turn it off.")
        self.dataset, self.settings = dataset, settings
        torch.manual_seed(settings.seed)
        self.model: Any = load_cross_encoder(base_model, **_attention(settings))
        self._length = min(settings.max_query_length + settings.max_document_length, self.model.max_seq_length or 512)

    def collate(self, examples: list[Example]) -> Batch:
        """Each pair's query with its positive and with each negative."""
        texts, labels = columns_of(
            examples, [[(example.query, text) for text in self.dataset.passages(example)] for example in examples]
        )
        return Batch(buckets(texts, self._tokenised), labels)

    def _tokenised(self, texts: list[tuple[str, str]]) -> Features:
        return dict(self.model.preprocess(texts, max_length=self._length))

    def loss(self) -> nn.Module:
        """The weighted loss over each pair's own group."""
        return WeightedListwise(self.model, temperature=self.settings.temperature)

    def evaluator(self) -> Callable[[Any], dict[str, float]] | None:
        """How high each held-out pair's positive comes among its own mined negatives."""
        samples: list[dict[str, str | list[str]]] = []
        for example in [example for example in self.dataset.development if example.negatives][:_HELD_OUT]:
            positive, *negatives = self.dataset.passages(example)
            samples.append({"query": example.query, "positive": [positive], "negative": negatives})
        if not samples:
            return None
        evaluator = CrossEncoderRerankingEvaluator(samples, at_k=10, write_csv=False)

        def measure(model: Any) -> dict[str, float]:
            figures = evaluator(model)
            return {METRIC: float(figures["ndcg@10"]), "RR@10": float(figures["mrr@10"])}

        return measure

    def documents(self) -> Iterator[Features]:
        """None: a query and a passage are read together, and so differ from batch to batch."""
        return iter(())

    def save(self, folder: Path) -> None:
        """Writes the model as sentence-transformers does."""
        self.model.save_pretrained(str(folder), create_model_card=False)


Trainee = Encoder | Reranker

KINDS: dict[str, type[Encoder] | type[Reranker]] = {"encoder": Encoder, "reranker": Reranker}
RETRIEVERS = {"encoder": "dense", "reranker": "rerank"}
"""The retriever that searches with each kind of model."""
