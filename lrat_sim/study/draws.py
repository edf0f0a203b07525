"""Which pairs a round's training sees, and which task is collected with which retriever: both drawn without a state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lrat_sim.artifact import read_records
from lrat_sim.records import Pair, Task, encode


def draw(*keys: object) -> float:
    """A number from 0 to below 1 that the keys alone decide, so that more tasks or rounds change no earlier draw."""
    digest = hashlib.blake2b("\x1f".join(map(str, keys)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / (1 << 53)


def shared_out(tasks: Sequence[Task], shares: Mapping[str, float], rest: str, seed: int) -> dict[str, list[Task]]:
    """Gives each task to one of several retrievers, in about these shares (above 0, together 1 at most), and the others
    to ``rest``; returns the tasks of each name that got any, ``rest`` first."""
    given: dict[str, list[Task]] = {name: [] for name in (rest, *shares)}
    for task in tasks:
        left, taker = draw("collect", seed, task.id), rest
        for name, share in shares.items():
            left -= share
            if left < 0:
                taker = name
                break
        given[taker].append(task)
    return {name: own for name, own in given.items() if own}


def replayed(files: Iterable[Path], share: float, seed: int) -> Iterator[Pair]:
    """A share (0 to 1) of the pairs of earlier rounds, in order; each pair is drawn by its content."""
    for path in files:
        for pair in read_records(path, Pair):
            if share >= 1 or draw("replay", seed, encode(pair)) < share:
                yield pair
