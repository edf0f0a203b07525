"""Verdicts given from elsewhere: whether the documents that agents opened were of use.

Two forms are read, whatever file holds the records:

- ours, one verdict a record: ``trajectory_id``, ``turn`` and ``call`` (from 0) and ``state``; a verdicts.jsonl is one;
- LRAT's, one run a record: ``query_id`` (with ``sample``, where a task has several runs) or ``trajectory_id``, and
  ``browse_verdicts`` with true, false or null for each browse in order; or an object that holds such records in
  ``trajectories``, as mined-pairs.release.json does.

A verdict counts only where it is certain which browse it is of; a browse without one stays unlabelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.artifact import Store, fingerprint
from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.files import records
from lrat_sim.foreign.values import Found
from lrat_sim.formats.fields import count, mapping, text
from lrat_sim.formats.observations import opens_documents
from lrat_sim.grading.run import VERDICTS
from lrat_sim.records import SCHEMA_VERSION, Trajectory, Verdict, VerdictState
from lrat_sim.rollout.index import read_trajectories

_STATES: dict[Any, VerdictState] = {True: "relevant", False: "irrelevant", None: "unjudged"}
_STATES |= {"relevant": "relevant", "irrelevant": "irrelevant", "unjudged": "unjudged"}
_UNSTATED = {"judge": "", "schema_version": SCHEMA_VERSION}
"""What a given verdict need not say."""


class GivenVerdicts(Struct, frozen=True, kw_only=True):
    """What came of given verdicts.

    Attributes:
        judge: the name under which they stand in the run folders.
        fitting: browses that have one.
        unfitting: verdicts that are of no browse of the runs, or of which it is not certain.
        missing: browses that have none.
    """

    judge: str
    fitting: int
    unfitting: int
    missing: int

    def sentence(self) -> str:
        """The summary for people."""
        return (
            f"given verdicts: {self.fitting:,} browses have one; {self.missing:,} have none and stay unlabelled; "
            f"{self.unfitting:,} verdicts fit no browse of these runs"
        )


class _OpenedRun(Struct, frozen=True):
    """A run's folder, and the calls that were to open a document: turn, position, and whether the document came."""

    folder: Path
    task: str
    sample: int
    browses: list[tuple[int, int, bool]]


def add_verdicts(file: Path, runs: Iterable[Path]) -> GivenVerdicts:
    """Puts given verdicts into the run folders that hold their runs, under a judge's name of their own.

    Called again it adds nothing.

    Args:
        file: the verdicts.
        runs: run folders.

    Raises:
        InputError: the file cannot be read, none of its verdicts fits, or a folder is no run folder.
        RecordError: a record is of neither form; names file, line and field.
    """
    if not file.is_file():
        raise InputError(f"{file} does not exist; give a file of verdicts.")
    opened = {
        run.id: _OpenedRun(folder, run.task_id, run.sample, list(_browses(run)))
        for folder in dict.fromkeys(runs)
        for run in read_trajectories(folder)
        if run.status != "error"
    }
    found: dict[tuple[str, int, int], Verdict] = {}
    unfitting = 0
    for record in records(file):
        for verdict in _verdicts(record, opened):
            if verdict is None:
                unfitting += 1
            else:
                found[verdict.trajectory_id, verdict.turn, verdict.call] = verdict
    if not found:
        raise InputError(
            f"{file}: none of its {unfitting:,} verdicts fits a browse of these runs; give those of the same runs."
        )
    # named by its content: the same file again adds nothing, another one is another judge
    judge = f"given:{fingerprint([[*browse, verdict.state] for browse, verdict in sorted(found.items())])}"
    for folder in {run.folder for run in opened.values()}:
        with Store(folder / VERDICTS, Verdict) as store:
            known = {(v.trajectory_id, v.turn, v.call) for v in store if v.judge == judge}
            store.extend(
                msgspec.structs.replace(verdict, judge=judge)
                for browse, verdict in found.items()
                if opened[browse[0]].folder == folder and browse not in known
            )
    browses = sum(came for run in opened.values() for _, _, came in run.browses)
    return GivenVerdicts(judge=judge, fitting=len(found), unfitting=unfitting, missing=browses - len(found))


def _browses(run: Trajectory) -> Iterator[tuple[int, int, bool]]:
    for turn, position, call in run.placed_calls():
        if call.is_browse or (not call.is_search and opens_documents(call.tool)):
            yield turn, position, call.is_browse


def _verdicts(found: Found, opened: dict[str, _OpenedRun]) -> Iterator[Verdict | None]:
    """The verdicts of a record; None for each that is of no browse."""
    record = mapping(found.value())
    if isinstance(record.get("trajectories"), list):
        for number, run in enumerate(record["trajectories"], start=1):
            path = found.path.with_name(f"{found.path.name}, run {number}")
            yield from _verdicts(Found(run, path, found.line), opened)
    elif isinstance(record.get("browse_verdicts"), list):
        yield from _of_run(record, found, opened)
    elif "state" in record:
        verdict = Found({**_UNSTATED, **record}, found.path, found.line).decoded(Verdict)
        opened_run = opened.get(verdict.trajectory_id)
        fits = opened_run is not None and (verdict.turn, verdict.call, True) in opened_run.browses
        yield verdict if fits else None
    else:
        problem = "neither a verdict (`trajectory_id`, `turn`, `call`, `state`) nor a run's (`browse_verdicts`)"
        raise RecordError(found.path, found.line, problem)


def _of_run(record: dict[str, Any], found: Found, opened: dict[str, _OpenedRun]) -> Iterator[Verdict | None]:
    states: list[VerdictState] = []
    for number, given in enumerate(record["browse_verdicts"], start=1):
        if not isinstance(given, bool | str | None) or given not in _STATES:
            problem = f"verdict {number} of `browse_verdicts` is {given!r}; it should be true, false or null"
            raise RecordError(found.path, found.line, problem)
        states.append(_STATES[given])
    name = _run_of(record, opened)
    browses = opened[name].browses if name is not None else []
    # with the calls that brought no document or without them; any other number could be shifted against the browses
    ways = [browse for browse in browses if browse[2]], browses
    fitting = next((way for way in ways if len(way) == len(states)), None)
    for (turn, call, came), state in zip(fitting or [(0, 0, False)] * len(states), states, strict=True):
        yield Verdict(trajectory_id=str(name), turn=turn, call=call, state=state, judge="") if came else None


def _run_of(record: dict[str, Any], opened: dict[str, _OpenedRun]) -> str | None:
    """The one run that a record is of; None where there is none or it could be several."""
    name = text(record.get("trajectory_id"))
    if name is not None:
        return name if name in opened else None
    task, sample = str(record.get("query_id")), count(record.get("sample"))
    runs = [name for name, run in opened.items() if run.task == task and sample in (None, run.sample)]
    return runs[0] if len(runs) == 1 else None
