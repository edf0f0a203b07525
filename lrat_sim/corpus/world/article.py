"""The documents of an entity: articles on one aspect each, of which few state a given fact.

An article opens with a lead in the words of its aspect, long enough that the fact's sentence starts behind the
snippet an agent is shown, and short enough that an encoder that cuts at 128 tokens still sees it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import chain, cycle, islice, repeat
from typing import NamedTuple

import msgspec

from lrat_sim.corpus.world.dialect import Aspect, Filling, Template, pick
from lrat_sim.corpus.world.region import Entity, Fact, Region
from lrat_sim.corpus.world.settings import ENTITIES, WorldSettings
from lrat_sim.decoding import prepared
from lrat_sim.records import Document
from lrat_sim.text import count_tokens
from lrat_sim.work import map_in_processes

LEAD_TOKENS = 64  # the least length of a lead: that of the snippets of search results

_TOGETHER = 16
"""Regions that go from process to process at once, some 3,000 documents."""
_EARLY = 0.06  # share of articles whose fact stands in the lead
_RESTATED = 0.15  # share of facts that a second article states too
_FOLLOWED = 0.7  # share of facts that a sentence on their relation follows
_CALLED = 0.4  # share of articles that give the alias
_APART = 0.15  # share of a look-alike's articles that mention the other
_BARE_TITLE = 0.5  # share of articles titled with the name alone
_WORDS = (95, 170)  # an article goes on until it has so many words, drawn evenly between these


class Article(NamedTuple):
    """A document of the entity in a slot of a region, the relations it states, and the token where the first begins."""

    id: str
    slot: int
    title: str
    text: str
    states: tuple[str, ...]
    fact_token: int | None


def world_documents(settings: WorldSettings, processes: int = 1) -> Iterator[Document]:
    """Every document of a world, in order, with the memory of a few regions; several processes write the same ones.

    A script that asks for more than 1 process needs the usual ``if __name__ == "__main__"``.
    """
    regions = range(math.ceil(settings.documents / (ENTITIES * settings.documents_an_entity)))
    if processes == 1:
        documents = _documents(settings, regions)
    else:
        parts = ((settings, regions[first : first + _TOGETHER]) for first in regions[::_TOGETHER])
        written = map_in_processes(_encoded, parts, processes)
        kind = prepared(list[Document])
        documents = (document for _, lines in written for document in msgspec.msgpack.decode(lines, type=kind))
    return islice(documents, settings.documents)


def _documents(settings: WorldSettings, regions: range) -> Iterator[Document]:
    articles = chain.from_iterable(region_articles(Region(settings, number)) for number in regions)
    return (Document(id=a.id, title=a.title, text=a.text) for a in articles)


def _encoded(part: tuple[WorldSettings, range]) -> bytes:
    return msgspec.msgpack.encode(list(_documents(*part)))


def region_articles(region: Region) -> Iterator[Article]:
    """The articles of one region, by entity; those of one entity are in an order that tells nothing."""
    number = region.settings.documents_an_entity
    for entity in region.entities:
        rng = random.Random(f"{region.settings.seed}/{region.number}/{entity.slot}")
        facts = entity.facts.values()
        generic = rng.sample(entity.kind.generic, len(entity.kind.generic))
        aspects = [*(fact.relation for fact in facts), *islice(cycle(generic), number - len(facts))]
        rng.shuffle(aspects)
        writer = _Writer(region, entity, rng)
        restated: list[list[Fact]] = [[] for _ in aspects]
        for fact in facts:
            if rng.random() < _RESTATED:
                place = int(rng.random() * number)
                if aspects[place].relation is None:
                    restated[place].append(fact)
        first = (region.number * ENTITIES + entity.slot) * number
        for row, (aspect, extra) in enumerate(zip(aspects, restated, strict=True), start=first):
            # an id that tells nothing of the order: a one-to-one scramble of the row
            docid = f"{(row * 2_654_435_761 + region.settings.seed * 97 + 12345) & 0xFFFFFFFF:08x}"
            yield writer.article(docid, aspect, extra[:1])


class _Writer:
    """Writes an entity's articles; each list of templates is dealt like a deck of cards, over and over."""

    def __init__(self, region: Region, entity: Entity, rng: random.Random):
        self.entity, self.rng = entity, rng
        hard = region.settings.difficulty
        # shares of facts in the asker's words, of articles that use such words for a relation that they do not treat,
        # and of those of them that do so in the lead
        self.plain, self.stray, self.stray_lead = 0.7 - 0.6 * hard, 0.3 + 0.6 * hard, 0.2 + 0.4 * hard
        self.slots: dict[str, Filling] = entity.slots(region.dialect.pools, region.era)
        self.fillers = self.deck(entity.kind.fillers)
        self.decks: dict[str, tuple[Iterator[Template], ...]] = {}

    def deck(self, cards: list[Template]) -> Iterator[Template]:
        return cycle(self.rng.sample(cards, len(cards)))

    def say(self, template: Template) -> str:
        return template.sentence(self.slots, self.rng)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def article(self, docid: str, aspect: Aspect, extra: list[Fact]) -> Article:
        """One article on one aspect, with the fact of its relation, if it has one, and ``extra`` facts."""
        if aspect.name not in self.decks:
            self.decks[aspect.name] = tuple(self.deck(lines) for lines in (aspect.titles, aspect.open, aspect.more))
        titles, opens, mores = self.decks[aspect.name]
        facts = [self.entity.facts[aspect.relation.name], *extra] if aspect.relation else extra
        states = tuple(fact.relation.name for fact in facts)
        stray = None
        if self.chance(self.stray):
            others = [other for other in self.entity.kind.relations if other.stray and other.name not in states]
            stray = self.say(pick(pick(others, self.rng).stray, self.rng)) if others else None
        sentences = [self.say(next(opens))]
        if stray and self.chance(self.stray_lead):
            sentences.append(stray)
            stray = None
        tokens = sum(map(count_tokens, sentences))
        for deck in chain(repeat(mores, 2), repeat(self.fillers)):
            if tokens >= LEAD_TOKENS:
                break
            sentences.append(self.say(next(deck)))
            tokens += count_tokens(sentences[-1])
        begins: int | None = None
        for fact in facts:
            place = 1 if self.chance(_EARLY) else len(sentences)
            if begins is None:
                begins = sum(map(count_tokens, sentences[:place]))
            # out of its aspect's lead the writer's idiom would be a riddle, so there the fact is stated plainly
            plain = fact in extra or self.chance(self.plain)
            template = pick(fact.relation.plain if plain else fact.relation.quaint, self.rng)
            sentences.insert(place, template.sentence({**self.slots, "o": fact.shown}, self.rng))
        sentences += self.rest(aspect, stray, sum(len(sentence.split()) for sentence in sentences))
        title = self.entity.name if self.chance(_BARE_TITLE) else self.say(next(titles))
        return Article(docid, self.entity.slot, title, " ".join(sentences), states, begins)

    def rest(self, aspect: Aspect, stray: str | None, words: int) -> list[str]:
        """What follows the fact, until the article is long enough."""
        kind, rng = self.entity.kind, self.rng
        first = [self.say(pick(aspect.relation.after, rng))] if aspect.relation and self.chance(_FOLLOWED) else []
        sentences: list[str] = []
        if self.chance(_CALLED):
            sentences.append(self.say(pick(kind.called, rng)))
        if stray:
            sentences.append(stray)
        if self.entity.twin and self.chance(_APART):
            sentences.append(self.say(pick(kind.apart, rng)))
        words += sum(len(sentence.split()) for sentence in first + sentences)
        wanted = _WORDS[0] + int(rng.random() * (_WORDS[1] - _WORDS[0]))
        while words < wanted:
            sentences.append(self.say(next(self.fillers)))
            words += len(sentences[-1].split())
        rng.shuffle(sentences)
        return first + sentences
