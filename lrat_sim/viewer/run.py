"""One run folder as a table with a row a trajectory, from its index; single trajectories by their byte offset.

A rollout writes its index when it ends.  What ``trajectories.jsonl`` holds beyond the index is read from there, so that
a run can be watched while it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from lrat_sim.viewer.files import ByTrajectory, Signature, read_line, readable, signature
from lrat_sim.viewer.table import INDEX_SCHEMA, extended, zip_of

Described = tuple[dict[str, Any], dict[str, Any]]
"""Agent and retriever as a trajectory records them."""


class _Graded(Struct, frozen=True):
    trajectory_id: str
    state: GradeState


class _Judged(Struct, frozen=True, rename={"trajectory": "trajectory_id"}):
    trajectory: str


class _Header(Struct, frozen=True):
    id: str
    agent: dict[str, Any] = {}
    retriever: dict[str, Any] = {}


class _Hit(Struct, frozen=True, gc=False):
    docid: str


class _Call(Struct, frozen=True):
    hits: list[_Hit] | None = None
    docid: str | None = None


class _Turn(Struct, frozen=True):
    calls: list[_Call] = []


class _Calls(Struct, frozen=True):
    task_id: str = ""
    turns: list[_Turn] = []


_CALLS = msgspec.json.Decoder(_Calls).decode
_GRADED = msgspec.json.Decoder(_Graded).decode
_HEADER = msgspec.json.Decoder(_Header).decode


class RunFolder:
    """A run folder that may grow.

    Args:
        folder: it holds trajectories.jsonl.
        name: what the viewer calls it.

    Attributes:
        table: a row a trajectory, by :func:`lrat_sim.viewer.table.extended`; replaced, never changed.
        tasks: those asked, by id.
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.path = folder / TRAJECTORIES
        self.tasks: dict[str, Task] = {}
        self._problems: dict[str, str] = {}
        self._signatures: dict[str, Signature | None] = {}
        self._beyond: dict[int, Row] = {}
        self._evidence: dict[int, tuple[int, int] | None] = {}
        self._last: tuple[int, str] | None = None
        self._described: dict[tuple[str, str], Described] = {}
        self._grades, self._verdicts = (ByTrajectory(folder / name, _Judged) for name in (GRADES, VERDICTS))
        self.table = extended(INDEX_SCHEMA.empty_table(), {}, [], [])

    @property
    def problems(self) -> list[str]:
        """What of the folder could not be read: the first of each file, a sentence each."""
        return [*(self._problems | self._grades.problems | self._verdicts.problems).values()]

    @property
    def size(self) -> int:
        """The bytes of its trajectories."""
        return self.path.stat().st_size if self.path.exists() else 0

    def refresh(self, *, evidence: bool = False) -> bool:
        """Reads the folder again where a file of it has changed; says whether one has.

        Args:
            evidence: counts the evidence that each run was shown, for which all trajectories are read once.
        """
        signatures = {name: signature(self.folder / name) for name in (INDEX, TRAJECTORIES, TASKS, GRADES)}
        if signatures == self._signatures and not (evidence and len(self._evidence) < self.table.num_rows):
            return False
        self._signatures = signatures
        if self._last is not None and self._end_of(*self._last) is None:  # another file stands there now
            self._beyond, self._evidence = {}, {}
        tasks = readable(self.folder / TASKS, lambda line: decode(line, Task), self._problems)
        self.tasks = {task.id: task for _, task in tasks}
        states = {one.trajectory_id: one.state for _, one in readable(self.folder / GRADES, _GRADED, self._problems)}
        index = self._read_index()
        if evidence:
            self._count_evidence()
        grades = [states.get(name, grade) for name, grade in zip_of(index, "id", "grade")]
        counts = [self._evidence.get(offset) for offset in index["offset"].to_pylist()]
        self.table = extended(index, self.tasks, grades, counts)
        return True

    def described(self) -> dict[tuple[str, str], Described]:
        """Agent and retriever by their fingerprints, from the first record that has them; empty where it is broken."""
        keys = list(zip_of(self.table, "agent", "retriever"))
        for key in set(keys) - self._described.keys():
            header = self._header(self.table["offset"][keys.index(key)].as_py())
            self._described[key] = (header.agent, header.retriever) if header is not None else ({}, {})
        return self._described

    def trajectory(self, name: str) -> Trajectory | None:
        """One trajectory, None where there is none of that id.

        Raises:
            InputError: its record is not where the index says, or is none.
        """
        position = compute.index(self.table["id"], name).as_py()
        return None if position < 0 else self.at(self.table["offset"][position].as_py(), name)

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
        self._verdicts.refresh()
        return self._verdicts.read(self._verdicts.numbers(trajectory), Verdict)

    def grades(self, trajectory: str) -> list[Grade]:
        """The grades of a run's answer, the latest last."""
        self._grades.refresh()
        return self._grades.read(self._grades.numbers(trajectory), Grade)

    def _read_index(self) -> pa.Table:
        """The index, where it belongs to the trajectories, and behind it the rows that it lacks."""
        index, covered = INDEX_SCHEMA.empty_table(), 0
        path = self.folder / INDEX
        self._problems.pop(INDEX, None)
        if path.is_file():
            try:
                table = parquet.read_table(path).select(INDEX_SCHEMA.names).cast(INDEX_SCHEMA)
            except (OSError, KeyError, ValueError, pa.ArrowException) as error:
                self._problems[INDEX] = f"{path} cannot be read ({error})."
                table = index
            if table.num_rows:
                last = compute.max(table["offset"]).as_py()
                name = table["id"][compute.index(table["offset"], last).as_py()].as_py()
                if (end := self._end_of(last, name)) is not None:
                    index, covered, self._last = table, end, (last, name)
        rows = {offset: row for offset, row in self._beyond.items() if offset >= covered}
        start = self._end_of(max(rows), rows[max(rows)].id) if rows else None
        found = readable(self.path, lambda line: decode(line, Trajectory), self._problems, start or covered)
        rows |= {offset: row(trajectory, offset) for offset, trajectory in found}
        self._beyond = rows
        if rows:
            self._last = max(rows), rows[max(rows)].id
            # the last record of an id is the one that counts
            added = {row.id: msgspec.structs.asdict(row) for row in rows.values()}
            again = compute.is_in(index["id"], pa.array(list(added), pa.string()))
            beyond = pa.Table.from_pylist(list(added.values()), INDEX_SCHEMA)
            index = pa.concat_tables([index.filter(compute.invert(again)), beyond])
        return index

    def _header(self, offset: int) -> _Header | None:
        try:
            with self.path.open("rb") as stream:
                return _HEADER(read_line(stream, offset))
        except (OSError, *NOT_JSON):
            return None

    def _end_of(self, offset: int, name: str) -> int | None:
        """The byte behind the trajectory that starts at ``offset``; None where that is not the one of this name."""
        header = self._header(offset)
        if header is None or header.id != name:
            return None
        with self.path.open("rb") as stream:
            return offset + len(read_line(stream, offset))

    def _count_evidence(self) -> None:
        start = max(self._evidence, default=0)
        for offset, run in readable(self.path, _CALLS, {}, start):
            task = self.tasks.get(run.task_id)
            calls = (call for turn in run.turns for call in turn.calls)
            self._evidence[offset] = evidence_counts(calls, task.evidence) if task is not None else None


def evidence_counts(calls: Iterable[Any], evidence: Iterable[str]) -> tuple[int, int]:
    """How many of some documents a run was shown, and how many it opened."""
    wanted, calls = set(evidence), list(calls)
    shown = {hit.docid for call in calls for hit in call.hits or ()}
    return len(wanted & shown), len(wanted & {call.docid for call in calls})
