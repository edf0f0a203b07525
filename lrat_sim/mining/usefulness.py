"""Which opened documents a run made use of, by what it did next.

The judge of section 5.1 asks whether the agent clearly rejected a document, and most that are of no use are not
rejected in words.  What the run does next says more:

- ``used``: it **took up** a name.  The reasoning right after the browse holds a name or a number that neither the
  question nor anything written before held, and a later query or the answer holds it, too.
- ``used``: its **search ended** with it, as a user's does with the last click.  It was the last document opened from
  its list, the reasoning right after it holds a new name or number, and the run never looked for the same thing again.
  Where nothing but the answer followed, which may have been forced, the search was no rewording itself.
- ``unused``: the run looked for the same thing again later, or gave up.
- ``unclear``: the rest.

A signal is a function in :data:`USEFULNESS`, under the name that a recipe's field ``useful`` gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Literal

from lrat_sim.mining.episodes import Episode, ExecutedSearch, States, episodes, queries
from lrat_sim.records import Trajectory, VerdictState

Use = Literal["used", "unclear", "unused"]
Relation = Literal["rewording", "other", "unclear"]

_WORD = re.compile(r"[^\W_](?:[\w'’-]*\w)?")
_SHORTEST_NAME = 3
"""Characters of a name or number; what is shorter is mostly an initial or an article."""
_LONG_WORD = 4
"""Characters of a word that tells what a query is about, where the query has no capitals."""
_SENTENCE_END = re.compile(r"[.!?:\n][\"”’')*]*\s*$")


class AnalysedRun:
    """A run with its episodes, the names and numbers that it noted, and which of them it took up later.

    Names are recognised by their capital letter, away from the beginning of a sentence, so only reasoning in scripts
    that have capitals is read; queries and answers may write them small.  Nothing is worked out before it is asked for.
    """

    def __init__(self, trajectory: Trajectory):
        self.trajectory = trajectory

    @cached_property
    def episodes(self) -> list[Episode]:
        """See :func:`lrat_sim.mining.episodes.episodes`."""
        return episodes(self.trajectory)

    @cached_property
    def _noted(self) -> tuple[set[int], dict[str, int]]:
        """The turns whose reasoning holds something new, and the turn that noted each name that was taken up."""
        run = self.trajectory
        written = [set(_WORD.findall(turn.reasoning or "")) for turn in run.turns]
        first = dict.fromkeys(_words(run.question), -1)
        last: dict[str, int] = {}
        for number, turn in enumerate(run.turns):
            searched = {word for query in queries(turn) for word in _words(query)}
            for word in searched.union(map(str.casefold, written[number])):
                first.setdefault(word, number)
            last.update(dict.fromkeys(searched, number))
        if run.status == "answered":
            last.update(dict.fromkeys(_words(run.answer), len(run.turns)))
        noting: set[int] = set()
        taken: dict[str, int] = {}
        for number, turn in enumerate(run.turns):
            new = {word for word in written[number] if _may_be_name(word) and first[word.casefold()] == number}
            for name in _names(turn.reasoning or "", new) if new else ():
                noting.add(number)
                if last.get(name, -1) >= number:
                    taken[name] = number
        return noting, taken

    def noted(self, turn: int) -> bool:
        """Whether the reasoning of a turn holds a name or number that nothing before it held."""
        return turn in self._noted[0]

    def taken_up(self, turn: int) -> bool:
        """Whether one that it noted stands in a query from that turn on, or in the answer."""
        return turn in self._noted[1].values()

    def relation(self, earlier: Sequence[ExecutedSearch], later: Sequence[ExecutedSearch]) -> Relation:
        """What the searches of one turn are to those of an earlier turn; no search is about nothing.

        Returns:
            ``other``: they share no name; ``rewording``: they look for the same thing again; ``unclear``: they share a
            name, but the later ones hold one that was taken up since, or one of the question that the earlier ones
            lacked, so that they may look for something else.
        """
        names, _ = _read_queries(*(search.query for search in earlier))
        later_names, later_words = _read_queries(*(search.query for search in later))
        if names.isdisjoint(later_names):
            return "other"
        in_question, _ = _read_queries(self.trajectory.question)
        moved_on = not in_question.isdisjoint(later_names - names) or any(
            self._noted[1].get(word, -1) > earlier[-1].turn for word in later_words
        )
        return "unclear" if moved_on else "rewording"

    def uses(self) -> dict[tuple[int, int], Use]:
        """What the run made of every document that it opened, by turn and position of the browse."""
        searches = [episode.searches for episode in self.episodes]
        made: dict[tuple[int, int], Use] = {}
        for number, episode in enumerate(self.episodes):
            own, before, after = searches[number], searches[:number], searches[number + 1 :]
            again = any(self.relation(own, later) == "rewording" for later in after)
            # an answer may have been forced, so the last search of a run must not be a second try itself
            ended = bool(after) or all(self.relation(earlier, own) != "rewording" for earlier in before)
            for opened in episode.chain:
                browse = opened.browse
                use: Use = "unclear"
                if self.taken_up(browse.turn + 1):
                    use = "used"
                elif again or not (after or self.trajectory.status == "answered"):
                    use = "unused"
                elif opened is episode.chain[-1] and ended and self.noted(browse.turn + 1):
                    use = "used"
                made[browse.turn, browse.call] = use
        return made


@lru_cache(maxsize=1 << 10)
def _read_queries(*queries: str) -> tuple[frozenset[str], frozenset[str]]:
    """What queries are about: their words with a capital, or of one without any its longer words; and all words."""
    names: set[str] = set()
    for query in queries:
        words = _WORD.findall(query)
        named = {word.casefold() for word in words if len(word) >= _SHORTEST_NAME and word[0].isupper()}
        names |= named or {word.casefold() for word in words if len(word) >= _LONG_WORD}
    return frozenset(names), frozenset(word for query in queries for word in _words(query))


def _words(text: str | None) -> set[str]:
    return set(_WORD.findall((text or "").casefold()))


def _may_be_name(word: str) -> bool:
    return len(word) >= _SHORTEST_NAME and (word[0].isupper() or word.isdecimal())


def _names(text: str, words: set[str]) -> Iterator[str]:
    """Those of the words, in small letters, that are numbers or occur elsewhere than at the start of a sentence."""
    for match in _WORD.finditer(text):
        word = match.group()
        if word in words:
            before = text[max(0, match.start() - 4) : match.start()]
            if word.isdecimal() or not (match.start() == 0 or _SENTENCE_END.search(before)):
                yield word.casefold()


def judged(run: AnalysedRun, verdicts: States) -> States:
    """A document is of use where the judge says so (section 5.1)."""
    return verdicts


_STATE_OF_USE: dict[Use, VerdictState] = {"used": "relevant", "unclear": "unjudged", "unused": "irrelevant"}


def used(run: AnalysedRun, verdicts: States) -> States:
    """Of the documents that the judge calls relevant, those that the run used stay so; the others become irrelevant,
    or unjudged where their use is unclear."""
    made = {place: _STATE_OF_USE[use] for place, use in run.uses().items()}
    return {place: made.get(place, state) if state == "relevant" else state for place, state in verdicts.items()}


USEFULNESS: Mapping[str, Callable[[AnalysedRun, States], States]] = {"judged": judged, "used": used}
"""From a run and the judge's verdicts on its browses to the verdicts that count."""
