"""A region: twenty entities whose relations close on themselves.

Regions are the unit of the world: a region follows from the world's seed and its own number alone, so documents
stream with the memory of one region, and a task is made without looking at any other.  No text of one region names
an entity of another.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from lrat_sim.corpus.world.dialect import Dialect, Kind, Relation
from lrat_sim.corpus.world.names import Words, entity_word, given_name, minor_word
from lrat_sim.corpus.world.prose import Filling, Template

ENTITIES = 20
_PRONOUNS = {
    "she": {"She": "She", "she": "she", "her": "her", "him": "her", "hers": "hers"},
    "he": {"She": "He", "she": "he", "her": "his", "him": "him", "hers": "his"},
}
_MONTHS = tuple(  # written out, as the calendar module would follow the machine's locale
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_LEAF = 0.2
"""Share of facts whose object is only mentioned and has no documents, though an entity could have stood there."""


class Fact(NamedTuple):
    """What is true of an entity in one relation; ``target`` is the object where it is an entity itself."""

    relation: Relation
    object: str
    shown: str
    target: Entity | None = None
    date: tuple[int, int, int] | None = None


class Entity:
    """Someone or something the encyclopedia tells of.

    ``name`` is canonical, ``shown`` the same with its article; ``twin`` is its look-alike, if it has one.
    """

    def __init__(self, slot: int, kind: Kind, name: str, short: str, alias: str, pronoun: str):
        self.slot, self.kind, self.name, self.alias = slot, kind, name, alias
        self.shown = f"the {name}" if kind.article else name
        self.shown_alias = f"the {alias}" if kind.article else alias
        self.pronoun, self.short = pronoun, short
        self.twin: Entity | None = None
        self.facts: dict[str, Fact] = {}

    def slots(self, pools: dict[str, list[str]], era: int) -> dict[str, Filling]:
        """What fills the slots of this entity's templates."""
        return {
            **pools,
            **_PRONOUNS[self.pronoun],
            "s": self.shown,
            "n": self.short,
            "k": self.kind.ask,
            "alias": self.alias,
            "twin": self.twin.name if self.twin else "",
            "year": lambda rng: str(era + int(rng.random() * 90)),
            "day": lambda rng: date_text(draw_date(rng, era, (0, 90))),
            "spot": lambda rng: minor_word("place", rng),
            "who": lambda rng: f"{given_name(rng, 'he')} {minor_word('family', rng)}",
        }


