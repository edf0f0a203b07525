"""One model, asked by many threads: what waits is run together, in batches of a few fixed shapes.

Matrix products round a row differently in a batch of another shape.  So every batch has one of a few shapes: a length
from :func:`bucket`, which follows from the item's own length, and the rows that belong to that length, missing ones
filled up.  The rows are one, or a multiple of eight: where they are not, MKL sums the last few in another order, which
was seen in the last layer of classifiers.  Then an item's result is, bit for bit, what it is alone; the tests assert
that for three architectures on the CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

R = TypeVar("R")

_SHORTEST = 16


def bucket(length: int, longest: int) -> int:
    """The length that an item of ``length`` tokens is padded to: 16, 24, 32, 48, 64, 96, ..., at most ``longest``."""
    size = _SHORTEST
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return min(size, max(length, longest))


def rows_of(length: int, tokens: int) -> int:
    """The rows of a batch of one length: 8, 16, 24 or 32, as have up to ``tokens`` together, or a single one."""
    return max(1, min(32, tokens // length // 8 * 8))


class _Item:
    def __init__(self, length: int, payload: Any):
        self.length, self.payload = length, payload
        self.done, self.result, self.error = False, None, None  # type: bool, Any, BaseException | None


class SharedBatches(Generic[R]):
    """Runs the items of several threads in common batches.

    No thread of its own is needed, and nobody waits for a batch to fill: whoever finds the model free runs what waits,
    the oldest item and those of its length, whoever asked for them, until the own items are done.

    Args:
        run: gets a length and the items of it, and returns their results in order; never called by two threads at once.
        rows: the most items of one call, by their length.
    """

    def __init__(self, run: Callable[[int, list[Any]], Sequence[R]], rows: Callable[[int], int]):
        self._run, self._rows = run, rows
        self._waiting: list[_Item] = []
        self._queue, self._model = threading.Lock(), threading.Lock()

    def __call__(self, items: Sequence[tuple[int, Any]]) -> list[R]:
        """The results of items, each a length and what ``run`` is given; raises what ``run`` raises of them."""
        own = [_Item(length, payload) for length, payload in items]
        with self._queue:
            self._waiting += own
        while not all(item.done for item in own):
            with self._model:
                # what is not done and not in a batch waits, and batches are run under this lock alone
                if not all(item.done for item in own):
                    self._step()
        for item in own:
            if item.error is not None:
                raise item.error
        return [item.result for item in own]

    def _step(self) -> None:
        with self._queue:
            length = self._waiting[0].length
            batch = [item for item in self._waiting if item.length == length][: self._rows(length)]
            chosen = set(map(id, batch))
            self._waiting = [item for item in self._waiting if id(item) not in chosen]
        try:
            for item, result in zip(batch, self._run(length, [item.payload for item in batch]), strict=True):
                item.result = result
        except BaseException as error:
            for item in batch:
                item.error = error
            if not isinstance(error, Exception):  # of this thread alone, such as Ctrl-C; the others must not wait
                raise
        finally:
            for item in batch:
                item.done = True
