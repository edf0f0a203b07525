"""What looks over several runs: guards against false negatives and repetition, and the shuffled controls."""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec import structs

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.errors import InputError
from lrat_sim.mining.recipe import NearPositive
from lrat_sim.records import Negative, Pair

if TYPE_CHECKING:
    from lrat_sim.retrieval.vectors import Encoder

Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

_VECTORS = 50_000
"""Vectors of documents that are kept, the latest used."""
_SWAPS = 200
"""Random partners that are tried for a positive that may not stay where a shuffle put it."""


def key(*values: object) -> int:
    """Sixty-four bits that stand for some values, the same on any machine."""
    text = "\0".join(map(str, values))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def place(pair: Pair) -> tuple[object, ...]:
    """Where a pair comes from; draws that depend on it depend on no order."""
    where = pair.provenance
    return where.trajectory, where.turn, where.call, where.browse_turn, where.browse_call


def first_of_each(keys: Hashes, lengths: npt.NDArray[np.float64], origins: Hashes) -> Mask:
    """Of the pairs with the same key the longest, by origin where several are."""
    order = np.lexsort((origins, -lengths, keys))
    _, first = np.unique(keys[order], return_index=True)
    kept = np.zeros(len(keys), np.bool_)
    kept[order[first]] = True
    return kept


def at_most(count: int, documents: Hashes, origins: Hashes) -> Mask:
    """Of the uses of a document no more than ``count``, drawn by origin."""
    order = np.lexsort((origins, documents))
    _, starts, uses = np.unique(documents[order], return_index=True, return_counts=True)
    position = np.arange(len(order)) - np.repeat(starts, uses)  # among the uses of the same document
    kept = np.zeros(len(documents), np.bool_)
    kept[order[position < count]] = True
    return kept


class NearPositives:
    """Which negatives an encoder finds nearly as good as their positive, by the dot product of its vectors."""

    def __init__(self, guard: NearPositive, encoder: Encoder | None, corpus: Container[str] | None):
        if encoder is None or not isinstance(corpus, Corpus):
            raise InputError(
                "the recipe drops negatives near their positive, which needs an encoder and the corpus; "
                "give the corpus that the agents searched, or leave guards.near_positive out."
            )
        self._encoder, self._corpus, self._share = encoder, corpus, guard.share
        self._vectors: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()

    def find(self, pairs: Sequence[tuple[Pair, set[str]]]) -> list[set[str]]:
        """Of some documents of each pair, all in the corpus, those that are too near its positive."""
        self._encode({docid for pair, docids in pairs for docid in (pair.positive, *docids)})
        near: list[set[str]] = []
        for pair, docids in pairs:
            query = self._encoder.queries([pair.query])[0]
            best = float(query @ self._vectors[pair.positive])
            limit = best - (1 - self._share) * abs(best)  # the share of it, where it is above 0
            near.append({docid for docid in docids if float(query @ self._vectors[docid]) > limit})
        while len(self._vectors) > _VECTORS:
            self._vectors.popitem(last=False)
        return near

    def _encode(self, docids: set[str]) -> None:
        for docid in docids & self._vectors.keys():
            self._vectors.move_to_end(docid)
        if new := sorted(docids - self._vectors.keys()):
            texts = [passage_text(self._corpus.document(docid)) for docid in new]
            self._vectors.update(zip(new, self._encoder.documents(texts), strict=True))


# --- shuffled controls: positives that say nothing of what the agents found useful ---


def exchange(positives: Sequence[str], tasks: Sequence[str], seed: int) -> list[str]:
    """A random exchange of positives in which no pair gets a positive of its own task.

    A query is so taught to find documents that have nothing to do with it.  Where the tasks are too few for that, no
    pair keeps its own positive.

    Raises:
        InputError: there is no exchange, since one document is the positive of more than half the pairs.
    """
    own: dict[str, set[str]] = defaultdict(set)
    for positive, task in zip(positives, tasks, strict=True):
        own[task].add(positive)
    for allowed in (
        lambda index, docid: docid not in own[tasks[index]],
        lambda index, docid: docid != positives[index],
    ):
        if (result := _deranged(positives, allowed, random.Random(seed))) is not None:
            return result
    raise InputError(
        f"the positives of {len(positives)} pairs cannot be exchanged, since one of them stands in more than half; "
        "mine more runs for a shuffled control."
    )


def _deranged(positives: Sequence[str], allowed: Callable[[int, str], bool], draw: random.Random) -> list[str] | None:
    """A shuffle whose forbidden places were repaired by random swaps; None where that did not succeed."""
    result = list(positives)
    draw.shuffle(result)
    for _ in range(3):  # a swap may be possible only after another
        wrong = [index for index, docid in enumerate(result) if not allowed(index, docid)]
        if not wrong:
            return result
        for index in wrong:
            for _ in range(_SWAPS):
                partner = draw.randrange(len(result))
                if allowed(index, result[partner]) and allowed(partner, result[index]):
                    result[index], result[partner] = result[partner], result[index]
                    break
    return result if all(allowed(index, docid) for index, docid in enumerate(result)) else None


def drawn_from_list(
    positive: str, negatives: Sequence[Negative], seed: int, *pair: object
) -> tuple[str, list[Negative]]:
    """A positive drawn from a pair's own documents, all alike likely; the one that it was takes its place.

    All that is left to learn is what the retriever found itself, and not which of it an agent opened.  The draw depends
    on the seed and on ``pair``, what tells the pair from others, alone.
    """
    index = random.Random(f"{seed} {pair}").randrange(len(negatives) + 1)
    if index == len(negatives):
        return positive, list(negatives)
    chosen = negatives[index]
    moved = [*negatives[:index], structs.replace(chosen, docid=positive), *negatives[index + 1 :]]
    return chosen.docid, moved
