"""Run folders as a format: what a rollout leaves, with the grades and verdicts that came to it.

``run.yaml`` of a folder that was converted, merged or split says so; a rollout refuses to go on in it, since it was
not made by one agent with one retriever.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

import msgspec
import yaml

from lrat_sim import __version__
from lrat_sim.artifact import ensure_folder, line, read_with_offsets, write_records, write_text
from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.foreign.files import open_bytes
from lrat_sim.foreign.values import Found
from lrat_sim.formats.fields import mapping
from lrat_sim.formats.formats import About, Entry, Format, Head, Notes
from lrat_sim.formats.sources import of_kind
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.keys import redact_all
from lrat_sim.records import Grade, Record, Task, Trajectory, Verdict, decode
from lrat_sim.rollout.index import RUN, TASKS, TRAJECTORIES, Row, asked_tasks, read_trajectories, row, write_index

R = TypeVar("R", Grade, Verdict)


class _Of(Record, frozen=True, kw_only=True):
    trajectory_id: str


class Judgements(Generic[R]):
    """The grades or verdicts of a run folder by trajectory; only their places in the file are in memory.

    Args:
        path: the file; there may be none.
        kind: of its records.
        stack: closes the file.
    """

    def __init__(self, path: Path, kind: type[R], stack: ExitStack):
        self._kind: type[R] = kind
        self._places: dict[str, list[int]] = {}
        if path.is_file():
            for offset, of in read_with_offsets(path, _Of):
                self._places.setdefault(of.trajectory_id, []).append(offset)
            self._stream: Any = stack.enter_context(open_bytes(path))
            self._path = path

    def of(self, trajectory: str) -> list[R]:
        """In the order in which they were written."""
        return [self._at(offset) for offset in self._places.get(trajectory, ())]

    def _at(self, offset: int) -> R:
        self._stream.seek(offset)
        line = self._stream.readline()
        try:
            return decode(line, self._kind)
        except NOT_JSON:  # read as a file, it says which line
            return next(record for _, record in read_with_offsets(self._path, self._kind, offset.__eq__))


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The trajectories of a run folder, each with its task, grades and verdicts; or of files of them alone.

    Raises:
        InputError: there are none.
        RecordError: a line is not the record it should be.
    """
    notes = notes or Notes()
    if not (path / TASKS).is_file():
        yield from (Entry(trajectory=trajectory) for trajectory in _of_files(path, notes))
        return
    notes.left_out += [file.name for file in path.glob(f"{TRAJECTORIES}.*z")]
    tasks = {task.id: task for task in asked_tasks(path)}
    if not (path / TRAJECTORIES).is_file():
        return
    with ExitStack() as stack:
        grades = Judgements(path / GRADES, Grade, stack)
        verdicts = Judgements(path / VERDICTS, Verdict, stack)
        for trajectory in read_trajectories(path):
            yield Entry(
                trajectory=trajectory,
                task=tasks.get(trajectory.task_id),
                grades=grades.of(trajectory.id),
                verdicts=verdicts.of(trajectory.id),
            )


def _of_files(path: Path, notes: Notes) -> Iterator[Trajectory]:
    """The last record of each id: a run that was taken up again has tried some once more."""

    def found(told: Notes) -> Iterator[Found]:
        return (Found(*each) for each in of_kind(path, "run", _is_trajectory, told, nulls=True))

    last = {_name(each): number for number, each in enumerate(found(Notes(skip_unreadable=True)))}
    for number, each in enumerate(found(notes)):
        if last[_name(each)] != number:
            notes.replaced += 1
            continue
        try:
            yield each.decoded(Trajectory)
        except RecordError as error:
            notes.refuse(error)


def _name(found: Found) -> Any:
    name = mapping(found.data).get("id")
    return (
        name if isinstance(name, str) else (str(found.path), found.line)
    )  # without a name it is refused, each by itself


def _is_trajectory(record: Any) -> bool:
    return isinstance(record, dict) and all(
        field in record for field in ("task_id", "turns", "retriever", "end_reason")
    )


