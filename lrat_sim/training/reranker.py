"""What training must know of a reranker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from torch import nn

from lrat_sim.errors import InputError
from lrat_sim.retrieval.pair_scorer import load_cross_encoder
from lrat_sim.training.data import Batch, Example, Features, PairDataset, buckets, columns_of
from lrat_sim.training.encoders import attention, refuse_only_sparse
from lrat_sim.training.folder import METRIC
from lrat_sim.training.held_out import HELD_OUT
from lrat_sim.training.loss import WeightedListwise
from lrat_sim.training.settings import Kind, TrainingSettings


class Reranker:
    """A CrossEncoder that is trained in place on pairs; an encoder as base gets a new output, drawn at random.

    The lengths of query and passage are one limit together; settings that only encoders have are refused.
    """

    kind: Kind = "reranker"

    def __init__(self, base_model: str | Path, dataset: PairDataset, settings: TrainingSettings):
        refuse_only_sparse(settings, self.kind)
        usual = TrainingSettings()
        for name in ("mini_batch_size", "lora_rank", "query_prompt", "document_prompt", "base_share", "teacher"):
            if getattr(settings, name) != getattr(usual, name):
                raise InputError(f"the training setting {name} is for encoders, not for rerankers; leave it out.")
        if settings.in_batch_negatives:
            raise InputError("in_batch_negatives is on, but a reranker scores no others than mined ones; turn it off.")
        self.dataset, self.settings = dataset, settings
        torch.manual_seed(settings.seed)
        self.model: Any = load_cross_encoder(base_model, **attention(settings))
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
        for example in [example for example in self.dataset.development if example.negatives][:HELD_OUT]:
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
