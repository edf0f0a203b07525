"""Tasks of the generated world: questions of two to four hops, with evidence and plans."""

from __future__ import annotations

import random
from typing import NamedTuple

from msgspec import structs

from lrat_sim.corpus.world.article import region_articles
from lrat_sim.corpus.world.dialect import pick
from lrat_sim.corpus.world.region import Entity, Fact, Region
from lrat_sim.corpus.world.settings import SPLITS, WorldSettings, split_of
from lrat_sim.errors import InputError
from lrat_sim.records import Hop, Operator, Plan, Task
from lrat_sim.text import normalise

_TASKS_A_REGION = 10  # so few at least before another region is opened: opening one costs its documents
_TRIES = 400  # in vain, one after the other, before a region counts as exhausted
_COMPARISONS = 0.15
_LENGTHS = (2, 2, 2, 2, 2, 3, 3, 3, 4)
_ALIASES = 0.12


class _Atlas(Region):
    """A region with its articles, in which facts are looked up."""

    def __init__(self, settings: WorldSettings, number: int):
        super().__init__(settings, number)
        self._evidence: dict[tuple[str, str], list[str] | None] = {}
        self._articles = [
            (article, f" {normalise(article.title + ' ' + article.text)} ", f" {normalise(article.text)} ")
            for article in region_articles(self)
        ]

    def evidence(self, entity: Entity, subject: str, fact: Fact) -> list[str] | None:
        """The ids of the documents that state a fact under the name ``subject``; None where no task may use it.

        The documents written to state it must be all that hold both names, so that neither luck nor a look-alike proves
        it.
        """
        key = (subject, fact.relation.name)
        if key not in self._evidence:
            relation, name, value = fact.relation, f" {normalise(subject)} ", f" {normalise(fact.object)} "
            slots = {entity.slot, fact.target.slot} if relation.symmetric and fact.target else {entity.slot}
            written = [a.id for a, _, _ in self._articles if a.slot in slots and relation.name in a.states]
            holding = [a.id for a, whole, text in self._articles if name in whole and value in text]
            self._evidence[key] = written if written == holding else None
        return self._evidence[key]


class _Step(NamedTuple):
    """A fact of an entity, and the documents that state it."""

    entity: Entity
    fact: Fact
    evidence: list[str]


