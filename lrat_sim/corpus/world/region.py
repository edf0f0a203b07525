"""A region: twenty entities whose relations close on themselves.

It follows from the world's seed and its own number alone, so documents stream with the memory of one region, and a task
is made without looking at any other.  No text of one region names an entity of another.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from lrat_sim.corpus.world.dialect import (
    Filling,
    Kind,
    Relation,
    Template,
    Words,
    dialect,
    entity_word,
    given_name,
    minor_word,
    pick,
)
from lrat_sim.corpus.world.settings import WorldSettings, split_of

_PRONOUNS = {
    "she": {"She": "She", "she": "she", "her": "her", "him": "her", "hers": "hers"},
    "he": {"She": "He", "she": "he", "her": "his", "him": "him", "hers": "his"},
}
_MONTHS = "January February March April May June July August September October November December"
_LEAF = 0.2  # share of facts whose object is only mentioned and has no documents, though an entity could stand there


class Fact(NamedTuple):
    """What is true of an entity in one relation; ``target`` is the object where it is an entity itself."""

    relation: Relation
    object: str
    shown: str
    target: Entity | None = None
    date: tuple[int, int, int] | None = None


class Entity:
    """Someone or something with articles; ``shown`` is its name as in a text, ``twin`` its look-alike."""

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
    """The entities of one region, by its number from 0, and their facts."""

    def __init__(self, settings: WorldSettings, number: int):
        self.settings, self.number = settings, number
        self.dialect = dialect("second" if split_of(number) == "ood" else "main")
        rng = random.Random(f"{settings.seed}/{number}")
        self.era = 1450 + int(rng.random() * 300)
        self.entities: list[Entity] = []
        taken: dict[Words, int] = {"family": 0, "place": 0, "thing": 0}
        for kind in self.dialect.kinds.values():
            for place in range(kind.count):
                twin = self.entities[-1] if place % 2 and rng.random() < 0.2 + 0.6 * settings.difficulty else None
                self.entities.append(self._entity(rng, len(self.entities), kind, number * 8 + taken[kind.words], twin))
                taken[kind.words] += 1
        self._paired: set[tuple[str, str]] = set()
        # two documents of every entity at least state no fact of their own
        self._relate(rng, limit=settings.documents_an_entity - 2)

    def _entity(self, rng: random.Random, slot: int, kind: Kind, index: int, twin: Entity | None) -> Entity:
        """One entity; a look-alike of ``twin`` takes its stem and varies either the ending or the rest of the name."""
        pronoun = twin.pronoun if twin else ("she" if rng.random() < 0.5 else "he")
        by_ending = twin is not None and (rng.random() < 0.5 or kind.full.slots() == {"word"})
        word = entity_word(kind.words, index - 1 if twin else index, self.settings.seed, look_alike=by_ending)
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
        """Draws every fact; a pair of names has only one relation, so that no text proves a fact by chance."""
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
                free = [] if rng.random() < _LEAF else self._free(entity, relation, chosen)
                if not free:
                    entity.facts[relation.name] = Fact(relation, *self._leaf(rng, relation))
                    continue
                target = pick(free, rng)
                self._paired |= {(entity.name, target.name), (target.name, entity.name)}
                entity.facts[relation.name] = Fact(relation, target.name, target.shown, target)
                if relation.symmetric:
                    target.facts[relation.name] = Fact(relation, entity.name, entity.shown, entity)

    def _free(self, entity: Entity, relation: Relation, chosen: dict[int, list[Relation]]) -> list[Entity]:
        return [
            other
            for other in self.entities
            if other.kind.name == relation.object
            and other not in (entity, entity.twin)
            and (entity.name, other.name) not in self._paired
            and (not relation.symmetric or (relation in chosen[other.slot] and relation.name not in other.facts))
        ]

    def _leaf(self, rng: random.Random, relation: Relation) -> tuple[str, str]:
        """Something only mentioned: a name as its kind has them, and the same with its article."""
        kind = self.dialect.kinds.get(relation.object)
        slots: dict[str, Filling] = {
            "given": given_name(rng, "she" if rng.random() < 0.5 else "he"),
            "word": minor_word(kind.words if kind else "thing", rng),
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
    # not by the calendar module, which would follow the machine's locale
    return f"{day} {_MONTHS.split()[month - 1]} {year}"


def _other(options: list[str], rng: random.Random, unlike: str) -> str:
    """One of the options that is no word of ``unlike``."""
    left = [option for option in options if option not in unlike.split()]
    return pick(left, rng) if left else ""
