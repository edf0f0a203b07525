"""Given verdicts: whether the documents that agents opened were of use, as another judge or a person said.

Two forms are read, each in any of the ways in which records stand in a file:

- ours, one verdict a record: ``trajectory_id``, ``turn`` and ``call`` (from 0) and ``state``; a verdicts.jsonl is one;
- LRAT's, one run a record: ``query_id`` (with ``sample``, where a task has several runs) or ``trajectory_id``, and
  ``browse_verdicts`` with true, false or null for each browse in order; or an object that holds such records in
  ``trajectories``, as mined-pairs.release.json does.

A verdict counts only where it is certain which browse it is of; what has none stays unlabelled.
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
from lrat_sim.formats.fields import count, items, mapping, text
from lrat_sim.formats.observations import opens_documents
from lrat_sim.grading.run import VERDICTS
from lrat_sim.records import Trajectory, Verdict, VerdictState
from lrat_sim.rollout.index import read_trajectories

_STATES: dict[Any, VerdictState] = {True: "relevant", False: "irrelevant", None: "unjudged"}
_STATES |= {"relevant": "relevant", "irrelevant": "irrelevant", "unjudged": "unjudged"}


class Given(Struct, frozen=True, kw_only=True):
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


class _Opened(Struct, frozen=True):
    """A run's folder, and its browses in order: place, and whether the document came."""

    folder: Path
    task: str
    sample: int
    browses: list[tuple[int, int, bool]]


def add_verdicts(file: Path, runs: Iterable[Path]) -> Given:
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
    opened = dict(_opened(runs))
    found: dict[tuple[str, int, int], Verdict] = {}
    unfitting = 0
    for each in records(file):
        for verdict in _verdicts(each, opened):
            if verdict is None:
                unfitting += 1
            else:
                found[verdict.trajectory_id, verdict.turn, verdict.call] = verdict
    if not found:
        raise InputError(
            f"{file}: none of its {unfitting:,} verdicts fits a browse of these runs; give those of the same runs."
        )
    judge = f"given:{fingerprint([[*place, verdict.state] for place, verdict in sorted(found.items())])}"
    for folder in {each.folder for each in opened.values()}:
        with Store(folder / VERDICTS, Verdict) as store:
            known = {(v.trajectory_id, v.turn, v.call) for v in store if v.judge == judge}
            store.extend(
                msgspec.structs.replace(verdict, judge=judge)
                for place, verdict in found.items()
                if opened[place[0]].folder == folder and place not in known
            )
    browses = sum(came for each in opened.values() for _, _, came in each.browses)
    return Given(judge=judge, fitting=len(found), unfitting=unfitting, missing=browses - len(found))


def _opened(runs: Iterable[Path]) -> Iterator[tuple[str, _Opened]]:
    for folder in dict.fromkeys(runs):
        for run in read_trajectories(folder, by_task=True):
            if run.status != "error":
                yield run.id, _Opened(folder, run.task_id, run.sample, list(_browses(run)))


def _browses(run: Trajectory) -> Iterator[tuple[int, int, bool]]:
    for turn, position, call in run.placed_calls():
        if call.is_browse or (not call.is_search and opens_documents(call.tool)):
            yield turn, position, call.is_browse


def _verdicts(found: Found, opened: dict[str, _Opened]) -> Iterator[Verdict | None]:
    """The verdicts of a record; None for each that is of no browse."""
    record = mapping(found.value())
    if isinstance(record.get("trajectories"), list):
        for number, each in enumerate(record["trajectories"], start=1):
            path = found.path.with_name(f"{found.path.name}, run {number}")
            yield from _verdicts(Found(each, path, found.line), opened)
    elif isinstance(record.get("browse_verdicts"), list):
        yield from _of_run(record, found, opened)
    elif "state" in record:
        verdict = Found({"judge": "", **record}, found.path, found.line).decoded(Verdict)
        run = opened.get(verdict.trajectory_id)
        yield verdict if run is not None and (verdict.turn, verdict.call, True) in run.browses else None
    else:
        problem = "neither a verdict (`trajectory_id`, `turn`, `call`, `state`) nor a run's (`browse_verdicts`)"
        raise RecordError(found.path, found.line, problem)


def _of_run(record: dict[str, Any], found: Found, opened: dict[str, _Opened]) -> Iterator[Verdict | None]:
    states: list[VerdictState] = []
    for number, given in enumerate(items(record["browse_verdicts"]), start=1):
        if not isinstance(given, bool | str | None) or given not in _STATES:
            problem = f"verdict {number} of `browse_verdicts` is {given!r}; it should be true, false or null"
            raise RecordError(found.path, found.line, problem)
        states.append(_STATES[given])
    name = _run_of(record, opened)
    # with the calls that brought no document or without them; any other number could be shifted against the browses
    whole = opened[name].browses if name is not None else []
    places = next((each for each in ([b for b in whole if b[2]], whole) if len(each) == len(states)), None)
    for place, state in zip(places or [(0, 0, False)] * len(states), states, strict=True):
        turn, call, came = place
        yield Verdict(trajectory_id=str(name), turn=turn, call=call, state=state, judge="") if came else None


def _run_of(record: dict[str, Any], opened: dict[str, _Opened]) -> str | None:
    """The one run that a record is of; None where there is none or it could be several."""
    name = text(record.get("trajectory_id"))
    if name is not None:
        return name if name in opened else None
    task, sample = str(record.get("query_id")), count(record.get("sample"))
    runs = [name for name, run in opened.items() if run.task == task and sample in (None, run.sample)]
    return runs[0] if len(runs) == 1 else None
