"""The mind of the simulated agent: from the messages, and the plan of its task, to the next action.

It keeps nothing between calls.  Each call replays the conversation and comes to the same beliefs as the call
before it, because every random draw is decided by (seed, what it is about) and not by when it is made.  Draws do
not know the retriever, so two retrievers on the same task meet the same agent, and comparisons pair well.
"""

from __future__ import annotations

import math
from typing import Any

from msgspec import Struct, field

from lrat_sim.agent.simulated import memory
from lrat_sim.agent.simulated.chance import normal, pick, shuffled, uniform
from lrat_sim.agent.simulated.judgement import likeness, mistaken_value, promise
from lrat_sim.agent.simulated.memory import Event, Glimpse, Page, Results
from lrat_sim.agent.simulated.persona import Habits, Persona
from lrat_sim.corpus.plans import Passage, branches, compare, reference, stands_in, states
from lrat_sim.records import Plan

_LOOKALIKE = 0.5
"""The likeness of a title to the subject from which a hasty reader may take the one for the other."""


_TERMS = 4
"""Words in a row that a query takes over from a text, the question included."""


class Search(Struct, frozen=True):
    """Send a query, for a hop (from 0); ``check`` where the hop is settled and in doubt."""

    query: str
    hop: int
    check: bool = False


class Browse(Struct, frozen=True):
    """Open a document that was shown."""

    glimpse: Glimpse
    hop: int


class Answer(Struct, frozen=True):
    """End the run; ``value`` is None when the agent found nothing to say."""

    value: str | None
    sure: bool


Action = Search | Browse | Answer


class Belief(Struct, frozen=True):
    """What the agent holds to be the object of a hop, and the title of the text that it has it from."""

    value: str
    source: str


class Thought(Struct):
    """What the agent makes of the conversation so far."""

    plan: Plan
    question: str
    events: list[Event]
    beliefs: dict[int, Belief]
    gained: list[int]
    """The hops that the last event settled."""
    opened: set[str]
    sightings: dict[str, int]
    searches: dict[int, int]
    standing: dict[tuple[int, str], float] = field(default_factory=dict)
    """For hop and document: how high the hop's lists put it, a first place counting 1."""
    checks: list[int] = field(default_factory=list)
    """The settled hops that are still to be checked."""

    def subject(self, hop: int) -> str | None:
        """The name that a hop is about, once known: ``#n`` stands for what was found at hop n."""
        name = self.plan.hops[hop].subject
        before = reference(name)
        if before is None:
            return name
        belief = self.beliefs.get(before - 1)
        return belief.value if belief else None

    @property
    def hop(self) -> int | None:
        """The first hop that is not settled and whose subject is known; None when all are settled."""
        for hop in range(len(self.plan.hops)):
            if hop not in self.beliefs and self.subject(hop) is not None:
                return hop
        return None


def replay(plan: Plan, question: str, events: list[Event], persona: Persona, seed: int) -> Thought:
    """Reads the conversation from its start.

    Args:
        plan: the hops of the task; an object is compared with texts that were shown, and enters a belief only
            from one that states it.
        question: as it was asked.
        events: what the tool messages showed.
        persona: how carefully it is read.
        seed: of this run.
    """
    thought = Thought(plan, question, [], {}, [], set(), {}, {})
    for event in events:
        take_in(thought, event, persona, seed)
    return thought


def take_in(thought: Thought, event: Event, persona: Persona, seed: int) -> None:
    """Reads what one more tool message shows; the thought is changed in place."""
    thought.events.append(event)
    before = set(thought.beliefs)
    if isinstance(event, Results):
        checked = thought.checks.pop(0) if thought.checks else None
        hop = thought.hop if checked is None else None
        if hop is not None:
            thought.searches[hop] = thought.searches.get(hop, 0) + 1
        for glimpse in event.glimpses:
            thought.sightings[glimpse.docid] = thought.sightings.get(glimpse.docid, 0) + 1
            if hop is not None:
                index, height = (hop, glimpse.docid), 1.0 / math.sqrt(math.log2(1 + glimpse.rank))
                thought.standing[index] = thought.standing.get(index, 0.0) + height
            if checked is not None:
                _correct(thought, checked, glimpse)
            _read(thought, glimpse.docid, glimpse.title, glimpse.snippet, persona.trust, seed)
    elif isinstance(event, Page):
        thought.opened.add(event.docid)
        hop = thought.hop
        _read(thought, event.docid, event.title, event.text, 1.0, seed)
        if hop is not None and hop not in thought.beliefs:
            _misread(thought, hop, event, persona, seed)
    thought.gained = sorted(set(thought.beliefs) - before)
    if persona.habits is not None:
        doubt = persona.habits.doubt
        thought.checks += [hop for hop in thought.gained if uniform(seed, "doubt", hop) < doubt]


