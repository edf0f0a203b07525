"""Randomness without state: the same keys give the same draw, in any process and at any concurrency."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")


def uniform(*keys: object) -> float:
    """A number in (0, 1), decided by the keys."""
    digest = blake2b("\x1f".join(map(str, keys)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64


def normal(*keys: object) -> float:
    """A standard normal number, decided by the keys."""
    return NormalDist().inv_cdf(uniform(*keys))


def pick(options: Sequence[T], *keys: object) -> T:
    """One of the options, decided by the keys."""
    return options[int(uniform(*keys) * len(options))]


def shuffled(options: Sequence[T], *keys: object) -> list[T]:
    """The options in an order decided by the keys."""
    return [option for _, option in sorted((uniform(*keys, index), option) for index, option in enumerate(options))]


def verbosity(seed: int) -> float:
    """By how many standard deviations a run's reasoning is longer than usual."""
    return normal(seed, "verbosity")
