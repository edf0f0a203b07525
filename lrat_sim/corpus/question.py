"""The words of a question: which of them a passage shares, and which a searcher would put into a query for a hop."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import Stemmer
from bm25s.stopwords import STOPWORDS_EN_PLUS

from lrat_sim.corpus.plans import stands_in
from lrat_sim.text import normalise

STOP_WORDS = frozenset(STOPWORDS_EN_PLUS)
_ASKS = frozenset(["who", "whom", "whose", "what", "when", "where", "which", "why", "how"])
_EDGES = ".,;:!?()[]\"'“”‘’"
_LONGEST_RUN = 8  # words of a question that stand for something which it does not name
_KEYWORDS = 6


@lru_cache(maxsize=1 << 15)
def stems(text: str) -> frozenset[str]:
    """The stems of a text's content words."""
    words = [word for word in normalise(text).split() if word not in STOP_WORDS]
    return frozenset(Stemmer.Stemmer("english").stemWords(words))


def runs(text: str, other: str, avoid: Iterable[str] = ()) -> list[str]:
    """The runs of words of ``text``, as it spells them, that also stand in ``other``, the most telling first.

    A run begins and ends with a content word, and neither holds nor is part of a name to avoid.  The one with most
    capitals and digits counts as the most telling, then the one with most content words.
    """
    words = text.split()
    content = [bool(stems(word)) for word in words]
    names = [name for name in avoid if normalise(name)]
    found: dict[str, tuple[int, int]] = {}
    for start in (place for place, tells in enumerate(content) if tells):
        for end in range(start + 1, min(len(words), start + _LONGEST_RUN) + 1):
            run = " ".join(words[start:end])
            if not stands_in(run, other):
                break
            if content[end - 1] and not any(stands_in(name, run) or stands_in(run, name) for name in names):
                names_something = sum(bool(re.match(r"\W*[A-Z0-9]", word)) for word in words[max(1, start) : end])
                found[run.strip(_EDGES)] = (names_something, sum(content[start:end]))
    return sorted((run for run in found if run), key=lambda run: found[run], reverse=True)


def part_about(question: str, subject: str, own: str, other: str) -> tuple[str, str]:
    """Cuts a question in two: the part about a subject that stands in it, and the rest.

    The part grows from the subject to either side while it gains more words that only the passage ``own`` has than
    words that only ``other`` has, so that it stays one stretch of the question.  Where it gains none, it takes the next
    words that neither passage claims.

    Returns:
        the part, with ``{subject}`` for the subject, and the question with ``{subject}`` for the part.
    """
    words = question.replace("{", "(").replace("}", ")").split()
    start, end = _place(words, subject)
    only_own, only_other = stems(own) - stems(other), stems(other) - stems(own)
    gains = [len(stems(word) & only_own) - len(stems(word) & only_other) for word in words]
    first = start - _best(gains[:start][::-1])
    last = end + _best(gains[end:])
    if (first, last) == (start, end):
        first -= _unclaimed(words[:start][::-1], gains[:start][::-1])
        last += _unclaimed(words[end:], gains[end:])
    part = [*words[first:start], "{subject}", *words[end:last]]
    return _tidy(part), _tidy([*words[:first], "{subject}", *words[last:]])


def in_place(question: str, subject: str) -> str:
    """A question with ``{subject}`` where a subject stands in it, and in front of it where it does not."""
    words = question.replace("{", "(").replace("}", ")").split()
    start, end = _place(words, subject)
    return _tidy([*words[:start], "{subject}", *words[end:]])


def without(text: str, name: str) -> str:
    """A text without a name, wherever it stands."""
    words = text.split()
    while (place := _place(words, name)) != (0, 0):
        del words[slice(*place)]
    return " ".join(words)


def _place(words: Sequence[str], subject: str) -> tuple[int, int]:
    """Where a subject stands: the shortest stretch of words that holds it; (0, 0) where it does not stand."""
    longest = min(len(words), len(subject.split()) + _LONGEST_RUN)  # with articles and signs that do not count
    for length in range(1, longest + 1):
        for start in range(len(words) - length + 1):
            if stands_in(subject, " ".join(words[start : start + length])):
                return start, start + length
    return 0, 0


def _best(gains: Sequence[int]) -> int:
    """The length of the beginning with the highest sum, the shortest of several; 0 where none is above 0."""
    sums = [sum(gains[:length]) for length in range(len(gains) + 1)]
    return sums.index(max(sums))


def _unclaimed(words: Sequence[str], gains: Sequence[int]) -> int:
    """How many words from the first on may go with it: up to one content word, and none beyond a clause."""
    for length, (word, gain) in enumerate(zip(words, gains, strict=True)):
        if gain < 0 or word.strip(_EDGES).casefold() in _ASKS:
            return length
        if stems(word) or word.endswith((",", ";")):
            return length + 1
    return len(words)


def _tidy(words: Sequence[str]) -> str:
    return " ".join(words).strip(" ,;:?.")


def keywords(text: str) -> list[str]:
    """The content words of a part of a question, as it spells them and without question words, the last ones first to
    go."""
    words = [word.strip(_EDGES) for word in text.replace("{subject}", " ").split()]
    return [word for word in words if stems(word) and word.casefold() not in _ASKS][:_KEYWORDS]


def phrasings(part: str, otherwise: str = "") -> list[str]:
    """Ways to ask for a part of a question about ``{subject}``: as it stands, and by all, the first and the last of its
    keywords.

    Args:
        part: holds ``{subject}``.
        otherwise: what gives the keywords where the part has none.
    """
    terms = keywords(part) or keywords(otherwise)
    ways = [part, *(f"{{subject}} {' '.join(some)}" for some in (terms, terms[:2], terms[-2:]) if some)]
    return list(dict.fromkeys(ways))
