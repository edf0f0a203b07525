"""From pairs to batches: the texts that a step sees, tokenised, with what the loss must know of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from lrat_sim.training.data import Example
from lrat_sim.training.distributed import share

BUCKET = 32
"""Texts that are padded to one length together: enough to fill the cores, few enough to be of like length."""

Features = dict[str, Any]
"""A column of tokenised texts, as a model of sentence-transformers takes it; a plain dict, since in nothing else does
DistributedDataParallel find the tensors."""

Labels = dict[str, Tensor]
"""What the loss must know of a batch of N pairs beside its texts; the columns are those of its M distinct documents
(for a reranker, of its M distinct pairs of query and document).

- ``positive`` (N,) the column of each row's positive;
- ``negatives`` (N, G) the columns of each row's mined negatives, -1 where a row has fewer than G;
- ``negative_weights`` (N, G) v of each of them, anything where there is none;
- ``weights`` (N,) w of each row;
- ``documents`` a scalar, M; needed only where several processes share a batch;
- ``teacher`` (N, 1 + G) a cross-encoder's scores of positive and negatives; needed only for distillation.
"""

T = TypeVar("T", bound=str | tuple[str, str])


class Batch(NamedTuple):
    """The columns that this process encodes, and the labels of the whole batch."""

    features: list[Features]
    labels: Labels


def columns_of(examples: Sequence[Example], texts: Sequence[Sequence[T]]) -> tuple[list[T], Labels]:
    """The distinct texts of a batch, the shortest first, and the labels that point at them.

    Documents with the same text are one column, even under two ids: so the positive of a row is never its own
    negative, whoever brought the duplicate.

    Args:
        examples: the pairs of all processes.
        texts: for each of them what is encoded, the positive first.
    """
    distinct = sorted({text for row in texts for text in row}, key=lambda text: (len("".join(text)), text))
    column = {text: index for index, text in enumerate(distinct)}
    width = max(1, *(len(example.negatives) for example in examples))

    def padded(rows: Sequence[Sequence[float]], width: int, filling: float) -> Tensor:
        return torch.tensor([[*row, *[filling] * (width - len(row))] for row in rows])

    labels = {
        "positive": torch.tensor([column[row[0]] for row in texts]),
        "negatives": padded([[column[text] for text in row[1:]] for row in texts], width, -1),
        "negative_weights": padded([example.negative_weights for example in examples], width, 0.0),
        "weights": torch.tensor([example.weight for example in examples], dtype=torch.float32),
        "documents": torch.tensor(len(distinct)),
    }
    if all(example.teacher for example in examples):
        labels["teacher"] = padded([example.teacher for example in examples], 1 + width, 0.0)
    return distinct, labels


def buckets(texts: list[T], tokenise: Callable[[list[T]], Features]) -> list[Features]:
    """This process's share of the texts, tokenised in buckets of like length, each padded to its own longest."""
    own = share(texts)
    return [tokenise(own[start : start + BUCKET]) for start in range(0, len(own), BUCKET)]
