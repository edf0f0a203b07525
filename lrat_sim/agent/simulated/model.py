"""The simulated agent as a model: ``sim/NAME`` answers through the same client, protocol and loop as any other.

Its sentences are in phrases.yaml.  Their length says little about use, as in the field's trajectories (behaviour
targets: AUC about .6): it comes from a run's own verbosity, a page's, and from having a fact to write down.
"""

from __future__ import annotations

import math
import re
from importlib.resources import files
from typing import Any

import msgspec
import yaml

from lrat_sim.agent.simulated.persona import Persona, normal, pick, shuffled, uniform, verbosity
from lrat_sim.agent.simulated.policy import (
    Action,
    AnswerAction,
    BrowseAction,
    SearchAction,
    Thought,
    conclusion,
    think,
)
from lrat_sim.agent.simulated.reading import OpenedDocument, ResultList
from lrat_sim.models.call import Answer, Request
from lrat_sim.records import Plan, Usage
from lrat_sim.text import count_tokens

_PHRASES: dict[str, list[str]] = yaml.safe_load(files(__package__).joinpath("phrases.yaml").read_text("utf-8"))
_TOKENS_A_WORD = 1.35
_MORE_TO_SAY = 1.44  # reasoning when a page brought a fact to other reasoning: behaviour targets, 111 tokens against 77
_NEXT_WORDS = 10  # of the sentence on what comes next
_TERSE_WORDS = 14  # below these an opinion on a page is put in short
_WITHIN = 0.85  # the share of the spread that varies from page to page; the rest is the run's own verbosity


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request parameter ``simulation``: it replaces a model's own reasoning, and never enters a message."""

    plan: Plan
    seed: int
    persona: Persona = Persona()


class SimulatedModel:
    """Answers as the agent that the parameter ``simulation`` describes."""

    async def answer(self, request: Request) -> Answer:
        """One turn, from ``messages``, ``tools`` and ``simulation`` alone."""
        try:
            simulation = msgspec.convert(request.extra.get("simulation"), Simulation)
        except msgspec.ValidationError as error:
            raise ValueError(f"a sim/ model needs the request parameter `simulation`: {error}") from error
        messages = request.messages
        may_call = bool(request.tools) and request.tool_choice != "none"
        thought, action = think(messages, simulation.plan, simulation.persona, simulation.seed, tools=may_call)
        text = reasoning(thought, action)
        message: dict[str, Any] = {"role": "assistant", "content": None, "reasoning_content": text}
        if isinstance(action, AnswerAction):
            message["content"] = written = answer_text(thought, action)
        else:
            if isinstance(action, SearchAction):
                name, arguments = "search", {"query": action.query}
            else:
                name, arguments = "get_document", {"docid": action.glimpse.docid}
            written = msgspec.json.encode(arguments).decode()
            function = {"name": name, "arguments": written}
            message["tool_calls"] = [{"id": f"call_{len(messages)}", "type": "function", "function": function}]
        reasoning_tokens = count_tokens(text)
        return Answer(
            message=message,
            usage=Usage(
                # estimated at four characters a token, as counting the whole conversation each turn would be slow
                prompt_tokens=sum(len(str(part.get("content") or "")) for part in messages) // 4,
                completion_tokens=reasoning_tokens + count_tokens(written),
                reasoning_tokens=reasoning_tokens,
                cost=0.0,
            ),
            finish_reason="stop" if isinstance(action, AnswerAction) else "tool_calls",
        )


def _say(phrases: str, *keys: object, **values: Any) -> str:
    return pick(_PHRASES[phrases], *keys).format(**values)


def reasoning(thought: Thought, action: Action) -> str:
    """The reasoning written before an action, about what the last event showed."""
    seed, turn = thought.seed, len(thought.events)
    event = thought.events[-1] if thought.events else None
    if not thought.events:
        parts = [_say("start", seed, "start", count=len(thought.plan.hops), **thought.about(0))]
    elif isinstance(event, OpenedDocument):
        parts = _about_document(thought, event)
    elif isinstance(event, ResultList) and event.glimpses:
        titles = ", ".join(glimpse.title or glimpse.docid for glimpse in event.glimpses[:3])
        parts = [_say("list", seed, "list", turn, titles=titles, count=len(event.glimpses)), *_facts(thought)]
    else:
        parts = ["That call brought nothing I can use, so I go on differently."]
    return " ".join(filter(None, [*parts, _next(thought, action)]))


