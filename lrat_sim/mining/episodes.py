"""A run cut into episodes: the searches of one turn and the chain of browses up to the next turn that searches.

This settles what "browsed next" means in LRAT's section 5.1:

- The chain of a search is every browse after it, up to the next turn that searches.
- A turn's calls are written before any of their outputs are seen, so a browse in the same turn as a search belongs to
  the chain of the search before.
- Searches made in parallel in one turn share the chain; a browse belongs to the latest of them whose list holds it.
- A browse of a document that only an older list showed, or none, belongs to no search of the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct

from lrat_sim.agent.calls import tool_of
from lrat_sim.grading.relevance import Browse
from lrat_sim.records import Call, Hit, Trajectory, Turn, VerdictState
from lrat_sim.retrieval.query_text import query_in, query_of
from lrat_sim.retrieval.result_format import BROWSE, SEARCH

States = Mapping[tuple[int, int], VerdictState]
"""The verdicts on the browses of a run, by turn and position; nothing where there is none."""


class ExecutedSearch(Struct, frozen=True, kw_only=True):
    """A search that ran: its turn and position among the turn's calls, from 0, its query and its hits in rank order.

    ``query`` is what ran, ``arguments`` are those of the call.
    """

    turn: int
    call: int
    query: str
    arguments: Any
    hits: list[Hit]

    @property
    def requested(self) -> str:
        """What the agent asked for, the first query where it gave several."""
        requested = query_in(self.arguments)
        return self.query if requested is None else requested

    def rank(self, docid: str) -> int | None:
        """The rank of a document in the list, from 1; None where it is not in it."""
        for hit in self.hits:
            if hit.docid == docid:
                return hit.rank
        return None


class ChainBrowse(Struct, frozen=True, kw_only=True):
    """A browse in a chain."""

    browse: Browse
    search: int | None  # the index of its search in the episode, None where it belongs to none of them
    rank: int | None  # in the latest list that had shown the document, None where none had

    @property
    def origin(self) -> Literal["chain", "older_list", "never_shown"]:
        """Which list showed the document: one of this episode, an older one, or none."""
        if self.search is not None:
            return "chain"
        return "never_shown" if self.rank is None else "older_list"


class Episode(Struct, kw_only=True):
    """The searches of one turn and their chain.

    What a run browses before its first search forms an episode without searches.
    """

    searches: list[ExecutedSearch] = []
    chain: list[ChainBrowse] = []
    wanted: set[str] = set()  # all ids that the chain asked for, those of failed calls included
    failed_browses: int = 0


def episodes(run: Trajectory) -> list[Episode]:
    """The episodes of a run, in order."""
    current = Episode()
    cut = [current]
    lists: list[ExecutedSearch] = []  # all so far, the latest last
    for number, turn in enumerate(run.turns):
        started: list[ExecutedSearch] = []
        for position, call in enumerate(turn.calls):
            if call.is_search:
                started.append(executed_search(number, position, call))
            elif call.docid is not None:
                holding = (place for place in reversed(range(len(lists))) if lists[place].rank(call.docid) is not None)
                latest = next(holding, None)
                rank = None if latest is None else lists[latest].rank(call.docid)
                before = len(lists) - len(current.searches)
                search = None if latest is None or latest < before else latest - before
                browse = browse_at(run, number, position, call.docid)
                current.chain.append(ChainBrowse(browse=browse, search=search, rank=rank))
                current.wanted.add(call.docid)
            elif tool_of(call.tool) != SEARCH:
                # another tool, which ran, is no browse that failed
                current.failed_browses += call.executed is None or tool_of(call.tool) == BROWSE
                for arguments in (call.executed, call.arguments):
                    texts = arguments.values() if isinstance(arguments, dict) else ()
                    current.wanted.update(text for text in texts if isinstance(text, str))
        if started:
            current = Episode(searches=started)
            cut.append(current)
            lists += started
    return [episode for episode in cut if episode.searches or episode.chain or episode.failed_browses]


def executed_search(turn: int, position: int, call: Call) -> ExecutedSearch:
    """A search call as a search; one that failed has no hits."""
    query = query_of(call).strip()
    return ExecutedSearch(turn=turn, call=position, query=query, arguments=call.arguments, hits=call.hits or [])


def queries(turn: Turn) -> Iterator[str]:
    """The queries of the searches that ran in a turn."""
    return (query_of(call) for call in turn.calls if call.is_search)


def browse_at(run: Trajectory, turn: int, position: int, docid: str) -> Browse:
    """The browse of a document at a call of the run, with the reasoning of the turn right after it."""
    after = run.turn_after(turn)
    reasoning = after.reasoning if after else None
    length = after.reasoning_tokens if after and reasoning and reasoning.strip() else 0
    return Browse(turn=turn, call=position, docid=docid, reasoning=reasoning, length=length)


def is_silent(browse: Browse) -> bool:
    """Whether the agent wrote nothing right after a browse."""
    return browse.reasoning is None or not browse.reasoning.strip()


DocumentState = Literal[
    "useful_now", "rejected_now", "unjudged_now", "useful_before", "rejected_before", "unjudged_before",
    "opened_later", "seen_before", "new", "rejected", "unopened",
]  # fmt: skip
"""What a run had done with a listed document before a search, does with it in the search's chain, or does later.

``useful``, ``rejected`` and ``unjudged`` documents were opened, ``now`` in the chain or ``before`` it; a document that
was asked for in vain is unjudged, too.  ``opened_later`` is never opened so far, and opened later in the run.
``seen_before`` and ``new`` are never opened; an earlier search had listed the former.  ``rejected`` and ``unopened``
are all that the walk ``since_useful`` tells apart.
"""

_OPENED: dict[VerdictState, tuple[DocumentState, DocumentState]] = {  # in rising order of strength
    "unjudged": ("unjudged_before", "unjudged_now"),
    "irrelevant": ("rejected_before", "rejected_now"),
    "relevant": ("useful_before", "useful_now"),
}
_STRENGTH = list(_OPENED).index


class DocumentHistory:
    """What a run did with every document it saw, by episode.

    Args:
        of_run: the run's episodes.
        state: the verdict on a browse; a document that was opened twice has the stronger of its verdicts.
    """

    def __init__(self, of_run: Sequence[Episode], state: Callable[[Browse], VerdictState]):
        self._of_run = of_run
        self._opened: dict[str, dict[int, VerdictState]] = {}
        for number, episode in enumerate(of_run):
            for docid in episode.wanted:
                self._opened.setdefault(docid, {})[number] = "unjudged"
            for opened in episode.chain:
                states = self._opened[opened.browse.docid]
                states[number] = max(states[number], state(opened.browse), key=_STRENGTH)

    @cached_property
    def _first_seen(self) -> dict[str, int]:
        listed = [
            (hit.docid, number)
            for number, episode in enumerate(self._of_run)
            for search in episode.searches
            for hit in search.hits
        ]
        return dict(reversed(listed))

    def at(self, docid: str, episode: int) -> tuple[DocumentState, bool]:
        """The state of a document at the searches of an episode that list it, and whether the run opens it, or tries
        to, after that episode."""
        states = self._opened.get(docid)
        if states is None:
            return ("seen_before" if self._first_seen.get(docid, episode) < episode else "new"), False
        later = max(states) > episode
        if episode in states:
            return _OPENED[states[episode]][1], later
        before = [state for number, state in states.items() if number < episode]
        return (_OPENED[max(before, key=_STRENGTH)][0] if before else "opened_later"), later
