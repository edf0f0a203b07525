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

What a real model writes gives less away, and it may conclude from the wrong document.  Three signals also
read the opened documents, and do not rely on names that only the answer takes up:

- ``confirmed``, where the accepted answers are known: the document states one that the question does not contain.
- ``supported``, which needs no answers: the document states what the run's own answer says.

- ``read``, which also needs no reasoning: as ``supported``, and a name is noted where an opened document states it.

The document must also contain the names in its query, which one about a similarly named entity does not.

A signal is a function in :data:`USEFULNESS`, under the name that a recipe's field ``useful`` gives.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Literal, NamedTuple

from lrat_sim.grading.match import can_be_stated, states_answer
from lrat_sim.grading.relevance import Browse
from lrat_sim.mining.episodes import ChainBrowse, Episode, ExecutedSearch, States, episodes, is_silent, queries
from lrat_sim.records import Trajectory, VerdictState

Use = Literal["used", "unclear", "unused"]
Relation = Literal["rewording", "other", "unclear"]

_WORD = re.compile(r"[^\W_]\w*(?:['’-]+\w+)*")
_JOINTS = "_'’-"
_GOES_ON = re.compile(r"['’-]*\w")
_CAPITAL = re.compile(r"[^\x00-/:-@\[-\x7f\W](?<![^\W_].)(?:(?<=\d)|(?<!\A.)(?<![.!?:\n]\s.))\w*(?:['’-]+\w+)*")
"""A word, or the rest of one after a joint, that begins with a digit, or with a capital or a letter outside ASCII where
no sentence plainly begins."""
_SHORTEST_NAME = 3
"""Characters of a name or number; what is shorter is mostly an initial or an article."""
_LONG_WORD = 4
"""Characters of a word that tells what a query is about, where the query has no capitals."""
_SHORT_ANSWER = 3
"""Words of an answer that is nothing but a name."""
_SENTENCE_END = re.compile(r"[.!?:\n][\"”’')*]*\s*$")


