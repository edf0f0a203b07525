"""What the conversation shows, and how promising a snippet looks, by the words that were shown alone (invariant 9)."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile
from typing import Any

from msgspec import Struct

from lrat_sim.corpus.plans import Passage, stands_in, states
from lrat_sim.corpus.question import STOP_WORDS, stems
from lrat_sim.records import Hop
from lrat_sim.text import normalise

_SEARCH = re.compile(r"A search for '(.*)' found \d+ results?:\n", re.DOTALL)
_DOCID = re.compile(r"^DocID:(.+)$", re.MULTILINE)
_DOCUMENT = re.compile(r"Document (.+):\n")
_TITLE = re.compile(r"\[([^\n]*)\]\n?")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_DATE = re.compile(r"\b(?:\d{1,2} [A-Z][a-z]+ \d{3,4}|[A-Z][a-z]+ \d{1,2}, \d{3,4}|\d{3,4})\b")
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?: (?:of |the |de |van |von )?[A-Z][\w'’-]+)*")
_WHEN = frozenset({"date", "year", "when", "born", "die", "death", "birth", "found", "open"})


class Glimpse(Struct, frozen=True):
    """One hit as it was shown; ``rank`` counts from 1."""

    docid: str
    title: str
    snippet: str
    rank: int


class ResultList(Struct, frozen=True):
    """A result list that was shown for a query."""

    query: str
    glimpses: tuple[Glimpse, ...]


class OpenedDocument(Struct, frozen=True):
    """A document that was opened, as far as it was shown; its first line is its title."""

    docid: str
    title: str
    text: str


Event = ResultList | OpenedDocument | None  # what a tool call brought; None for one that failed


@lru_cache(maxsize=1 << 13)
def read_event(content: str) -> Event:
    """What one tool message shows."""
    if (search := _SEARCH.match(content)) is not None:
        _, *parts = _DOCID.split(content[search.end() :])
        glimpses = []
        for rank, (docid, block) in enumerate(zip(parts[::2], parts[1::2], strict=True), start=1):
            text = block.strip()
            title = _TITLE.match(text)
            glimpses.append(Glimpse(docid, title[1] if title else "", text[title.end() :] if title else text, rank))
        return ResultList(search[1], tuple(glimpses))
    if (document := _DOCUMENT.match(content)) is not None:
        text = content[document.end() :]
        return OpenedDocument(document[1], text.split("\n", 1)[0], text)
    return None


def recall(messages: list[dict[str, Any]]) -> list[Event]:
    """Everything that the tool messages of a conversation show, in order."""
    return [read_event(message["content"]) for message in messages if message["role"] == "tool"]


def passages(messages: list[dict[str, Any]]) -> list[OpenedDocument]:
    """The passages that stand below the question, as the harness ``rag`` puts them there; each is a whole document."""
    question = next((str(message["content"]) for message in messages if message["role"] == "user"), "")
    search = _SEARCH.search(question)
    below = read_event(question[search.start() :]) if search is not None else None
    glimpses = below.glimpses if isinstance(below, ResultList) else ()
    return [OpenedDocument(hit.docid, hit.title, f"{hit.title}\n{hit.snippet}") for hit in glimpses]


def relation_stems(hop: Hop) -> frozenset[str]:
    """The stems of every word in which the plan puts a hop's relation."""
    return stems(" ".join([hop.relation, *hop.phrasings]).replace("{subject}", " "))


def likeness(title: str, subject: str) -> float:
    """How much a title names a subject: the share of the subject's words that it holds, 0 to 1."""
    wanted, held = normalise(subject).split(), normalise(title).split()
    return sum(any(_alike(word, other) for other in held) for word in wanted) / max(1, len(wanted))


@lru_cache(maxsize=1 << 15)
def _alike(word: str, other: str) -> bool:
    """Equal, or long words that a hasty eye confuses: the same beginning and nearly the same length."""
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
    return word == other or (shared >= 4 and shared >= 0.6 * max(len(word), len(other)))


def promise(glimpse: Glimpse, subject: str, hop: Hop) -> float:
    """How promising a hit looks for a hop, before noise and rank.

    A title that names the subject counts 1, a snippet that names it 0.7; words of the relation in title or snippet
    add up to 0.6; a snippet that already states the fact adds 1.
    """
    named = max(likeness(glimpse.title, subject), 0.7 * stands_in(subject, glimpse.snippet))
    topical = min(1.0, len(relation_stems(hop) & stems(f"{glimpse.title} {glimpse.snippet}")) / 3)
    return named + 0.6 * topical + states(Passage(glimpse.title, glimpse.snippet), subject, hop.object)


def mistaken_value(title: str, text: str, subject: str, hop: Hop) -> str | None:
    """What a hasty reader takes from a text that does not state the fact: the date or the name in the sentence that
    shares most words with the relation, if any shares one; never the title's own name or the subject."""
    wanted = relation_stems(hop)
    overlaps = [(len(wanted & stems(sentence)), sentence) for sentence in _SENTENCE.split(text.removeprefix(title))]
    overlap, sentence = max(overlaps)
    if not overlap:
        return None
    form = _DATE if _WHEN & {*hop.relation.lower().split(), *wanted} else _NAME
    known = {*normalise(title).split(), *normalise(subject).split()}
    for candidate in form.findall(sentence[1:]):
        words = normalise(candidate).split()
        if words and not known.issuperset(words) and not STOP_WORDS.issuperset(words):
            return str(candidate)
    return None
