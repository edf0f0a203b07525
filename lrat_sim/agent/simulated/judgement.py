"""Reading: whether a text states a fact, how promising a snippet looks, what a hasty reader takes from a look-alike.

All of it is lexical, on the words that were shown (invariant 9): no labels, no index, no encoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import Stemmer
from bm25s.stopwords import STOPWORDS_EN_PLUS

from lrat_sim.agent.simulated.memory import Glimpse
from lrat_sim.corpus.plans import Passage, stands_in, states
from lrat_sim.records import Hop
from lrat_sim.text import normalise

_STOP = frozenset(STOPWORDS_EN_PLUS)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_DATE = re.compile(r"\b(?:\d{1,2} [A-Z][a-z]+ \d{3,4}|[A-Z][a-z]+ \d{1,2}, \d{3,4}|\d{3,4})\b")
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?: (?:of |the |de |van |von )?[A-Z][\w'’-]+)*")
_WHEN = frozenset({"date", "year", "when", "born", "die", "death", "birth", "found", "open"})


@lru_cache(maxsize=1 << 15)
def stems(text: str) -> frozenset[str]:
    """The stems of a text's content words."""
    words = [word for word in normalise(text).split() if word not in _STOP]
    return frozenset(Stemmer.Stemmer("english").stemWords(words))


@lru_cache(maxsize=1 << 10)
def _relation_stems(relation: str, phrasings: tuple[str, ...]) -> frozenset[str]:
    return stems(" ".join([relation, *phrasings]).replace("{subject}", " "))


def relation_stems(hop: Hop) -> frozenset[str]:
    """The stems of every word in which the plan puts a hop's relation."""
    return _relation_stems(hop.relation, tuple(hop.phrasings))


def likeness(title: str, subject: str) -> float:
    """How much a title names a subject: the share of the subject's words that it holds, 0 to 1."""
    wanted = normalise(subject).split()
    if not wanted:
        return 0.0
    there = normalise(title).split()
    return sum(any(_alike(word, other) for other in there) for word in wanted) / len(wanted)


@lru_cache(maxsize=1 << 15)
def _alike(word: str, other: str) -> bool:
    """Equal, or long words that a hasty eye confuses: the same beginning and nearly the same length."""
    shared = 0
    for one, two in zip(word, other, strict=False):
        if one != two:
            break
        shared += 1
    return word == other or (shared >= 4 and shared >= 0.6 * max(len(word), len(other)))


def promise(glimpse: Glimpse, subject: str, hop: Hop) -> float:
    """How promising a hit looks for a hop, before noise and rank.

    A title that names the subject counts 1, a snippet that names it 0.7; words of the relation in title or snippet
    add up to 0.6; a snippet that already states the fact adds 1.
    """
    named = max(likeness(glimpse.title, subject), 0.7 * stands_in(subject, glimpse.snippet))
    shown = f"{glimpse.title} {glimpse.snippet}"
    topical = min(1.0, len(relation_stems(hop) & stems(shown)) / 3)
    return named + 0.6 * topical + states(Passage(glimpse.title, glimpse.snippet), subject, hop.object)


def mistaken_value(title: str, text: str, subject: str, hop: Hop) -> str | None:
    """What a hasty reader takes from a text that does not state the fact.

    The date or the name in the sentence that shares most words with the relation, if any shares one; never the
    title's own name or the subject, and never the fact's true value, which the text does not state.
    """
    wanted = relation_stems(hop)
    body = text[len(title) :] if text.startswith(title) else text
    overlap, sentence = max(
        ((len(wanted & stems(sentence)), sentence) for sentence in _SENTENCE.split(body)), default=(0, "")
    )
    if not overlap:
        return None
    form = _DATE if _WHEN & {*hop.relation.lower().split(), *wanted} else _NAME
    return _first_other(form.findall(sentence[1:]), (title, subject))


def _first_other(candidates: Iterable[str], known: tuple[str, ...]) -> str | None:
    taken = {word for name in known for word in normalise(name).split()}
    for candidate in candidates:
        words = normalise(candidate).split()
        if words and not taken.issuperset(words) and not _STOP.issuperset(words):
            return candidate
    return None
