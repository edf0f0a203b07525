"""The policy of the simulated agent: from the messages, and the plan of its task, to the next action.

It keeps nothing between calls: each replays the conversation and comes to the same beliefs, because every random draw
is decided by the seed and what it is about.  So two retrievers on the same task meet the same agent, and pair well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from lrat_sim.agent.simulated.persona import Persona, normal, pick, shuffled, uniform, verbosity
from lrat_sim.agent.simulated.reading import (
    Event,
    Glimpse,
    OpenedDocument,
    ResultList,
    likeness,
    mistaken_value,
    passages,
    promise,
    recall,
)
from lrat_sim.corpus.plans import Passage, branches, compare, fill, reference, references, stands_in, states
from lrat_sim.decoding import from_json
from lrat_sim.records import Plan

_LOOKALIKE = 0.5  # the likeness of a title to the subject from which a hasty reader may take the one for the other
_TERMS = 4  # words in a row that a query takes over from a text, the question included


class SearchAction(Struct, frozen=True):
    """Send a query, for a hop (from 0); ``check`` where the hop is settled and in doubt."""

    query: str
    hop: int
    check: bool = False


class BrowseAction(Struct, frozen=True):
    """Open a document that was shown."""

    glimpse: Glimpse
    hop: int


class AnswerAction(Struct, frozen=True):
    """End the run; ``value`` is None when the agent found nothing to say."""

    value: str | None
    sure: bool


Action = SearchAction | BrowseAction | AnswerAction


class Belief(Struct, frozen=True):
    """What the agent holds to be the object of a hop, and the title of the text that it has it from."""

    value: str
    source: str


class Thought(Struct, kw_only=True):
    """What the agent makes of the conversation so far; it believes a hop's object only from a text that states it."""

    plan: Plan
    question: str
    persona: Persona
    seed: int
    queries: set[str] = set()  # those already sent
    events: list[Event] = []
    beliefs: dict[int, Belief] = {}  # by hop
    gained: list[int] = []  # the hops that the last event settled
    checks: list[int] = []  # the settled hops that are still to be checked
    opened: set[str] = set()
    sightings: Counter[str] = field(default_factory=Counter)  # by document
    searches: Counter[int] = field(default_factory=Counter)  # by hop
    # by hop and document: how high the hop's lists put it, a first place counting 1
    standing: dict[tuple[int, str], float] = {}
    needs: list[set[int]] = []  # by hop: the earlier ones, from 1, that have to be settled first

    def __post_init__(self) -> None:
        self.needs = [references(self.plan.hops, hop) for hop in range(len(self.plan.hops))]

    def subject(self, hop: int) -> str | None:
        """The name that a hop is about, once all that it needs is known: ``#n`` stands for what was found at hop n."""
        name = self.plan.hops[hop].subject
        if any(place - 1 not in self.beliefs for place in self.needs[hop]):
            return None
        before = reference(name)
        if before is None:
            return name
        belief = self.beliefs.get(before - 1)
        return belief.value if belief else None

    def about(self, hop: int) -> dict[str, str]:
        """What a hop asks for, as sentences name it."""
        return {"relation": self.plan.hops[hop].relation, "subject": self.subject(hop) or "the one sought"}

    @property
    def hop(self) -> int | None:
        """The first hop that is not settled and whose subject is known; None when all are settled."""
        for hop in range(len(self.plan.hops)):
            if hop not in self.beliefs and self.subject(hop) is not None:
                return hop
        return None

    def take_in(self, event: Event) -> None:
        """Reads what one more tool message shows."""
        self.events.append(event)
        before = set(self.beliefs)
        if isinstance(event, ResultList):
            self._take_in_results(event.glimpses)
        elif isinstance(event, OpenedDocument):
            self.opened.add(event.docid)
            hop = self.hop
            self._read(event.docid, event.title, event.text, 1.0)
            if hop is not None and hop not in self.beliefs:
                self._misread(hop, event)
        self.gained = sorted(set(self.beliefs) - before)
        if self.persona.habits is not None:
            doubt = self.persona.habits.doubt
            self.checks += [hop for hop in self.gained if uniform(self.seed, "doubt", hop) < doubt]

    def _take_in_results(self, glimpses: Iterable[Glimpse]) -> None:
        # results of a check do not count as a search for the next hop
        checked = self.checks.pop(0) if self.checks else None
        hop = self.hop if checked is None else None
        if hop is not None:
            self.searches[hop] += 1
        for glimpse in glimpses:
            self.sightings[glimpse.docid] += 1
            if hop is not None:
                index, height = (hop, glimpse.docid), 1.0 / math.sqrt(math.log2(1 + glimpse.rank))
                self.standing[index] = self.standing.get(index, 0.0) + height
            if checked is not None and self._is_stated(checked, glimpse.title, glimpse.snippet):
                # a hit that states the fact puts a mistaken belief right
                value = self.plan.hops[checked].object
                if self.beliefs[checked].value != value:
                    self.beliefs[checked] = Belief(value, glimpse.title)
            self._read(glimpse.docid, glimpse.title, glimpse.snippet, self.persona.trust)

    def _is_stated(self, hop: int, title: str, text: str) -> bool:
        subject = self.subject(hop)
        return subject is not None and states(Passage(title, text), subject, self.plan.hops[hop].object)

    def _read(self, docid: str, title: str, text: str, trust: float) -> None:
        """Settles every open hop whose fact the text states, one by one, since each may name the next's subject."""
        while True:
            for hop, fact in enumerate(self.plan.hops):
                if (
                    hop not in self.beliefs
                    and self._is_stated(hop, title, text)
                    and (trust >= 1.0 or uniform(self.seed, "trust", hop, docid) < trust)
                ):
                    self.beliefs[hop] = Belief(fact.object, title)
                    break
            else:
                return

    def _misread(self, hop: int, document: OpenedDocument) -> None:
        """Now and then takes a look-alike for the subject, or one fact of the subject for another."""
        subject = self.subject(hop)
        if subject is None or likeness(document.title, subject) < _LOOKALIKE:
            return
        persona = self.persona
        chance = persona.misreading if stands_in(subject, document.text) else persona.credulity
        if uniform(self.seed, "misread", hop, document.docid) < chance:
            value = mistaken_value(document.title, document.text, subject, self.plan.hops[hop])
            if value is not None:
                self.beliefs[hop] = Belief(value, document.title)


