"""One run as a walk: the order of its searches and browses, and what is known of each document that it opened.

A *step* is an executed call; calls that failed are passed over.  Browses take their rank from the latest result list
that showed the document, and their length from the reasoning right after them (LRAT, section 5.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from msgspec import Struct

from lrat_sim.formats import Entry
from lrat_sim.grading.relevance import browses
from lrat_sim.grading.rules import judge_by_rules
from lrat_sim.records import Call, Trajectory, VerdictState
from lrat_sim.success import run_success

Outcome = Literal["correct", "incorrect", "ungraded", "error"]

SEARCH, BROWSE = 0, 1
FIRST_SEARCHES = 12
"""For how many searches of a run the share of new results is kept."""
OFFLINE_RULES = "offline rules"
"""Who judged the browses of a run that came without verdicts."""

_WORD = re.compile(r"\w{2,}")


class Opened(Struct, frozen=True, gc=False):
    """One document that was opened.

    Attributes:
        rank: in the latest list that showed it before, from 1; None where none did.
        length: tokens of the reasoning right after it; None where there is none.
        evidence: whether it is evidence of its task; None where the task has none.
        verdict: whether the reasoning calls it useful.
        again: whether a later result list showed it again.
    """

    rank: int | None
    length: int | None
    evidence: bool | None
    verdict: VerdictState | None
    again: bool


class Setting(Struct, frozen=True):
    """What a run was made with, as far as its record tells; empty or None where it does not."""

    agent: str = ""
    retriever: str = ""
    k: int | None = None
    snippet_tokens: int | None = None
    shuffled: bool = False


class Walk(Struct, frozen=True, gc=False):
    """One run in short: a few hundred bytes, whatever its length.

    Attributes:
        task: whose question it is.
        setting: agent, retriever, k, snippets.
        outcome: by its latest grade; a run without an answer is incorrect, one that broke an error.
        success: see :func:`lrat_sim.success.run_success`.
        completed: whether it gave an answer of its own accord, or at a limit.
        searches, browses: executed calls.
        moves: counts of (from, to) steps that follow one another: search-search, search-browse, browse-search,
            browse-browse.
        opened: each browse in order.
        evidence_opened: different evidence documents opened; None where the task has no evidence.
        new: (new, returned) results of each of the first searches.
        terms: (words that a query has first and that a tool had shown before, words that a query has first); words
            of the question are not counted.
        graded_by, judged_by: who did, for the record.
    """

    task: str
    setting: Setting
    outcome: Outcome
    success: float | None
    completed: bool
    searches: int
    browses: int
    moves: tuple[int, int, int, int]
    opened: list[Opened]
    evidence_opened: int | None
    new: list[tuple[int, int]]
    terms: tuple[int, int]
    graded_by: str | None
    judged_by: str | None


def walk_of(entry: Entry, settings: dict[Setting, Setting] | None = None) -> Walk:
    """The walk of one run.

    Args:
        entry: the run with what is known beside it.
        settings: those met before, so that runs share one object each.

    A run without a grade is ungraded; the browses of one without verdicts are judged by the offline rules.
    """
    run = entry.trajectory
    calls = [call for call in run.calls() if call.hits is not None or call.docid is not None]
    steps = [SEARCH if call.hits is not None else BROWSE for call in calls]
    moves = [0, 0, 0, 0]
    for one, other in pairwise(steps):
        moves[2 * one + other] += 1
    evidence = set(entry.task.evidence) if entry.task is not None else set()
    outcome, graded_by = _outcome(entry)
    verdicts, judged_by = _verdicts(entry)
    docids = {call.docid for call in calls if call.docid is not None}
    setting = setting_of(run)
    return Walk(
        task=run.task_id,
        setting=setting if settings is None else settings.setdefault(setting, setting),
        outcome=outcome,
        success=run_success(run.status, entry.grade.state if entry.grade else None),
        completed=run.status == "answered",
        searches=steps.count(SEARCH),
        browses=steps.count(BROWSE),
        moves=(moves[0], moves[1], moves[2], moves[3]),
        opened=list(_opened(run, calls, evidence, verdicts)),
        evidence_opened=len(docids & evidence) if evidence else None,
        new=_new(calls),
        terms=_terms(run, calls),
        graded_by=graded_by,
        judged_by=judged_by,
    )


def setting_of(run: Trajectory) -> Setting:
    """What a run was made with, from its record."""
    limits = run.agent.get("limits")
    limits = limits if isinstance(limits, dict) else {}
    k, snippet = limits.get("k"), limits.get("snippet_tokens")
    return Setting(
        agent=str(run.agent.get("name") or run.agent.get("model") or "unknown"),
        retriever=retriever_name(run.retriever),
        k=k if isinstance(k, int) else None,
        snippet_tokens=snippet if isinstance(snippet, int) else None,
        shuffled=run.retriever.get("kind") == "shuffled",
    )


def retriever_name(described: dict[str, Any]) -> str:
    """What people call a retriever, from its description: its kind, its model, and what it wraps."""
    name = str(described.get("kind") or described.get("name") or "unknown")
    model = described.get("model")
    if isinstance(model, str) and model:
        name += f":{model.rstrip('/').rsplit('/', 1)[-1]}"
    rate = described.get("rate")
    if isinstance(rate, int | float):
        name += f"({rate:g})"
    base = described.get("base")
    return f"{name} of {retriever_name(base)}" if isinstance(base, dict) else name


def _outcome(entry: Entry) -> tuple[Outcome, str | None]:
    run = entry.trajectory
    if run.status == "error":
        return "error", None
    if run.status != "answered":
        return "incorrect", None
    return ("ungraded", None) if entry.grade is None else (entry.grade.state, entry.grade.judge)


def _verdicts(entry: Entry) -> tuple[dict[tuple[int, int], VerdictState], str | None]:
    if not entry.verdicts:
        return {}, OFFLINE_RULES
    found = {(verdict.turn, verdict.call): verdict.state for verdict in entry.verdicts}
    return found, entry.verdicts[-1].judge


def _opened(
    run: Trajectory, calls: list[Call], evidence: set[str], verdicts: dict[tuple[int, int], VerdictState]
) -> Iterator[Opened]:
    after = {(browse.turn, browse.call): browse for browse in browses(run)}
    last_shown = {hit.docid: place for place, call in enumerate(calls) for hit in call.hits or ()}
    place, ranks = 0, dict[str, int]()
    for number, turn in enumerate(run.turns):
        for index, call in enumerate(turn.calls):
            if call.hits is not None:
                ranks.update({hit.docid: hit.rank for hit in call.hits})
                place += 1
            elif call.docid is not None:
                browse = after[number, index]
                if verdicts:
                    verdict: VerdictState | None = verdicts.get((number, index))
                else:
                    verdict = judge_by_rules(browse.reasoning)[0] if browse.length and browse.reasoning else None
                yield Opened(
                    ranks.get(call.docid),
                    browse.length or None,
                    call.docid in evidence if evidence else None,
                    verdict,
                    last_shown.get(call.docid, -1) > place,
                )
                place += 1


def _new(calls: list[Call]) -> list[tuple[int, int]]:
    seen: set[str] = set()
    found: list[tuple[int, int]] = []
    for call in calls:
        if call.hits is not None and len(found) < FIRST_SEARCHES:
            ids = {hit.docid for hit in call.hits}
            found.append((len(ids - seen), len(ids)))
            seen |= ids
    return found


def _terms(run: Trajectory, calls: list[Call]) -> tuple[int, int]:
    said, shown = _words(run.question), set[str]()
    adopted = new = 0
    for call in calls:
        if call.hits is not None:
            first = _words(_query(call)) - said
            adopted += len(first & shown)
            new += len(first)
            said |= first
        shown |= _words(call.output)
    return adopted, new


def _query(call: Call) -> str:
    query = call.executed.get("query") if call.executed is not None else None
    if isinstance(query, list):
        query = query[0] if query else None
    return query if isinstance(query, str) else ""


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