class Region:
    """The entities of one region and their facts.

    Args:
        dialect: its dialect.
        seed: the world's seed.
        number: the region's, from 0.
        difficulty: the world's dial; sets how many entities have look-alikes.
        relations: how many relations an entity has at most.
    """

    def __init__(self, dialect: Dialect, seed: int, number: int, difficulty: float, relations: int):
        self.dialect, self.seed, self.number = dialect, seed, number
        rng = random.Random(f"{seed}/{number}")
        self.era = 1450 + int(rng.random() * 300)
        self.entities = self._entities(rng, 0.2 + 0.6 * difficulty)
        self._paired: set[tuple[str, str]] = set()
        self._relate(rng, relations)

    def _entities(self, rng: random.Random, alike: float) -> list[Entity]:
        entities: list[Entity] = []
        taken: dict[Words, int] = {"family": 0, "place": 0, "thing": 0}
        for kind in self.dialect.kinds.values():
            previous: Entity | None = None
            for place in range(kind.count):
                index = self.number * 8 + taken[kind.words]
                taken[kind.words] += 1
                twin = previous if place % 2 and rng.random() < alike else None
                entity = self._entity(rng, len(entities), kind, index, twin)
                entities.append(entity)
                previous = entity
        return entities

    def _entity(self, rng: random.Random, slot: int, kind: Kind, index: int, twin: Entity | None) -> Entity:
        """One entity; a twin takes its likeness' stem and either varies the ending or the rest of the name."""
        pronoun = twin.pronoun if twin else ("she" if rng.random() < 0.5 else "he")
        by_ending = twin is not None and (rng.random() < 0.5 or kind.full.slots() == {"word"})
        word = entity_word(kind.words, index - 1 if twin else index, self.seed, look_alike=by_ending)
        first = twin.name.partition(" ")[0] if twin else ""
        given = first if by_ending else given_name(rng, pronoun, first if twin and "given" in kind.full.line else None)
        epithet = _other(kind.epithets, rng, twin.alias if twin else "")
        if twin and "{epithet}" in kind.full.line:
            own = next(epithet for epithet in kind.epithets if epithet in twin.name.split())
            epithet = own if by_ending else _other(kind.epithets, rng, own)
        nick = _other(kind.nicks, rng, twin.alias if twin else "")
        slots: dict[str, Filling] = {"given": given, "word": word, "epithet": epithet, "nick": nick}
        name, short, alias = (template.render(slots, rng) for template in (kind.full, kind.short, kind.alias))
        entity = Entity(slot, kind, name, short, alias, pronoun)
        if twin:
            entity.twin, twin.twin = twin, entity
        return entity

    def _relate(self, rng: random.Random, limit: int) -> None:
        """Draws every fact; a pair of names stands in one relation only, so that no text proves a fact by chance."""
        chosen: dict[int, list[Relation]] = {}
        for entity in self.entities:
            known = entity.kind.relations
            if entity.twin and entity.twin.slot < entity.slot:
                chosen[entity.slot] = chosen[entity.twin.slot]
            else:
                chosen[entity.slot] = known if len(known) <= limit else rng.sample(known, limit)
        for entity in self.entities:
            for relation in chosen[entity.slot]:
                if relation.name in entity.facts:
                    continue
                if relation.object == "date":
                    date = draw_date(rng, self.era, relation.span)
                    entity.facts[relation.name] = Fact(relation, date_text(date), date_text(date), date=date)
                    continue
                target = None if rng.random() < _LEAF else self._target(rng, entity, relation, chosen)
                if target is None:
                    entity.facts[relation.name] = Fact(relation, *self._leaf(rng, relation))
                    continue
                self._paired |= {(entity.name, target.name), (target.name, entity.name)}
                entity.facts[relation.name] = Fact(relation, target.name, target.shown, target)
                if relation.symmetric:
                    target.facts[relation.name] = Fact(relation, entity.name, entity.shown, entity)

    def _target(
        self, rng: random.Random, entity: Entity, relation: Relation, chosen: dict[int, list[Relation]]
    ) -> Entity | None:
        free = [
            other
            for other in self.entities
            if other.kind.name == relation.object
            and other is not entity
            and other is not entity.twin
            and (entity.name, other.name) not in self._paired
            and (not relation.symmetric or (relation in chosen[other.slot] and relation.name not in other.facts))
        ]
        return free[int(rng.random() * len(free))] if free else None

    def _leaf(self, rng: random.Random, relation: Relation) -> tuple[str, str]:
        """Something only mentioned: its name after its kind's fashion, and the same with its article."""
        kind = self.dialect.kinds.get(relation.object)
        words: Words = kind.words if kind else "thing"
        slots: dict[str, Filling] = {
            "given": given_name(rng, "she" if rng.random() < 0.5 else "he"),
            "word": minor_word(words, rng),
            "epithet": kind.epithets if kind else "",
        }
        name = (kind.full if kind else Template(relation.named)).render(slots, rng)
        return name, f"the {name}" if kind and kind.article else name


def draw_date(rng: random.Random, era: int, span: tuple[int, int]) -> tuple[int, int, int]:
    """A date as (year, month, day), the year within ``span`` of the era."""
    year = era + span[0] + int(rng.random() * (span[1] - span[0] + 1))
    return year, 1 + int(rng.random() * 12), 1 + int(rng.random() * 28)


def date_text(date: tuple[int, int, int]) -> str:
    """The one way in which dates are written: 3 May 1604."""
    year, month, day = date
    return f"{day} {_MONTHS[month - 1]} {year}"


def _other(options: list[str], rng: random.Random, unlike: str) -> str:
    """One of the options that is no word of ``unlike``."""
    left = [option for option in options if option not in unlike.split()]
    return left[int(rng.random() * len(left))] if left else ""