class AnalysedRun:
    """A run with its episodes, the names and numbers that it noted, and which of them it took up later.

    Names are recognised by their capital letter, away from the beginning of a sentence, so only reasoning in scripts
    that have capitals is read; queries and answers may write them small.  Nothing is worked out before it is asked for.
    ``answers`` are the task's accepted ones, where known.  With ``drop_silent``, a verdict counts only where the agent
    wrote something after the browse.  With ``by_reading`` a run notes what stands in the documents that it opens,
    whatever it writes.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        answers: Sequence[str] = (),
        *,
        drop_silent: bool = True,
        by_reading: bool = False,
    ):
        self.trajectory, self.drop_silent, self.by_reading = trajectory, drop_silent, by_reading
        # a comparison's answer is in its question, and so in every document about it; "yes" and "3" are in most
        self.answers = [
            answer for answer in answers if can_be_stated(answer) and not states_answer(trajectory.question, [answer])
        ]

    @cached_property
    def episodes(self) -> list[Episode]:
        """See :func:`lrat_sim.mining.episodes.episodes`."""
        return episodes(self.trajectory)

    def _text(self, turn: int) -> str:
        """What the run wrote at a turn; with ``by_reading``, what it was shown of the documents opened just before."""
        if not self.by_reading:
            return self.trajectory.turns[turn].reasoning or ""
        calls = self.trajectory.turns[turn - 1].calls if turn else ()
        return "\n".join(call.output or "" for call in calls if call.docid is not None)

    @cached_property
    def _noted(self) -> tuple[dict[int, set[str]], dict[str, int], set[int]]:
        """The new names that the text of a turn holds, the turn that noted each name that was taken up, and the turns
        of those names that a query took up."""
        run = self.trajectory
        texts = [self._text(number) for number in range(len(run.turns))]
        asked = [list(queries(turn)) for turn in run.turns]
        written = _Written(run.question, [[text, *asked[number]] for number, text in enumerate(texts)])
        last: dict[str, int] = {}
        for number, of_turn in enumerate(asked):
            for query in of_turn:
                last.update(dict.fromkeys(_read_query(query).words, number))
        last_query = last.copy()
        if run.status == "answered":
            last.update(dict.fromkeys(_words(run.answer), len(run.turns)))
        noted: dict[int, set[str]] = {}
        taken: dict[str, int] = {}
        by_query: set[int] = set()
        known: set[str] = set()  # words that something before held, in whatever case
        for number, text in enumerate(texts):
            new: set[str] = set()
            for word in set(_CAPITAL.findall(text)) - known:
                since = written.first(word.casefold(), number) if _may_be_name(word) else -1
                if since is not None:
                    known.add(word)
                if since == number:
                    new.add(word)
            for name in _names(text, new) if new else ():
                noted.setdefault(number, set()).add(name)
                if last.get(name, -1) >= number:
                    taken[name] = number
                if last_query.get(name, -1) >= number:
                    by_query.add(number)
        return noted, taken, by_query

    def noted(self, turn: int) -> bool:
        """Whether the text of a turn holds a name or number that nothing before it held."""
        return turn in self._noted[0]

    def taken_up(self, turn: int) -> bool:
        """Whether a name that it noted is in a query from that turn on, or in the answer."""
        return turn in self._noted[1].values()

    def led_on(self, opened: ChainBrowse, episode: Episode) -> bool:
        """Whether the run searched on by a name that it noted after opening a document.

        A document holds many names, so that with ``by_reading`` it must also be about its query, and the later query
        about something else: a query for the same thing takes up chance words of what was read, too.
        """
        turn = opened.browse.turn + 1
        if not self.by_reading or turn not in self._noted[2]:
            return turn in self._noted[2]
        names = self._noted[0][turn]
        later = (search for other in self.episodes for search in other.searches if search.turn >= turn)
        return self.names_the_subject(opened, episode) and any(
            not names.isdisjoint(_words(search.query)) and self.relation(episode.searches, [search]) == "other"
            for search in later
        )

    def state(self, browse: Browse, verdicts: States) -> VerdictState:
        """The verdict on a browse, where it counts."""
        dropped = self.drop_silent and is_silent(browse)
        return "unjudged" if dropped else verdicts.get((browse.turn, browse.call), "unjudged")

    def shown(self, opened: ChainBrowse) -> str:
        """What the agent was shown of a document that it opened."""
        return self.trajectory.turns[opened.browse.turn].calls[opened.browse.call].output or ""

    def names_the_subject(self, opened: ChainBrowse, episode: Episode) -> bool:
        """Whether an opened document holds every name of the query that listed it, or of all its episode's queries."""
        searches = episode.searches if opened.search is None else [episode.searches[opened.search]]
        text = _words(self.shown(opened))
        return all(text.issuperset(_capitalised(search.query)) for search in searches)

    def relation(self, earlier: Sequence[ExecutedSearch], later: Sequence[ExecutedSearch]) -> Relation:
        """What the searches of one turn are to those of an earlier turn; no search is about nothing.

        Returns:
            ``other``: they share no name; ``rewording``: they look for the same thing again; ``unclear``: they share a
            name, but the later ones hold one that was taken up since, or one of the question that the earlier ones
            lacked, so that they may look for something else.
        """
        return self._relation(_about(earlier), _about(later))

    def _relation(self, earlier: _About, later: _About) -> Relation:
        if earlier.names.isdisjoint(later.names):
            return "other"
        taken = self._noted[1]
        moved_on = not self._in_question.isdisjoint(later.names - earlier.names) or any(
            taken[name] > earlier.turn for name in taken.keys() & later.words
        )
        return "unclear" if moved_on else "rewording"

    @cached_property
    def _in_question(self) -> frozenset[str]:
        return _read_query(self.trajectory.question).names

    def uses(self) -> dict[tuple[int, int], Use]:
        """What the run made of every document that it opened, by turn and position of the browse."""
        about = [_about(episode.searches) for episode in self.episodes]
        made: dict[tuple[int, int], Use] = {}
        for number, episode in enumerate(self.episodes):
            own, before, after = about[number], about[:number], about[number + 1 :]
            again = any(self._relation(own, later) == "rewording" for later in after)
            # an answer may have been forced, so the last search of a run must not be a second try itself
            ended = bool(after) or all(self._relation(earlier, own) != "rewording" for earlier in before)
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


class _About(NamedTuple):
    """What the queries of a turn are about: their words with a capital, or of one without any its longer words."""

    names: frozenset[str]
    words: frozenset[str]  # all
    turn: int = -1


def _about(searches: Sequence[ExecutedSearch]) -> _About:
    read = [_read_query(search.query) for search in searches]
    if len(read) == 1:
        return read[0]._replace(turn=searches[0].turn)
    names = frozenset[str]().union(*(query.names for query in read))
    words = frozenset[str]().union(*(query.words for query in read))
    return _About(names, words, searches[-1].turn if searches else -1)


@lru_cache(maxsize=1 << 10)
def _read_query(query: str) -> _About:
    words = _words(query)
    named = {word.casefold() for word in _WORD.findall(query) if word[0].isupper() and len(word) >= _SHORTEST_NAME}
    return _About(frozenset(named or {word for word in words if len(word) >= _LONG_WORD}), frozenset(words))


class _Written:
    """What a run wrote: its question, and the texts of each turn."""

    def __init__(self, question: str, turns: Sequence[Sequence[str]]):
        parts = ["\n".join(texts).casefold() for texts in ([question], *turns)]
        self._text = "\n".join(parts)
        self._ends = list(accumulate(len(part) + 1 for part in parts))

    def first(self, word: str, turn: int) -> int | None:
        """The turn, -1 for the question, that held a word in small letters first; None where none up to ``turn`` did.

        A run holds many words and few names, so that to look for each name takes less than to know all words.
        """
        position = self._text.find(word, 0, self._ends[turn + 1])
        while position >= 0:
            if _begins_word(self._text, position) and not _GOES_ON.match(self._text, position + len(word)):
                return bisect_right(self._ends, position) - 1
            position = self._text.find(word, position + 1, self._ends[turn + 1])
        return None


