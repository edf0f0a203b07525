"""Tasks of the generated world: questions of two to four hops, with evidence and plans."""

from __future__ import annotations

import random
from typing import NamedTuple

from lrat_sim.corpus.world.region import Entity, Fact, Region
from lrat_sim.corpus.world.settings import SPLITS, WorldSettings, make_region, region_documents, split_of
from lrat_sim.errors import InputError
from lrat_sim.records import Hop, Operator, Plan, Task
from lrat_sim.text import normalise

_TASKS_A_REGION = 10  # so few at least before another region is opened: opening one costs its documents
_TRIES = 400  # in vain, one after the other, before a region counts as exhausted
_COMPARISONS = 0.15
_LENGTHS = (2, 2, 2, 2, 2, 3, 3, 3, 4)
_ALIASES = 0.12


class _Told(NamedTuple):
    docid: str
    slot: int
    states: tuple[str, ...]
    title_text: str
    text: str


class _Atlas:
    """One region with its documents, as far as tasks need them."""

    def __init__(self, settings: WorldSettings, number: int):
        self.region: Region = make_region(settings, number)
        self._evidence: dict[tuple[str, str], list[str] | None] = {}
        self.documents = [
            _Told(
                document.id,
                slot,
                article.states,
                f" {normalise(document.title + ' ' + document.text)} ",
                f" {normalise(document.text)} ",
            )
            for document, slot, article in region_documents(settings, self.region)
        ]

    def evidence(self, entity: Entity, subject: str, fact: Fact) -> list[str] | None:
        """The ids of the documents that state a fact under the name ``subject``; None where no task may use it.

        Those are the documents that were written to state it; they must be all that hold both names, which is
        what makes a fact readable to an agent, so that neither luck nor a look-alike's article proves it.
        """
        key = (subject, fact.relation.name)
        if key not in self._evidence:
            self._evidence[key] = self._find(entity, subject, fact)
        return self._evidence[key]

    def _find(self, entity: Entity, subject: str, fact: Fact) -> list[str] | None:
        slots = {entity.slot}
        if fact.relation.symmetric and fact.target is not None:
            slots.add(fact.target.slot)
        written = [told.docid for told in self.documents if told.slot in slots and fact.relation.name in told.states]
        name, value = f" {normalise(subject)} ", f" {normalise(fact.object)} "
        holding = [told.docid for told in self.documents if name in told.title_text and value in told.text]
        return written if written == holding else None


class _Step(NamedTuple):
    entity: Entity
    fact: Fact
    evidence: list[str]


def world_tasks(settings: WorldSettings) -> dict[str, list[Task]]:
    """The tasks of every split, without a look at the documents of other regions than theirs.

    No entity serves two splits.  Every hop's evidence is every document that holds its subject and its object.

    Raises:
        InputError: a split cannot have so many different tasks in so small a world.
    """
    return {split: _split_tasks(settings, split) for split in SPLITS}


