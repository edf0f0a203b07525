"""Verdicts from elsewhere: whether the documents that agents opened were useful.

They are records of ours, or LRAT's: one run a record, with true, false or null for each browse in ``browse_verdicts``.
A verdict counts only where it is certain which browse it is of; a browse without one stays unlabelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from lrat_sim.artifact import Store, fingerprint
from lrat_sim.errors import InputError
from lrat_sim.foreign.files import records
from lrat_sim.foreign.values import SourceRecord, count, mapping, text
from lrat_sim.formats.observations import opens_documents
from lrat_sim.formats.output import Summary
from lrat_sim.grading.run import VERDICTS
from lrat_sim.records import SCHEMA_VERSION, Trajectory, Verdict, VerdictState
from lrat_sim.rollout.index import read_trajectories

_STATES: dict[Any, VerdictState] = {True: "relevant", False: "irrelevant", None: "unjudged"}
_STATES |= {"relevant": "relevant", "irrelevant": "irrelevant", "unjudged": "unjudged"}
_UNSTATED = {"judge": "", "schema_version": SCHEMA_VERSION}  # what a given verdict need not say


class GivenVerdicts(Summary, kw_only=True):
    """What came of given verdicts."""

    told: ClassVar[str] = (
        "given verdicts: {fitting:,} browses have one; {missing:,} have none and stay unlabelled; "
        "{unfitting:,} verdicts fit no browse of these runs"
    )
    judge: str  # the name under which they stand in the run folders
    fitting: int  # browses that have one
    unfitting: int  # verdicts of no browse of the runs, or of which that is not certain
    missing: int  # browses that have none


class _OpenedRun:
    """A run's folder, and the calls that were to open a document: turn, position, and whether the document came."""

    def __init__(self, run: Trajectory, folder: Path):
        self.folder, self.task, self.sample = folder, run.task_id, run.sample
        self.browses = [
            (turn, position, call.is_browse)
            for turn, position, call in run.placed_calls()
            if call.is_browse or (not call.is_search and opens_documents(call.tool))
        ]


def add_verdicts(file: Path, runs: Iterable[Path]) -> GivenVerdicts:
    """Puts given verdicts into the run folders that hold their runs, under a judge's name of their own; again, it adds
    nothing."""
    opened = {
        run.id: _OpenedRun(run, folder)
        for folder in dict.fromkeys(runs)
        for run in read_trajectories(folder)
        if run.status != "error"
    }
    verdicts = [verdict for record in records(file) for verdict in _verdicts(record, opened)]
    unfitting = verdicts.count(None)
    fitting = {(verdict.trajectory_id, verdict.turn, verdict.call): verdict for verdict in verdicts if verdict}
    if not fitting:
        raise InputError(
            f"{file}: none of its {unfitting:,} verdicts fits a browse of these runs; give those of the same runs."
        )
    # named by its content: the same file again adds nothing, another one is another judge
    judge = f"given:{fingerprint([[*browse, verdict.state] for browse, verdict in sorted(fitting.items())])}"
    for folder in {run.folder for run in opened.values()}:
        with Store(folder / VERDICTS, Verdict) as store:
            known = {(v.trajectory_id, v.turn, v.call) for v in store if v.judge == judge}
            store.extend(
                msgspec.structs.replace(verdict, judge=judge)
                for browse, verdict in fitting.items()
                if opened[browse[0]].folder == folder and browse not in known
            )
    browses = sum(came for run in opened.values() for _, _, came in run.browses)
    return GivenVerdicts(judge=judge, fitting=len(fitting), unfitting=unfitting, missing=browses - len(fitting))


def _verdicts(source: SourceRecord, opened: dict[str, _OpenedRun]) -> Iterator[Verdict | None]:
    """The verdicts of a record; None for each that is of no browse."""
    record = mapping(source.value())
    if isinstance(record.get("trajectories"), list):
        for number, run in enumerate(record["trajectories"], start=1):
            yield from _verdicts(SourceRecord(run, Path(source.place), number, "record"), opened)
    elif isinstance(record.get("browse_verdicts"), list):
        yield from _of_run(record, source, opened)
    elif "state" in record:
        verdict = source.holding({**_UNSTATED, **record}).decoded(Verdict)
        opened_run = opened.get(verdict.trajectory_id)
        fits = opened_run is not None and (verdict.turn, verdict.call, True) in opened_run.browses
        yield verdict if fits else None
    else:
        problem = "neither a verdict (`trajectory_id`, `turn`, `call`, `state`) nor a run's (`browse_verdicts`)"
        raise source.fault(problem)


def _of_run(record: dict[str, Any], source: SourceRecord, opened: dict[str, _OpenedRun]) -> Iterator[Verdict | None]:
    states = record["browse_verdicts"]
    for number, state in enumerate(states, start=1):
        if not isinstance(state, bool | str | None) or state not in _STATES:
            problem = f"verdict {number} of `browse_verdicts` is {state!r}; it should be true, false or null"
            raise source.fault(problem)
    # the one run that it is of; none where it could be several
    given, task, sample = text(record.get("trajectory_id")), str(record.get("query_id")), count(record.get("sample"))
    of_task = [name for name, run in opened.items() if run.task == task and sample in (None, run.sample)]
    names = of_task if given is None else [given]
    name = names[0] if len(names) == 1 else ""
    browses = opened[name].browses if name in opened else []
    # with the calls that brought no document or without them; any other number could be shifted against the browses
    ways = [browse for browse in browses if browse[2]], browses
    fitting = next((way for way in ways if len(way) == len(states)), None)
    for (turn, call, came), state in zip(fitting or [(0, 0, False)] * len(states), states, strict=True):
        yield Verdict(trajectory_id=name, turn=turn, call=call, state=_STATES[state], judge="") if came else None
