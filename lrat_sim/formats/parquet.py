"""A data set as Parquet with a card: a folder that ``datasets.load_dataset`` opens and the Hugging Face hub shows.

::

    FOLDER/README.md                          the card
    FOLDER/data/trajectories-00000.parquet    one row a trajectory, some thousands a file
    FOLDER/data/tasks-00000.parquet           one row a task that was asked, run or not

A row holds the whole record, so that it is read back equal, and beside it what one asks for most: names, counts, the
queries that ran, the documents shown and opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.tables import columns_of, rows
from lrat_sim.foreign.values import Found
from lrat_sim.formats.card import EntryCounts, column_kinds, column_meanings, column_table, write_card
from lrat_sim.formats.columns import RecordColumns, schema_of, write_shards
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.registry import About, Format, Head, Notes
from lrat_sim.formats.sources import LOOKED_AT, files_of
from lrat_sim.records import Grade, Record, Task, Trajectory, Verdict

R = TypeVar("R", bound=Record)
_TRAJECTORIES, _TASKS = RecordColumns(Trajectory), RecordColumns(Task)
_GRADES, _VERDICTS = RecordColumns(Grade), RecordColumns(Verdict)


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes the folder, streaming; returns the number of trajectories.

    Raises:
        InputError: a number is too large for a column, or the disk is full.
    """
    import pyarrow

    counts, tasks = EntryCounts(), dict[str, Task]()

    def counted() -> Iterator[Entry]:
        for entry in entries:
            counts.add(entry)
            task = entry.asked
            if tasks.setdefault(task.id, task).question != task.question:
                raise InputError(
                    f"two tasks have the id {task.id!r} and different questions; write them as two data sets."
                )
            yield entry

    judged = [("grades", pyarrow.list_(_GRADES.type)), ("verdicts", pyarrow.list_(_VERDICTS.type))]
    schema = pyarrow.schema([*_TRAJECTORIES.schema, *pyarrow.schema(judged), *schema_of(column_kinds("summary"))])
    write_shards(path / "data", counted(), {"trajectories": (schema, _row)})
    tasks |= {task.id: task for task in about.unrun}
    write_shards(path / "data", tasks.values(), {"tasks": (_TASKS.schema, _TASKS.row)})
    meanings = column_meanings("trajectories") | column_meanings("summary")
    write_card(
        path,
        "trajectories",
        about,
        rows=counts.trajectories,
        tables=["trajectories", "tasks"],
        categories=["question-answering", "text-retrieval"],
        tags=["deep-research"],
        canaries=counts.canaries,
        run=len(counts.tasks),
        asked=len(tasks),
        runs=counts.table(len(tasks)),
        columns=column_table("trajectories", meanings),
    )
    return counts.trajectories


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


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The entries of such a file or of the files below a folder, streaming; their names do not matter.

    Raises:
        InputError: there are none, or one is damaged.
        RecordError: a row does not hold a trajectory; names file, row and field.
    """
    notes = notes or Notes()
    files = {file: _kind_of(file) for file in files_of(path)}
    notes.left_out += [file.relative_to(path).as_posix() for file, kind in files.items() if kind is None]
    if Trajectory not in files.values():
        raise InputError(f"{path} holds no trajectories as lrat-sim writes them as Parquet; give a folder of those.")
    tasks = {task.id: task for task in _tasks(files)}
    for row in chain.from_iterable(rows(file) for file, kind in files.items() if kind is Trajectory):
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


def unrun(path: Path) -> Iterator[Task]:
    """The tasks of the data set that have no trajectory."""
    files = {file: _kind_of(file) for file in files_of(path)}
    run: set[str] = set()
    for file in (file for file, kind in files.items() if kind is Trajectory):
        run.update(row.data["task_id"] for row in rows(file, ["task_id"]))
    yield from (task for task in _tasks(files) if task.id not in run)


def _kind_of(file: Path) -> type[Record] | None:
    """Of what kind of record the rows of a file are; None where it is no table of ours."""
    types = columns_of(file)
    if types.get("agent", "string") not in ("string", "large_string"):  # made by others of our lines of JSON
        return None
    kinds = ((Trajectory, _TRAJECTORIES.needed), (Task, _TASKS.needed))
    return next((kind for kind, needed in kinds if set(needed) <= types.keys()), None)


def _tasks(files: dict[Path, type[Record] | None]) -> Iterator[Task]:
    for row in chain.from_iterable(rows(file) for file, kind in files.items() if kind is Task):
        yield _record(_TASKS, row, row.data)


def _record(columns: RecordColumns[R], row: Found, values: dict[str, Any]) -> R:
    try:
        return columns.record(values)
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"not the record it should be: {error}"
        raise RecordError(row.path, row.line, problem, "write the file again") from error


def _recognise(head: Head) -> bool:
    if head.record is not None:  # the names come first, and there the tables were looked at
        return False
    return any(_kind_of(file) is Trajectory for file in islice(files_of(head.path), LOOKED_AT))


FORMAT = Format(
    name="parquet",
    title="Parquet with a data set card, for datasets.load_dataset and the Hugging Face hub",
    recognise=_recognise,
    read=read,
    write=write,
    unrun=unrun,
)
