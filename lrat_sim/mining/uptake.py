"""Which opened documents a run made use of, by what it did next.

The judge of section 5.1 asks whether the agent clearly rejected a document, and most that are of no use are not
rejected in words.  What the run does next says more:

- ``used``: it **took up** a name.  The reasoning right after the browse holds a name or a number that neither the
  question nor anything written before held, and a later query or the answer holds it, too.
- ``used``: its **search ended** with it, as a user's does with the last click.  It was the last document opened from
  its list, and the next search shares no name with the one that listed it.
- ``unclear``: it was the last document opened before the answer, which may rest on it or have been forced; or the next
  search shares a name, but also holds one of the question that the search before did not, so that it may have turned to
  the other half of the question, or look for the same thing yet.
- ``unused``: the run opened another document from the same list, or went on searching for the same thing, or gave up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from lrat_sim.grading.relevance import Browse
from lrat_sim.mining.episodes import Episode, episodes, query_in
from lrat_sim.mining.runs import Run, RunTurn
from lrat_sim.records import VerdictState

Use = Literal["used", "unclear", "unused"]
Place = tuple[int, int]
"""The turn and the place among its calls."""

_WORD = re.compile(r"[^\W_](?:[\w'’-]*\w)?")
_SHORTEST, _LONG = 3, 4
"""Characters of a name; what is shorter is mostly an initial or an article.  And those of a word that tells what a
query is about, where it has no capitals."""
_SENTENCE_END = re.compile(r"[.!?:\n][\"”’')*]*\s*$")


def where_used(run: Run, verdict: Callable[[Browse], VerdictState | None]) -> Callable[[Browse], VerdictState | None]:
    """The verdicts on a run's browses, where a relevant document that the run did not use is irrelevant, and one of
    which that is unclear is unjudged."""
    found = uses(run)
    state: dict[Use, VerdictState] = {"used": "relevant", "unclear": "unjudged", "unused": "irrelevant"}

    def said(browse: Browse) -> VerdictState | None:
        judged = verdict(browse)
        return state[found[browse.turn, browse.call]] if judged == "relevant" else judged

    return said


def uses(run: Run) -> dict[Place, Use]:
    """What a run made of every document that it opened."""
    taken = taken_up(run)
    of_question = _subject([run.question])
    parts = list(episodes(run))
    found: dict[Place, Use] = {}
    for number, episode in enumerate(parts):
        after = next((later for later in parts[number + 1 :] if later.searches), None)
        for opened in episode.chain:
            browse = opened.browse
            last = opened is episode.chain[-1]
            if (browse.turn, browse.call) in taken:
                use: Use = "used"
            else:
                use = _ended(run, episode, after, of_question) if last else "unused"
            found[browse.turn, browse.call] = use
    return found


def _ended(run: Run, episode: Episode, after: Episode | None, of_question: set[str]) -> Use:
    """Whether a search ended with the last document that was opened from its list."""
    if after is None:
        return "unclear" if run.status == "answered" else "unused"
    own, others = (_subject(search.query for search in each.searches) for each in (episode, after))
    if not own & others:
        return "used"
    return "unclear" if (others - own) & of_question else "unused"


def taken_up(run: Run) -> frozenset[Place]:
    """The browses from whose document a run took up a name or a number.

    Names are told by their capital letter, away from the beginning of a sentence, so this reads only reasoning in
    scripts that have capitals; queries and answers may write them small.
    """
    known = _words(run.question)
    used_later = _used_after(run)
    written = [_words(turn.reasoning) for turn in run.turns] + [set[str]()]
    found: set[Place] = set()
    for number, turn in enumerate(run.turns):
        known |= written[number]
        for query in _queries(turn):
            known |= _words(query)
        browses = [place for place, call in enumerate(turn.calls) if call.docid is not None]
        new = (written[number + 1] & used_later[number + 1]) - known
        if browses and new and not new.isdisjoint(_names(run.turns[number + 1].reasoning or "")):
            found.update((number, place) for place in browses)
    return frozenset(found)


def _used_after(run: Run) -> list[set[str]]:
    """For each turn, the words of the queries from it on, and of the answer."""
    words = _words(run.answer) if run.status == "answered" else set()
    result = [words]
    for turn in reversed(run.turns):
        words = words.union(*(_words(query) for query in _queries(turn)))
        result.append(words)
    return result[::-1]


def _queries(turn: RunTurn) -> Iterator[str]:
    for call in turn.calls:
        if call.hits is not None:
            yield query_in(call.executed) or query_in(call.arguments) or ""


def _words(text: str | None) -> set[str]:
    return set(_WORD.findall((text or "").casefold()))


def _subject(texts: Iterable[str]) -> set[str]:
    """What queries are about: their words with a capital; of a query without any, its longer words."""
    found: set[str] = set()
    for text in texts:
        words = _WORD.findall(text)
        named = {word.casefold() for word in words if len(word) >= _SHORTEST and word[0].isupper()}
        found |= named or {word.casefold() for word in words if len(word) >= _LONG}
    return found


def _names(text: str) -> Iterator[str]:
    """Words of three letters or more with a capital that no sentence begins with, and numbers of as many digits."""
    for match in _WORD.finditer(text):
        word = match.group()
        if len(word) < _SHORTEST or not (word[0].isupper() or word.isdecimal()):
            continue
        before = text[max(0, match.start() - 4) : match.start()]
        if word[0].isupper() and (match.start() == 0 or _SENTENCE_END.search(before)):
            continue
        yield word.casefold()
