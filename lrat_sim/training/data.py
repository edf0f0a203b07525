"""From pairs to batches: which texts a step sees, tokenised, with what the loss must know of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from torch.utils.data import Dataset, Sampler

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.passage import passage_text
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.records import Pair, encode
from lrat_sim.retrieval.encoder import DOCUMENT_PROMPTS, QUERY_PROMPTS, prompt_of
from lrat_sim.training.settings import TrainingSettings

Key = tuple[int, int]
"""An epoch and a row, both from 0: the same pair may show other negatives in another epoch."""

BUCKET = 32
"""Documents that are padded to one length together: enough to fill the cores, few enough to be of like length."""


class Example(NamedTuple):
    """One pair as a step sees it; documents are rows of the corpus."""

    query: str
    weight: float
    positive: int
    negatives: tuple[int, ...]
    negative_weights: tuple[float, ...]


class PairDataset(Dataset[Example]):
    """The pairs of a training run, checked, with their documents as rows of the corpus.

    Args:
        pairs: read once, in order; their order is part of the fingerprint.
        corpus: holds every positive and negative.
        settings: group size, choice of negatives, whether weights count, seed.

    Raises:
        InputError: no pairs; a document that the corpus does not hold; a weight that is negative or not a number; a
            negative that is its own positive; with mined negatives only, no pair that has one.
    """

    def __init__(self, pairs: Iterable[Pair], corpus: Corpus, settings: TrainingSettings):
        self.corpus, self.settings = corpus, settings
        digest = hashlib.sha256()
        self._examples: list[Example] = []
        for number, pair in enumerate(pairs, start=1):
            digest.update(encode(pair) + b"\n")
            self._examples.append(self._example(number, pair))
        if not self._examples:
            raise InputError("there are no pairs to train on; mine them from trajectories that browse documents.")
        if not settings.in_batch_negatives and not any(example.negatives for example in self._examples):
            raise InputError("no pair has a negative and in_batch_negatives is off; turn it on or mine negatives.")
        self.fingerprint = digest.hexdigest()[:16]

    def _example(self, number: int, pair: Pair) -> Example:
        place = f"pair {number} (query {pair.query!r})"
        for what, weight in [("weight", pair.weight), *((n.docid, n.weight) for n in pair.negatives)]:
            if not (math.isfinite(weight) and weight >= 0):
                name = "weight" if what == "weight" else f"weight of negative {what!r}"
                raise InputError(f"{place}: the {name} is {weight}; it must be 0 or more, so mine the pairs again.")
        if any(negative.docid == pair.positive for negative in pair.negatives):
            raise InputError(f"{place}: {pair.positive!r} is positive and negative at once; mine the pairs again.")
        return Example(
            query=pair.query,
            weight=pair.weight if self.settings.pair_weights else 1.0,
            positive=self._row(place, pair.positive),
            negatives=tuple(self._row(place, negative.docid) for negative in pair.negatives),
            negative_weights=tuple(negative.weight for negative in pair.negatives),
        )

    def _row(self, place: str, docid: str) -> int:
        try:
            return self.corpus.row(docid)
        except UnknownDocument as error:
            raise InputError(
                f"{place}: its document {docid!r} is not in the corpus at {self.corpus.folder}; "
                "train with the corpus that the agents searched."
            ) from error

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: Key) -> Example:
        epoch, row = key
        example, room = self._examples[row], self.settings.group_size - 1
        if len(example.negatives) <= room:
            return example
        if self.settings.negatives == "first":
            chosen = list(range(room))
        else:
            generator = numpy.random.default_rng([self.settings.seed, epoch, row])
            chosen = sorted(generator.choice(len(example.negatives), size=room, replace=False).tolist())
        return example._replace(
            negatives=tuple(example.negatives[place] for place in chosen),
            negative_weights=tuple(example.negative_weights[place] for place in chosen),
        )

    @property
    def mean_group(self) -> float:
        """Texts a pair has on average within the group size, for the record."""
        room = self.settings.group_size - 1
        return 1 + sum(min(room, len(example.negatives)) for example in self._examples) / len(self)


class EpochBatches(Sampler[list[Key]]):
    """Every batch of every epoch, in the order of the run: shuffled by seed and epoch alone.

    The whole run is laid out as one sequence, so that going on from a step means passing over the batches before it,
    with no state of a generator to restore.
    """

    def __init__(self, rows: int, settings: TrainingSettings):
        self.rows, self.settings = rows, settings
        self.batch_size, self.drop_last = settings.batch_size, False

    def __len__(self) -> int:
        return self.settings.epochs * math.ceil(self.rows / self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        for epoch in range(self.settings.epochs):
            order = numpy.random.default_rng([self.settings.seed, epoch]).permutation(self.rows).tolist()
            for start in range(0, self.rows, self.batch_size):
                yield [(epoch, row) for row in order[start : start + self.batch_size]]


class Collator(SentenceTransformerDataCollator):
    """Makes a batch: its queries, each distinct document once, and :data:`lrat_sim.training.loss.Labels`.

    Documents with the same text are one document, even under two ids: so the positive of a row is never its own
    negative, whoever brought the duplicate.  They are encoded in buckets of like length, each padded to its own
    longest, under the model's own prompts for queries and documents.

    Args:
        model: gives tokenizer and prompts.
        corpus: gives the texts.
        settings: the lengths; the model's own limit holds where it is smaller.
    """

    def __init__(self, model: SentenceTransformer, corpus: Corpus, settings: TrainingSettings):
        super().__init__(preprocess_fn=model.preprocess)
        self.corpus = corpus
        limit = model.max_seq_length or math.inf
        self._query_length = int(min(settings.max_query_length, limit))
        self._document_length = int(min(settings.max_document_length, limit))
        self._query_prompt = prompt_of(model, *QUERY_PROMPTS)
        self._document_prompt = prompt_of(model, *DOCUMENT_PROMPTS)

    def __call__(self, examples: list[Example]) -> dict[str, Any]:  # type: ignore[override]  # pairs, not rows of text
        """One batch: tokenised columns ``query``, ``document_0``, ``document_1``, …, and ``label``."""
        rows = dict.fromkeys(row for example in examples for row in (example.positive, *example.negatives))
        texts = {row: passage_text(self.corpus[row]) for row in rows}
        distinct = sorted(set(texts.values()), key=lambda text: (len(text), text))
        columns = {text: column for column, text in enumerate(distinct)}
        batch: dict[str, Any] = {
            "label": _labels(examples, {row: columns[text] for row, text in texts.items()}),
            **self._tokenised(
                "query", [example.query for example in examples], self._query_prompt, "query", self._query_length
            ),
        }
        for start in range(0, len(distinct), BUCKET):
            bucket = distinct[start : start + BUCKET]
            name = f"document_{start // BUCKET}"
            batch.update(self._tokenised(name, bucket, self._document_prompt, "document", self._document_length))
        return batch

    def _tokenised(self, name: str, texts: list[str], prompt: str, task: str, length: int) -> dict[str, Any]:
        features = self.preprocess_fn(texts, prompt=prompt, task=task, max_length=length)
        return {f"{name}_{key}": value for key, value in features.items()}


def _labels(examples: list[Example], columns: dict[int, int]) -> dict[str, torch.Tensor]:
    width = max(1, *(len(example.negatives) for example in examples))
    negatives = torch.full((len(examples), width), -1)
    negative_weights = torch.zeros(len(examples), width)
    for row, example in enumerate(examples):
        count = len(example.negatives)
        negatives[row, :count] = torch.tensor([columns[document] for document in example.negatives], dtype=torch.long)
        negative_weights[row, :count] = torch.tensor(example.negative_weights)
    return {
        "positive": torch.tensor([columns[example.positive] for example in examples]),
        "negatives": negatives,
        "negative_weights": negative_weights,
        "weights": torch.tensor([example.weight for example in examples], dtype=torch.float32),
    }
