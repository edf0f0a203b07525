"""A data set as Parquet with a card: a folder that ``datasets.load_dataset`` opens and the Hugging Face hub shows.

``data/trajectories-00000.parquet`` and so on have a row a trajectory, ``data/tasks-00000.parquet`` a row a task, run or
not.  A row holds the whole record, and beside it what one asks for most: names, counts, queries, documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lrat_sim.errors import InputError, RecordError, said_plainly
from lrat_sim.foreign.files import columns_of, rows
from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats.entry import Entry, add_task
from lrat_sim.formats.hub import RecordColumns, schema_of, write_card, write_shards
from lrat_sim.formats.registry import LOOKED_AT, About, Format, Notes, files_of
from lrat_sim.records import Grade, Record, Task, Trajectory, Verdict
from lrat_sim.success import run_success, success
from lrat_sim.tables import Table, number

R = TypeVar("R", bound=Record)
_TRAJECTORIES, _TASKS = RecordColumns(Trajectory), RecordColumns(Task)
_GRADES, _VERDICTS = RecordColumns(Grade), RecordColumns(Verdict)
ROW_GROUP = 200  # rows held in memory at once: 12 MB for trajectories of 60 kB each
SHARD = 10_000  # rows of a file


# --- writing


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes the folder, streaming; returns the number of trajectories."""
    import pyarrow

    counts, tasks = _Counts(), dict[str, Task]()

    def counted() -> Iterator[Entry]:
        for entry in entries:
            counts.add(entry)
            add_task(tasks, entry.asked)
            yield entry

    judged = [("grades", pyarrow.list_(_GRADES.type)), ("verdicts", pyarrow.list_(_VERDICTS.type))]
    schema = pyarrow.schema([*_TRAJECTORIES.type, *pyarrow.schema(judged), *schema_of("summary")])
    sizes = {"row_group": ROW_GROUP, "shard": SHARD}
    count = write_shards(path / "data", counted(), {"trajectories": (schema, _row)}, **sizes)
    run = len(tasks)
    tasks |= {task.id: task for task in about.unrun}
    write_shards(path / "data", tasks.values(), {"tasks": (pyarrow.schema([*_TASKS.type]), _TASKS.row)}, **sizes)
    values = {"run": run, "asked": len(tasks), "runs": counts.table(len(tasks) - run)}
    write_card(path, "trajectories", about, rows=count, canaries=counts.canaries, **values)
    return count


def _row(entry: Entry) -> dict[str, Any]:
    trajectory, task = entry.trajectory, entry.task
    calls = list(trajectory.calls())
    searches = [call for call in calls if call.is_search]
    queries = [(call.executed or {}).get("query") for call in searches]
    opened = [call.docid for call in calls if call.is_browse]
    return {
        **_TRAJECTORIES.row(trajectory),
        "grades": [_GRADES.row(grade) for grade in entry.grades],
        "verdicts": [_VERDICTS.row(verdict) for verdict in entry.verdicts],
        "agent_name": entry.agent_name,
        "agent_fingerprint": str(trajectory.agent.get("fingerprint", "")),
        "retriever_name": entry.retriever_name,
        "retriever_fingerprint": str(trajectory.retriever.get("fingerprint", "")),
        "answers": task.answers if task else [],
        "evidence": task.evidence if task else [],
        "grade": entry.grade.state if entry.grade else None,
        "turn_count": len(trajectory.turns),
        "searches": len(searches),
        "browses": len(opened),
        "failed_calls": sum(call.executed is None for call in calls),
        "reasoning_tokens": sum(turn.reasoning_tokens for turn in trajectory.turns),
        "queries": [query for query in queries if isinstance(query, str)],
        "shown": list(dict.fromkeys(hit.docid for call in searches for hit in call.hits or ())),
        "opened": opened,
        "canary": entry.canary,
    }


