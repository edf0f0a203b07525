"""What the simulated agent writes: its reasoning, and its answer.

Length says little about use, as in the field's trajectories (behaviour targets: AUC about .6).  It comes from a
run's own verbosity, a page's, and from having a fact to write down; the words are filled with what the page says.
"""

from __future__ import annotations

import math
import re

from msgspec import UNSET

from lrat_sim.agent.simulated.chance import normal, pick, shuffled, uniform
from lrat_sim.agent.simulated.memory import Page, Results
from lrat_sim.agent.simulated.mind import Action, Answer, Browse, Search, Thought, conclusion, own_verbosity
from lrat_sim.agent.simulated.persona import Persona

_TOKENS_A_WORD = 1.35
_MORE_TO_SAY = 1.44
"""How much longer reasoning is when a page brought a fact: behaviour targets, 111 tokens against 77."""
_NEXT_WORDS, _TERSE_WORDS = 10, 14
"""Words of the sentence on what comes next, and those below which an opinion on a page is put in short."""
_WITHIN = 0.85
"""The share of the spread that varies from page to page; the rest is the run's own verbosity."""

_FOUND = (
    "So {source} gives it: the {relation} of {subject} is {value}.",
    "Good. According to {source}, {subject}'s {relation} is {value}.",
    "{source} states that {value} is the {relation} of {subject}.",
    "This settles one step: {relation} of {subject} = {value}, from {source}.",
    "There it is, {value}. That is what I needed on the {relation} of {subject}.",
)
_NEUTRAL = (
    "I have read {source}. It gives some background on {subject}, and I am still after the {relation}.",
    "{source} covers a part of the story; the {relation} of {subject} remains open for now.",
    "Some of {source} may be useful later, for instance the people and places it names.",
    "Let me note what {source} has, then look further for the {relation} of {subject}.",
    "From {source} I get the general picture around {subject}. The {relation} has to come from elsewhere.",
)
_REJECTED = (
    "{source} has nothing on the {relation} of {subject}, so it is no help here.",
    "That was the wrong page: {source} is not about the {relation} at all.",
    "No mention of the {relation} of {subject} anywhere in {source}. I can set it aside.",
    "{source} turns out to be irrelevant to what I need.",
    "Reading {source} did not help; the {relation} of {subject} is simply not in it.",
)
_SHORT_FOUND = ("{source} has it: {value}.", "{value}, says {source}.", "Found: {value}, in {source}.")
_SHORT_NOTHING = (
    "{source} leaves it open.",
    "Not in {source}.",
    "{source}: background only.",
    "Nothing new in {source}.",
)
_DETAIL = (
    "It says: {sentence}",
    "One passage reads: {sentence}",
    "I also see this: {sentence}",
    "Worth remembering: {sentence}",
    "Further on: {sentence}",
    "It goes on: {sentence}",
)
_MUSING = (
    "The chain so far has {known} of {count} facts.",
    "I should be careful, since other names come close to {subject}.",
    "If {subject} leads nowhere under this name, another spelling may.",
    "What I am looking for is the {relation} of {subject}, and the wording in the sources may differ from mine.",
    "It would be good to confirm this with a second source, if one turns up.",
    "The order of the steps matters here, so I keep to the plan.",
    "Dates and places in these texts deserve a second look before I rely on them.",
    "I keep in mind that a page on the right person need not be the page with the right fact.",
)
_NEXT_SEARCH = (
    "Next I will search for the {relation} of {subject}.",
    "Now to find the {relation} of {subject}.",
    "Let me try the query again with other words for the {relation} of {subject}.",
    "I should look for {subject} and the {relation}.",
)
_CHECK = (
    "Before I go on, I want another source for {value} as the {relation} of {subject}.",
    "Let me confirm that {value} is the {relation} of {subject}.",
    "{value} is my {relation} of {subject}, but I should check it once more.",
)
_NEXT_BROWSE = (
    "The result {title} looks worth opening.",
    "I will open {title}.",
    "{title} could have it, so let me read it.",
    "Let me look at {title} in full.",
)
_START = (
    "The question needs {count} facts. I begin with the {relation} of {subject}.",
    "First, the {relation} of {subject}; the rest follows from that.",
    "I need to work this out step by step, starting from {subject}.",
)
_LIST = (
    "The results name {titles}.",
    "Among the results are {titles}.",
    "I got {count} results, {titles} among them.",
)
_DONE = ("I have all I need to answer.", "That completes the chain.", "Everything is in place for an answer.")
_STUCK = (
    "I have tried many queries and still lack the {relation} of {subject}. I will stop here.",
    "I cannot find the {relation} of {subject} with this search tool.",
)


def reasoning(thought: Thought, action: Action, persona: Persona, seed: int) -> str:
    """The reasoning written before an action, about what the last event showed."""
    turn = len(thought.events)
    if not thought.events:
        return f"{_start(thought, seed)} {_next(thought, action, seed, turn)}".strip()
    event = thought.events[-1]
    parts: list[str] = []
    if isinstance(event, Page):
        parts += _about_page(thought, event, persona, seed, turn)
    elif isinstance(event, Results) and event.glimpses:
        titles = ", ".join(glimpse.title or glimpse.docid for glimpse in event.glimpses[:3])
        parts.append(pick(_LIST, seed, "list", turn).format(titles=titles, count=len(event.glimpses)))
        parts += _facts(thought, seed, turn)
    else:
        parts.append("That call brought nothing I can use, so I go on differently.")
    parts.append(_next(thought, action, seed, turn))
    return " ".join(part for part in parts if part)


