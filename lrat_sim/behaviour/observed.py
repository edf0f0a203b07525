"""Runs in short, and the groups of them from which every measure is computed.

A *step* is an executed call; calls that failed are passed over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import asdict

from lrat_sim.behaviour.resample import RESAMPLES, Indices, TaskResamples, Values
from lrat_sim.errors import InputError
from lrat_sim.formats import Entry, read_any, recognise
from lrat_sim.grading.rules import judge_by_rules
from lrat_sim.mining.episodes import episodes
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Call, Trajectory, VerdictState
from lrat_sim.retrieval.query_text import query_in
from lrat_sim.success import run_success, task_success

By = Literal["run", "agent", "retriever"]
Mask = npt.NDArray[np.bool_]

FIRST_SEARCHES = 12  # for how many searches of a run the share of new results is kept
OFFLINE_RULES = "offline rules"  # who judged the browses of a run that came without verdicts
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
    forced: bool  # at a limit
    turns: int
    silent_turns: int  # without reasoning
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
    """A run in short; the offline rules judge its browses where it has no verdicts.

    ``settings`` are those met before, so that runs share one object each.
    """
    run, grade = entry.trajectory, entry.grade
    calls = [call for call in run.calls() if call.is_search or call.is_browse]
    moves = Counter(pairwise(call.is_search for call in calls))
    evidence = set(entry.task.evidence) if entry.task is not None else set()
    setting, (new, terms) = setting_of(run), _novelty(run, calls)
    answered = run.status == "answered"
    graded = grade.state if grade else "ungraded"
    return RunSteps(
        task=run.task_id,
        setting=setting if settings is None else settings.setdefault(setting, setting),
        outcome=graded if answered else "error" if run.status == "error" else "incorrect",
        success=run_success(run.status, grade.state if grade else None),
        completed=answered,
        forced=run.is_forced,
        turns=len(run.turns),
        silent_turns=sum(turn.is_silent for turn in run.turns),
        searches=sum(call.is_search for call in calls),
        browses=sum(call.is_browse for call in calls),
        moves=tuple(moves[before, after] for before in (True, False) for after in (True, False)),
        opened=list(_opened(entry, evidence)),
        evidence_opened=len(evidence.intersection(call.docid for call in calls)) if evidence else None,
        new=new,
        terms=terms,
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


def _novelty(run: Trajectory, calls: Sequence[Call]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """The fields ``new`` and ``terms`` of :class:`RunSteps`."""
    listed, shown, said = set[str](), set[str](), _words(run.question)
    results: list[tuple[int, int]] = []
    adopted = new = 0
    for call in calls:
        if call.is_search:
            docids = {hit.docid for hit in call.hits or ()}
            results.append((len(docids - listed), len(docids)))
            listed |= docids
            first = _words(query_in(call.executed) or "") - said
            adopted += len(first & shown)
            new += len(first)
            said |= first
        shown |= _words(call.output)
    return results[:FIRST_SEARCHES], (adopted, new)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


class ObservedRuns:
    """The runs of a group; those that broke are failures, and are left out of all measures but success.

    ``unrun`` are tasks that were asked and have no run: failures, too.

    Attributes:
        everything, runs: with and without the runs that broke.
        success: of each task asked, but for those of which no answer is graded.
        task, browse_task: the task of each run and of each browse, as ``tasks`` counts them.
    """

    def __init__(
        self,
        name: str,
        runs: Iterable[RunSteps],
        unrun: Iterable[str] = (),
        *,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ):
        self.name, self.everything = name, list(runs)
        self.runs = [run for run in self.everything if run.outcome != "error"]
        self.setting = _common_setting([run.setting for run in self.runs])
        of_task: dict[str, list[float | None]] = {task: [] for task in unrun}
        for run in self.everything:
            of_task.setdefault(run.task, []).append(run.success)
        values = {task: task_success(samples).value for task, samples in of_task.items()}
        self.success = {task: value for task, value in values.items() if value is not None}
        self.tasks = TaskResamples(list(of_task), seed=seed, resamples=resamples)
        self.task = self.tasks.indices([run.task for run in self.runs])
        self._opened = [document for run in self.runs for document in run.opened]
        run_of_browse = [number for number, run in enumerate(self.runs) for _ in run.opened]
        self._run_of_browse: Indices = np.array(run_of_browse, np.int64)
        self.browse_task: Indices = self.task[self._run_of_browse]
        self._outcome = np.array([run.outcome for run in self.runs], np.str_)

    @property
    def outcomes(self) -> dict[str, int]:
        """Runs by outcome, those that broke included."""
        return dict(sorted(Counter(run.outcome for run in self.everything).items()))

    @property
    def judges(self) -> list[str]:
        """Who graded the answers and judged the documents."""
        return sorted({judge for run in self.runs for judge in (run.graded_by, run.judged_by) if judge})

    def per_run(self, field: str) -> Values:
        """A field of :class:`RunSteps`, one row a run; None as NaN."""
        return _numbers(getattr(run, field) for run in self.runs)

    def per_browse(self, field: str) -> Values:
        """A field of :class:`OpenedDocument`, one row a browse; None as NaN."""
        return _numbers(getattr(document, field) for document in self._opened)

    def verdict(self, state: str) -> Mask:
        """The browses with a verdict."""
        return np.array([document.verdict == state for document in self._opened], np.bool_)

    def those(self, outcome: str) -> Mask:
        """The runs of an outcome, or of ``all``."""
        return np.ones(len(self.runs), np.bool_) if outcome == "all" else self._outcome == outcome

    def lengths(self, of: str) -> tuple[Values, Indices]:
        """Tokens of the reasoning after browses that have any, and the task of each.

        ``of`` is ``all``; ``correct`` or ``incorrect`` by outcome; ``evidence`` or ``other`` by document; ``relevant``
        or ``irrelevant`` by verdict; or ``pairs`` for those that mining would keep: relevant, of correct runs.
        """
        if of in ("evidence", "other"):
            mask = self.per_browse("evidence") == (of == "evidence")
        elif of in ("relevant", "irrelevant"):
            mask = self.verdict(of)
        elif of == "pairs":
            mask = self.verdict("relevant") & self.those("correct")[self._run_of_browse]
        else:
            mask = self.those(of)[self._run_of_browse]
        length = self.per_browse("length")
        mask = mask & np.isfinite(length)
        return length[mask], self.browse_task[mask]


def _numbers(values: Iterable[Any]) -> Values:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _common_setting(settings: Sequence[RunSetting]) -> RunSetting:
    values = {field: {getattr(setting, field) for setting in settings} for field in RunSetting.__struct_fields__}
    shared = {field: kinds.pop() for field, kinds in values.items() if len(kinds) == 1}
    several = {field: "several" for field in ("agent", "retriever") if len(values[field]) > 1}
    return RunSetting(**{**asdict(RunSetting()), **shared, **several})


def observe(
    sources: Sequence[Path],
    *,
    by: By = "run",
    seed: int = 0,
    resamples: int = RESAMPLES,
    progress: ProgressCallback | None = None,
) -> list[ObservedRuns]:
    """Reads trajectories of any format, one at a time, and groups them, in the order of the groups' first runs.

    For the arguments see :func:`lrat_sim.behaviour.report.behaviour`.
    """
    if by not in get_args(By):
        raise InputError(f"--by is {by!r}; give one of {', '.join(get_args(By))}.")
    runs: dict[str, list[RunSteps]] = {}
    unrun: dict[str, list[str]] = {}
    settings: dict[RunSetting, RunSetting] = {}
    done = 0
    for source, name in zip(sources, names_of(sources), strict=True):
        groups: set[str] = set()
        ran: set[str] = set()
        for entry in read_any(source):
            ran.add(entry.trajectory.task_id)
            run = steps_of(entry, settings)
            group = name if by == "run" else getattr(run.setting, by)
            groups.add(group)
            runs.setdefault(group, []).append(run)
            done += 1
            if progress is not None:
                progress(done, None, "trajectories")
        missing = [task.id for task in recognise(source).tasks(source) if task.id not in ran]
        for group in groups:
            unrun.setdefault(group, []).extend(missing)
    if not runs:
        raise InputError(f"{', '.join(map(str, sources))} hold no trajectory; run or import some first.")
    return [ObservedRuns(name, own, unrun[name], seed=seed, resamples=resamples) for name, own in runs.items()]


def names_of(sources: Sequence[Path]) -> list[str]:
    """What sources are called: the last part of each path, or as many parts as tell them apart."""
    paths = [source.resolve().parts for source in sources]
    for depth in range(1, max(map(len, paths), default=1) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise InputError("a source is given twice; give each once.")
