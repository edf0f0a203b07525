"""Invented names: unique where an entity bears them, by construction rather than by a table.

A name's word is consonants, vowels, consonants, vowels and an ending, each drawn from lists of which every member
is one run of consonants or vowels.  So a word parses in one way only, and a one-to-one scramble of an entity's
index gives every entity a word of its own in a world of any size.
"""

from __future__ import annotations

import random
from typing import Literal

Words = Literal["family", "place", "thing"]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ONSETS = _listed("b br c cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr r s sk st sv t th tr v w z zh")
_VOWELS = _listed("a e i o u ei")
_MIDDLES = _listed("b d g l m n r s v z ld lm ln lv nd ng nn rb rd rg rl rm rn rs rv ss sk st th tt")
_LINKS = _listed("a e i o u ia")


def _pairs(text: str) -> list[list[str]]:
    return [pair.split("/") for pair in text.split()]


# An entity bears the part before the stroke, a look-alike of the same stem the part behind it.
_ENDINGS: dict[Words, list[list[str]]] = {
    "family": _pairs("n/ne r/re l/lle s/sse th/the ck/cke nd/nde rt/rte"),
    "place": _pairs("wick/wich holt/holm stead/sted ford/forth mere/more garth/garde haven/havel combe/combes"),
    "thing": _pairs("va/van dra/dras phe/phen ssa/ssan mir/mira tis/tish bel/bella quin/quint"),
}
_MINOR: dict[Words, tuple[str, ...]] = {
    "family": ("by", "gg", "zel", "pp", "rk"),
    "place": ("fell", "brae", "ness", "thwaite", "den"),
    "thing": ("xis", "lune", "rix", "nora", "dell"),
}
_STEMS = len(_ONSETS) * len(_VOWELS) * len(_MIDDLES) * len(_LINKS)
CAPACITY = _STEMS * 8
"""Words of one class before one would repeat."""

_STRIDE = 130_363  # prime, and no factor of CAPACITY: so index -> index * stride is one-to-one
_SHIFT: dict[Words, int] = {"family": 0, "place": CAPACITY // 3, "thing": 2 * CAPACITY // 3}
"""Keeps a region's people, places and things from sharing stems."""

_GIVEN_STARTS = _listed(
    "Or Ald Bren Cor Dal Em Fen Gar Hel Is Jor Kes Lin Mor Ned Os Per Quil Ros Sev Tam Ul Ver Wen Yss Zan"
)
_GIVEN_MIDDLES = _listed("sol and ev il or em ar is")
_GIVEN_ENDS = {"she": _listed("a ine eth is"), "he": _listed("in o an ric")}


def _stem(number: int) -> str:
    number, link = divmod(number, len(_LINKS))
    number, middle = divmod(number, len(_MIDDLES))
    onset, vowel = divmod(number, len(_VOWELS))
    return (_ONSETS[onset] + _VOWELS[vowel] + _MIDDLES[middle] + _LINKS[link]).capitalize()


def entity_word(words: Words, index: int, seed: int, *, look_alike: bool = False) -> str:
    """The word that one entity of the world bears.

    Args:
        words: the class of words; no word is in two classes.
        index: the entity's place in its class, below :data:`CAPACITY`.
        seed: the world's.
        look_alike: the same stem with a nearly equal ending, which no other index gives.
    """
    stem, ending = divmod(((index + _SHIFT[words]) * _STRIDE + seed * 7919) % CAPACITY, 8)
    return _stem(stem) + _ENDINGS[words][ending][look_alike]


def minor_word(words: Words, rng: random.Random) -> str:
    """A word for something that is only mentioned: never an entity's, but it may come again."""
    return _stem(int(rng.random() * _STEMS)) + _pick(_MINOR[words], rng)


def given_name(rng: random.Random, pronoun: str, like: str | None = None) -> str:
    """A given name; names recur all over the world.

    Args:
        rng: where the draw comes from.
        pronoun: ``she`` or ``he``.
        like: a name to resemble without equalling it.
    """
    while True:
        start = next(s for s in sorted(_GIVEN_STARTS, key=len, reverse=True) if like.startswith(s)) if like else None
        name = (start or _pick(_GIVEN_STARTS, rng)) + _pick(_GIVEN_MIDDLES, rng) + _pick(_GIVEN_ENDS[pronoun], rng)
        if name != like:
            return name


def _pick(options: tuple[str, ...], rng: random.Random) -> str:
    return options[int(rng.random() * len(options))]