def _about_document(thought: Thought, document: OpenedDocument) -> list[str]:
    persona, seed, turn, docid = thought.persona, thought.seed, len(thought.events), document.docid
    source = document.title or docid
    budget = _length(thought, docid) / _TOKENS_A_WORD
    if persona.habits is not None:
        budget -= _NEXT_WORDS
        if budget < _TERSE_WORDS:
            values = ", ".join(thought.beliefs[hop].value for hop in thought.gained)
            verdict = "short_found" if values else "short_nothing"
            return [_say(verdict, seed, "short", docid, turn, source=source, value=values)]
    sought = thought.about(thought.hop if thought.hop is not None else len(thought.plan.hops) - 1)
    if thought.gained:
        parts = _facts(thought)
    else:
        opinion = "rejected" if uniform(seed, "candour", docid) < persona.candour else "neutral"
        parts = [_say(opinion, seed, "opening", docid, turn, source=source, **sought)]
    body = document.text[len(document.title) :].strip()
    sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+", body) if sentence]
    frames = shuffled(_PHRASES["detail"], seed, "frames", docid)
    additions = [
        frames[index % len(frames)].format(sentence=sentence)
        for index, sentence in enumerate(shuffled(sentences, seed, "details", docid))
    ]
    # musings fill long reasoning once the page has no more to quote
    counts = {"known": len(thought.beliefs), "count": len(thought.plan.hops)}
    musings = shuffled(_PHRASES["musing"], seed, "musings", turn)
    additions += [musing.format(**counts, **sought) for musing in musings]
    room = round(budget) - sum(len(part.split()) for part in parts)
    for addition in additions:
        words = addition.split()
        if room < 6:
            break
        parts.append(addition if len(words) <= room else " ".join(words[:room]) + " ...")
        room -= len(words)
    return parts


def _length(thought: Thought, docid: str) -> float:
    """Tokens of reasoning about an opened document, lognormal around the persona's mean; with habits it also grows with
    what there is to bring together, and shrinks while nothing comes."""
    persona, seed = thought.persona, thought.seed
    habits, spread = persona.habits, persona.verbosity_spread
    if habits is None:
        more = _MORE_TO_SAY if thought.gained else 1.0
    else:
        known = len(thought.beliefs) / len(thought.plan.hops)
        hop = thought.gained[0] if thought.gained else thought.hop
        fruitless = max(0, thought.searches[hop] - 1) if hop is not None else 0
        grown = math.exp(habits.elaboration * known) * math.pow(1 + fruitless, -habits.fatigue)
        more = grown * (habits.discovery if thought.gained else 1.0)
    own = math.sqrt(1.0 - _WITHIN**2) * verbosity(seed)
    here = _WITHIN * normal(seed, "length", docid, len(thought.events))
    return persona.verbosity * more * math.exp(spread * (own + here) - spread**2 / 2)


def _facts(thought: Thought) -> list[str]:
    return [
        _say(
            "found",
            *(thought.seed, "found", hop, len(thought.events)),
            source=thought.beliefs[hop].source or "the page",
            value=thought.beliefs[hop].value,
            **thought.about(hop),
        )
        for hop in thought.gained
    ]


def _next(thought: Thought, action: Action) -> str:
    keys = thought.seed, "next", len(thought.events)
    if isinstance(action, BrowseAction):
        return _say("next_browse", *keys, title=action.glimpse.title or f"document {action.glimpse.docid}")
    hop = action.hop if isinstance(action, SearchAction) else thought.hop
    if hop is None or (isinstance(action, AnswerAction) and action.sure):
        return _say("done", *keys)
    about = thought.about(hop)
    if isinstance(action, AnswerAction):
        return _say("stuck", *keys, **about)
    if action.check:
        return _say("check", *keys, value=thought.beliefs[hop].value, **about)
    return _say("next_search", *keys, **about)


def answer_text(thought: Thought, answer: AnswerAction) -> str:
    """The last message: explanation, exact answer, confidence."""
    steps = " ".join(
        f"The {hop.relation} of {thought.subject(index)} is {thought.beliefs[index].value}."
        for index, hop in enumerate(thought.plan.hops)
        if index in thought.beliefs
    )
    if answer.value is None:
        return f"Explanation: {steps or 'The searches brought nothing on this.'} I could not find the answer."
    drawn = uniform(thought.seed, "confidence")
    sure = answer.sure and conclusion(thought) is not None
    confidence = round(60 + 35 * drawn) if sure else round(10 + 30 * drawn)
    return f"Explanation: {steps}\nExact Answer: {answer.value}\nConfidence: {confidence}%"
