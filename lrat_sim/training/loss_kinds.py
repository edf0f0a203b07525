"""The weighted contrastive loss of retrievers with other vectors: one for each token, or sparse ones."""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers.util.similarity import mean_maxsim
from torch import Tensor, nn
from torch.nn import functional

from lrat_sim.training.data import Features
from lrat_sim.training.distributed import largest
from lrat_sim.training.loss import Cached, WeightedInfoNCE


class WeightedMaxSim(WeightedInfoNCE):
    """:class:`WeightedInfoNCE` of late interaction, where s is the mean MaxSim.

    With x_a the A vectors of a query's tokens and y_b those of a document's, of length 1 under ``cosine``::

        s(q, d) = (1/A) sum_a max_b x_a . y_b

    MaxSim itself, by which documents are ranked, is A times that and gives the same order for a query.  The mean keeps
    s within -1 and 1, so that a temperature means what it means for one vector a text; ColBERT's loss, which takes the
    sum at temperature 1, is this with tau = 1/A.  Weights, negatives, distillation and inputs are the same; the columns
    name their ``task``, ``query`` or ``document``.

    Args:
        model: a MultiVectorEncoder.
    """

    def encode(self, features: Features) -> Tensor:
        """The vectors of each text, (texts, tokens, dimensions + 1); the last number is 1 where a vector counts."""
        output = self.model(features, task=features.get("task"))
        vectors, counts = output["token_embeddings"], output["attention_mask"]
        return torch.cat([vectors, counts[..., None].to(vectors)], dim=2)

    def joined(self, parts: list[Tensor]) -> Tensor:
        """See :meth:`WeightedInfoNCE.joined`; texts are padded to the longest."""
        tokens = max(part.shape[1] for part in parts)
        return torch.cat([_padded(part, tokens) for part in parts])

    def gathered(self, own: Tensor, total: int) -> Tensor:
        """See :meth:`WeightedInfoNCE.gathered`; texts are padded to the longest of all processes."""
        return super().gathered(_padded(own, largest(own.shape[1], own.device)), total)

    def compare(self, queries: Tensor, documents: Tensor) -> Tensor:
        """See :meth:`WeightedInfoNCE.compare`; computed in parts, so that memory is bounded."""
        (left, counts), (right, of_documents) = _split(queries), _split(documents)
        if self.similarity == "cosine":
            left, right = functional.normalize(left, dim=2), functional.normalize(right, dim=2)
        similarity: Tensor = mean_maxsim(left, right, counts, of_documents)
        return similarity


def _padded(vectors: Tensor, tokens: int) -> Tensor:
    return functional.pad(vectors, (0, 0, 0, tokens - vectors.shape[1]))


def _split(vectors: Tensor) -> tuple[Tensor, Tensor]:
    return vectors[..., :-1], vectors[..., -1] > 0.5


class CachedWeightedMaxSim(Cached, WeightedMaxSim):
    """:class:`WeightedMaxSim` with GradCache, see :class:`lrat_sim.training.loss.Cached`."""


class WeightedSplade(WeightedInfoNCE):
    """:class:`WeightedInfoNCE` of sparse vectors over a vocabulary, with SPLADE's penalty for vectors that are not.

    With q_iv and d_jv the weight of term v in query i and document j of a batch of N queries and M distinct documents
    (FLOPS, Paria et al. 2020)::

        L = L_contrastive + r^2 (lambda_q sum_v ((1/N) sum_i q_iv)^2 + lambda_d sum_v ((1/M) sum_j d_jv)^2)

    The weights of pairs do not count in the penalty, which is of texts alone.  r rises from 0 to 1 over a share of the
    steps, since a model that is drawn to zero before it ranks stays there (SPLADE v2, section 4).

    Args:
        model: a SparseEncoder.
        document_regularizer, query_regularizer: lambda_d and lambda_q; 0 for the queries of an inference-free model.
        regularizer_warmup: the share of steps.
    """

    progress = 1.0
    """The share of steps that are done, which the training loop sets."""

    def __init__(
        self,
        model: nn.Module,
        *,
        document_regularizer: float = 0.0,
        query_regularizer: float = 0.0,
        regularizer_warmup: float = 0.0,
        **options: Any,
    ):
        super().__init__(model, **options)
        self.document_regularizer, self.query_regularizer = document_regularizer, query_regularizer
        self.regularizer_warmup = regularizer_warmup

    def penalty(self, queries: Tensor, documents: Tensor) -> Tensor | float:
        """See the class."""
        risen = min(1.0, self.progress / self.regularizer_warmup) if self.regularizer_warmup else 1.0
        return risen**2 * (self.query_regularizer * _flops(queries) + self.document_regularizer * _flops(documents))


def _flops(vectors: Tensor) -> Tensor:
    return vectors.mean(dim=0).square().sum()


class CachedWeightedSplade(Cached, WeightedSplade):
    """:class:`WeightedSplade` with GradCache, see :class:`lrat_sim.training.loss.Cached`."""
