"""What the simulated agent writes: the reasoning before each action, made from phrases.yaml.

The length of its sentences says little about use, as in the field's trajectories (behaviour targets: AUC about .6): it
comes from a run's own verbosity, a page's, and from having a fact to write down.  A persona's ``writer`` (writers.yaml)
writes another text of the same run, so that what rests on the wording shows it.
"""

from __future__ import annotations

import math
import re
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from lrat_sim.agent.simulated.persona import Writer, normal, pick, shuffled, uniform, verbosity
from lrat_sim.agent.simulated.policy import Action, AnswerAction, BrowseAction, SearchAction, Thought
from lrat_sim.agent.simulated.reading import OpenedDocument, ResultList
from lrat_sim.decoding import convert
from lrat_sim.settings import Positive, Settings, Share

_TOKENS_A_WORD = 1.35
_MORE_TO_SAY = 1.44  # reasoning when a page brought a fact to other reasoning: behaviour targets, 111 tokens against 77
_NEXT_WORDS = 10  # of the sentence on what comes next
_TERSE_WORDS = 14  # below these an opinion on a page is put in short
_WITHIN = 0.85  # the share of the spread that varies from page to page; the rest is the run's own verbosity


class Writing(Settings, frozen=True, kw_only=True):
    """What a writer does otherwise than the usual one."""

    description: Annotated[str, Meta(description="For readers.")] = ""
    length: Annotated[Positive, Meta(description="Factor of the length of reasoning about a document.")] = 1.0
    silence: Annotated[Share, Meta(description="Share of turns without any reasoning.")] = 0.0
    error: Annotated[Share, Meta(description="Share of opened documents of which it writes the opposite.")] = 0.0
    phrases: Annotated[dict[str, list[str]], Meta(description="In place of the usual ones; none says nothing.")] = {}


@cache
def writing(writer: Writer | None) -> Writing:
    """How a writer writes, with all its phrases; None is the usual one."""
    usual, writers = (yaml.safe_load(files(__package__).joinpath(f"{name}.yaml").read_text("utf-8"))
                      for name in ("phrases", "writers"))  # fmt: skip
    own = convert(writers[writer] if writer else {}, Writing)
    return msgspec.structs.replace(own, phrases={**usual, **own.phrases})


def reasoning(thought: Thought, action: Action) -> str | None:
    """The reasoning written before an action, about what the last event showed; None where the writer gives none."""
    seed, turn = thought.seed, len(thought.events)
    if uniform(seed, "silence", turn) < writing(thought.persona.writer).silence:
        return None
    event = thought.events[-1] if thought.events else None
    if not thought.events:
        parts = [_say(thought, "start", seed, "start", count=len(thought.plan.hops), **thought.about(0))]
    elif isinstance(event, OpenedDocument):
        parts = _about_document(thought, event)
    elif isinstance(event, ResultList) and event.glimpses:
        titles = ", ".join(glimpse.title or glimpse.docid for glimpse in event.glimpses[:3])
        parts = [_say(thought, "list", seed, "list", turn, titles=titles, count=len(event.glimpses)), *_facts(thought)]
    else:
        parts = ["That call brought nothing I can use, so I go on differently."]
    return " ".join(filter(None, [*parts, _next(thought, action)]))


def _say(thought: Thought, kind: str, *keys: object, **values: Any) -> str:
    phrases = writing(thought.persona.writer).phrases[kind]
    return pick(phrases, *keys).format(**values) if phrases else ""


def _about_document(thought: Thought, document: OpenedDocument) -> list[str]:
    persona, seed, turn, docid = thought.persona, thought.seed, len(thought.events), document.docid
    source, style = document.title or docid, writing(persona.writer)
    mistaken = uniform(seed, "error", docid) < style.error
    budget = style.length * _length(thought, docid) / _TOKENS_A_WORD
    if persona.habits is not None and not mistaken:
        budget -= _NEXT_WORDS
        if budget < _TERSE_WORDS:
            values = ", ".join(thought.beliefs[hop].value for hop in thought.gained)
            verdict = "short_found" if values else "short_nothing"
            return [_say(thought, verdict, seed, "short", docid, turn, source=source, value=values)]
    sought = thought.about(thought.hop if thought.hop is not None else len(thought.plan.hops) - 1)
    if thought.gained and not mistaken:
        parts = _facts(thought)
    else:
        opinion = "rejected" if uniform(seed, "candour", docid) < persona.candour else "neutral"
        if mistaken:
            opinion = "rejected" if thought.gained else "praised"
            sought = thought.about(thought.gained[0]) if thought.gained else sought
        parts = [_say(thought, opinion, seed, "opening", docid, turn, source=source, **sought)]
    body = document.text[len(document.title) :].strip()
    sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+", body) if sentence]
    frames = shuffled(style.phrases["detail"], seed, "frames", docid)
    quotes = frames and not (mistaken and thought.gained)  # a dismissed page is not quoted
    additions = [
        frames[index % len(frames)].format(sentence=sentence)
        for index, sentence in enumerate(shuffled(sentences, seed, "details", docid) if quotes else ())
    ]
    # musings fill long reasoning once the page has no more to quote
    counts = {"known": len(thought.beliefs), "count": len(thought.plan.hops)}
    musings = shuffled(style.phrases["musing"], seed, "musings", turn)
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
            thought,
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
        return _say(thought, "next_browse", *keys, title=action.glimpse.title or f"document {action.glimpse.docid}")
    hop = action.hop if isinstance(action, SearchAction) else thought.hop
    if hop is None or (isinstance(action, AnswerAction) and action.sure):
        return _say(thought, "done", *keys)
    about = thought.about(hop)
    if isinstance(action, AnswerAction):
        return _say(thought, "stuck", *keys, **about)
    if action.check:
        return _say(thought, "check", *keys, value=thought.beliefs[hop].value, **about)
    return _say(thought, "next_search", *keys, **about)