def _start(thought: Thought, seed: int) -> str:
    first = thought.plan.hops[0]
    return pick(_START, seed, "start").format(
        count=len(thought.plan.hops), relation=first.relation, subject=first.subject
    )


def _about_page(thought: Thought, page: Page, persona: Persona, seed: int, turn: int) -> list[str]:
    spread = persona.verbosity_spread
    own = math.sqrt(1.0 - _WITHIN**2) * own_verbosity(seed)
    here = _WITHIN * normal(seed, "length", page.docid, turn)
    mean = persona.verbosity * _more_to_say(thought, persona)
    budget = mean * math.exp(spread * (own + here) - spread**2 / 2) / _TOKENS_A_WORD
    if persona.habits is not UNSET:
        budget -= _NEXT_WORDS
    if persona.habits is not UNSET and budget < _TERSE_WORDS:
        return [_in_short(thought, page, seed, turn)]
    if thought.gained:
        parts = _facts(thought, seed, turn)
    else:
        hop = thought.hop if thought.hop is not None else len(thought.plan.hops) - 1
        opening = _REJECTED if uniform(seed, "candour", page.docid) < persona.candour else _NEUTRAL
        parts = [
            pick(opening, seed, "opening", page.docid, turn).format(
                source=page.title or page.docid,
                relation=thought.plan.hops[hop].relation,
                subject=thought.subject(hop) or "the one sought",
            )
        ]
    body = page.text[len(page.title) :].strip()
    sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+", body) if sentence]
    frames = shuffled(_DETAIL, seed, "frames", page.docid)
    details = [
        frames[place % len(frames)].format(sentence=sentence)
        for place, sentence in enumerate(shuffled(sentences, seed, "details", page.docid))
    ]
    room = round(budget) - sum(len(part.split()) for part in parts)
    for addition in details + _musings(thought, seed, turn):
        words = addition.split()
        if room < 6:
            break
        parts.append(addition if len(words) <= room else " ".join(words[:room]) + " ...")
        room -= len(words)
    return parts


def _more_to_say(thought: Thought, persona: Persona) -> float:
    """How many times its usual length reasoning about a page has.

    A fact is more to write down than none.  With habits it also grows with what there is to bring together, and
    shrinks while nothing comes.
    """
    habits = persona.habits
    if habits is UNSET:
        return _MORE_TO_SAY if thought.gained else 1.0
    known = len(thought.beliefs) / len(thought.plan.hops)
    sought = thought.gained[0] if thought.gained else thought.hop
    fruitless = max(0, thought.searches.get(sought, 0) - 1) if sought is not None else 0
    grown = math.exp(habits.elaboration * known) * math.pow(1 + fruitless, -habits.fatigue)
    return grown * (habits.discovery if thought.gained else 1.0)


def _in_short(thought: Thought, page: Page, seed: int, turn: int) -> str:
    """The least that can be said of a page."""
    values = ", ".join(thought.beliefs[hop].value for hop in thought.gained)
    return pick(_SHORT_FOUND if values else _SHORT_NOTHING, seed, "short", page.docid, turn).format(
        source=page.title or page.docid, value=values
    )


def _musings(thought: Thought, seed: int, turn: int) -> list[str]:
    """Thoughts that fill long reasoning once the page has no more to quote."""
    hop = thought.hop if thought.hop is not None else len(thought.plan.hops) - 1
    return [
        musing.format(
            known=len(thought.beliefs),
            count=len(thought.plan.hops),
            relation=thought.plan.hops[hop].relation,
            subject=thought.subject(hop) or "the one sought",
        )
        for musing in shuffled(_MUSING, seed, "musings", turn)
    ]


def _facts(thought: Thought, seed: int, turn: int) -> list[str]:
    return [
        pick(_FOUND, seed, "found", hop, turn).format(
            source=thought.beliefs[hop].source or "the page",
            relation=thought.plan.hops[hop].relation,
            subject=thought.subject(hop),
            value=thought.beliefs[hop].value,
        )
        for hop in thought.gained
    ]


def _next(thought: Thought, action: Action, seed: int, turn: int) -> str:
    if isinstance(action, Browse):
        title = action.glimpse.title or f"document {action.glimpse.docid}"
        return pick(_NEXT_BROWSE, seed, "next", turn).format(title=title)
    if isinstance(action, Search):
        hop = thought.plan.hops[action.hop]
        if action.check:
            value = thought.beliefs[action.hop].value
            return pick(_CHECK, seed, "next", turn).format(
                relation=hop.relation, subject=thought.subject(action.hop), value=value
            )
        return pick(_NEXT_SEARCH, seed, "next", turn).format(relation=hop.relation, subject=thought.subject(action.hop))
    if action.sure or thought.hop is None:
        return pick(_DONE, seed, "next", turn)
    hop = thought.plan.hops[thought.hop]
    return pick(_STUCK, seed, "next", turn).format(relation=hop.relation, subject=thought.subject(thought.hop))


def answer_text(thought: Thought, answer: Answer, seed: int) -> str:
    """The last message: explanation, exact answer, confidence."""
    steps = " ".join(
        f"The {hop.relation} of {thought.subject(place)} is {thought.beliefs[place].value}."
        for place, hop in enumerate(thought.plan.hops)
        if place in thought.beliefs
    )
    if answer.value is None:
        return f"Explanation: {steps or 'The searches brought nothing on this.'} I could not find the answer."
    sure = answer.sure and conclusion(thought) is not None
    confidence = round(60 + 35 * uniform(seed, "confidence")) if sure else round(10 + 30 * uniform(seed, "confidence"))
    return f"Explanation: {steps}\nExact Answer: {answer.value}\nConfidence: {confidence}%"
