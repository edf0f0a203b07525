"""The names in a run: where each was first written, what searches are about, and which search is a rewording."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from lrat_sim.mining.episodes import Search, query_in
from lrat_sim.mining.runs import Run, RunTurn

Relation = Literal["rewording", "other", "unclear"]

_WORD = re.compile(r"[^\W_](?:[\w'’-]*\w)?")
_SHORTEST, _LONG = 3, 4
"""Characters of a name or number; what is shorter is mostly an initial or an article.  And those of a word that tells
what a query is about, where it has no capitals."""
_SENTENCE_END = re.compile(r"[.!?:\n][\"”’')*]*\s*$")


class Names:
    """The names and numbers that a run came upon and made use of, and what its searches are about.

    Names are told by their capital letter, away from the beginning of a sentence, so this reads only reasoning in
    scripts that have capitals; queries and answers may write them small.

    Args:
        run: the run.
    """

    def __init__(self, run: Run):
        self._question = _about([run.question])
        written = [set(_WORD.findall(turn.reasoning or "")) for turn in run.turns]
        asked = [set[str]().union(*(_words(query) for query in _queries(turn))) for turn in run.turns]
        first = dict.fromkeys(_words(run.question), -1)
        last: dict[str, int] = {}
        for number, (reasoning, queries) in enumerate(zip(written, asked, strict=True)):
            for word in queries.union(map(str.casefold, reasoning)):
                first.setdefault(word, number)
            last.update(dict.fromkeys(queries, number))
        if run.status == "answered":
            last.update(dict.fromkeys(_words(run.answer), len(run.turns)))
        self._taken: dict[str, int] = {}
        self._noting: set[int] = set()
        for number, turn in enumerate(run.turns):
            new = {word for word in written[number] if _may_be_name(word) and first[word.casefold()] == number}
            for name in _names(turn.reasoning or "", new) if new else ():
                self._noting.add(number)
                if last.get(name, -1) >= number:
                    self._taken[name] = number
        self._taking = frozenset(self._taken.values())

    def noted(self, turn: int) -> bool:
        """Whether the reasoning of a turn holds a name or number that nothing before it held."""
        return turn in self._noting

    def taken_up(self, turn: int) -> bool:
        """Whether one that it noted stands in a query from that turn on, or in the answer."""
        return turn in self._taking

    def relation(self, earlier: Subject, later: Subject) -> Relation:
        """What a search is to one of an earlier turn.

        Returns:
            ``other``: it shares no name with it; ``rewording``: it looks for the same thing again; ``unclear``: it
            shares a name, but holds one that was taken up since, or one of the question that the earlier one lacked,
            so that it may look for something else.
        """
        if earlier.names.isdisjoint(later.names):
            return "other"
        moved = not self._question.isdisjoint(later.names - earlier.names) or any(
            self._taken.get(word, -1) > earlier.turn for word in later.words
        )
        return "unclear" if moved else "rewording"


@lru_cache(maxsize=1)
def names_of(run: Run) -> Names:
    """The names in a run, read once for all parts that ask for them in turn."""
    return Names(run)


class Subject(NamedTuple):
    """What searches of one turn are about: their turn, the names in their queries, and all words of those."""

    turn: int
    names: set[str]
    words: set[str]


def subject_of(searches: Iterable[Search]) -> Subject:
    """What one search, or several of one turn, are about; none at all is about nothing."""
    queries = [(search.turn, search.query) for search in searches]
    return Subject(
        turn=max((turn for turn, _ in queries), default=-1),
        names=_about(query for _, query in queries),
        words=set[str]().union(*(_words(query) for _, query in queries)),
    )


def _queries(turn: RunTurn) -> Iterator[str]:
    for call in turn.calls:
        if call.hits is not None:
            yield query_in(call.executed) or query_in(call.arguments) or ""


def _words(text: str | None) -> set[str]:
    return set(_WORD.findall((text or "").casefold()))


def _about(texts: Iterable[str]) -> set[str]:
    """What queries are about: their words with a capital; of a query without any, its longer words."""
    found: set[str] = set()
    for text in texts:
        words = _WORD.findall(text)
        named = {word.casefold() for word in words if len(word) >= _SHORTEST and word[0].isupper()}
        found |= named or {word.casefold() for word in words if len(word) >= _LONG}
    return found


def _may_be_name(word: str) -> bool:
    return len(word) >= _SHORTEST and (word[0].isupper() or word.isdecimal())


def _names(text: str, words: set[str]) -> Iterator[str]:
    """Those of the words, in small letters, that are numbers or stand in the text elsewhere than where a sentence
    begins."""
    for match in _WORD.finditer(text):
        word = match.group()
        if word in words:
            before = text[max(0, match.start() - 4) : match.start()]
            if word.isdecimal() or not (match.start() == 0 or _SENTENCE_END.search(before)):
                yield word.casefold()