class _Counts:
    """Counts entries as they are written, for the card."""

    def __init__(self) -> None:
        self.canaries: set[str] = set()
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._runs: dict[tuple[str, str], dict[str, list[float | None]]] = {}

    def add(self, entry: Entry) -> None:
        trajectory = entry.trajectory
        if entry.canary is not None:
            self.canaries.add(entry.canary)
        arm = entry.agent_name, entry.retriever_name
        grade = entry.grade.state if entry.grade is not None else "ungraded"
        self._runs.setdefault(arm, {}).setdefault(trajectory.task_id, []).append(run_success(trajectory.status, grade))
        counts = self._counts.setdefault(arm, Counter())
        counts.update(["trajectories", trajectory.status])
        counts["graded " + grade] += trajectory.status == "answered"
        counts["searches"] += sum(1 for _ in trajectory.searches())
        counts["browses"] += sum(1 for _ in trajectory.browses())

    def table(self, unrun: int) -> str:
        """A Markdown table with a row an agent and retriever; the tasks that nobody ran count as failures."""
        columns = ["agent", "retriever", "trajectories", "answered", "unanswered", "errors", "correct", "incorrect"]
        columns += ["success, %", "searches a run", "documents opened a run"]
        counted = ("trajectories", "answered", "unanswered", "error", "graded correct", "graded incorrect")
        rows = []
        for arm, counts in sorted(self._counts.items()):
            value = success([*self._runs[arm].values(), *([] for _ in range(unrun))]).value
            means = (number(counts[name] / counts["trajectories"], 2) for name in ("searches", "browses"))
            rows.append([*arm, *(number(counts[name], 0) for name in counted), number(value, scale=100), *means])
        return Table.of("Runs by agent and retriever", columns, rows, text_columns=(0, 1)).to_markdown()


# --- reading


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The entries of such a file or of the files below a folder, streaming; their names do not matter."""
    notes = notes or Notes()
    files = {file: _kind_of(file) for file in files_of(path)}
    notes.left_out += [file.relative_to(path).as_posix() for file, kind in files.items() if kind is None]
    if Trajectory not in files.values():
        raise InputError(f"{path} holds no trajectories as lrat-sim writes them as Parquet; give a folder of those.")
    tasks = _tasks(files)
    for row in _rows(files, Trajectory):
        try:
            trajectory = _record(_TRAJECTORIES, row, row.data)
            entry = Entry(
                trajectory=trajectory,
                task=tasks.get(trajectory.task_id),
                grades=[_record(_GRADES, row, grade) for grade in row.data.get("grades") or ()],
                verdicts=[_record(_VERDICTS, row, verdict) for verdict in row.data.get("verdicts") or ()],
            )
        except RecordError as error:
            notes.refuse(error)
            continue
        yield entry


def _kind_of(file: Path) -> type[Record] | None:
    """The kind of record in a file's rows; None where it is no table of ours."""
    types = columns_of(file)
    if types.get("agent", "string") not in ("string", "large_string"):  # made by others of our lines of JSON
        return None
    kinds = ((Trajectory, _TRAJECTORIES.needed), (Task, _TASKS.needed))
    return next((kind for kind, needed in kinds if set(needed) <= types.keys()), None)


def _rows(files: dict[Path, type[Record] | None], wanted: type[Record]) -> Iterator[SourceRecord]:
    return (row for file, kind in files.items() if kind is wanted for row in rows(file))


def _tasks(files: dict[Path, type[Record] | None]) -> dict[str, Task]:
    return {task.id: task for task in (_record(_TASKS, row, row.data) for row in _rows(files, Task))}


def _record(columns: RecordColumns[R], row: SourceRecord, values: dict[str, Any]) -> R:
    try:
        return columns.record(values)
    except (msgspec.DecodeError, RecursionError) as error:
        raise row.fault(f"not the record it should be: {said_plainly(error)}", "write the file again") from error


FORMAT = Format(
    name="parquet",
    title="Parquet with a data set card, for datasets.load_dataset and the Hugging Face hub",
    # at the first look, that at its path alone
    recognise=lambda path, record: (
        not record and any(_kind_of(file) is Trajectory for file in islice(files_of(path), LOOKED_AT))
    ),
    read=read,
    write=write,
    tasks=lambda path: _tasks({file: _kind_of(file) for file in files_of(path)}).values(),
)