def think(
    messages: list[dict[str, Any]], plan: Plan, persona: Persona, seed: int, *, tools: bool
) -> tuple[Thought, Action]:
    """One step: read the conversation, choose the next action; without ``tools`` that is an answer."""
    question = next((message["content"] for message in messages if message["role"] == "user"), "")
    thought = Thought(plan=plan, question=question, persona=persona, seed=seed)
    # all passages are there at once: one may name what another, which stands before it, is about
    for event in [*passages(messages) * len(plan.hops), *recall(messages)]:
        thought.take_in(event)
    for call in (call for message in messages for call in message.get("tool_calls") or []):
        arguments = from_json(call["function"]["arguments"])
        if "query" in arguments:
            thought.queries.add(arguments["query"])
    return thought, decide(thought, must_answer=not tools)


def decide(thought: Thought, *, must_answer: bool = False) -> Action:
    """The next action; it is an answer where no tools are offered any more."""
    persona, seed = thought.persona, thought.seed
    if thought.checks and not must_answer:  # does another text say so, too?
        checked = thought.checks[0]
        phrasing = pick(_phrasings(thought, checked), seed, "check", checked)
        return SearchAction(f"{phrasing} {thought.beliefs[checked].value}", checked, check=True)
    hop = thought.hop
    if hop is None:
        return AnswerAction(conclusion(thought), sure=True)
    if not must_answer:
        glimpse = _most_promising(thought, hop)
        if glimpse is not None:
            return BrowseAction(glimpse, hop)
        patience = max(1, round(persona.patience * math.exp(persona.patience_spread * normal(seed, "patience"))))
        if thought.searches[hop] < patience:
            return SearchAction(_query(thought, hop), hop)
    bluffs = uniform(seed, "bluff") < persona.bluff
    return AnswerAction(_guess(thought) if bluffs else None, sure=False)


