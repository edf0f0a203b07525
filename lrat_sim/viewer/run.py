"""One run folder as a table with a row a trajectory, from its index; single trajectories by their byte offset.

What ``trajectories.jsonl`` holds beyond the index is read from there, so that a run can be watched while it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct
from pyarrow import compute, parquet

from lrat_sim.decoding import prepared
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.records import Grade, Hit, Task, Trajectory, Verdict, decode, is_forced
from lrat_sim.rollout.index import INDEX, TASKS, TRAJECTORIES, Row, row
from lrat_sim.viewer.files import RecordFile, Signature, readable, signature

_KINDS = {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}
_INDEX = pa.schema([(name, _KINDS[str(kind).split(" ")[0]]) for name, kind in Row.__annotations__.items()])
RUN_SCHEMA = pa.schema(
    [
        *_INDEX,
        *((name, pa.int64()) for name in ("steps", "tokens", "evidence", "evidence_shown", "evidence_opened")),
        *((name, pa.string()) for name in ("outcome", "ending", "question", "words")),
    ]
)
"""The index, and beside it: ``evidence``, the number of documents that prove the task's answer (0 where none are
known), and how many of them the run was shown and opened (null where not counted); ``outcome``, which is correct,
incorrect, ungraded, unanswered or error; ``ending``, the status, or ``forced`` where the answer was given at a limit;
``words``, the text that is searched."""

Described = tuple[dict[str, Any], dict[str, Any]]  # agent and retriever as a trajectory records them


class _Call(Struct, frozen=True):
    hits: list[Hit] | None = None
    docid: str | None = None


class _Turn(Struct, frozen=True):
    calls: list[_Call] = []


class _Calls(Struct, frozen=True):
    task_id: str = ""
    turns: list[_Turn] = []


_CALLS = msgspec.json.Decoder(prepared(_Calls)).decode


class RunFolder:
    """A run folder that may grow; its ``table``, by :data:`RUN_SCHEMA`, is replaced, never changed."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name, self.path = folder, name, folder / TRAJECTORIES
        self.tasks: dict[str, Task] = {}
        self.grades, self.verdicts = RecordFile(folder / GRADES, Grade), RecordFile(folder / VERDICTS, Verdict)
        self.table = RUN_SCHEMA.empty_table()
        self._problems: dict[str, str] = {}
        self._signatures: dict[str, Signature | None] = {}
        self._index = _INDEX.empty_table()
        self._beyond: dict[str, Row] = {}
        self._read, self._last = 0, b""
        self._evidence: dict[int, tuple[int, int] | None] = {}
        self._described: dict[tuple[str, str], Described] = {}

    @property
    def problems(self) -> list[str]:
        """What of the folder could not be read: the first of each file, a sentence each."""
        return [*(self._problems | self.grades.problems | self.verdicts.problems).values()]

    def refresh(self, *, evidence: bool = False) -> bool:
        """Reads the folder again where a file of it has changed; says whether one has.  Evidence needs all trajectories
        read."""
        before, now = self._signatures, {name: signature(self.folder / name) for name in _FILES}
        if now == before and not (evidence and len(self._evidence) < self.table.num_rows):
            return False
        self._signatures = now
        replaced = self._is_replaced(before.get(TRAJECTORIES), now[TRAJECTORIES])
        if replaced:
            self._evidence = {}
        if replaced or now[INDEX] != before.get(INDEX):
            self._read_index()
        beyond = readable(self.path, lambda line: (decode(line, Trajectory), line), self._problems, self._read)
        for offset, (trajectory, line) in beyond:
            self._beyond[trajectory.id] = row(trajectory, offset)
            self._read, self._last = offset + len(line), line
        tasks = readable(self.folder / TASKS, lambda line: decode(line, Task), self._problems)
        self.tasks = {task.id: task for _, task in tasks}
        self.grades.refresh()
        if evidence:
            self._count_evidence()
        self.table = self._table()
        return True

    def _is_replaced(self, before: Signature | None, now: Signature | None) -> bool:
        """Whether trajectories.jsonl did not only grow; one written anew under its inode has shrunk or changed before
        its end."""
        if before is None or now is None or now == before:
            return now != before
        return now[1] <= before[1] or self._line(self._read - len(self._last)) != self._last

    def _read_index(self) -> None:
        """The index, where it belongs to the trajectories; what was read beyond the former one is forgotten."""
        path, self._index = self.folder / INDEX, _INDEX.empty_table()
        self._beyond, self._read, self._last = {}, 0, b""
        self._problems.pop(INDEX, None)
        if not path.is_file():
            return
        try:
            table = parquet.read_table(path).select(_INDEX.names).cast(_INDEX)
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            self._problems[INDEX] = f"{path} cannot be read ({error})."
            return
        if table.num_rows:
            last = compute.max(table["offset"]).as_py()
            line = self._line(last)
            record = _trajectory(line)
            if record is not None and record.id == table["id"][compute.index(table["offset"], last).as_py()].as_py():
                self._index, self._read, self._last = table, last + len(line), line

    def _count_evidence(self) -> None:
        for offset, run in readable(self.path, _CALLS, {}, max(self._evidence, default=0)):
            self._evidence[offset] = None
            if (task := self.tasks.get(run.task_id)) is not None:
                calls = [call for turn in run.turns for call in turn.calls]
                shown = {hit.docid for call in calls for hit in call.hits or ()}
                opened = {call.docid for call in calls}
                self._evidence[offset] = len(shown.intersection(task.evidence)), len(opened.intersection(task.evidence))

    def _table(self) -> pa.Table:
        # the last record of an id is the one that counts
        again = compute.is_in(self._index["id"], pa.array(list(self._beyond), pa.string()))
        beyond = pa.Table.from_pylist([msgspec.structs.asdict(row) for row in self._beyond.values()], _INDEX)
        index = pa.concat_tables([self._index.filter(compute.invert(again)), beyond])
        grades = [self.grades.states.get(name, grade) for name, grade in values(index, "id", "grade")]
        tasks = [self.tasks.get(name) for (name,) in values(index, "task_id")]
        questions = [task.question if task else "" for task in tasks]
        counts = [self._evidence.get(offset) for (offset,) in values(index, "offset")]
        columns: dict[str, Any] = dict(zip(index.column_names, index.columns, strict=True)) | {
            "grade": grades,
            "steps": compute.add(index["searches"], index["browses"]),
            "tokens": compute.add(index["prompt_tokens"], index["completion_tokens"]),
            "evidence": [len(set(task.evidence)) if task else 0 for task in tasks],
            "evidence_shown": [count and count[0] for count in counts],
            "evidence_opened": [count and count[1] for count in counts],
            "outcome": [
                (grade or "ungraded") if status == "answered" else status
                for (status,), grade in zip(values(index, "status"), grades, strict=True)
            ],
            "ending": [
                "forced" if is_forced(status, reason) else status
                for status, reason in values(index, "status", "end_reason")
            ],
            "question": questions,
            "words": [
                "\n".join((question, task, name, answer or "")).casefold()
                for question, (task, name, answer) in zip(
                    questions, values(index, "task_id", "id", "answer"), strict=True
                )
            ],
        }
        return pa.table(columns, RUN_SCHEMA)

    def described(self) -> dict[tuple[str, str], Described]:
        """Agent and retriever by their fingerprints, from the first record that has them; empty where it is broken."""
        keys = list(values(self.table, "agent", "retriever"))
        for key in set(keys) - self._described.keys():
            first = _trajectory(self._line(self.table["offset"][keys.index(key)].as_py()))
            self._described[key] = (first.agent, first.retriever) if first is not None else ({}, {})
        return self._described

    def trajectory(self, name: str) -> Trajectory:
        """One trajectory by its id."""
        position = compute.index(self.table["id"], name).as_py()
        if position < 0:
            raise InputError(f"the run {self.name!r} has no trajectory {name!r}; choose one of the list.")
        trajectory = _trajectory(self._line(self.table["offset"][position].as_py()))
        if trajectory is None or trajectory.id != name:
            raise InputError(f"{self.folder / INDEX} does not fit {TRAJECTORIES}; rerun the rollout's command.")
        return trajectory

    def _line(self, offset: int) -> bytes:
        """The line of trajectories.jsonl that starts at a byte; empty where there is none."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(offset)
                return stream.readline()
        except OSError:
            return b""


_FILES = (INDEX, TRAJECTORIES, TASKS, GRADES)


def _trajectory(line: bytes) -> Trajectory | None:
    with suppress(*NOT_JSON):
        return decode(line, Trajectory)
    return None


def values(table: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, row by row."""
    return zip(*(table[name].to_pylist() for name in columns), strict=True)
