"""Run folders as a format; where no rollout made one, its run.yaml says so, and no rollout resumes in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import yaml

from lrat_sim import __version__
from lrat_sim.artifact import ensure_folder, line, read_with_offsets, write_records, write_text
from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.foreign.files import open_bytes
from lrat_sim.foreign.values import mapping, text
from lrat_sim.formats.entry import Entry, add_task
from lrat_sim.formats.registry import Format, Notes, records_of
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.keys import redact_all
from lrat_sim.records import Grade, Record, Task, Trajectory, Verdict, decode
from lrat_sim.rollout.index import RUN, TASKS, TRAJECTORIES, Row, asked_tasks, read_trajectories, row, write_index

R = TypeVar("R", Grade, Verdict)


class _JudgementOf(Record, frozen=True, kw_only=True):
    trajectory_id: str


def judgements(path: Path, kind: type[R], stack: ExitStack) -> Callable[[str], list[R]]:
    """The grades or verdicts of a run folder by trajectory, as written; only their offsets are in memory."""
    if not path.is_file():
        return lambda trajectory: []
    offsets: dict[str, list[int]] = {}
    for offset, record in read_with_offsets(path, _JudgementOf):
        offsets.setdefault(record.trajectory_id, []).append(offset)
    stream: Any = stack.enter_context(open_bytes(path))

    def at(offset: int) -> R:
        stream.seek(offset)
        try:
            return decode(stream.readline(), kind)
        except NOT_JSON:  # read as a file, it says which line
            return next(record for _, record in read_with_offsets(path, kind, offset.__eq__))

    return lambda trajectory: [at(offset) for offset in offsets.get(trajectory, ())]


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The trajectories of a run folder, each with its task, grades and verdicts; or of files of them alone."""
    notes = notes or Notes()
    if not (path / TASKS).is_file():
        yield from (Entry(trajectory=trajectory) for trajectory in _of_files(path, notes))
        return
    notes.left_out += [file.name for file in path.glob(f"{TRAJECTORIES}.*z")]
    tasks = {task.id: task for task in asked_tasks(path)}
    with ExitStack() as stack:
        grades, verdicts = judgements(path / GRADES, Grade, stack), judgements(path / VERDICTS, Verdict, stack)
        for trajectory in read_trajectories(path) if (path / TRAJECTORIES).is_file() else ():
            yield Entry(
                trajectory=trajectory,
                task=tasks.get(trajectory.task_id),
                grades=grades(trajectory.id),
                verdicts=verdicts(trajectory.id),
            )


def _of_files(path: Path, notes: Notes) -> Iterator[Trajectory]:
    """The last record of each id: a run that was resumed has tried some tasks again."""
    # read twice: which record is the last of its id is known only at the end
    records = partial(records_of, path, "run", _is_trajectory, nulls=True)
    ids = [text(mapping(record.data).get("id")) for record in records(Notes(skip_unreadable=True))]
    last = {name: number for number, name in enumerate(ids)}
    for number, record in enumerate(records(notes)):
        if ids[number] and last[ids[number]] != number:
            notes.replaced += 1
            continue
        try:
            yield record.decoded(Trajectory)
        except RecordError as error:
            notes.refuse(error)


def _is_trajectory(record: Any) -> bool:
    return isinstance(record, dict) and record.keys() >= {"task_id", "turns", "retriever", "end_reason"}


def write_run(
    entries: Iterable[Entry], folder: Path, made: dict[str, Any], asked: Iterable[Task] = (), unrun: Iterable[Task] = ()
) -> int:
    """Writes one new run folder, which can be graded, mined and evaluated; returns its number of trajectories.

    ``made`` says in run.yaml how it came to be; ``asked`` are tasks in their order, ``unrun`` further ones, read last.
    """
    rows: list[Row] = []
    tasks = {task.id: task for task in asked}
    agents: dict[str, Any] = {}
    retrievers: dict[str, Any] = {}
    ensure_folder(folder)
    with ExitStack() as stack:
        trajectories = stack.enter_context((folder / TRAJECTORIES).open("wb"))
        streams: dict[str, IO[bytes]] = {}
        for entry in entries:
            trajectory = entry.trajectory
            add_task(tasks, entry.asked)
            agents.setdefault(str(trajectory.agent.get("fingerprint", "")), trajectory.agent)
            retrievers.setdefault(str(trajectory.retriever.get("fingerprint", "")), trajectory.retriever)
            rows.append(row(trajectory, trajectories.tell(), entry.grade.state if entry.grade else None))
            for field, value in msgspec.structs.asdict(rows[-1]).items():
                if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
                    raise InputError(f"the trajectory {trajectory.id!r} has too large a number, {field}; correct it.")
            trajectories.write(line(trajectory))
            for name, records in ((GRADES, entry.grades), (VERDICTS, entry.verdicts)):
                if records and name not in streams:
                    streams[name] = stack.enter_context((folder / name).open("wb"))
                for record in records:
                    streams[name].write(line(record))
    for task in unrun:
        add_task(tasks, task)
    write_records(folder / TASKS, tasks.values())
    write_index(folder, rows)
    manifest = {
        "schema_version": 1,
        **made,
        "lrat-sim": __version__,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "agents": agents,
        "retrievers": retrievers,
    }
    write_text(folder / RUN, yaml.safe_dump(redact_all(manifest), sort_keys=False, allow_unicode=True, width=120))
    return len(rows)


FORMAT = Format(
    name="run",
    title="a run folder, as a rollout makes it",
    recognise=lambda path, record: (path / TASKS).is_file() or _is_trajectory(record),
    read=read,
    write=lambda entries, path, about: write_run(entries, path, {"converted": about.name}, unrun=about.unrun),
    tasks=lambda path: asked_tasks(path) if (path / TASKS).is_file() else (),
)
