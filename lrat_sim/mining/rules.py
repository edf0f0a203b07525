"""The rules that a recipe names: which searches and browses belong together, who is a positive or a negative, and why.

A rule is a function in one of the tables below, under the name that recipes use; a new one needs nothing else.  What
no rule takes is unlabelled.  Signals of usefulness are in :mod:`lrat_sim.mining.usefulness`, weights in
:mod:`lrat_sim.mining.weights`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct, structs

from lrat_sim.errors import InputError
from lrat_sim.grading.relevance import Browse
from lrat_sim.mining.episodes import (
    DocumentHistory,
    DocumentState,
    ExecutedSearch,
    States,
    browse_at,
    executed_search,
)
from lrat_sim.mining.usefulness import AnalysedRun
from lrat_sim.records import Call, Trajectory, VerdictState
from lrat_sim.retrieval.query_text import PLAIN, TextName, asked_in_run, text_of

Parallel = Literal["latest", "every"]

Counts = Counter[tuple[str, str]]
"""How many of what, by section of the report and reason."""


class ListedDocument(NamedTuple):
    """A document that a search listed, and whether the run opens it later, or tries to."""

    docid: str
    state: DocumentState
    opened_later: bool


# --- negatives ---


def _in_state(*states: DocumentState) -> Callable[[ListedDocument], bool]:
    return lambda document: document.state in states


NEGATIVES: Mapping[str, Callable[[ListedDocument], bool]] = {
    # D_t without every document of the chain (section 5.1); asking in vain for one counts as opening it
    "unbrowsed": _in_state(
        "useful_before", "rejected_before", "unjudged_before", "opened_later", "seen_before", "new", "unopened"
    ),
    # opened nowhere in the run
    "never_opened": _in_state("seen_before", "new", "unopened"),
    # opened in the chain, or since the last useful browse, and rejected
    "rejected": _in_state("rejected", "rejected_now"),
    # ITER's tiers
    "redundant": _in_state("useful_before"),
    "hard": _in_state("rejected_before"),
    "weak": _in_state("new"),
}
"""Whether a rule takes a listed document."""


# --- positives ---

FLAGGED = "flagged"
"""What a rule of POSITIVES says where a rejected document is written as a row that is no positive."""


def relevant(verdict: VerdictState | None, silent: bool) -> str | None:
    """Browsed documents that the judge calls relevant are positives (section 5.1, filter); others are unlabelled.

    A browse without reasoning after it is unjudged, whatever its verdict says.
    """
    if silent:
        return "no_reasoning"
    return "no_verdict" if verdict is None else None if verdict == "relevant" else verdict


def relevant_or_flagged(verdict: VerdictState | None, silent: bool) -> str | None:
    """As the published miner: by the verdict alone, and rejected documents are written with a flag."""
    return FLAGGED if verdict == "irrelevant" else relevant(verdict, silent=False)


POSITIVES: Mapping[str, Callable[[VerdictState | None, bool], str | None]] = {
    "browsed": lambda verdict, silent: None,  # every browsed document (section 5.1, naive)
    "relevant": relevant,
    "relevant_or_flagged": relevant_or_flagged,
}
"""From a verdict, and whether no reasoning follows, to None for a positive, FLAGGED, or why it is unlabelled."""


# --- searches, queries, lengths ---


def _third(number: int) -> Callable[[Trajectory, int], bool]:
    return lambda run, turn: 3 * turn // len(run.turns) == number


SEARCHES: Mapping[str, Callable[[Trajectory, int], bool]] = {
    "all": lambda run, turn: True,
    "front": _third(0),
    "middle": _third(1),
    "back": _third(2),
}
"""From a run and a search's turn to whether that search counts: all do, or those in a third of the run's turns."""


def query_text(
    name: TextName, run: Trajectory, search: ExecutedSearch, title: Callable[[str], str] | None = None
) -> str:
    """The query of a pair: what a retriever that reads this text read, or would have read, of the search.

    ``title`` gives a document's title, which some texts name.
    """
    if name == PLAIN:
        return search.query
    before = [turn.calls for turn in run.turns[: search.turn]]
    return text_of(name, asked_in_run(search.query, run.question, run.turns[search.turn].reasoning, before, title))


LENGTHS: Mapping[str, Callable[[Browse], int]] = {
    "tokens": lambda browse: browse.length,
    "words": lambda browse: len((browse.reasoning or "").split()),
}
"""The length of the reasoning after a browse: tokens as counted at collection, or words between white space."""


# --- walks: which searches, browses and listed documents belong together ---


class Candidates(Struct, frozen=True, kw_only=True):
    """A search with what may become its positives and negatives."""

    search: ExecutedSearch  # gives the query
    opened: list[list[Browse]]  # the browses by document, each list one pair at most
    listed: Iterable[ListedDocument]  # may be negatives, in the order in which they are taken; to be read once
    blank_query: bool = False  # whether the search counts with a blank query, too


Walk = Callable[[AnalysedRun, States, Parallel, Counts], Iterator[Candidates]]
"""From a run and the verdicts on its browses to candidates; searches, and browses that belong to none, are counted.