def _correct(thought: Thought, hop: int, glimpse: Glimpse) -> None:
    """A hit that states the fact puts a mistaken belief right."""
    fact, subject = thought.plan.hops[hop], thought.subject(hop)
    if (
        subject is not None
        and thought.beliefs[hop].value != fact.object
        and states(Passage(glimpse.title, glimpse.snippet), subject, fact.object)
    ):
        thought.beliefs[hop] = Belief(fact.object, glimpse.title)


def _read(thought: Thought, docid: str, title: str, text: str, trust: float, seed: int) -> None:
    """Settles every open hop whose fact the text states, one after another, since each may name the next's subject."""
    while True:
        for hop, fact in enumerate(thought.plan.hops):
            subject = thought.subject(hop)
            if (
                hop not in thought.beliefs
                and subject is not None
                and states(Passage(title, text), subject, fact.object)
                and (trust >= 1.0 or uniform(seed, "trust", hop, docid) < trust)
            ):
                thought.beliefs[hop] = Belief(fact.object, title)
                break
        else:
            return


def _misread(thought: Thought, hop: int, page: Page, persona: Persona, seed: int) -> None:
    """Now and then takes a look-alike for the subject, or one fact of the subject for another."""
    subject = thought.subject(hop)
    if subject is None or likeness(page.title, subject) < _LOOKALIKE:
        return
    chance = persona.misreading if stands_in(subject, page.text) else persona.credulity
    if uniform(seed, "misread", hop, page.docid) < chance:
        value = mistaken_value(page.title, page.text, subject, thought.plan.hops[hop])
        if value is not None:
            thought.beliefs[hop] = Belief(value, page.title)


def decide(thought: Thought, asked: set[str], persona: Persona, seed: int, *, must_answer: bool = False) -> Action:
    """The next action.

    Args:
        thought: the conversation as read by :func:`replay`.
        asked: queries already sent.
        persona: the personality.
        seed: of this run.
        must_answer: no tools are offered any more.
    """
    if thought.checks and not must_answer:
        return Search(_check(thought, thought.checks[0], seed), thought.checks[0], check=True)
    hop = thought.hop
    if hop is None:
        return Answer(conclusion(thought), sure=True)
    if not must_answer:
        glimpse = _most_promising(thought, hop, persona, seed)
        if glimpse is not None:
            return Browse(glimpse, hop)
        patience = max(1, round(persona.patience * math.exp(persona.patience_spread * normal(seed, "patience"))))
        if thought.searches.get(hop, 0) < patience:
            return Search(_wording(thought, hop, asked, persona, seed), hop)
    bluffs = uniform(seed, "bluff") < persona.bluff
    return Answer(_guess(thought) if bluffs else None, sure=False)


def _most_promising(thought: Thought, hop: int, persona: Persona, seed: int) -> Glimpse | None:
    """The unopened hit of the latest result list that looks worth opening most, if any looks worth it."""
    read, latest = 0, None
    for event in reversed(thought.events):
        if isinstance(event, Results):
            latest = event
            break
        read += isinstance(event, Page)
    subject = thought.subject(hop)
    if latest is None or subject is None:
        return None
    fruitless = max(0, thought.searches.get(hop, 0) - 1)
    best, threshold = None, persona.pickiness - persona.eagerness * fruitless + persona.satiety * read
    if persona.habits is not None:
        threshold -= persona.habits.diligence * own_verbosity(seed)
        if isinstance(thought.events[-1], Page) and not thought.gained:
            lists = thought.searches.get(hop, 0)
            threshold -= persona.habits.momentum * lists / (lists + persona.habits.caution)
    for glimpse in latest.glimpses:
        if glimpse.docid in thought.opened:
            continue
        score = (
            promise(glimpse, subject, thought.plan.hops[hop])
            + persona.recurrence * (thought.sightings[glimpse.docid] - 1)
            + persona.snippet_noise * _glance(thought, hop, glimpse, persona, seed)
            - persona.rank_prior * math.log(glimpse.rank)
        )
        if persona.habits is not None:
            score += _considered(thought, hop, glimpse, persona.habits)
        if score >= threshold:
            best, threshold = glimpse, score
    return best


def own_verbosity(seed: int) -> float:
    """By how many standard deviations a run's reasoning is longer than usual."""
    return normal(seed, "verbosity")


