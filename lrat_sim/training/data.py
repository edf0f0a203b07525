"""The pairs of a training run: checked, split by question, and laid out as batches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.passage import passage_text
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.records import Pair, encode
from lrat_sim.training.settings import TrainingSettings


class Example(NamedTuple):
    """One pair as a step sees it; documents are rows of the corpus."""

    query: str
    weight: float
    positive: int
    negatives: tuple[int, ...]
    negative_weights: tuple[float, ...]
    teacher: tuple[float, ...] = ()
    """A cross-encoder's scores of the positive and of the negatives; none without distillation."""

    @property
    def documents(self) -> tuple[int, ...]:
        """The rows of the positive and of the negatives, in that order."""
        return (self.positive, *self.negatives)


class PairDataset:
    """The pairs of a training run, checked, with their documents as rows of the corpus.

    A pair whose positive the agent rejected (``satisfied`` false) is passed over, as if it were not there.

    Args:
        pairs: read once, in order; their order is part of the fingerprint.
        corpus: holds every positive and negative.
        settings: of the training.

    Attributes:
        examples: the pairs to train on, with all their negatives.
        development: the pairs of the questions that are held out, likewise.
        rejected: how many pairs were passed over.
        fingerprint: of the pairs, those held out included.
        steps: batches of all epochs together.

    Raises:
        InputError: no pairs; a pair without positive, or with a document that the corpus does not hold; a weight that
            is negative or not a number; a negative that is its own positive; with mined negatives only, no pair that
            has one; questions to be held out, and fewer than two.
    """

    def __init__(self, pairs: Iterable[Pair], corpus: Corpus, settings: TrainingSettings):
        self.corpus, self.settings = corpus, settings
        self.rejected = 0
        digest = hashlib.sha256()
        examples: list[tuple[Example, str]] = []
        for number, pair in enumerate(pairs, start=1):
            if not pair.satisfied:
                self.rejected += 1
                continue
            digest.update(encode(pair) + b"\n")
            examples.append((self._example(number, pair), pair.provenance.task))
        self.fingerprint = digest.hexdigest()[:16]
        if not examples:
            why = f"all {self.rejected} pairs are rejected documents" if self.rejected else "there are no pairs"
            raise InputError(f"{why} to train on; mine pairs from trajectories that browse documents.")
        held_out = _held_out({question for _, question in examples}, settings)
        self.examples = [example for example, question in examples if question not in held_out]
        self.development = [example for example, question in examples if question in held_out]
        if not settings.in_batch_negatives and not any(example.negatives for example in self.examples):
            raise InputError("no pair has a negative and in_batch_negatives is off; turn it on or mine negatives.")
        self._steps_an_epoch = math.ceil(len(self.examples) / settings.batch_size)
        self.steps = settings.epochs * self._steps_an_epoch

    def _example(self, number: int, pair: Pair) -> Example:
        where = f"pair {number} (query {pair.query!r})"
        if not pair.positive:
            raise InputError(f"{where} has no positive; mine the pairs again.")
        for what, weight in [("weight", pair.weight), *((n.docid, n.weight) for n in pair.negatives)]:
            if not (math.isfinite(weight) and weight >= 0):
                name = "weight" if what == "weight" else f"weight of negative {what!r}"
                raise InputError(f"{where}: the {name} is {weight}; it must be 0 or more, so mine the pairs again.")
        if any(negative.docid == pair.positive for negative in pair.negatives):
            raise InputError(f"{where}: {pair.positive!r} is positive and negative at once; mine the pairs again.")
        return Example(
            query=pair.query,
            weight=pair.weight if self.settings.pair_weights else 1.0,
            positive=self._row(where, pair.positive),
            negatives=tuple(self._row(where, negative.docid) for negative in pair.negatives),
            negative_weights=tuple(negative.weight for negative in pair.negatives),
        )

    def _row(self, where: str, docid: str) -> int:
        try:
            return self.corpus.row(docid)
        except UnknownDocument as error:
            raise InputError(
                f"{where}: its document {docid!r} is not in the corpus at {self.corpus.folder}; "
                "train with the corpus that the agents searched."
            ) from error

    def batch(self, step: int) -> list[Example]:
        """The pairs of a step, counted from 0, of all processes together.

        Order and sampled negatives follow from seed, epoch and row alone, so resuming needs no generator's state.
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

    def groups(self) -> list[tuple[str, str]]:
        """Every (query, passage) of the pairs trained on: each pair's positive, then all its negatives, in order."""
        texts: dict[int, str] = {}
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
