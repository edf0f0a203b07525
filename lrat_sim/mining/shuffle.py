"""The shuffled controls: positives that say nothing of what the agents found useful.

They are exchanged at random between pairs, so that a query is taught to find documents that have nothing to do with it;
or, gentler, drawn at random from the same result list, so that all that is left to learn is what the retriever found
itself, and not which of it an agent opened.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec import structs

from lrat_sim.errors import InputError
from lrat_sim.records import Negative

_TRIES = 200


def exchange(positives: Sequence[str], tasks: Sequence[str], seed: int) -> list[str]:
    """A random exchange of positives in which no pair gets a positive of its own task.

    Where the tasks are too few for that, no pair keeps its own positive.

    Args:
        positives: the positive of each pair.
        tasks: the task of each pair.
        seed: decides the exchange.

    Returns:
        The new positive of each pair, the same documents in another order.

    Raises:
        InputError: there is no exchange, since one document is the positive of more than half the pairs.
    """
    own: dict[str, set[str]] = defaultdict(set)
    for positive, task in zip(positives, tasks, strict=True):
        own[task].add(positive)
    result = _deranged(positives, lambda place, docid: docid not in own[tasks[place]], random.Random(seed))
    if result is None:
        result = _deranged(positives, lambda place, docid: docid != positives[place], random.Random(seed))
    if result is None:
        raise InputError(
            f"the positives of {len(positives)} pairs cannot be exchanged, since one of them stands in more than half; "
            "mine more runs for a shuffled control."
        )
    return result


def drawn_from_list(
    positive: str, negatives: Sequence[Negative], seed: int, *pair: object
) -> tuple[str, list[Negative]]:
    """A positive drawn from a pair's own documents, all alike likely; the one that it was takes its place.

    Args:
        positive: the pair's.
        negatives: those that were listed with it.
        seed: decides the draw, together with the pair: other pairs do not matter.
        pair: what tells the pair from others.

    Returns:
        The positive and the negatives, the same documents; a pair without negatives keeps what it has.
    """
    place = random.Random(f"{seed} {pair}").randrange(len(negatives) + 1)
    if place == len(negatives):
        return positive, list(negatives)
    chosen = negatives[place]
    moved = [*negatives[:place], structs.replace(chosen, docid=positive), *negatives[place + 1 :]]
    return chosen.docid, moved


def _deranged(positives: Sequence[str], allowed: Callable[[int, str], bool], draw: random.Random) -> list[str] | None:
    """A shuffle whose forbidden places were repaired by random swaps; None where that did not succeed."""
    result = list(positives)
    draw.shuffle(result)
    for _ in range(3):  # a swap may be possible only after another
        wrong = [place for place, docid in enumerate(result) if not allowed(place, docid)]
        if not wrong:
            return result
        for place in wrong:
            for _ in range(_TRIES):
                other = draw.randrange(len(result))
                if allowed(place, result[other]) and allowed(other, result[place]):
                    result[place], result[other] = result[other], result[place]
                    break
    return result if all(allowed(place, docid) for place, docid in enumerate(result)) else None
