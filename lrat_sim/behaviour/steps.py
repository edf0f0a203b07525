"""One run in short: the order of its searches and browses, and what is known of each document that it opened.

A *step* is an executed call; calls that failed are passed over.  Which list showed a document, and the reasoning right
after it was opened, are those of mining (:mod:`lrat_sim.mining.episodes`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

from msgspec import Struct

from lrat_sim.formats import Entry
from lrat_sim.grading.rules import judge_by_rules
from lrat_sim.mining.episodes import episodes, query_in
from lrat_sim.records import Call, Trajectory, VerdictState
from lrat_sim.success import run_success

FIRST_SEARCHES = 12
"""For how many searches of a run the share of new results is kept."""
OFFLINE_RULES = "offline rules"
"""Who judged the browses of a run that came without verdicts."""

_WORD = re.compile(r"\w{2,}")


class OpenedDocument(Struct, frozen=True, gc=False):
    """One document that was opened."""

    rank: int | None  # in the latest list that had shown it, from 1; None where none had
    length: int | None  # tokens of the reasoning right after it; None where there is none
    evidence: bool | None  # None where its task has no evidence
    verdict: VerdictState | None
    again: bool  # whether a later result list showed it again


class RunSetting(Struct, frozen=True):
    """What a run was made with; empty or None where its record does not tell."""

    agent: str = ""
    retriever: str = ""
    k: int | None = None
    snippet_tokens: int | None = None
    shuffled: bool = False


class RunSteps(Struct, frozen=True, gc=False):
    """One run in a few hundred bytes, whatever its length."""

    task: str
    setting: RunSetting
    outcome: Literal["correct", "incorrect", "ungraded", "error"]  # without an answer it is incorrect
    success: float | None  # see lrat_sim.success
    completed: bool  # whether it gave an answer, of its own accord or at a limit
    searches: int
    browses: int
    moves: tuple[int, ...]  # how often a search, a browse follows a search, and then a browse
    opened: list[OpenedDocument]
    evidence_opened: int | None  # different evidence documents; None where the task has no evidence
    new: list[tuple[int, int]]  # (new, returned) results of each of the first searches
    # of the words that a query has first, those that a tool had shown before, and all; words of the question aside
    terms: tuple[int, int]
    graded_by: str | None
    judged_by: str | None


def steps_of(entry: Entry, settings: dict[RunSetting, RunSetting] | None = None) -> RunSteps:
    """A run in short; without verdicts, the offline rules judge its browses.

    ``settings`` are those met before, so that runs share one object each.
    """
    run, grade = entry.trajectory, entry.grade
    calls = [call for call in run.calls() if call.is_search or call.is_browse]
    moves = Counter(pairwise(call.is_search for call in calls))
    evidence = set(entry.task.evidence) if entry.task is not None else set()
    setting = setting_of(run)
    answered = run.status == "answered"
    graded = grade.state if grade else "ungraded"
    return RunSteps(
        task=run.task_id,
        setting=setting if settings is None else settings.setdefault(setting, setting),
        outcome=graded if answered else "error" if run.status == "error" else "incorrect",
        success=run_success(run.status, grade.state if grade else None),
        completed=answered,
        searches=sum(call.is_search for call in calls),
        browses=sum(call.is_browse for call in calls),
        moves=tuple(moves[before, after] for before in (True, False) for after in (True, False)),
        opened=list(_opened(entry, evidence)),
        evidence_opened=len(evidence.intersection(call.docid for call in calls)) if evidence else None,
        new=_new_results(calls),
        terms=_new_terms(run, calls),
        graded_by=grade.judge if answered and grade else None,
        judged_by=entry.verdicts[-1].judge if entry.verdicts else OFFLINE_RULES,
    )


def setting_of(run: Trajectory) -> RunSetting:
    """What a run was made with, from its record."""
    limits = run.agent.get("limits")
    limits = limits if isinstance(limits, dict) else {}
    k, snippet = limits.get("k"), limits.get("snippet_tokens")
    return RunSetting(
        agent=str(run.agent.get("name") or run.agent.get("model") or "unknown"),
        retriever=retriever_name(run.retriever),
        k=k if isinstance(k, int) else None,
        snippet_tokens=snippet if isinstance(snippet, int) else None,
        shuffled=run.retriever.get("kind") == "shuffled",
    )


def retriever_name(described: dict[str, Any]) -> str:
    """A short name of a retriever from its description: its kind, its model, and what it wraps."""
    name = str(described.get("kind") or described.get("name") or "unknown")
    model, rate, base = described.get("model"), described.get("rate"), described.get("base")
    if isinstance(model, str) and model:
        name += f":{model.rstrip('/').rsplit('/', 1)[-1]}"
    if isinstance(rate, int | float):
        name += f"({rate:g})"
    return f"{name} of {retriever_name(base)}" if isinstance(base, dict) else name


def _opened(entry: Entry, evidence: set[str]) -> Iterator[OpenedDocument]:
    verdicts = {(verdict.turn, verdict.call): verdict.state for verdict in entry.verdicts}
    parts = episodes(entry.trajectory)
    last_shown = {hit.docid: number for number, part in enumerate(parts) for s in part.searches for hit in s.hits}
    for number, part in enumerate(parts):
        for opened in part.chain:
            browse = opened.browse
            verdict = verdicts.get((browse.turn, browse.call))
            if not verdicts and browse.length:
                verdict = judge_by_rules(browse.reasoning).state
            yield OpenedDocument(
                rank=opened.rank,
                length=browse.length or None,
                evidence=browse.docid in evidence if evidence else None,
                verdict=verdict,
                again=last_shown.get(browse.docid, -1) > number,
            )


def _new_results(calls: Sequence[Call]) -> list[tuple[int, int]]:
    seen: set[str] = set()
    counts: list[tuple[int, int]] = []
    for call in [call for call in calls if call.is_search][:FIRST_SEARCHES]:
        docids = {hit.docid for hit in call.hits or ()}
        counts.append((len(docids - seen), len(docids)))
        seen |= docids
    return counts


def _new_terms(run: Trajectory, calls: Sequence[Call]) -> tuple[int, int]:
    said, shown = _words(run.question), set[str]()
    adopted = new = 0
    for call in calls:
        if call.is_search:
            first = _words(query_in(call.executed) or "") - said
            adopted += len(first & shown)
            new += len(first)
            said |= first
        shown |= _words(call.output)
    return adopted, new


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