def unrun(path: Path) -> Iterator[Task]:
    """The tasks that a run folder was asked and has no trajectory of."""
    if (path / TASKS).is_file():
        present = {trajectory.task_id for trajectory in _names(path)}
        yield from (task for task in asked_tasks(path) if task.id not in present)


class _Named(Record, frozen=True, kw_only=True):
    task_id: str


def _names(path: Path) -> Iterator[_Named]:
    if (path / TRAJECTORIES).is_file():
        yield from (named for _, named in read_with_offsets(path / TRAJECTORIES, _Named))


class RunWriter(AbstractContextManager["RunWriter"]):
    """Writes one new run folder, an entry at a time; the index and the tasks when it is closed without an error.

    Args:
        folder: it is made; nothing of a run may be in it.
        made: what goes into run.yaml: how the folder came to be.
    """

    def __init__(self, folder: Path, made: dict[str, Any]):
        self.folder, self._made = folder, made
        self._files: dict[str, IO[bytes]] = {}
        self._rows: list[Row] = []
        self._tasks: dict[str, Task] = {}
        self._agents: dict[str, Any] = {}
        self._retrievers: dict[str, Any] = {}
        self._offset = 0

    def __enter__(self) -> RunWriter:
        ensure_folder(self.folder)
        self._files[TRAJECTORIES] = (self.folder / TRAJECTORIES).open("wb")
        return self

    def add(self, entry: Entry) -> None:
        """Writes a trajectory with what belongs to it.

        Raises:
            InputError: its task has the id of one with another question, or a number is beyond 64 bits.
        """
        trajectory = entry.trajectory
        self.ask(entry.task or Task(id=trajectory.task_id, question=trajectory.question))
        self._agents.setdefault(str(trajectory.agent.get("fingerprint", "")), trajectory.agent)
        self._retrievers.setdefault(str(trajectory.retriever.get("fingerprint", "")), trajectory.retriever)
        listed = row(trajectory, self._offset, entry.grade.state if entry.grade else None)
        for field, value in msgspec.structs.asdict(listed).items():
            if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
                raise InputError(f"the trajectory {trajectory.id!r} has too large a number, {field}; correct it.")
        self._rows.append(listed)
        self._offset += self._write(TRAJECTORIES, trajectory)
        for grade in entry.grades:
            self._write(GRADES, grade)
        for verdict in entry.verdicts:
            self._write(VERDICTS, verdict)

    def ask(self, task: Task) -> None:
        """Adds a task that was asked.

        Raises:
            InputError: one of that id has another question.
        """
        before = self._tasks.setdefault(task.id, task)
        if before.question != task.question:
            raise InputError(
                f"two tasks have the id {task.id!r} and different questions ({before.question[:60]!r} and "
                f"{task.question[:60]!r}); keep the two task sets in folders of their own."
            )
        if not before.answers and task.answers:  # the one came without its task, by a trajectory alone
            self._tasks[task.id] = task

    def _write(self, name: str, record: Record) -> int:
        if name not in self._files:
            self._files[name] = (self.folder / name).open("wb")
        return self._files[name].write(line(record))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._files.values():
            stream.close()
        if kind is None:
            write_records(self.folder / TASKS, self._tasks.values())
            write_index(self.folder, self._rows)
            manifest = {
                "schema_version": 1,
                **self._made,
                "lrat-sim": __version__,
                "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "agents": self._agents,
                "retrievers": self._retrievers,
            }
            text = yaml.safe_dump(redact_all(manifest), sort_keys=False, allow_unicode=True, width=120)
            write_text(self.folder / RUN, text)


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes a run folder that can be graded, mined and evaluated."""
    count = 0
    with RunWriter(path, {"converted": about.name}) as writer:
        for entry in entries:
            writer.add(entry)
            count += 1
        for task in about.unrun:
            writer.ask(task)
    return count


def _recognise(head: Head) -> bool:
    return TASKS in head.names or _is_trajectory(head.record)


FORMAT = Format(
    name="run",
    title="a run folder, as a rollout makes it",
    recognise=_recognise,
    read=read,
    write=write,
    unrun=unrun,
    folder=True,
)
