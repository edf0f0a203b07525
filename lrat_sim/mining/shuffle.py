"""The shuffled control: positives exchanged at random between pairs, so that there is nothing to learn."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from lrat_sim.errors import InputError

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
