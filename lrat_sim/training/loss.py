"""The weighted contrastive loss of LRAT (section 5.2): of an encoder, of an encoder in little memory, of a reranker.

:mod:`lrat_sim.training.loss_kinds` has it for token vectors and for sparse ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import torch
from sentence_transformers.base.losses.gradcache import CachedLossMixin, has_static_embedding_input
from torch import Tensor, nn
from torch.nn import functional

from lrat_sim.errors import InputError
from lrat_sim.training.data import Features, Labels
from lrat_sim.training.distributed import gather


def denominator_weights(labels: Labels, documents: int, *, in_batch_negatives: bool = True) -> Tensor:
    """The weight v of each document of the batch in each row's denominator, beside the positive.

    Of N rows and M documents, (N, M).  It is 0 for what is no negative of a row: the row's own positive, wherever in
    the batch it comes from, and with ``in_batch_negatives`` off also whatever was not mined for the row.  A mined
    negative has the weight of its pair also where another row brought it into the batch as well: N_i is a set.
    """
    positive, negatives = labels["positive"], labels["negatives"]
    rows = len(positive)
    weights = torch.full((rows, documents), float(in_batch_negatives), device=positive.device)
    row, column = (negatives >= 0).nonzero(as_tuple=True)
    weights[row, negatives[row, column]] = labels["negative_weights"][row, column].to(weights.dtype)
    weights[torch.arange(rows, device=positive.device), positive] = 0.0
    return weights


def weighted_info_nce(
    similarity: Tensor, positive: Tensor, denominator: Tensor, weights: Tensor, temperature: float
) -> Tensor:
    """The loss of :class:`WeightedInfoNCE`, a scalar in fp32.

    ``similarity`` s and ``denominator`` v are (N, M), ``positive`` (the column of each row's positive) and ``weights``
    w (N,), ``temperature`` is tau.
    """
    scores = similarity.float() / temperature
    own = scores.gather(1, positive[:, None])
    # v * e^x = e^(x + ln v), and ln 0 = -inf takes a term out without a gradient
    negatives = scores + denominator.to(scores.dtype).log()
    partition = torch.logsumexp(torch.cat([own, negatives], dim=1), dim=1)
    return (weights.to(scores.dtype) * (partition - own.squeeze(1))).sum() / len(weights)


class Distillation(NamedTuple):
    """The term that draws a bi-encoder towards a teacher's view of each pair's group.

    With x_ij = s(q_i, d_j) / tau the student's logits of a pair's positive and mined negatives, and t_ij the teacher's
    scores of the same, for ``kl`` (as in RocketQAv2)::

        D_i = sum_j p_ij (ln p_ij - ln softmax_j(x_i)),   p_i = softmax_j(t_i)

    and for ``margin_mse`` (Hofstätter et al. 2020), over the negatives j of the pair::

        D_i = mean_j ((x_i+ - x_ij) - (t_i+ - t_ij))^2

    The term is weight * (1/N) sum_i w_i D_i: a pair's weight counts here as it does in the contrastive loss, and a pair
    without mined negatives adds nothing.  A negative of weight 0 is left out.
    """

    kind: Literal["kl", "margin_mse"]
    weight: float = 1.0

    def __call__(self, logits: Tensor, labels: Labels) -> Tensor:
        """The term, a scalar, from the student's logits (N, M) and the labels with ``teacher``."""
        negatives = labels["negatives"]
        columns = torch.cat([labels["positive"][:, None], negatives.clamp(min=0)], dim=1)
        student, teacher = logits.gather(1, columns), labels["teacher"].to(logits.dtype)
        known = (negatives >= 0) & (labels["negative_weights"] > 0) & (negatives != labels["positive"][:, None])
        if self.kind == "kl":
            group = torch.cat([torch.ones_like(known[:, :1]), known], dim=1)
            targets = functional.log_softmax(teacher.masked_fill(~group, -torch.inf), dim=1)
            learned = functional.log_softmax(student.masked_fill(~group, -torch.inf), dim=1)
            # outside the group both are -inf, of which neither value nor gradient is wanted
            terms = torch.where(group, targets.exp() * (targets - learned.masked_fill(~group, 0.0)), 0.0).sum(dim=1)
        else:
            difference = (student[:, :1] - student[:, 1:]) - (teacher[:, :1] - teacher[:, 1:])
            squares = torch.where(known, difference.square(), 0.0)
            terms = squares.sum(dim=1) / known.sum(dim=1).clamp(min=1)
        return self.weight * (labels["weights"].to(logits.dtype) * terms).sum() / len(terms)


class WeightedInfoNCE(nn.Module):
    """Weighted InfoNCE: a query nearer to what an agent found useful than to the rest, by how useful it was.

    For a batch of N pairs of a query q_i and its positive d_i+::

        L = -(1/N) sum_i w_i log [ p_i / ( p_i + sum_{j in N_i} v_ij e^{s(q_i,d_j)/tau} ) ],   p_i = e^{s(q_i,d_i+)/tau}

    N_i holds the mined negatives of pair i and, with ``in_batch_negatives``, all other documents that the batch holds;
    v_ij is the weight of a mined negative, 1 for the rest.  The sum is divided by N and not by the sum of the weights,
    so that a weight counts even in a batch of one.  Weight 0 takes a row's own term away and nothing else: N and the
    row's documents, as negatives of the others, stay.  With all weights 1 this is the loss that sentence-transformers
    calls MultipleNegativesRankingLoss, with scale 1 / tau.

    Similarities and their logarithms are taken in fp32, whatever the model computes in: at tau = 0.02 a bf16 cosine is
    off by up to 0.2 in the exponent.

    Args:
        model: a SentenceTransformer.
        temperature: tau, above 0.
        similarity: s, ``cosine`` or ``dot``.
        in_batch_negatives: whether N_i holds more than the mined negatives.
        distillation: a further term that is added, see :class:`Distillation`.

    Inputs:
        ``sentence_features``: tokenised columns, the N queries first, then the batch's M distinct documents in one or
        more columns of any sizes; ``labels``: :data:`lrat_sim.training.data.Labels`.  Where several processes share a
        batch, the columns are this process's share, the labels those of the whole.

    Example:
        ::

            model = SentenceTransformer("all-MiniLM-L6-v2")
            queries = model.preprocess(["who wrote it?", "where is it?"])
            documents = model.preprocess(["Ann wrote it.", "It is in Rome.", "It is red."])
            labels = {
                "positive": torch.tensor([0, 1]),
                "negatives": torch.tensor([[2], [-1]]),  # the second pair has none
                "negative_weights": torch.tensor([[3.0], [0.0]]),
                "weights": torch.tensor([1.4, 0.6]),
            }
            WeightedInfoNCE(model)([queries, documents], labels).backward()
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        temperature: float = 0.02,
        similarity: Literal["cosine", "dot"] = "cosine",
        in_batch_negatives: bool = True,
        distillation: Distillation | None = None,
    ):
        super().__init__()
        self.model, self.distillation = model, distillation
        self.temperature, self.similarity, self.in_batch_negatives = temperature, similarity, in_batch_negatives

    def forward(self, sentence_features: Iterable[Features], labels: Labels) -> Tensor:
        """The loss of one batch, a scalar."""
        queries, *documents = [self.encode(features) for features in sentence_features]
        return self.from_embeddings(queries, self.joined(documents), labels)

    def encode(self, features: Features) -> Tensor:
        """What the model makes of a column of texts, (texts, ...)."""
        embeddings: Tensor = self.model(features)["sentence_embedding"]
        return embeddings

    def joined(self, parts: list[Tensor]) -> Tensor:
        """What :meth:`encode` gave of several columns as that of one."""
        return torch.cat(parts)

    def gathered(self, own: Tensor, total: int) -> Tensor:
        """What all processes encoded, of which ``own`` is this one's share; see :func:`gather`."""
        return gather(own.float(), total)

    def compare(self, queries: Tensor, documents: Tensor) -> Tensor:
        """s of each query with each document, (N, M)."""
        if self.similarity == "cosine":
            queries, documents = functional.normalize(queries, dim=1), functional.normalize(documents, dim=1)
        return queries @ documents.T

    def penalty(self, queries: Tensor, documents: Tensor) -> Tensor | float:
        """What is added to the loss for what the vectors are by themselves."""
        return 0.0

    def from_embeddings(self, queries: Tensor, documents: Tensor, labels: Labels) -> Tensor:
        """The same from embeddings of the texts that this process encodes, (N, d) and (M, d) where it is alone."""
        with torch.autocast(queries.device.type, enabled=False):
            queries = self.gathered(queries, len(labels["weights"]))
            documents = self.gathered(documents, int(labels.get("documents", len(documents))))
            similarity = self.compare(queries, documents)
            denominator = denominator_weights(labels, len(documents), in_batch_negatives=self.in_batch_negatives)
            loss = weighted_info_nce(similarity, labels["positive"], denominator, labels["weights"], self.temperature)
            if self.distillation is not None:
                loss = loss + self.distillation(similarity / self.temperature, labels)
            return loss + self.penalty(queries, documents)


class Cached(CachedLossMixin):
    """GradCache (Gao et al. 2021) for a loss of this package: the same value and gradients in little memory.

    All texts are encoded without gradients, ``mini_batch_size`` at a time; the loss of the whole batch gives the
    gradient of each vector; then each mini-batch is encoded once more and its vectors' gradients go on into the model.
    With dropout the second pass draws what the first drew.  A step takes about a third longer.
    """

    def __init__(self, model: nn.Module, *, mini_batch_size: int = 32, **options: Any):
        super().__init__(model, **options)  # type: ignore[call-arg]  # of the loss beside it
        if has_static_embedding_input(model):
            raise InputError("mini_batch_size needs a transformer, and this base model is none; leave it out.")
        self.mini_batch_size = mini_batch_size

    def forward(self, sentence_features: Iterable[Features], labels: Labels) -> Tensor:
        """The loss of one batch, a scalar; its gradients are computed when ``backward`` is called on it."""
        loss: Tensor = self.forward_cached(sentence_features, labels)  # type: ignore[arg-type]  # ours are a dict
        return loss

    def embed_minibatch(self, *args: Any, **options: Any) -> tuple[Tensor, Any]:
        """Encodes a mini-batch as the loss does."""
        # the library cuts it out of the batch, and reads one vector a text of what it takes for the model
        model = SimpleNamespace(model=self._as_embedding)
        embedded: tuple[Tensor, Any] = CachedLossMixin.embed_minibatch(model, *args, **options)  # type: ignore[arg-type]
        return embedded

    def _as_embedding(self, batch: Features) -> dict[str, Tensor]:
        return {"sentence_embedding": self.encode(batch)}  # type: ignore[attr-defined]  # of the loss beside it

    def calculate_loss(self, reps: list[list[Tensor]], labels: Any = None, *, with_backward: bool = False) -> Tensor:
        """The loss from the vectors of each mini-batch, column by column."""
        of: Any = self
        queries, *documents = [of.joined(column) for column in reps]
        loss: Tensor = of.from_embeddings(queries, of.joined(documents), labels)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return loss.detach()
        return loss


class CachedWeightedInfoNCE(Cached, WeightedInfoNCE):
    """:class:`WeightedInfoNCE` with GradCache, see :class:`Cached`."""


class WeightedListwise(nn.Module):
    """The same loss on a cross-encoder's scores: the positive above the negatives mined for its query.

    With x_ij the score of query i with document j, before any activation::

        L = -(1/N) sum_i w_i log [ e^{x_i+/tau} / ( e^{x_i+/tau} + sum_{j in N_i} v_ij e^{x_ij/tau} ) ]

    Weights act as in :class:`WeightedInfoNCE`, and inputs are those of it, where a column is a (query, passage); a pair
    without mined negatives adds nothing.
    """

    def __init__(self, model: nn.Module, *, temperature: float = 1.0):
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, sentence_features: Iterable[Features], labels: Labels) -> Tensor:
        """The loss of one batch, a scalar."""
        own = torch.cat([self.model(features)["scores"].reshape(-1) for features in sentence_features])
        scores = gather(own.float(), int(labels.get("documents", len(own))))
        denominator = denominator_weights(labels, len(scores), in_batch_negatives=False)
        everywhere = scores.expand(len(labels["weights"]), -1)
        return weighted_info_nce(everywhere, labels["positive"], denominator, labels["weights"], self.temperature)