def _split_tasks(settings: WorldSettings, split: str) -> list[Task]:
    wanted = settings.tasks(split)
    numbers = [number for number in range(settings.regions) if split_of(number) == split]
    opened = min(len(numbers), -(-wanted // _TASKS_A_REGION))
    tasks: list[Task] = []
    for place in range(opened):
        number = numbers[place * len(numbers) // opened]
        share = wanted * (place + 1) // opened - wanted * place // opened
        tasks += _region_tasks(settings, split, number, share, len(tasks))
    return tasks


def _region_tasks(settings: WorldSettings, split: str, number: int, wanted: int, first: int) -> list[Task]:
    atlas = _Atlas(settings, number)
    rng = random.Random(f"{settings.seed}/{number}/tasks")
    tasks: list[Task] = []
    seen: set[tuple[str, ...]] = set()
    in_vain = 0
    while len(tasks) < wanted:
        in_vain += 1
        if in_vain > _TRIES:
            raise InputError(
                f"{split}_tasks is {settings.tasks(split)}, more than different tasks can be made from "
                f"{settings.documents} documents; ask for fewer tasks or give more documents."
            )
        make = _comparison if rng.random() < _COMPARISONS else _chain
        made = make(atlas, rng)
        if made is None:
            continue
        question, answers, evidence, plan = made
        key = tuple(f"{hop.subject}|{hop.relation}|{hop.object}" for hop in plan.hops)
        if key in seen:
            continue
        seen.add(key)
        in_vain = 0
        name = f"{split}-{first + len(tasks):05d}"
        tasks.append(Task(id=name, question=question, answers=answers, evidence=evidence, plan=plan))
    return tasks


_Made = tuple[str, list[str], list[str], Plan]


def _walk(atlas: _Atlas, rng: random.Random, start: Entity, length: int, last: str | None = None) -> list[_Step] | None:
    """A path of facts from an entity; ``last`` asks for a certain relation at the end."""
    steps: list[_Step] = []
    entity, visited = start, {start.slot}
    while True:
        final = len(steps) == length - 1
        facts = [
            fact
            for name, fact in entity.facts.items()
            if (name == (last or name) if final else fact.target is not None)
            and (fact.target is None or fact.target.slot not in visited)
        ]
        if not facts:
            return None
        fact = facts[int(rng.random() * len(facts))]
        evidence = atlas.evidence(entity, entity.name, fact)
        if evidence is None:
            return None
        steps.append(_Step(entity, fact, evidence))
        if final:
            return steps
        assert fact.target is not None
        entity = fact.target
        visited.add(entity.slot)


def _hops(steps: list[_Step], subject: str, offset: int) -> list[Hop]:
    return [
        Hop(
            subject=subject if place == 0 else f"#{offset + place}",
            relation=step.fact.relation.name,
            object=step.fact.object,
            phrasings=[phrasing.line for phrasing in step.fact.relation.phrasings],
        )
        for place, step in enumerate(steps)
    ]


def _evidence(steps: list[_Step]) -> list[str]:
    return list(dict.fromkeys(docid for step in steps for docid in step.evidence))


def _chain(atlas: _Atlas, rng: random.Random) -> _Made | None:
    entities = atlas.region.entities
    start = entities[int(rng.random() * len(entities))]
    steps = _walk(atlas, rng, start, _LENGTHS[int(rng.random() * len(_LENGTHS))])
    if steps is None:
        return None
    subject, phrase = start.name, start.shown
    if rng.random() < _ALIASES and atlas.evidence(start, start.alias, steps[0].fact) == steps[0].evidence:
        subject, phrase = start.alias, start.shown_alias
    for step in steps[:-1]:
        nouns = step.fact.relation.noun
        phrase = nouns[int(rng.random() * len(nouns))].render({"x": phrase}, rng)
    asks = steps[-1].fact.relation.ask
    question = asks[int(rng.random() * len(asks))].render({"x": phrase}, rng)
    fact = steps[-1].fact
    answers = [fact.object] + ([fact.target.alias] if fact.target else [])
    return question, answers, _evidence(steps), Plan(hops=_hops(steps, subject, 0))


def _comparison(atlas: _Atlas, rng: random.Random) -> _Made | None:
    """Which of two branches ends at the earlier or the later date."""
    relations = [relation for relation in atlas.region.dialect.relations.values() if relation.object == "date"]
    dated = relations[int(rng.random() * len(relations))]
    direct = rng.random() < 0.5
    branches: list[list[_Step]] = []
    first: list[Entity] = []
    for entity in rng.sample(atlas.region.entities, len(atlas.region.entities)):
        if first and (entity.kind is not first[0].kind or entity is first[0].twin):
            continue
        steps = _walk(atlas, rng, entity, 1 if direct else 2, dated.name)
        if steps is None or (branches and not _comparable(branches[0], steps)):
            continue
        branches.append(steps)
        first.append(entity)
        if len(branches) == 2:
            break
    if len(branches) < 2:
        return None
    dates = [branch[-1].fact.date or (0, 0, 0) for branch in branches]
    operator: Operator = "earlier" if rng.random() < 0.5 else "later"
    winner = first[int((dates[1] < dates[0]) == (operator == "earlier"))]
    x, y = (entity.shown for entity in first)
    if direct:
        who = "Who" if "given" in first[0].kind.full.slots() else f"Which {first[0].kind.ask}"
        question = f"{who} {dated.predicate} {operator}, {x} or {y}?"
    else:
        question = f"Of {x} and {y}, whose {branches[0][0].fact.relation.role} {dated.predicate} {operator}?"
    hops: list[Hop] = []
    for entity, branch in zip(first, branches, strict=True):
        hops += _hops(branch, entity.name, len(hops))
    evidence = _evidence(branches[0] + branches[1])
    return question, [winner.name], evidence, Plan(hops=hops, operator=operator)


def _comparable(one: list[_Step], other: list[_Step]) -> bool:
    """The same relations, different entities at the ends, different dates."""
    return (
        [step.fact.relation.name for step in one] == [step.fact.relation.name for step in other]
        and one[-1].entity is not other[-1].entity
        and one[-1].fact.date != other[-1].fact.date
    )
