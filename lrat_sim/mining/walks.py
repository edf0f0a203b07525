"""Which searches, browses and listed documents belong together: the ways to walk a run.

``search`` is the paper's: the result list of a search, and the browses between it and the next.  ``chain`` is the same,
and hands what a query found on to the earlier wordings that found nothing.  ``since_useful`` is that of the published
miner: all lists since the last browse that was of use.  All give :class:`Candidates`, of which the other parts of a
recipe make pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct

from lrat_sim.grading.relevance import Browse
from lrat_sim.mining.episodes import Search, episodes, search_of
from lrat_sim.mining.names import Subject, names_of, subject_of
from lrat_sim.mining.runs import Run, RunCall, RunTurn, browse_at
from lrat_sim.mining.standing import History
from lrat_sim.records import VerdictState

Verdict = Callable[[Browse], VerdictState | None]
"""The verdict on a browse as the judge gave it; None where there is none."""
Parallel = Literal["latest", "every"]

_BROWSES = {"get_document", "visit"}


class Candidates(Struct, frozen=True, kw_only=True):
    """A search with what may become its positives and negatives.

    Args:
        search: it gives the query.
        opened: the browses by document, each list one pair at most.
        listed: documents that may be negatives with how they stand, in the order in which they are picked.
        later: of those, the ones opened later in the run.
    """

    search: Search
    opened: list[list[Browse]]
    listed: list[tuple[str, str]]
    later: frozenset[str]


class Walk(NamedTuple):
    """A way to walk a run, and whether a search with a blank query counts."""

    candidates: Callable[[Run, Verdict, Parallel, Counter[str]], Iterator[Candidates]]
    blank_queries: bool


def is_silent(browse: Browse) -> bool:
    """Whether the agent wrote nothing right after a browse."""
    return browse.reasoning is None or not browse.reasoning.strip()


def by_search(run: Run, verdict: Verdict, parallel: Parallel, count: Counter[str]) -> Iterator[Candidates]:
    """The candidates of each search: its list D_t, and the chain of browses up to the next search (section 5.1).

    Args:
        run: the run.
        verdict: on each of its browses; a browse without reasoning after it is unjudged, whatever that says.
        parallel: whether a browse of a document that several searches of one turn list belongs to the latest of them
            or to every one.
        count: searches, and the browses that belong to none, are added here.
    """

    def state(browse: Browse) -> VerdictState:
        return "unjudged" if is_silent(browse) else verdict(browse) or "unjudged"

    parts = list(episodes(run))
    history = History(parts, state)
    for number, episode in enumerate(parts):
        count["searches"] += len(episode.searches)
        count["failed"] += episode.failed_browses
        for opened in episode.chain:
            if opened.search is None:
                count[opened.origin] += 1
        for place, search in enumerate(episode.searches):
            by_document: dict[str, list[Browse]] = {}
            for opened in episode.chain:
                browse = opened.browse
                if opened.search == place or (parallel == "every" and search.rank(browse.docid) is not None):
                    by_document.setdefault(browse.docid, []).append(browse)
            if by_document:
                docids = [hit.docid for hit in search.hits]
                yield Candidates(
                    search=search,
                    opened=list(by_document.values()),
                    listed=[(docid, history.standing(docid, number)) for docid in docids],
                    later=history.opened_after(number).intersection(docids),
                )


def by_chain(run: Run, verdict: Verdict, parallel: Parallel, count: Counter[str]) -> Iterator[Candidates]:
    """As :func:`by_search`, where a search that led to nothing useful also gets what a rewording of it led to.

    An agent that does not find what it wants words its query anew, and what it finds in the end answers the earlier
    wordings, too (query chains, Radlinski and Joachims 2005): those are the queries at which the retriever failed.  A
    search of an episode without a useful document gets those of the next episode that has any which were found by a
    rewording of it (:meth:`lrat_sim.mining.names.Names.relation`).

    Args:
        run, verdict, parallel, count: as for :func:`by_search`.
    """

    def state(browse: Browse) -> VerdictState:
        return "unjudged" if is_silent(browse) else verdict(browse) or "unjudged"

    parts = list(episodes(run))
    names = names_of(run)
    found: list[tuple[Browse, Subject]] = []
    inherited: list[list[tuple[Browse, Subject]]] = []
    for episode in reversed(parts):
        own = [
            (opened.browse, subject_of([episode.searches[opened.search]]))
            for opened in episode.chain
            if opened.search is not None and state(opened.browse) == "relevant"
        ]
        inherited.append([] if own else found)
        found = own or found
    inherited.reverse()
    history = History(parts, state)
    by_place = {(each.search.turn, each.search.call): each for each in by_search(run, verdict, parallel, count)}
    for number, episode in enumerate(parts):
        for search in episode.searches:
            each = by_place.get((search.turn, search.call))
            about = subject_of([search])
            later = [browse for browse, found_by in inherited[number] if names.relation(about, found_by) == "rewording"]
            if not later:
                if each is not None:
                    yield each
                continue
            opened = {browse.docid: [browse] for browse in later}
            own_opened = [] if each is None else [o for o in each.opened if o[0].docid not in opened]
            docids = [hit.docid for hit in search.hits]
            yield Candidates(
                search=search,
                opened=[*own_opened, *opened.values()],
                listed=[(docid, history.standing(docid, number)) for docid in docids],
                later=history.opened_after(number).intersection(docids),
            )


def since_useful(run: Run, verdict: Verdict, parallel: Parallel, count: Counter[str]) -> Iterator[Candidates]:
    """The candidates of the published miner: each stretch of browses against all lists since the last useful one.

    - A stretch is consecutive browses, where one piece of reasoning may stand after each; text, a turn without a call
      and a call of another tool end it, and so does reasoning after a browse that names no document.
    - It belongs to the latest search, whichever list showed the document; its query is the first that was asked for.
    - ``listed`` are the stretch's rejected documents and those rejected before, the latest first, and then what the
      lists hold besides, the latest list first.
    - After a stretch with a useful document, lists and rejected documents are forgotten.

    Verdicts count as given.  A browse without one is neither useful nor rejected, and its document is not listed.
    """
    state = _Since(run, verdict)
    for number, turn in enumerate(run.turns):
        if state.ended_by(turn, last=number + 1 == len(run.turns)):
            yield from state.close(count)
        for index, call in enumerate(turn.calls):
            if call.hits is not None or call.tool == "search":
                yield from state.close(count)
                count["searches"] += 1
                state.searched(search_of(number, index, call))
            elif call.docid is not None or call.tool in _BROWSES:
                state.browsed(number, index, asked_document(call))
            else:
                yield from state.close(count)
    yield from state.close(count)


def asked_document(call: RunCall) -> str | None:
    """The document that a browse asked for: the first of a list, what follows the last colon; None without one."""
    asked = call.arguments.get("docid") if isinstance(call.arguments, dict) else None
    if isinstance(asked, list):
        asked = asked[0] if asked else None
    elif asked is None:
        asked = call.docid
    return None if asked is None else str(asked).rsplit(":", 1)[-1]


class _Since:
    """What the published miner remembers while it walks a run."""

    def __init__(self, run: Run, verdict: Verdict):
        self.run, self.verdict = run, verdict
        self.search: Search | None = None
        self.lists: list[Search] = []
        self.rejected: list[str] = []
        self.stretch: list[Browse] = []
        self.nameless = False
        self.shown: set[str] = set()
        self.last = {
            document: (number, index)
            for number, turn in enumerate(run.turns)
            for index, call in enumerate(turn.calls)
            if (document := asked_document(call) if call.hits is None else None) is not None
        }

    def ended_by(self, turn: RunTurn, *, last: bool) -> bool:
        """Whether the stretch ends before the calls of a turn."""
        said_first = turn.text is not None and not last
        return not turn.calls or said_first or (self.nameless and turn.reasoning is not None)

    def searched(self, search: Search) -> None:
        self.search = search
        self.lists.append(search)
        self.shown.update(hit.docid for hit in search.hits)

    def browsed(self, turn: int, call: int, docid: str | None) -> None:
        self.nameless = docid is None
        if docid is not None:
            self.stretch.append(browse_at(self.run, turn, call, docid))

    def close(self, count: Counter[str]) -> Iterator[Candidates]:
        """Ends the stretch."""
        stretch, self.stretch, self.nameless = self.stretch, [], False
        if not stretch:
            return
        states = [self.verdict(browse) for browse in stretch]
        useful = {browse.docid for browse, state in zip(stretch, states, strict=True) if state == "relevant"}
        rejected = [browse.docid for browse, state in zip(stretch, states, strict=True) if state == "irrelevant"]
        held = {hit.docid for search in self.lists for hit in search.hits}
        belonging = [browse for browse in stretch if browse.docid in held]
        for browse in stretch:
            if browse.docid not in held:
                count["older_list" if browse.docid in self.shown else "never_shown"] += 1
        if belonging and self.search is not None:
            at = (stretch[-1].turn, stretch[-1].call)
            listed = self._listed(rejected, useful | {browse.docid for browse in stretch})
            yield Candidates(
                search=self.search,
                opened=[[browse] for browse in belonging],
                listed=[each for each in listed if each[0] not in useful],
                later=frozenset(docid for docid, _ in listed if self.last.get(docid, at) > at),
            )
        self.rejected += rejected
        if useful:
            self.search, self.lists, self.rejected = None, [], []

    def _listed(self, rejected: list[str], opened: set[str]) -> list[tuple[str, str]]:
        before = dict.fromkeys([*reversed(rejected), *reversed(self.rejected)], "rejected")
        rest = [hit.docid for search in reversed(self.lists) for hit in search.hits]
        return list((before | {docid: "unopened" for docid in rest if docid not in opened | before.keys()}).items())


WALKS: Mapping[str, Walk] = {
    "search": Walk(by_search, False),
    "chain": Walk(by_chain, False),
    "since_useful": Walk(since_useful, True),
}
