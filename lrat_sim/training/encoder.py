"""An encoder in training: its batches, its loss, its measurement on held-out questions, the form it is saved in."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy
from sentence_transformers import util
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from torch import nn

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.passage import passage_text
from lrat_sim.retrieval.encoder import DOCUMENT_PROMPTS, QUERY_PROMPTS, load_model, prompt_of
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.training.batch import Batch, Features, buckets, columns_of
from lrat_sim.training.data import Example, PairDataset
from lrat_sim.training.distillation import Distillation
from lrat_sim.training.distributed import share
from lrat_sim.training.loop import METRIC
from lrat_sim.training.loss import CachedWeightedInfoNCE, WeightedInfoNCE
from lrat_sim.training.saved import save_encoder
from lrat_sim.training.settings import TrainingSettings

_QUERIES, _FURTHER_DOCUMENTS, _DEPTH = 500, 500, 100


class Encoder:
    """A SentenceTransformer that is trained on pairs; what :class:`lrat_sim.training.loop.Trainee` asks for.

    Args:
        base_model: a folder, or a hub id.
        dataset: the pairs.
        settings: prompts, lengths (the model's own limit holds where it is smaller), attention and loss.

    Raises:
        InputError: the base cannot be loaded.
    """

    kind = "encoder"

    def __init__(self, base_model: str | Path, dataset: PairDataset, settings: TrainingSettings):
        attention = settings.attn_implementation
        # with another attention than the usual the first encoding must be on the device that has it
        self.model: Any = load_model(base_model, best_device() if attention else "cpu", attention=attention)
        self._dataset, self._settings = dataset, settings
        for name, prompt in (("query", settings.query_prompt), ("document", settings.document_prompt)):
            if prompt is not None:
                self.model.prompts[name] = prompt
        names = {"query": QUERY_PROMPTS, "document": DOCUMENT_PROMPTS}
        self._prompts = {task: prompt_of(self.model, *known) for task, known in names.items()}
        self._lengths = lengths(self.model, settings)

    def collate(self, examples: list[Example]) -> Batch:
        """Queries and documents under the model's own prompts, each distinct document once."""
        corpus = self._dataset.corpus
        passages = {row: passage_text(corpus[row]) for example in examples for row in example.documents}
        documents, labels = columns_of(examples, [[passages[row] for row in e.documents] for e in examples])
        queries = self._tokenised("query", share([example.query for example in examples]))
        return Batch([queries, *buckets(documents, partial(self._tokenised, "document"))], labels)

    def _tokenised(self, task: str, texts: list[str]) -> Features:
        return dict(self.model.preprocess(texts, prompt=self._prompts[task], task=task, max_length=self._lengths[task]))

    def loss(self) -> nn.Module:
        """The weighted contrastive loss; with a teacher the distillation term is added."""
        settings = self._settings
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

    def evaluator(self) -> Callable[[], dict[str, float]] | None:
        """Search for the held-out queries; see :func:`evaluator_of`."""
        if not self._dataset.development:
            return None
        evaluator = evaluator_of(self._dataset.development, self._dataset.corpus, self._settings)
        return lambda: measured(evaluator, self.model)

    def save(self, folder: Path) -> None:
        """Writes the model; whoever loads it encodes documents at the length they were trained at."""
        self.model.max_seq_length = self._lengths["document"]
        save_encoder(self.model, folder)


def lengths(model: Any, settings: TrainingSettings) -> dict[str, int]:
    """Tokens of a query and of a document."""
    limit = model.max_seq_length or math.inf
    wanted = {"query": settings.max_query_length, "document": settings.max_document_length}
    return {task: int(min(length, limit)) for task, length in wanted.items()}


class _Evaluator(InformationRetrievalEvaluator):
    """With a length of their own for queries and for documents."""

    def __init__(self, settings: TrainingSettings, **options: Any):
        super().__init__(**options, batch_size=64, mrr_at_k=[_DEPTH], write_csv=False)
        self.settings = settings

    def embed_inputs(self, model: Any, sentences: Any, encode_fn_name: Any = None, *args: Any, **options: Any) -> Any:
        own, model.max_seq_length = model.max_seq_length, lengths(model, self.settings)[encode_fn_name]
        try:
            return super().embed_inputs(model, sentences, encode_fn_name, *args, **options)
        finally:
            model.max_seq_length = own


def evaluator_of(examples: list[Example], corpus: Corpus, settings: TrainingSettings) -> InformationRetrievalEvaluator:
    """Queries of held-out questions with their positives, and a sample of the corpus in which to find them.

    The sample holds the positives and mined negatives of the pairs, and 500 more documents; texts that occur under
    two ids are one.  Of more than 500 pairs, 500 are drawn.

    Args:
        examples: the pairs of the held-out questions, not empty.
        corpus: gives the texts.
        settings: lengths, similarity and seed.
    """
    generator = numpy.random.default_rng([settings.seed, 2])
    if len(examples) > _QUERIES:
        chosen = sorted(generator.choice(len(examples), size=_QUERIES, replace=False).tolist())
        examples = [examples[index] for index in chosen]
    rows = dict.fromkeys(row for example in examples for row in example.documents)
    further = generator.choice(len(corpus), size=min(_FURTHER_DOCUMENTS, len(corpus)), replace=False)
    texts = {row: passage_text(corpus[row]) for row in (*rows, *further.tolist())}
    ids = {text: str(index) for index, text in enumerate(dict.fromkeys(texts.values()))}
    relevant: dict[str, set[str]] = {}
    for example in examples:
        relevant.setdefault(example.query, set()).add(ids[texts[example.positive]])
    similarity = util.cos_sim if settings.similarity == "cosine" else util.dot_score
    return _Evaluator(
        settings,
        queries={query: query for query in relevant},
        corpus={docid: text for text, docid in ids.items()},
        relevant_docs=relevant,
        score_functions={"similarity": similarity},
    )


def measured(evaluator: InformationRetrievalEvaluator, model: Any) -> dict[str, float]:
    """The means over the queries, as the model's weights are now."""
    figures = evaluator(model)
    return {METRIC: float(figures["similarity_ndcg@10"]), "RR": float(figures[f"similarity_mrr@{_DEPTH}"])}
