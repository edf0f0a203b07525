"""How well a model finds the positives of held-out pairs, measured in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from torch import Tensor

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.training.data import Example
from lrat_sim.training.folder import METRIC

HELD_OUT = 500
"""The most pairs that are measured."""
_FURTHER_DOCUMENTS, _DEPTH = 500, 100


class HeldOutSearch(InformationRetrievalEvaluator):
    """Queries of held-out questions with their positives, and a sample of the corpus in which to find them.

    The sample holds the positives and mined negatives of at most 500 pairs, and 500 more documents; texts that occur
    under two ids are one.

    Args:
        examples: the held-out pairs.
        compare: the scores of encoded queries and documents, (queries, documents).
        lengths: tokens of a ``query`` and of a ``document``.
    """

    def __init__(
        self,
        examples: list[Example],
        corpus: Corpus,
        seed: int,
        compare: Callable[[Any, Any], Tensor],
        lengths: dict[str, int],
    ):
        generator = numpy.random.default_rng([seed, 2])
        if len(examples) > HELD_OUT:
            chosen = sorted(generator.choice(len(examples), size=HELD_OUT, replace=False).tolist())
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
            score_functions={"similarity": compare},
            batch_size=64,
            mrr_at_k=[_DEPTH],
            write_csv=False,
        )
        self.lengths = lengths

    def embed_inputs(self, model: Any, sentences: Any, encode_fn_name: Any = None, *args: Any, **options: Any) -> Any:
        """With a length of their own for queries and for documents."""
        own, model.max_seq_length = model.max_seq_length, self.lengths[encode_fn_name]
        try:
            if isinstance(model, SentenceTransformer):
                return super().embed_inputs(model, sentences, encode_fn_name, *args, **options)
            encode = model.encode_query if encode_fn_name == "query" else model.encode_document
            return encode(list(sentences), batch_size=self.batch_size, show_progress_bar=False)
        finally:
            model.max_seq_length = own

    def __call__(self, model: Any, *args: Any, **options: Any) -> dict[str, float]:
        """The means over the queries, as the model's weights are now."""
        figures = super().__call__(model, *args, **options)
        return {METRIC: float(figures["similarity_ndcg@10"]), "RR": float(figures[f"similarity_mrr@{_DEPTH}"])}
