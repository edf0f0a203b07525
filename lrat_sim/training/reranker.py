"""Trains a cross-encoder on the same pairs: the reranker that every comparison of retrievers should hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from torch import nn

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.passage import passage_text
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Pair
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.retrieval.rerank import load_cross_encoder
from lrat_sim.training.batch import Batch, Features, buckets, columns_of
from lrat_sim.training.data import Example, PairDataset
from lrat_sim.training.loop import METRIC
from lrat_sim.training.loss import WeightedListwise
from lrat_sim.training.settings import TrainingSettings
from lrat_sim.training.trainer import train_model

_DEVELOPMENT_PAIRS = 500


def train_reranker(
    pairs: Iterable[Pair],
    corpus: Corpus,
    base_model: str | Path,
    settings: TrainingSettings,
    folder: Path,
    *,
    progress: ProgressCallback | None = None,
) -> Path:
    """Trains a cross-encoder on pairs and writes it as a folder that ``CrossEncoder(path)`` and ``rerank`` load.

    Its loss is :class:`lrat_sim.training.loss.WeightedListwise`.  Everything else is as in
    :func:`lrat_sim.training.trainer.train`: resume, several processes, held-out questions, the record and the card.

    Args:
        pairs: read once, in order.
        corpus: holds every positive and negative.
        base_model: an encoder (``all-MiniLM-L6-v2``), which gets a new output, or a cross-encoder with one.
        settings: the recipe (``train-reranker``); ``in_batch_negatives`` must be off, since a document is scored only
            with the queries it was mined for.
        folder: where the model goes.
        progress: told (steps done, all steps, the loss of the last one in words).

    Raises:
        InputError: as for an encoder; or a setting is given that only encoders have.
        FingerprintMismatch: the folder holds another model.
    """
    usual = TrainingSettings()
    for name in ("mini_batch_size", "lora_rank", "query_prompt", "document_prompt", "base_share", "teacher"):
        if getattr(settings, name) != getattr(usual, name):
            raise InputError(f"the training setting {name} is for encoders, not for rerankers; leave it out.")
    if settings.in_batch_negatives:
        raise InputError("in_batch_negatives is on, but a reranker scores no others than mined ones; turn it off.")
    return train_model(Reranker, pairs, corpus, base_model, settings, folder, progress)


class Reranker:
    """A CrossEncoder that is trained on pairs; what :class:`lrat_sim.training.loop.Trainee` asks for.

    Args:
        base_model: a folder, or a hub id.
        dataset: the pairs.
        settings: the lengths, of which the sum holds for query and passage together; attention, temperature, seed.

    Raises:
        InputError: the base cannot be loaded.
    """

    kind = "reranker"

    def __init__(self, base_model: str | Path, dataset: PairDataset, settings: TrainingSettings):
        torch.manual_seed(settings.seed)  # an encoder gets an output, drawn at random
        attention = settings.attn_implementation
        self.model: Any = load_cross_encoder(base_model, best_device() if attention else "cpu", attention=attention)
        self._dataset, self._settings = dataset, settings
        wanted = settings.max_query_length + settings.max_document_length
        self._length = min(wanted, self.model.max_seq_length or 512)

    def collate(self, examples: list[Example]) -> Batch:
        """Each pair's query with its positive and with each negative."""
        texts, labels = columns_of(examples, [self._texts(example) for example in examples])
        return Batch(buckets(texts, self._tokenised), labels)

    def _texts(self, example: Example) -> list[tuple[str, str]]:
        return [(example.query, passage_text(self._dataset.corpus[row])) for row in example.documents]

    def _tokenised(self, texts: list[tuple[str, str]]) -> Features:
        return dict(self.model.preprocess(texts, max_length=self._length))

    def loss(self) -> nn.Module:
        """The weighted loss over each pair's own group."""
        return WeightedListwise(self.model, temperature=self._settings.temperature)

    def evaluator(self) -> Callable[[], dict[str, float]] | None:
        """How high each held-out pair's positive comes among its own mined negatives."""
        samples: list[dict[str, str | list[str]]] = []
        for example in [example for example in self._dataset.development if example.negatives][:_DEVELOPMENT_PAIRS]:
            positive, *negatives = (text for _, text in self._texts(example))
            samples.append({"query": example.query, "positive": [positive], "negative": negatives})
        if not samples:
            return None
        evaluator = CrossEncoderRerankingEvaluator(samples, at_k=10, write_csv=False)

        def measure() -> dict[str, float]:
            figures = evaluator(self.model)
            return {METRIC: float(figures["ndcg@10"]), "RR@10": float(figures["mrr@10"])}

        return measure

    def save(self, folder: Path) -> None:
        """Writes the model as sentence-transformers does."""
        self.model.save_pretrained(str(folder), create_model_card=False)
