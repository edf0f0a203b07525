"""One run folder as a table with a row a trajectory, from its index; single trajectories by their byte offset.

A rollout writes its index when it ends.  What ``trajectories.jsonl`` holds beyond the index is read from there, once,
so that a run can be watched while it goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct
from pyarrow import compute, parquet

from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.records import Grade, GradeState, Task, Trajectory, Verdict, decode
from lrat_sim.rollout.index import INDEX, TASKS, TRAJECTORIES, Row, row
from lrat_sim.viewer.evidence import Evidence
from lrat_sim.viewer.lines import Lines, Places, read_line
from lrat_sim.viewer.table import INDEX_SCHEMA, SCHEMA, agent_label, joined, retriever_label, zip_of


class _Graded(Struct, frozen=True):
    trajectory_id: str
    state: GradeState


class _Of(Struct, frozen=True, rename={"trajectory": "trajectory_id"}):
    trajectory: str


class _Named(Struct, frozen=True):
    id: str
    agent: dict[str, Any] = {}
    retriever: dict[str, Any] = {}


class RunFolder:
    """A run folder that may grow.

    Args:
        folder: it holds trajectories.jsonl.
        name: what the viewer calls it.

    Attributes:
        table: a row a trajectory, by :data:`SCHEMA`; replaced, never changed, by :meth:`refresh`.
        tasks: those asked, by id.
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.path = folder / TRAJECTORIES
        self.table = SCHEMA.empty_table()
        self.tasks: dict[str, Task] = {}
        self._problems: dict[str, str] = {}
        self._index = INDEX_SCHEMA.empty_table()
        self._tail = Lines(self.path)
        self._added: dict[str, Row] = {}
        self._grades: dict[str, str] = {}
        self._grade_lines, self._task_lines = Lines(folder / GRADES), Lines(folder / TASKS)
        self._records: dict[type[Grade | Verdict], Places] = {
            Grade: Places(folder / GRADES, _Of),
            Verdict: Places(folder / VERDICTS, _Of),
        }
        self._names: dict[tuple[str, str], tuple[str, str]] = {}
        self._evidence = Evidence(self.path)
        self._signatures: dict[str, tuple[int, int, int] | None] = {}

    @property
    def problems(self) -> list[str]:
        """What of the folder could not be read: the first of each file, a sentence each."""
        return [*self._problems.values(), *(each.problem for each in self._records.values() if each.problem)]

    @property
    def size(self) -> int:
        """The bytes of its trajectories."""
        return self.path.stat().st_size if self.path.exists() else 0

    def refresh(self, *, evidence: bool = False) -> bool:
        """Reads what came since the last call; says whether anything did.

        Args:
            evidence: counts the evidence that each run was shown, for which all trajectories are read once.
        """
        signatures = {name: _signature(self.folder / name) for name in (INDEX, TRAJECTORIES, TASKS, GRADES)}
        changed = {name for name, value in signatures.items() if self._signatures.get(name, ()) != value}
        if not changed and not (evidence and self._uncounted()):
            return False
        self._signatures = signatures
        self._read_tasks()
        if INDEX in changed or self._tail.restarted():
            self._read_index()
        self._read_tail()
        self._read_grades()
        if evidence:
            self._evidence.refresh(self.tasks)
        self.table = self._joined()
        return True

    def trajectory(self, name: str) -> Trajectory | None:
        """One trajectory, None where there is none of that id.

        Raises:
            InputError: its record is not where the index says, or is none.
        """
        place = compute.index(self.table["id"], name).as_py()
        return None if place < 0 else self.at(self.table["offset"][place].as_py(), name)

    def at(self, offset: int, name: str) -> Trajectory:
        """The trajectory that starts at a byte; see :meth:`trajectory`."""
        try:
            with self.path.open("rb") as stream:
                found = decode(read_line(stream, offset), Trajectory)
        except (OSError, *NOT_JSON) as error:
            raise InputError(f"{self.path}, byte {offset}: no trajectory can be read there ({error}).") from error
        if found.id != name:
            raise InputError(f"{self.folder / INDEX} does not fit {TRAJECTORIES}: run the rollout's command again.")
        return found

    def verdicts(self, trajectory: str) -> list[Verdict]:
        """The verdicts on a run's browses, the latest last."""
        return self._judged(trajectory, Verdict)

    def grades(self, trajectory: str) -> list[Grade]:
        """The grades of a run's answer, the latest last."""
        return self._judged(trajectory, Grade)

    def _judged(self, trajectory: str, kind: type[Any]) -> list[Any]:
        places = self._records[kind]
        places.refresh()
        return [decode(line, kind) for _, line in places.of(trajectory)]

    def _read_tasks(self) -> None:
        if self._task_lines.restarted():
            self.tasks = {}
            self._problems.pop(TASKS, None)
        for line in self._task_lines.added():
            try:
                task = decode(line.content, Task)
            except NOT_JSON as error:
                self._say(TASKS, f"line {line.number}", error)
                continue
            self.tasks[task.id] = task

    def _read_grades(self) -> None:
        if self._grade_lines.restarted():
            self._grades = {}
            self._problems.pop(GRADES, None)
        for line in self._grade_lines.added():
            try:
                graded = _GRADED(line.content)
            except NOT_JSON as error:
                self._say(GRADES, f"line {line.number}", error)
                continue
            self._grades[graded.trajectory_id] = graded.state

    def _read_index(self) -> None:
        """The index, where it belongs to the trajectories; the tail then begins behind its last record."""
        self._index, self._added, covered = INDEX_SCHEMA.empty_table(), {}, 0
        self._problems.pop(INDEX, None)
        self._problems.pop(TRAJECTORIES, None)
        path = self.folder / INDEX
        if path.is_file():
            try:
                table = parquet.read_table(path)
                table = table.select(INDEX_SCHEMA.names).cast(INDEX_SCHEMA)
                covered = self._end_of_index(table)
            except (OSError, KeyError, ValueError, pa.ArrowException) as error:
                self._say(INDEX, "the index", error)
            self._index = table if covered else self._index
        self._tail = Lines(self.path, covered)
        self._tail.restarted()

    def _end_of_index(self, table: pa.Table) -> int:
        """The byte behind the last record that an index knows; 0 where that record is another one."""
        if not table.num_rows:
            return 0
        last = compute.max(table["offset"]).as_py()
        name = table["id"][compute.index(table["offset"], last).as_py()].as_py()
        try:
            with self.path.open("rb") as stream:
                line = read_line(stream, last)
            return last + len(line) if msgspec.json.decode(line, type=_Named).id == name else 0
        except (OSError, *NOT_JSON):
            return 0

    def _read_tail(self) -> None:
        for line in self._tail.added():
            try:
                trajectory = decode(line.content, Trajectory)
            except NOT_JSON as error:
                self._say(TRAJECTORIES, f"byte {line.offset}", error)
                continue
            self._added[trajectory.id] = row(trajectory, line.offset)

    def _joined(self) -> pa.Table:
        index = self._index
        if self._added:
            again = compute.is_in(index["id"], pa.array(list(self._added), pa.string()))
            added = pa.Table.from_pylist([msgspec.structs.asdict(each) for each in self._added.values()], INDEX_SCHEMA)
            index = pa.concat_tables([index.filter(compute.invert(again)), added])
        grades = [self._grades.get(*both) for both in zip_of(index, "id", "grade")]
        counts = [self._evidence.count(offset) for offset in index["offset"].to_pylist()]
        return joined(index, self.tasks, grades, counts, self._labels(index), self.name)

    def _labels(self, index: pa.Table) -> list[tuple[str, str]]:
        """What people call agent and retriever of each row, by the settings in the first record that has them."""
        both = list(zip(index["agent"].to_pylist(), index["retriever"].to_pylist(), strict=True))
        for key in set(both) - set(self._names):
            offset = index["offset"][both.index(key)].as_py()
            try:
                with self.path.open("rb") as stream:
                    named = msgspec.json.decode(read_line(stream, offset), type=_Named)
            except (OSError, *NOT_JSON):
                self._names[key] = key
                continue
            self._names[key] = (agent_label(named.agent), retriever_label(named.retriever))
        return [self._names[key] for key in both]

    def _uncounted(self) -> bool:
        known = compute.greater(self.table["evidence"], 0)
        return bool(compute.any(compute.and_(known, compute.is_null(self.table["evidence_shown"]))).as_py())

    def _say(self, name: str, where: str, error: Exception) -> None:
        self._problems.setdefault(name, f"{self.folder / name}, {where}, cannot be read ({error}).")


_GRADED = msgspec.json.Decoder(_Graded).decode


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
