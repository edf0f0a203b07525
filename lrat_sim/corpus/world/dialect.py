"""A dialect: kinds of entities, relations between them, how writers and askers word them, and invented names.

Dialects are data, one YAML beside this file each; the head of ``main.yaml`` says what its templates mean.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Literal, TypeVar

from msgspec import Struct, field

from lrat_sim.catalog import read_yaml
from lrat_sim.decoding import convert

T = TypeVar("T")
Words = Literal["family", "place", "thing"]  # classes of invented words

Filling = str | Sequence[str] | Callable[[random.Random], str]
"""What fills a slot: a text, texts to draw from, or a function that makes texts."""

_ARTICLE = re.compile(r"[Aa](?<!\w.)(?= [aeio])")  # no slot is filled with a word in u
_SLOT = re.compile(r"\{(\w+)\}")
_GAP = re.compile(rf"{_SLOT.pattern}|\[([^\]]*)\]")


def pick(options: Sequence[T], rng: random.Random) -> T:
    """One of several; unlike ``rng.choice``, the same in every version of Python."""
    return options[int(rng.random() * len(options))]


class Template:
    """One line, in which ``[a|b]`` is a choice and ``{name}`` a slot."""

    def __init__(self, line: str):
        self.line = line
        self._first, *pieces = _GAP.split(line)
        self._rest: list[tuple[str | list[Template], str]] = []
        for slot, choices, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            self._rest.append((slot or [Template(option) for option in choices.split("|")], text))

    def slots(self) -> set[str]:
        """The names of all slots, those in choices too."""
        return set(_SLOT.findall(self.line))

    def render(self, slots: Mapping[str, Filling], rng: random.Random) -> str:
        """The line with every choice made and every slot filled."""
        out = [self._first]
        for gap, text in self._rest:
            if isinstance(gap, list):
                out.append(pick(gap, rng).render(slots, rng))
            elif isinstance(filling := slots[gap], str):
                out.append(filling)
            else:
                out.append(filling(rng) if callable(filling) else pick(filling, rng))
            out.append(text)
        return "".join(out)

    def sentence(self, slots: Mapping[str, Filling], rng: random.Random) -> str:
        """The same, beginning with a capital, and with "an" where the sound asks for it."""
        text = _ARTICLE.sub(r"\g<0>n", self.render(slots, rng))
        return text[:1].upper() + text[1:]


class Templates(list[Template]):
    """One template a line of a text; blank lines are passed over."""

    def __init__(self, lines: str):
        super().__init__(Template(line.strip()) for line in lines.splitlines() if line.strip())


class Aspect(Struct, forbid_unknown_fields=True, kw_only=True, eq=False):
    """What one document of an entity is about: its titles and its lead; ``name`` is unique in the dialect."""

    name: str = field(default="", name="key")
    titles: Templates
    open: Templates
    more: Templates

    @property
    def relation(self) -> Relation | None:
        """The relation whose fact belongs in such a document, if any."""
        return None


class Relation(Aspect, kw_only=True, eq=False):
    """A relation: from a kind of entity to another, to a ``date``, or to a ``minor`` name that is only mentioned."""

    subject: str
    object: str
    ask: Templates
    noun: Templates
    phrasings: Templates
    plain: Templates
    quaint: Templates
    after: Templates
    stray: Templates
    symmetric: bool = False
    span: tuple[int, int] = (0, 0)
    role: str = ""
    predicate: str = ""
    named: str = ""

    @property
    def relation(self) -> Relation:
        """Itself."""
        return self


class Kind(Struct, forbid_unknown_fields=True, kw_only=True, eq=False):
    """A kind of entity."""

    name: str = field(default="", name="key")
    count: int
    words: Words
    ask: str
    full: Template = field(name="name")
    short: Template
    alias: Template
    called: Templates
    apart: Templates
    fillers: Templates
    aspects: dict[str, Aspect] = field(name="generic")
    article: bool = False
    epithets: list[str] = []
    nicks: list[str] = []
    relations: list[Relation] = []
    generic: list[Aspect] = field(default_factory=list, name="all aspects")


class Dialect(Struct, forbid_unknown_fields=True, kw_only=True, eq=False):
    """A whole dialect; ``shared`` are aspects that every kind of entity has."""

    pools: dict[str, list[str]]
    kinds: dict[str, Kind]
    shared: dict[str, Aspect]
    relations: dict[str, Relation]


def dialect_file(name: str) -> Path:
    """The YAML of a dialect."""
    return Path(__file__).with_name(f"{name}.yaml")


@lru_cache
def dialect(name: str) -> Dialect:
    """A dialect by its YAML's name, read once."""
    content = read_yaml(dialect_file(name))
    read: Dialect = convert(content, Dialect, dec_hook=lambda kind, lines: kind(lines))
    for key, relation in read.relations.items():
        relation.name = key
    for key, kind in read.kinds.items():
        kind.name = key
        kind.relations = [relation for relation in read.relations.values() if relation.subject == key]
        aspects = {**kind.aspects, **read.shared}
        for key_of_aspect, aspect in aspects.items():
            aspect.name = key_of_aspect
        kind.generic = list(aspects.values())
    return read


# --- names: unique where an entity bears them, by construction rather than by a table. A name's word is put together
# from the syllables of names.yaml and can be taken apart in one way only, so a one-to-one scramble of an entity's index
# gives every entity a word of its own in a world of any size.

_SYLLABLES: dict[str, str] = read_yaml(Path(__file__).with_name("names.yaml"))
_PARTS = {name: syllables.split() for name, syllables in _SYLLABLES.items()}
_STEM = [_PARTS[name] for name in ("onsets", "vowels", "middles", "links")]
_STEMS = prod(map(len, _STEM))
CAPACITY = _STEMS * 8  # words of one class before one would repeat
_STRIDE = 130_363  # prime, and no factor of CAPACITY: so index -> index * stride is one-to-one
# keeps a region's people, places and things from sharing stems
_SHIFT: dict[Words, int] = {"family": 0, "place": CAPACITY // 3, "thing": 2 * CAPACITY // 3}


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
