"""A run cut into episodes: a turn's searches and the chain of browses up to the next search.

This settles what "browsed next" means in LRAT's section 5.1:

- The chain of a search is every browse after it, up to the next turn that searches.
- A turn's calls are written before any of their outputs are seen, so a browse in the same turn as a search belongs to
  the chain of the search before.
- Searches made in parallel in one turn share the chain; a browse belongs to the latest of them whose list holds it.
- A browse of a document that stands only in an older list, or in none, belongs to no search of the chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from lrat_sim.agent.calls import tool_of
from lrat_sim.grading.relevance import Browse
from lrat_sim.mining.runs import Listed, Run, RunCall, browse_at, run_of
from lrat_sim.records import Trajectory
from lrat_sim.retrieval.result_format import SEARCH

Origin = Literal["chain", "older_list", "never_shown"]


class Search(Struct, frozen=True, kw_only=True):
    """A search that ran: its turn and place among the turn's calls (from 0), query, and result list in rank order.

    ``query`` is what ran; ``asked`` what was asked for, the first where the agent gave several.
    """

    turn: int
    call: int
    query: str
    asked: str
    hits: list[Listed]

    def rank(self, docid: str) -> int | None:
        """The rank of a document in the list, from 1; None where it is not in it."""
        return next((hit.rank for hit in self.hits if hit.docid == docid), None)


class Opened(Struct, frozen=True, kw_only=True):
    """A browse of a chain; ``search`` is the place of its search in the episode, None where it belongs to none."""

    browse: Browse
    origin: Origin
    search: int | None


class Episode(Struct, frozen=True, kw_only=True):
    """The searches of one turn and their chain; ``wanted`` are all ids the chain asked for, failed calls included.

    What a run browses before its first search forms an episode without searches.
    """

    searches: list[Search]
    chain: list[Opened]
    wanted: set[str]
    failed_browses: int


def episodes(trajectory: Trajectory | Run) -> Iterator[Episode]:
    """Cuts a run into its episodes, in order."""
    run = run_of(trajectory)
    searches: list[Search] = []
    chain: list[Opened] = []
    wanted: set[str] = set()
    shown: set[str] = set()
    failed = 0
    for number, turn in enumerate(run.turns):
        for index, call in enumerate(turn.calls):
            if call.docid is not None:
                chain.append(_opened(browse_at(run, number, index, call.docid), searches, shown))
                wanted.add(call.docid)
            elif call.hits is None and tool_of(call.tool) != SEARCH:
                failed += 1
                wanted.update(_asked_for(call))
        found = [search_of(number, index, call) for index, call in enumerate(turn.calls) if call.hits is not None]
        if found:
            if searches or chain or failed:
                yield Episode(searches=searches, chain=chain, wanted=wanted, failed_browses=failed)
            searches, chain, wanted, failed = found, [], set(), 0
            shown.update(hit.docid for search in found for hit in search.hits)
    if searches or chain or failed:
        yield Episode(searches=searches, chain=chain, wanted=wanted, failed_browses=failed)


def search_of(turn: int, index: int, call: RunCall) -> Search:
    """A search call as a search; one that failed has an empty list."""
    ran, asked = query_in(call.executed), query_in(call.arguments)
    return Search(
        turn=turn,
        call=index,
        query=(ran if ran is not None else asked or "").strip(),
        asked=asked if asked is not None else ran or "",
        hits=call.hits or [],
    )


def query_in(source: object) -> str | None:
    """The query among a call's arguments, the first if several; None where there is none."""
    query = source.get("query") if isinstance(source, dict) else None
    if isinstance(query, list):
        query = query[0] if query else None
    return query if isinstance(query, str) else None


def _opened(browse: Browse, searches: list[Search], shown: set[str]) -> Opened:
    for place in reversed(range(len(searches))):
        if searches[place].rank(browse.docid) is not None:
            return Opened(browse=browse, origin="chain", search=place)
    return Opened(browse=browse, origin="older_list" if browse.docid in shown else "never_shown", search=None)


def _asked_for(call: RunCall) -> Iterator[str]:
    for source in (call.executed, call.arguments):
        if isinstance(source, dict):
            yield from (value for value in source.values() if isinstance(value, str))
