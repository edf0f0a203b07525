"""Learning from a cross-encoder's scores beside the pairs themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from lrat_sim.artifact import replacing
from lrat_sim.progress import ProgressCallback

_PAIRS_AT_ONCE = 256


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

    def __call__(self, logits: Tensor, labels: dict[str, Tensor]) -> Tensor:
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


def teacher_scores(
    model: Any, texts: Sequence[tuple[str, str]], path: Path, progress: ProgressCallback | None = None
) -> numpy.ndarray[Any, numpy.dtype[numpy.float32]]:
    """A cross-encoder's scores of (query, passage) pairs, before any activation, kept in a file.

    Args:
        model: a CrossEncoder with one output.
        texts: the pairs.
        path: an npy file; what it holds of as many pairs is used again.
        progress: told of the pairs that are scored.

    Returns:
        (len(texts),) in fp32.
    """
    if path.exists():
        kept: numpy.ndarray[Any, numpy.dtype[numpy.float32]] = numpy.load(path, allow_pickle=False)
        if len(kept) == len(texts):
            return kept
    scores = numpy.zeros(len(texts), numpy.float32)
    for start in range(0, len(texts), _PAIRS_AT_ONCE):
        batch = list(texts[start : start + _PAIRS_AT_ONCE])
        scores[start : start + len(batch)] = model.predict(
            batch, activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
        if progress:
            progress(start + len(batch), len(texts), "pairs scored by the teacher")
    with replacing(path) as beside, beside.open("wb") as stream:
        numpy.save(stream, scores, allow_pickle=False)
    return scores