def world_tasks(settings: WorldSettings) -> dict[str, list[Task]]:
    """The tasks of every split; each hop's evidence is every document that holds its subject and its object.

    No entity serves two splits.  InputError if a split cannot have so many different tasks in so small a world.
    """
    splits: dict[str, list[Task]] = {}
    for split in SPLITS:
        wanted, tasks = settings.tasks(split), splits.setdefault(split, [])
        numbers = [number for number in range(settings.regions) if split_of(number) == split]
        opened = min(len(numbers), -(-wanted // _TASKS_A_REGION))
        for place in range(opened):
            number = numbers[place * len(numbers) // opened]
            share = wanted * (place + 1) // opened - wanted * place // opened
            for task in _region_tasks(settings, split, number, share):
                tasks.append(structs.replace(task, id=f"{split}-{len(tasks):05d}"))
    return splits


def _region_tasks(settings: WorldSettings, split: str, number: int, wanted: int) -> list[Task]:
    """Different tasks from one region, still without ids."""
    atlas = _Atlas(settings, number)
    rng = random.Random(f"{settings.seed}/{number}/tasks")
    tasks: dict[tuple[str, ...], Task] = {}
    in_vain = 0
    while len(tasks) < wanted:
        in_vain += 1
        if in_vain > _TRIES:
            raise InputError(
                f"{split}_tasks is {settings.tasks(split)}, more than different tasks can be made from "
                f"{settings.documents} documents; ask for fewer tasks or give more documents."
            )
        make = _comparison if rng.random() < _COMPARISONS else _chain
        task = make(atlas, rng)
        if task is None or task.plan is None:
            continue
        key = tuple(f"{hop.subject}|{hop.relation}|{hop.object}" for hop in task.plan.hops)
        if key not in tasks:
            tasks[key] = task
            in_vain = 0
    return list(tasks.values())


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
        fact = pick(facts, rng)
        evidence = atlas.evidence(entity, entity.name, fact)
        if evidence is None:
            return None
        steps.append(_Step(entity, fact, evidence))
        if final:
            return steps
        assert fact.target is not None
        entity = fact.target
        visited.add(entity.slot)


def _chain(atlas: _Atlas, rng: random.Random) -> Task | None:
    start = pick(atlas.entities, rng)
    steps = _walk(atlas, rng, start, pick(_LENGTHS, rng))
    if steps is None:
        return None
    subject, phrase = start.name, start.shown
    if rng.random() < _ALIASES and atlas.evidence(start, start.alias, steps[0].fact) == steps[0].evidence:
        subject, phrase = start.alias, start.shown_alias
    for step in steps[:-1]:
        phrase = pick(step.fact.relation.noun, rng).render({"x": phrase}, rng)
    fact = steps[-1].fact
    question = pick(fact.relation.ask, rng).render({"x": phrase}, rng)
    answers = [fact.object] + ([fact.target.alias] if fact.target else [])
    return _task(question, answers, {subject: steps})


def _comparison(atlas: _Atlas, rng: random.Random) -> Task | None:
    """Which of two branches ends at the earlier or the later date."""
    dated = pick([relation for relation in atlas.dialect.relations.values() if relation.object == "date"], rng)
    direct = rng.random() < 0.5
    branches: list[list[_Step]] = []
    for entity in rng.sample(atlas.entities, len(atlas.entities)):
        first = branches[0][0].entity if branches else entity
        if entity.kind is not first.kind or entity is first.twin:
            continue
        steps = _walk(atlas, rng, entity, 1 if direct else 2, dated.name)
        if steps is not None and (not branches or _comparable(branches[0], steps)):
            branches.append(steps)
        if len(branches) == 2:
            break
    else:
        return None
    dates = [branch[-1].fact.date or (0, 0, 0) for branch in branches]
    operator: Operator = "earlier" if rng.random() < 0.5 else "later"
    first, second = (branch[0].entity for branch in branches)
    winner = second if (dates[1] < dates[0]) == (operator == "earlier") else first
    if direct:
        who = "Who" if "given" in first.kind.full.slots() else f"Which {first.kind.ask}"
        question = f"{who} {dated.predicate} {operator}, {first.shown} or {second.shown}?"
    else:
        role = branches[0][0].fact.relation.role
        question = f"Of {first.shown} and {second.shown}, whose {role} {dated.predicate} {operator}?"
    return _task(question, [winner.name], dict(zip((first.name, second.name), branches, strict=True)), operator)


def _comparable(first: list[_Step], second: list[_Step]) -> bool:
    return (
        [step.fact.relation.name for step in first] == [step.fact.relation.name for step in second]
        and first[-1].entity is not second[-1].entity
        and first[-1].fact.date != second[-1].fact.date
    )


def _task(
    question: str, answers: list[str], branches: dict[str, list[_Step]], operator: Operator | None = None
) -> Task:
    """A task whose plan has a path of facts for each name that the question gives."""
    hops: list[Hop] = []
    evidence: dict[str, None] = {}
    for name, steps in branches.items():
        for place, step in enumerate(steps):
            relation = step.fact.relation
            phrasings = [phrasing.line for phrasing in relation.phrasings]
            subject = f"#{len(hops)}" if place else name
            hops.append(Hop(subject=subject, relation=relation.name, object=step.fact.object, phrasings=phrasings))
            evidence |= dict.fromkeys(step.evidence)
    plan = Plan(hops=hops, operator=operator)
    return Task(id="", question=question, answers=answers, evidence=list(evidence), plan=plan)