``Parallel`` says which of several searches of one turn gets a browse of a document that they list.
"""

FoundBrowse = tuple[Browse, ExecutedSearch]
"""A browse with the search that listed its document."""


def by_search(
    run: AnalysedRun,
    verdicts: States,
    parallel: Parallel,
    counts: Counts,
    inherited: Sequence[list[FoundBrowse]] | None = None,
) -> Iterator[Candidates]:
    """The candidates of each search: its list D_t, and the chain of browses up to the next search (section 5.1).

    ``inherited`` has for each episode the
    browses of a later one, with their searches, that may answer its searches, too.
    """
    known = DocumentHistory(run.episodes, lambda browse: run.state(browse, verdicts))
    for number, episode in enumerate(run.episodes):
        counts["searches", "ran"] += len(episode.searches)
        counts["browses", "failed"] += episode.failed_browses
        for opened in episode.chain:
            if opened.search is None:
                counts["browses", opened.origin] += 1
        for index, search in enumerate(episode.searches):
            own: dict[str, list[Browse]] = {}
            for opened in episode.chain:
                browse = opened.browse
                if opened.search == index or (parallel == "every" and search.rank(browse.docid) is not None):
                    own.setdefault(browse.docid, []).append(browse)
            later = {
                browse.docid: [browse]
                for browse, found_by in (inherited[number] if inherited else ())
                if run.relation([search], [found_by]) == "rewording"
            }
            browses = {docid: own[docid] for docid in own if docid not in later} | later
            if browses:
                yield Candidates(search=search, opened=list(browses.values()), listed=_listed(search, known, number))


def _listed(search: ExecutedSearch, known: DocumentHistory, episode: int) -> Iterator[ListedDocument]:
    for hit in search.hits:
        yield ListedDocument(hit.docid, *known.at(hit.docid, episode))


def by_chain(run: AnalysedRun, verdicts: States, parallel: Parallel, counts: Counts) -> Iterator[Candidates]:
    """As :func:`by_search`, where a search that led to nothing useful also gets what a rewording of it led to.

    An agent that does not find what it wants words its query anew, and what it finds in the end answers the earlier
    wordings, too (query chains, Radlinski and Joachims 2005): those are the queries at which the retriever failed.  A
    search of an episode without a useful document gets those of the next episode that has any which were found by a
    rewording of it (:meth:`lrat_sim.mining.usefulness.AnalysedRun.relation`).
    """
    next_useful: list[FoundBrowse] = []
    inherited: list[list[FoundBrowse]] = []
    for episode in reversed(run.episodes):
        own = [
            (opened.browse, episode.searches[opened.search])
            for opened in episode.chain
            if opened.search is not None and run.state(opened.browse, verdicts) == "relevant"
        ]
        inherited.append([] if own else next_useful)
        next_useful = own or next_useful
    return by_search(run, verdicts, parallel, counts, inherited[::-1])


def since_useful(run: AnalysedRun, verdicts: States, parallel: Parallel, counts: Counts) -> Iterator[Candidates]:
    """The candidates of the published miner: each stretch of browses against all lists since the last useful one.

    - A stretch is consecutive browses, where one piece of reasoning may stand after each; text, a turn without a call
      and a call of another tool end it, and so does reasoning after a browse that names no document.
    - It belongs to the latest search, whichever list showed the document; its query is the first that was asked for.
    - ``listed`` are the stretch's rejected documents and those rejected before, the latest first, and then what the
      lists hold besides, the latest list first.
    - After a stretch with a useful document, lists and rejected documents are forgotten.

    Verdicts count as given.  A browse without one is neither useful nor rejected, and its document is not listed.
    """
    requested_last = {
        docid: (placed.turn, placed.position)
        for placed in run.trajectory.placed_calls()
        if not placed.call.is_search and (docid := _requested_document(placed.call)) is not None
    }
    shown: set[str] = set()
    lists: list[ExecutedSearch] = []  # the latest first
    rejected_before: list[str] = []  # likewise
    for step in _searches_and_stretches(run.trajectory):
        if isinstance(step, ExecutedSearch):
            counts["searches", "ran"] += 1
            lists = [step, *lists]
            shown.update(hit.docid for hit in step.hits)
            continue
        judged = [(browse.docid, verdicts.get((browse.turn, browse.call))) for browse in step]
        useful = {docid for docid, verdict in judged if verdict == "relevant"}
        rejected_here = [docid for docid, verdict in reversed(judged) if verdict == "irrelevant"]
        rejected_before = [*rejected_here, *rejected_before]
        held = dict.fromkeys(hit.docid for search in lists for hit in search.hits)
        for browse in step:
            if browse.docid not in held:
                counts["browses", "older_list" if browse.docid in shown else "never_shown"] += 1
        belonging = [[browse] for browse in step if browse.docid in held]
        if belonging:
            states: dict[str, DocumentState] = dict.fromkeys(rejected_before, "rejected")
            opened = {browse.docid for browse in step}
            states |= {docid: "unopened" for docid in held if docid not in opened and docid not in states}
            end = (step[-1].turn, step[-1].call)
            listed = [
                ListedDocument(docid, state, requested_last.get(docid, end) > end)
                for docid, state in states.items()
                if docid not in useful
            ]
            asked = structs.replace(lists[0], query=lists[0].requested)
            yield Candidates(search=asked, opened=belonging, listed=listed, blank_query=True)
        if useful:
            lists, rejected_before = [], []


def _searches_and_stretches(run: Trajectory) -> Iterator[ExecutedSearch | list[Browse]]:
    """The searches of a run and its stretches of browses, some of them empty, in order."""
    stretch: list[Browse] = []
    unnamed = False  # whether the latest browse names no document
    for number, turn in enumerate(run.turns):
        text_first = turn.text is not None and number + 1 < len(run.turns)
        if not turn.calls or text_first or (unnamed and turn.reasoning is not None):
            yield stretch
            stretch, unnamed = [], False
        for position, call in enumerate(turn.calls):
            is_search = call.is_search or call.tool == "search"
            if not is_search and (call.is_browse or call.tool in ("get_document", "visit")):
                docid = _requested_document(call)
                unnamed = docid is None
                if docid is not None:
                    stretch.append(browse_at(run, number, position, docid))
                continue
            yield stretch
            stretch, unnamed = [], False
            if is_search:
                yield executed_search(number, position, call)
    yield stretch


def _requested_document(call: Call) -> str | None:
    """The document that a browse asked for: the first of a list, what follows the last colon; None without one."""
    docid = call.arguments.get("docid") if isinstance(call.arguments, dict) else None
    if isinstance(docid, list):
        docid = docid[0] if docid else None
    elif docid is None:
        docid = call.docid
    return None if docid is None else str(docid).rsplit(":", 1)[-1]


WALKS: Mapping[str, Walk] = {"search": by_search, "chain": by_chain, "since_useful": since_useful}


def check_name(field: str, name: str, table: Mapping[str, Any]) -> None:
    """Refuses a name that a table does not have.

    Raises:
        InputError: naming the field, the value and what is allowed.
    """
    if name not in table:
        raise InputError(f"{field} is {name!r}; it must be one of {', '.join(sorted(table))}.")