def _most_promising(thought: Thought, hop: int) -> Glimpse | None:
    """The unopened hit of the latest result list that looks worth opening most, if any looks worth it."""
    read, latest = 0, None
    for event in reversed(thought.events):
        if isinstance(event, ResultList):
            latest = event
            break
        read += isinstance(event, OpenedDocument)
    subject = thought.subject(hop)
    if latest is None or subject is None:
        return None
    persona, lists = thought.persona, thought.searches[hop]
    habits = persona.habits
    best, threshold = None, persona.pickiness - persona.eagerness * max(0, lists - 1) + persona.satiety * read
    if habits is not None:
        threshold -= habits.diligence * verbosity(thought.seed)
        if isinstance(thought.events[-1], OpenedDocument) and not thought.gained:
            threshold -= habits.momentum * lists / (lists + habits.caution)
    for glimpse in latest.glimpses:
        if glimpse.docid in thought.opened:
            continue
        score = (
            promise(glimpse, subject, thought.plan.hops[hop])
            + persona.recurrence * (thought.sightings[glimpse.docid] - 1)
            + persona.snippet_noise * _glance(thought, hop, glimpse)
            - persona.rank_prior * math.log(glimpse.rank)
        )
        if habits is not None:
            # a practised searcher also asks whether the lists agree on a hit, and what its snippet leaves unsaid
            standing = thought.standing.get((hop, glimpse.docid), 0.0)
            agreed = standing / (lists + habits.caution) if lists else 0.0
            score += habits.consensus * agreed - habits.scrutiny * len(glimpse.snippet.split()) / 100
        if score >= threshold:
            best, threshold = glimpse, score
    return best


def _glance(thought: Thought, hop: int, glimpse: Glimpse) -> float:
    """The error of a look at a snippet, a standard normal number."""
    new = normal(thought.seed, "glance", hop, glimpse.docid, thought.sightings[glimpse.docid])
    if thought.persona.habits is None:
        return new
    lasting = thought.persona.habits.conviction
    impression = normal(thought.seed, "impression", hop, glimpse.docid)
    return math.sqrt(lasting) * impression + math.sqrt(1 - lasting) * new


def _phrasings(thought: Thought, hop: int) -> list[str]:
    """The queries for a hop, as the plan words them."""
    fact, subject = thought.plan.hops[hop], thought.subject(hop)
    assert subject is not None
    found = {place: thought.beliefs[place - 1].value for place in thought.needs[hop]}
    return [fill(text, subject, found) for text in fact.phrasings or [f"{{subject}} {fact.relation}"]]


def _query(thought: Thought, hop: int) -> str:
    """A query for a hop that was not sent yet: its phrasings in an order of the run's own, often with context."""
    seed, sent = thought.seed, len(thought.queries)
    queries = shuffled(_phrasings(thought, hop), seed, "wording", hop)
    for index, query in enumerate(queries):
        rambles = uniform(seed, "rambles", hop, index) < thought.persona.rambling
        worded = f"{query} {_context(thought, hop, index)}".strip() if rambles else query
        if worded not in thought.queries:
            return worded
    for turn in range(sent, sent + 8):
        worded = f"{pick(queries, seed, 'again', hop, turn)} {_context(thought, hop, turn)}".strip()
        if worded not in thought.queries:
            return worded
    return pick(queries, seed, "repeat", hop, sent)


def _context(thought: Thought, hop: int, index: int) -> str:
    """A few words that an agent adds to a query: of the question, of a step it has done, or of what it has read."""
    subject, hops = thought.subject(hop), thought.plan.hops
    assert subject is not None
    texts = [thought.question]
    texts += [f"{hops[done].relation} {thought.subject(done)}" for done in thought.beliefs if done < hop]
    for event in thought.events:
        shown: list[tuple[str, str]] = []
        if isinstance(event, ResultList):
            shown = [(glimpse.title, glimpse.snippet) for glimpse in event.glimpses]
        elif isinstance(event, OpenedDocument):
            shown = [(event.title, event.text)]
        for title, text in shown:
            if likeness(title, subject) > _LOOKALIKE and not stands_in(hops[hop].object, text):
                texts.append(text)
    words = pick(texts, thought.seed, "context", hop, index).split()
    start = int(uniform(thought.seed, "words", hop, index) * max(1, len(words) - _TERMS + 1))
    return " ".join(word.strip(".,;:!?()\"'") for word in words[start : start + _TERMS])


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
