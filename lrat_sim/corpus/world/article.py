"""The documents of an entity: articles on one aspect each, of which few state a given fact.

An article opens with a lead in the words of its aspect, long enough that the fact's sentence starts behind the
snippet an agent is shown, and short enough that an encoder that cuts at 128 tokens still sees it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from lrat_sim.corpus.world.dialect import Aspect
from lrat_sim.corpus.world.prose import Filling, Template
from lrat_sim.corpus.world.region import Entity, Fact, Region
from lrat_sim.text import count_tokens

LEAD_TOKENS = 64
"""The least length of a lead: that of the snippets of search results."""

_EARLY = 0.06  # share of articles whose fact stands in the lead
_RESTATED = 0.15  # share of facts that a second article states too
_CALLED = 0.4  # share of articles that give the alias
_APART = 0.15  # share of a look-alike's articles that mention the other
_BARE_TITLE = 0.5  # share of articles titled with the name alone
_WORDS = (95, 170)  # an article goes on until it has so many words, drawn evenly between these


class Article(NamedTuple):
    """A document's title and text, the relations whose facts it states, and where the first of them begins."""

    title: str
    text: str
    states: tuple[str, ...]
    fact_token: int | None


class Wording(NamedTuple):
    """How hard the prose makes it; all are shares.

    ``plain``: facts stated in the asker's words.  ``stray``: articles that use an asker's words for a relation that
    they do not treat; ``stray_lead``: those of them that do so within the lead.
    """

    plain: float
    stray: float
    stray_lead: float


class _Deck:
    """Deals templates in shuffled order, and again from the start when all are dealt."""

    def __init__(self, cards: list[Template], rng: random.Random):
        self._cards = rng.sample(cards, len(cards))
        self._next = 0

    def deal(self) -> Template:
        card = self._cards[self._next % len(self._cards)]
        self._next += 1
        return card


def articles(region: Region, entity: Entity, count: int, wording: Wording) -> Iterator[Article]:
    """All articles of one entity, in an order that tells nothing.

    Args:
        region: the entity's region.
        entity: whom they are about.
        count: how many; more than the entity's facts, so that some state none.
        wording: the difficulty of the prose.
    """
    rng = random.Random(f"{region.seed}/{region.number}/{entity.slot}")
    aspects: list[Aspect] = [fact.relation for fact in entity.facts.values()]
    generic = rng.sample(entity.kind.generic, len(entity.kind.generic))
    aspects += [generic[place % len(generic)] for place in range(count - len(aspects))]
    rng.shuffle(aspects)
    writer = _Writer(region, entity, rng, wording)
    restated: list[list[Fact]] = [[] for _ in aspects]
    for fact in entity.facts.values():
        if rng.random() < _RESTATED:
            place = int(rng.random() * count)
            if aspects[place].relation is None:
                restated[place].append(fact)
    for aspect, extra in zip(aspects, restated, strict=True):
        yield writer.article(aspect, extra[:1])


class _Writer:
    def __init__(self, region: Region, entity: Entity, rng: random.Random, wording: Wording):
        self.entity, self.rng, self.wording = entity, rng, wording
        self.slots: dict[str, Filling] = entity.slots(region.dialect.pools, region.era)
        self.fillers = _Deck(entity.kind.fillers, rng)
        self.strays = [relation for relation in entity.kind.relations if relation.stray]
        self.decks: dict[str, tuple[_Deck, ...]] = {}

    def say(self, template: Template) -> str:
        return template.sentence(self.slots, self.rng)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def article(self, aspect: Aspect, extra: list[Fact]) -> Article:
        """One article on one aspect, with the fact of its relation, if it has one, and ``extra`` facts."""
        rng, entity = self.rng, self.entity
        if aspect.name not in self.decks:
            self.decks[aspect.name] = tuple(_Deck(lines, rng) for lines in (aspect.titles, aspect.open, aspect.more))
        titles, opens, mores = self.decks[aspect.name]
        stray = self.stray(aspect, extra) if self.chance(self.wording.stray) else None
        sentences = [self.say(opens.deal())]
        if stray and self.chance(self.wording.stray_lead):
            sentences.append(stray)
            stray = None
        tokens = sum(map(count_tokens, sentences))
        more = 0
        while tokens < LEAD_TOKENS:
            card = mores.deal() if more < 2 else self.fillers.deal()
            sentences.append(self.say(card))
            tokens += count_tokens(sentences[-1])
            more += 1
        facts = [entity.facts[aspect.relation.name]] if aspect.relation else []
        facts += extra
        begins: int | None = None
        for fact in facts:
            place = 1 if self.chance(_EARLY) else len(sentences)
            if begins is None:
                begins = sum(map(count_tokens, sentences[:place]))
            # out of its aspect's lead the writer's idiom would be a riddle, so there the fact is stated plainly
            plain = fact in extra or self.chance(self.wording.plain)
            sentences.insert(place, self.fact(fact, plain))
        sentences += self.rest(aspect, stray, sum(len(sentence.split()) for sentence in sentences))
        title = entity.name if self.chance(_BARE_TITLE) else self.say(titles.deal())
        return Article(title, " ".join(sentences), tuple(fact.relation.name for fact in facts), begins)

    def fact(self, fact: Fact, plain: bool) -> str:
        lines = fact.relation.plain if plain else fact.relation.quaint
        template = lines[int(self.rng.random() * len(lines))]
        return template.sentence({**self.slots, "o": fact.shown}, self.rng)

    def stray(self, aspect: Aspect, extra: list[Fact]) -> str | None:
        """A sentence in the asker's words for a relation of which this article does not tell."""
        told = {fact.relation.name for fact in extra} | ({aspect.relation.name} if aspect.relation else set())
        others = [relation for relation in self.strays if relation.name not in told]
        if not others:
            return None
        relation = others[int(self.rng.random() * len(others))]
        return self.say(relation.stray[int(self.rng.random() * len(relation.stray))])

    def rest(self, aspect: Aspect, stray: str | None, words: int) -> list[str]:
        """What follows the fact, until the article is long enough."""
        rng, kind = self.rng, self.entity.kind
        first: list[str] = []
        if aspect.relation and self.chance(0.7):
            after = aspect.relation.after
            first.append(self.say(after[int(rng.random() * len(after))]))
        sentences: list[str] = []
        if self.chance(_CALLED):
            sentences.append(self.say(kind.called[int(rng.random() * len(kind.called))]))
        if stray:
            sentences.append(stray)
        if self.entity.twin and self.chance(_APART):
            sentences.append(self.say(kind.apart[int(rng.random() * len(kind.apart))]))
        words += sum(len(sentence.split()) for sentence in first + sentences)
        wanted = _WORDS[0] + int(rng.random() * (_WORDS[1] - _WORDS[0]))
        while words < wanted:
            sentences.append(self.say(self.fillers.deal()))
            words += len(sentences[-1].split())
        rng.shuffle(sentences)
        return first + sentences
