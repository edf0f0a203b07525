"""Invented names: unique where an entity bears them, by construction rather than by a table.

A name's word is put together from the syllables of ``names.yaml`` and can be taken apart in one way only.  So a
one-to-one scramble of an entity's index gives every entity a word of its own in a world of any size.
"""

from __future__ import annotations

import random
from math import prod
from pathlib import Path

from lrat_sim.catalog import read_yaml
from lrat_sim.corpus.world.dialect import Words, pick

_SYLLABLES: dict[str, str] = read_yaml(Path(__file__).with_suffix(".yaml"))
_PARTS = {name: syllables.split() for name, syllables in _SYLLABLES.items()}
_STEM = [_PARTS[name] for name in ("onsets", "vowels", "middles", "links")]
_STEMS = prod(map(len, _STEM))
CAPACITY = _STEMS * 8
"""Words of one class before one would repeat."""

_STRIDE = 130_363  # prime, and no factor of CAPACITY: so index -> index * stride is one-to-one
_SHIFT: dict[Words, int] = {"family": 0, "place": CAPACITY // 3, "thing": 2 * CAPACITY // 3}
"""Keeps a region's people, places and things from sharing stems."""


def _stem(number: int) -> str:
    parts: list[str] = []
    for syllables in reversed(_STEM):
        number, place = divmod(number, len(syllables))
        parts.insert(0, syllables[place])
    return "".join(parts).capitalize()


def entity_word(words: Words, index: int, seed: int, *, look_alike: bool = False) -> str:
    """The word that one entity of the world bears, by its place in its class; no word is in two classes.

    ``look_alike`` gives the same stem with a nearly equal ending, which no other index gives.
    """
    stem, ending = divmod(((index + _SHIFT[words]) * _STRIDE + seed * 7919) % CAPACITY, 8)
    return _stem(stem) + _PARTS[words][ending].split("/")[look_alike]


def minor_word(words: Words, rng: random.Random) -> str:
    """A word for something that is only mentioned: never an entity's, but it may come again."""
    return _stem(int(rng.random() * _STEMS)) + pick(_PARTS[f"minor {words}"], rng)


def given_name(rng: random.Random, pronoun: str, like: str | None = None) -> str:
    """A given name, which resembles the name ``like`` without equalling it; names recur all over the world."""
    starts = _PARTS["given starts"]
    while True:
        start = next(s for s in sorted(starts, key=len, reverse=True) if like.startswith(s)) if like else None
        name = (start or pick(starts, rng)) + pick(_PARTS["given middles"], rng) + pick(_PARTS[pronoun], rng)
        if name != like:
            return name