def _begins_word(text: str, position: int) -> bool:
    """Whether a letter begins a word, as :data:`_WORD` reads them: what joins words does not precede it in one."""
    while position and text[position - 1] in _JOINTS:
        position -= 1
    return not (position and text[position - 1].isalnum())


def _capitalised(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text) if _may_be_name(word)}


def _words(text: str | None) -> set[str]:
    return set(_WORD.findall((text or "").casefold()))


def _may_be_name(word: str) -> bool:
    return len(word) >= _SHORTEST_NAME and (word[0].isupper() or word.isdecimal())


def _names(text: str, words: set[str]) -> Iterator[str]:
    """Those of the words, in small letters, that are numbers or occur elsewhere than at the start of a sentence."""
    for match in _CAPITAL.finditer(text):
        word = match.group()
        if word in words and _begins_word(text, match.start()):
            before = text[max(0, match.start() - 4) : match.start()]
            if word.isdecimal() or not (match.start() == 0 or _SENTENCE_END.search(before)):
                yield word.casefold()


def judged(run: AnalysedRun, verdicts: States) -> States:
    """A document is useful if the judge says so (section 5.1)."""
    return verdicts


_STATE_OF_USE: dict[Use, VerdictState] = {"used": "relevant", "unclear": "unjudged", "unused": "irrelevant"}


def used(run: AnalysedRun, verdicts: States) -> States:
    """Of the documents that the judge calls relevant, those that the run used stay so; the others become irrelevant,
    or unjudged where their use is unclear."""
    made = {place: _STATE_OF_USE[use] for place, use in run.uses().items()}
    return {place: made.get(place, state) if state == "relevant" else state for place, state in verdicts.items()}


def confirmed(run: AnalysedRun, verdicts: States) -> States:
    """A document is useful if it states an accepted answer, or a name by which the run searched on, whatever the judge
    says.  Where no document can confirm the answer, since the question contains it or it is yes, no or a number, this
    is ``used``."""
    if not run.answers:
        return used(run, verdicts)
    return _by_text(run, lambda text: states_answer(text, run.answers))


_HEDGED = re.compile(
    r"\b(?:not|no|none|cannot|unknown|unclear|possibly|likely|perhaps|might)\b|n['’]t\b", re.IGNORECASE
)
_ASKS_WHEN = re.compile(r"\b(?:when|date|year|how (?:many|much|old))\b", re.IGNORECASE)
_MONTHS = frozenset(month.casefold() for month in calendar.month_name[1:])


def supported(run: AnalysedRun, verdicts: States) -> States:
    """As ``confirmed``, by what the run's own answer says: the names in it that the question does not contain, or
    the numbers and months where the question asks for a time or an amount.

    An answer that denies or doubts supports nothing.  The words for time, doubt and amount are English.
    """
    answer, question = run.trajectory.answer or "", run.trajectory.question
    written = {word for word in _WORD.findall(answer) if _may_be_name(word)}
    figures = {word for word in written if word.isdecimal() or word.casefold() in _MONTHS}
    if _ASKS_WHEN.search(question):
        said = set(map(str.casefold, figures))
    elif len(answer.split()) <= _SHORT_ANSWER:
        said = set(map(str.casefold, written - figures))
    else:
        said = set(_names(answer, written - figures))  # the first word of a sentence is a name by chance
    # forms of the question's words, such as a genitive, are not new either
    asked = [word for word in _words(question) if len(word) >= _SHORTEST_NAME]
    said = {word for word in said if not any(word.startswith(known) or known.startswith(word) for known in asked)}
    if run.trajectory.status != "answered" or _HEDGED.search(answer):
        said = set()
    return _by_text(run, lambda text: bool(said) and said <= _words(text))


def _by_text(run: AnalysedRun, states: Callable[[str], bool]) -> States:
    """A document is useful if it states something and names its subject, or if the run searched on by it.

    Others opened in the same episode are not, nor is what the run did not use; the rest is unjudged.
    """
    made = run.uses()
    of_browse: dict[tuple[int, int], VerdictState] = {}
    for episode in run.episodes:
        useful = [
            opened
            for opened in episode.chain
            if run.led_on(opened, episode) or (states(run.shown(opened)) and run.names_the_subject(opened, episode))
        ]
        for opened in episode.chain:
            place = (opened.browse.turn, opened.browse.call)
            unclear = made[place] == "unclear" and not useful
            of_browse[place] = "relevant" if opened in useful else "unjudged" if unclear else "irrelevant"
    return of_browse


USEFULNESS: Mapping[str, Callable[[AnalysedRun, States], States]] = {
    "judged": judged,
    "used": used,
    "confirmed": confirmed,
    "supported": supported,
    "read": supported,  # of a run that is analysed by its reading
}
"""From a run and the judge's verdicts on its browses to the verdicts that count."""
NEED_ANSWERS = {"confirmed"}
"""The signals that read the accepted answers."""
BY_READING = {"read"}
"""The signals for which a run notes what it reads, in place of what it writes."""