def _glance(thought: Thought, hop: int, glimpse: Glimpse, persona: Persona, seed: int) -> float:
    """The error of a look at a snippet, a standard normal number."""
    new = normal(seed, "glance", hop, glimpse.docid, thought.sightings[glimpse.docid])
    if persona.habits is None:
        return new
    lasting = persona.habits.conviction
    return math.sqrt(lasting) * normal(seed, "impression", hop, glimpse.docid) + math.sqrt(1 - lasting) * new


def _considered(thought: Thought, hop: int, glimpse: Glimpse, habits: Habits) -> float:
    """What a practised searcher adds to a first impression: do the lists agree on it, and what did its snippet leave
    unsaid?"""
    lists = thought.searches.get(hop, 0)
    agreed = thought.standing.get((hop, glimpse.docid), 0.0) / (lists + habits.caution) if lists else 0.0
    return habits.consensus * agreed - habits.scrutiny * len(glimpse.snippet.split()) / 100


def _wording(thought: Thought, hop: int, asked: set[str], persona: Persona, seed: int) -> str:
    """A query for a hop that was not sent yet: its phrasings in an order of the run's own, often with context."""
    fact, subject = thought.plan.hops[hop], thought.subject(hop)
    assert subject is not None
    phrasings = fact.phrasings or [f"{{subject}} {fact.relation}"]
    queries = [phrasing.replace("{subject}", subject) for phrasing in shuffled(phrasings, seed, "wording", hop)]
    for index, query in enumerate(queries):
        rambles = uniform(seed, "rambles", hop, index) < persona.rambling
        worded = f"{query} {_context(thought, hop, subject, seed, index)}".strip() if rambles else query
        if worded not in asked:
            return worded
    for turn in range(len(asked), len(asked) + 8):
        worded = f"{pick(queries, seed, 'again', hop, turn)} {_context(thought, hop, subject, seed, turn)}".strip()
        if worded not in asked:
            return worded
    return pick(queries, seed, "repeat", hop, len(asked))


def _check(thought: Thought, hop: int, seed: int) -> str:
    """A query that holds a fact as it was found, to see whether another text says so, too."""
    fact, subject = thought.plan.hops[hop], thought.subject(hop)
    assert subject is not None
    phrasing = pick(fact.phrasings or [f"{{subject}} {fact.relation}"], seed, "check", hop)
    return f"{phrasing.replace('{subject}', subject)} {thought.beliefs[hop].value}"


def _context(thought: Thought, hop: int, subject: str, seed: int, index: int) -> str:
    """A few words that an agent adds to a query: of the question, of a step it has done, or of what it has read."""
    texts = [thought.question]
    texts += [f"{thought.plan.hops[done].relation} {thought.subject(done)}" for done in thought.beliefs if done < hop]
    texts += [
        text
        for event in thought.events
        for title, text in _shown(event)
        if likeness(title, subject) > _LOOKALIKE and not stands_in(thought.plan.hops[hop].object, text)
    ]
    words = pick(texts, seed, "context", hop, index).split()
    start = int(uniform(seed, "words", hop, index) * max(1, len(words) - _TERMS + 1))
    return " ".join(word.strip(".,;:!?()\"'") for word in words[start : start + _TERMS])


def _shown(event: Event) -> list[tuple[str, str]]:
    if isinstance(event, Results):
        return [(glimpse.title, glimpse.snippet) for glimpse in event.glimpses]
    return [(event.title, event.text)] if isinstance(event, Page) else []


def conclusion(thought: Thought) -> str | None:
    """The answer that follows from the beliefs: the last hop's, or what a comparison of the branches gives."""
    plan = thought.plan
    if plan.operator is None:
        return thought.beliefs[len(plan.hops) - 1].value
    ends = [
        (name, [thought.beliefs[hop].value for hop in hops if hop in thought.beliefs])
        for name, hops in branches(plan.hops)
    ]
    return compare(plan.operator, ends)


def _guess(thought: Thought) -> str | None:
    """The best guess of an agent that gives up: one branch of a comparison, else the last thing it found."""
    if thought.plan.operator in {"earlier", "later", "longer", "shorter"}:
        return next(hop.subject for hop in thought.plan.hops if reference(hop.subject) is None)
    if thought.plan.operator == "same":
        return "no"
    return thought.beliefs[max(thought.beliefs)].value if thought.beliefs else None


def think(
    messages: list[dict[str, Any]], plan: Plan, persona: Persona, seed: int, *, tools: bool
) -> tuple[Thought, Action]:
    """One step: read the conversation, choose the next action."""
    thought = replay(plan, memory.question(messages), memory.recall(messages), persona, seed)
    return thought, decide(thought, memory.asked(messages), persona, seed, must_answer=not tools)
