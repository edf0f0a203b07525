"""The pairs of a training run: checked, split by question, and laid out as batches of distinct, tokenised texts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy
import torch
from torch import Tensor

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.records import Pair, encode
from lrat_sim.training.distributed import share
from lrat_sim.training.settings import TrainingSettings

BUCKET = 32  # texts that are padded to one length together: enough to fill the cores, few enough to be of like length

# a column of tokenised texts; a plain dict, since in nothing else does DistributedDataParallel find the tensors
Features = dict[str, Any]

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


class Example(NamedTuple):
    """One pair as a step sees it; documents are rows of the corpus."""

    query: str
    weight: float
    positive: int
    negatives: tuple[int, ...]
    negative_weights: tuple[float, ...]
    teacher: tuple[float, ...] = ()  # a cross-encoder's scores of positive and negatives; none without distillation

    @property
    def documents(self) -> tuple[int, ...]:
        """The rows of the positive and of the negatives, in that order."""
        return (self.positive, *self.negatives)


class PairDataset:
    """The pairs of a training run, checked, with their documents as rows of the corpus.

    A pair whose positive the agent rejected (``satisfied`` false) is passed over and counted as ``rejected``.
    ``development`` holds the pairs of the questions that are held out, ``examples`` the rest; ``fingerprint`` is of all
    in their order; ``steps`` counts the batches of all epochs.  ``query_text`` names what their queries are.
    """

    def __init__(self, pairs: Iterable[Pair], corpus: Corpus, settings: TrainingSettings):
        self.corpus, self.settings = corpus, settings
        self.rejected = 0
        digest = hashlib.sha256()
        texts: dict[str, None] = {}
        examples: list[tuple[Example, str]] = []
        for number, pair in enumerate(pairs, start=1):
            if not pair.satisfied:
                self.rejected += 1
                continue
            digest.update(encode(pair) + b"\n")
            texts[pair.query_text] = None
            examples.append((self._example(f"pair {number} (query {pair.query!r})", pair), pair.provenance.task))
        self.fingerprint = digest.hexdigest()[:16]
        if not examples:
            why = f"all {self.rejected} pairs are rejected documents" if self.rejected else "there are no pairs"
            raise InputError(
                f"{why} to train on; mine trajectories that browse documents, by a recipe that suits what agents write "
                "(mine-read needs no reasoning)."
            )
        if len(texts) > 1:
            raise InputError(
                f"the queries of the pairs are of several texts ({', '.join(texts)}), of which a retriever is asked "
                "with one; mine them all by recipes with the same query_text."
            )
        (self.query_text,) = texts
        held_out = _held_out({question for _, question in examples}, settings)
        self.examples = [example for example, question in examples if question not in held_out]
        self.development = [example for example, question in examples if question in held_out]
        if not settings.in_batch_negatives and not any(example.negatives for example in self.examples):
            raise InputError("no pair has a negative and in_batch_negatives is off; turn it on or mine negatives.")
        self._steps_an_epoch = math.ceil(len(self.examples) / settings.batch_size)
        self.steps = settings.epochs * self._steps_an_epoch

    def _example(self, where: str, pair: Pair) -> Example:
        problem = None
        if not pair.positive:
            problem = " has no positive"
        elif any(negative.docid == pair.positive for negative in pair.negatives):
            problem = f": {pair.positive!r} is positive and negative at once"
        weights = {"weight": pair.weight, **{f"weight of negative {n.docid!r}": n.weight for n in pair.negatives}}
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                problem = f": the {name} is {weight}; it must be 0 or more"
        if problem is not None:
            raise InputError(f"{where}{problem}; mine the pairs again.")
        try:
            positive, *negatives = map(self.corpus.row, (pair.positive, *(n.docid for n in pair.negatives)))
        except UnknownDocument as error:
            raise InputError(f"{where}: {error}; train with the corpus that the agents searched.") from error
        return Example(
            query=pair.query,
            weight=pair.weight if self.settings.pair_weights else 1.0,
            positive=positive,
            negatives=tuple(negatives),
            negative_weights=tuple(negative.weight for negative in pair.negatives),
        )

    def batch(self, step: int) -> list[Example]:
        """The pairs of a step, counted from 0, of all processes together.

        They follow from seed, epoch and row alone, so resuming needs no generator's state.
        """
        epoch, index = divmod(step, self._steps_an_epoch)
        first, last = index * self.settings.batch_size, (index + 1) * self.settings.batch_size
        order = _shuffled(self.settings.seed, epoch, len(self.examples))
        return [self.example(epoch, int(row)) for row in order[first:last]]

    def example(self, epoch: int, row: int) -> Example:
        """A pair with as many of its negatives as a group holds."""
        example, room = self.examples[row], self.settings.group_size - 1
        if len(example.negatives) <= room:
            return example
        chosen = list(range(room))
        if self.settings.negatives == "sample":
            generator = numpy.random.default_rng([self.settings.seed, epoch, row])
            chosen = sorted(generator.choice(len(example.negatives), size=room, replace=False).tolist())
        return example._replace(
            negatives=tuple(example.negatives[index] for index in chosen),
            negative_weights=tuple(example.negative_weights[index] for index in chosen),
            teacher=example.teacher and (example.teacher[0], *(example.teacher[1 + index] for index in chosen)),
        )

    def passages(self, example: Example) -> list[str]:
        """The texts of an example's positive and of its negatives."""
        return [passage_text(self.corpus[row]) for row in example.documents]

    def groups(self) -> list[tuple[str, str]]:
        """Every (query, passage) of the pairs trained on: each pair's positive, then all its negatives, in order."""
        texts: dict[int, str] = {}  # one string for all pairs that hold a document
        return [
            (example.query, texts.setdefault(row, passage_text(self.corpus[row])))
            for example in self.examples
            for row in example.documents
        ]

    def teach(self, scores: numpy.ndarray[Any, numpy.dtype[numpy.float32]]) -> None:
        """Gives each pair a teacher's scores of its texts, as :meth:`groups` lists them."""
        start = 0
        for index, example in enumerate(self.examples):
            end = start + len(example.documents)
            self.examples[index] = example._replace(teacher=tuple(scores[start:end].tolist()))
            start = end


def _held_out(questions: set[str], settings: TrainingSettings) -> set[str]:
    if not settings.development_share:
        return set()
    if len(questions) < 2:
        raise InputError(
            f"development_share is {settings.development_share}, but all pairs are of one question; "
            "mine more questions or set it to 0."
        )
    count = min(max(1, round(settings.development_share * len(questions))), len(questions) - 1)
    chosen = numpy.random.default_rng([settings.seed, 1]).choice(len(questions), size=count, replace=False)
    return {sorted(questions)[index] for index in chosen}


@lru_cache(maxsize=1)
def _shuffled(seed: int, epoch: int, rows: int) -> Any:
    return numpy.random.default_rng([seed, epoch]).permutation(rows)


def columns_of(examples: Sequence[Example], texts: Sequence[Sequence[T]]) -> tuple[list[T], Labels]:
    """The distinct texts of a batch, the shortest first, and the labels that point at them; positives come first.

    Documents with the same text are one column, even under two ids, so that a positive is never its own negative.
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
