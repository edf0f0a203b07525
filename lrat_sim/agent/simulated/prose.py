"""What the simulated agent writes: its reasoning, and its answer; the sentences themselves are in phrases.yaml.

Length says little about use, as in the field's trajectories (behaviour targets: AUC about .6).  It comes from a
run's own verbosity, a page's, and from having a fact to write down; the words are filled with what the page says.
"""

from __future__ import annotations

import math
import re
from importlib.resources import files
from typing import Any

import yaml

from lrat_sim.agent.simulated.chance import normal, pick, shuffled, uniform
from lrat_sim.agent.simulated.memory import Page, Results
from lrat_sim.agent.simulated.persona import Persona
from lrat_sim.agent.simulated.policy import Action, Answer, Browse, Search, Thought, conclusion, own_verbosity

_PHRASES: dict[str, list[str]] = yaml.safe_load(files(__package__).joinpath("phrases.yaml").read_text("utf-8"))
_TOKENS_A_WORD = 1.35
_MORE_TO_SAY = 1.44
"""How much longer reasoning is when a page brought a fact: behaviour targets, 111 tokens against 77."""
_NEXT_WORDS, _TERSE_WORDS = 10, 14
"""Words of the sentence on what comes next, and those below which an opinion on a page is put in short."""
_WITHIN = 0.85
"""The share of the spread that varies from page to page; the rest is the run's own verbosity."""


def _say(phrases: str, *keys: object, **values: Any) -> str:
    """One of the phrases, decided by the keys, with the values filled in."""
    return pick(_PHRASES[phrases], *keys).format(**values)


def reasoning(thought: Thought, action: Action, persona: Persona, seed: int) -> str:
    """The reasoning written before an action, about what the last event showed."""
    turn = len(thought.events)
    event = thought.events[-1] if thought.events else None
    parts: list[str] = []
    if event is None:
        first = thought.plan.hops[0]
        count = len(thought.plan.hops)
        parts.append(_say("start", seed, "start", count=count, relation=first.relation, subject=first.subject))
    elif isinstance(event, Page):
        parts += _about_page(thought, event, persona, seed, turn)
    elif isinstance(event, Results) and event.glimpses:
        titles = ", ".join(glimpse.title or glimpse.docid for glimpse in event.glimpses[:3])
        parts.append(_say("list", seed, "list", turn, titles=titles, count=len(event.glimpses)))
        parts += _facts(thought, seed, turn)
    else:
        parts.append("That call brought nothing I can use, so I go on differently.")
    parts.append(_next(thought, action, seed, turn))
    return " ".join(part for part in parts if part)


def _about_page(thought: Thought, page: Page, persona: Persona, seed: int, turn: int) -> list[str]:
    spread = persona.verbosity_spread
    own = math.sqrt(1.0 - _WITHIN**2) * own_verbosity(seed)
    here = _WITHIN * normal(seed, "length", page.docid, turn)
    mean = persona.verbosity * _more_to_say(thought, persona)
    budget = mean * math.exp(spread * (own + here) - spread**2 / 2) / _TOKENS_A_WORD
    if persona.habits is not None:
        budget -= _NEXT_WORDS
        if budget < _TERSE_WORDS:
            return [_in_short(thought, page, seed, turn)]
    if thought.gained:
        parts = _facts(thought, seed, turn)
    else:
        opinion = "rejected" if uniform(seed, "candour", page.docid) < persona.candour else "neutral"
        source = page.title or page.docid
        parts = [_say(opinion, seed, "opening", page.docid, turn, source=source, **_sought(thought))]
    body = page.text[len(page.title) :].strip()
    sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+", body) if sentence]
    frames = shuffled(_PHRASES["detail"], seed, "frames", page.docid)
    details = [
        frames[index % len(frames)].format(sentence=sentence)
        for index, sentence in enumerate(shuffled(sentences, seed, "details", page.docid))
    ]
    # thoughts that fill long reasoning once the page has no more to quote
    counts = {"known": len(thought.beliefs), "count": len(thought.plan.hops)}
    musings = [
        musing.format(**counts, **_sought(thought)) for musing in shuffled(_PHRASES["musing"], seed, "musings", turn)
    ]
    room = round(budget) - sum(len(part.split()) for part in parts)
    for addition in details + musings:
        words = addition.split()
        if room < 6:
            break
        parts.append(addition if len(words) <= room else " ".join(words[:room]) + " ...")
        room -= len(words)
    return parts


def _sought(thought: Thought) -> dict[str, str]:
    """The fact that is still sought, or the last one."""
    hop = thought.hop if thought.hop is not None else len(thought.plan.hops) - 1
    return {"relation": thought.plan.hops[hop].relation, "subject": thought.subject(hop) or "the one sought"}


def _more_to_say(thought: Thought, persona: Persona) -> float:
    """How many times its usual length reasoning about a page has.

    A fact is more to write down than none.  With habits it also grows with what there is to bring together, and
    shrinks while nothing comes.
    """
    habits = persona.habits
    if habits is None:
        return _MORE_TO_SAY if thought.gained else 1.0
    known = len(thought.beliefs) / len(thought.plan.hops)
    sought = thought.gained[0] if thought.gained else thought.hop
    fruitless = max(0, thought.searches.get(sought, 0) - 1) if sought is not None else 0
    grown = math.exp(habits.elaboration * known) * math.pow(1 + fruitless, -habits.fatigue)
    return grown * (habits.discovery if thought.gained else 1.0)


def _in_short(thought: Thought, page: Page, seed: int, turn: int) -> str:
    """The least that can be said of a page."""
    values = ", ".join(thought.beliefs[hop].value for hop in thought.gained)
    said = "short_found" if values else "short_nothing"
    return _say(said, seed, "short", page.docid, turn, source=page.title or page.docid, value=values)


def _facts(thought: Thought, seed: int, turn: int) -> list[str]:
    return [
        _say(
            "found",
            *(seed, "found", hop, turn),
            source=thought.beliefs[hop].source or "the page",
            relation=thought.plan.hops[hop].relation,
            subject=thought.subject(hop),
            value=thought.beliefs[hop].value,
        )
        for hop in thought.gained
    ]


def _next(thought: Thought, action: Action, seed: int, turn: int) -> str:
    """What comes next."""
    keys = seed, "next", turn
    if isinstance(action, Browse):
        return _say("next_browse", *keys, title=action.glimpse.title or f"document {action.glimpse.docid}")
    hop = action.hop if isinstance(action, Search) else thought.hop
    if hop is None or (isinstance(action, Answer) and action.sure):
        return _say("done", *keys)
    about = {"relation": thought.plan.hops[hop].relation, "subject": thought.subject(hop)}
    if isinstance(action, Answer):
        return _say("stuck", *keys, **about)
    if action.check:
        return _say("check", *keys, value=thought.beliefs[hop].value, **about)
    return _say("next_search", *keys, **about)


def answer_text(thought: Thought, answer: Answer, seed: int) -> str:
    """The last message: explanation, exact answer, confidence."""
    steps = " ".join(
        f"The {hop.relation} of {thought.subject(index)} is {thought.beliefs[index].value}."
        for index, hop in enumerate(thought.plan.hops)
        if index in thought.beliefs
    )
    if answer.value is None:
        return f"Explanation: {steps or 'The searches brought nothing on this.'} I could not find the answer."
    sure = answer.sure and conclusion(thought) is not None
    drawn = uniform(seed, "confidence")
    confidence = round(60 + 35 * drawn) if sure else round(10 + 30 * drawn)
    return f"Explanation: {steps}\nExact Answer: {answer.value}\nConfidence: {confidence}%"
