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
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lrat_sim.artifact import ensure_folder
from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.tables import columns_of, rows
from lrat_sim.foreign.values import Found
from lrat_sim.formats.card import Tally, agent_name, card, retriever_name
from lrat_sim.formats.columns import Columns
from lrat_sim.formats.formats import About, Entry, Format, Head, Notes
from lrat_sim.formats.sources import LOOKED_AT, files_of
from lrat_sim.records import Grade, Record, Task, Trajectory, Verdict

R = TypeVar("R", bound=Record)
_TRAJECTORIES, _TASKS, _GRADES, _VERDICTS = Columns(Trajectory), Columns(Task), Columns(Grade), Columns(Verdict)

ROW_GROUP = 200
"""Trajectories held in memory at once: 12 MB at 60 kB each."""
SHARD = 10_000
"""Trajectories a file."""

_SUMMARY = {
    "agent_name": ("string", "the agent's name, or its model"),
    "agent_fingerprint": ("string", "which settings of the agent: equal only where all are"),
    "retriever_name": ("string", "the retriever's kind"),
    "retriever_fingerprint": ("string", "which retriever: equal only where every answer is"),
    "answers": ("strings", "the accepted answers of the task"),
    "evidence": ("strings", "ids of the documents that prove the answer, where they are known"),
    "grade": ("string", "the latest grade of the answer: correct, incorrect or ungraded; null where none was made"),
    "turn_count": ("number", "turns"),
    "searches": ("number", "searches that ran"),
    "browses": ("number", "documents opened"),
    "failed_calls": ("number", "calls that did not run"),
    "reasoning_tokens": ("number", "tokens of reasoning, by the tokenizer named in `agent`"),
    "queries": ("strings", "the queries that ran, in order"),
    "shown": ("strings", "ids of the documents in result lists, each once, in order"),
    "opened": ("strings", "ids of the documents opened, in order"),
    "canary": ("string", "the canary of a benchmark that asks not to be republished in plain text"),
}
_FIELDS = {
    "schema_version": "version of this layout",
    "id": "the run: task, sample and what else decides it",
    "task_id": "the task; see the configuration `tasks`",
    "question": "what was asked",
    "sample": "which of several runs of the task, from 0",
    "agent": "the agent's settings, JSON",
    "retriever": "the retriever's settings, JSON",
    "seed": "the run's seed",
    "status": "answered, unanswered or error",
    "end_reason": "answer, gave_up, error or the limit that was reached",
    "answer": "the answer; null where there is none",
    "turns": "list of turns: `reasoning` (null: the model gave none), `reasoning_tokens`, `text`, `usage`, and `calls` "
    "with `tool`, `arguments` (asked, JSON), `executed` (what ran, JSON), `output` (as shown), `hits`, `docid`",
    "usage": "tokens, and US dollars where the price is known",
    "error": "why a run broke: the boundary it crossed and the message",
    "seconds": "time it took",
    "extra": "what was sent, and what an import brought that has no place, JSON",
    "grades": "every grade, the latest last",
    "verdicts": "every verdict on an opened document (turn and call count from 0), the latest last",
}


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes the folder, streaming; returns the number of trajectories.

    Raises:
        InputError: a number is too large for a column, or the disk is full.
    """
    ensure_folder(path / "data")
    tally, tasks = Tally(), dict[str, Task]()

    def counted() -> Iterator[Entry]:
        for entry in entries:
            tally.add(entry)
            trajectory = entry.trajectory
            task = entry.task or Task(id=trajectory.task_id, question=trajectory.question)
            if tasks.setdefault(task.id, task).question != task.question:
                raise InputError(
                    f"two tasks have the id {task.id!r} and different questions; write them as two data sets."
                )
            yield entry

    _write_shards(path / "data", "trajectories", map(_row, counted()), _schema())
    tasks |= {task.id: task for task in about.unrun}
    _write_shards(path / "data", "tasks", map(_TASKS.row, tasks.values()), _of(_TASKS.type))
    fields = {**_FIELDS, **{name: meaning for name, (_, meaning) in _SUMMARY.items()}}
    (path / "README.md").write_text(card(about, tally, len(tasks), fields), encoding="utf-8")
    return tally.trajectories


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The entries of such a file or of the files below a folder, streaming; their names do not matter.

    Raises:
        InputError: there are none, or one is damaged.
        RecordError: a row does not hold a trajectory; names file, row and field.
    """
    notes = notes or Notes()
    files = {file: _holds(file) for file in files_of(path)}
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
                grades=[_record(_GRADES, row, each) for each in row.data.get("grades") or ()],
                verdicts=[_record(_VERDICTS, row, each) for each in row.data.get("verdicts") or ()],
            )
        except RecordError as error:
            notes.refuse(error)
            continue
        yield entry


def unrun(path: Path) -> Iterator[Task]:
    """The tasks of the data set that have no trajectory."""
    files = {file: _holds(file) for file in files_of(path)}
    run: set[str] = set()
    for file in (file for file, kind in files.items() if kind is Trajectory):
        run.update(row.data["task_id"] for row in rows(file, ["task_id"]))
    yield from (task for task in _tasks(files) if task.id not in run)


def _holds(file: Path) -> type[Record] | None:
    """Of what kind of record the rows of a file are; None where it is no table of ours."""
    types = columns_of(file)
    kinds = ((Trajectory, _TRAJECTORIES), (Task, _TASKS))
    if types.get("agent", "string") not in ("string", "large_string"):  # made by others of our lines of JSON
        return None
    return next((kind for kind, columns in kinds if set(columns.needed) <= types.keys()), None)


def _tasks(files: dict[Path, type[Record] | None]) -> Iterator[Task]:
    for row in chain.from_iterable(rows(file) for file, kind in files.items() if kind is Task):
        yield _record(_TASKS, row, row.data)


def _record(columns: Columns[R], row: Found, values: dict[str, Any]) -> R:
    try:
        return columns.record(values)
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"not the record it should be: {error}"
        raise RecordError(row.path, row.line, problem, "write the file again") from error


def _row(entry: Entry) -> dict[str, Any]:
    trajectory = entry.trajectory
    calls = list(trajectory.calls())
    queries = [(call.executed or {}).get("query") for call in calls if call.hits is not None]
    return {
        **_TRAJECTORIES.row(trajectory),
        "grades": [_GRADES.row(grade) for grade in entry.grades],
        "verdicts": [_VERDICTS.row(verdict) for verdict in entry.verdicts],
        "agent_name": agent_name(entry),
        "agent_fingerprint": str(trajectory.agent.get("fingerprint", "")),
        "retriever_name": retriever_name(entry),
        "retriever_fingerprint": str(trajectory.retriever.get("fingerprint", "")),
        "answers": entry.task.answers if entry.task else [],
        "evidence": entry.task.evidence if entry.task else [],
        "grade": entry.grade.state if entry.grade else None,
        "turn_count": len(trajectory.turns),
        "searches": sum(call.hits is not None for call in calls),
        "browses": sum(call.docid is not None for call in calls),
        "failed_calls": sum(call.executed is None for call in calls),
        "reasoning_tokens": sum(turn.reasoning_tokens for turn in trajectory.turns),
        "queries": [query for query in queries if isinstance(query, str)],
        "shown": list(dict.fromkeys(hit.docid for call in calls for hit in call.hits or ())),
        "opened": [call.docid for call in calls if call.docid is not None],
        "canary": entry.canary,
    }


def _schema() -> Any:
    import pyarrow

    kinds = {"string": pyarrow.string(), "strings": pyarrow.list_(pyarrow.string()), "number": pyarrow.int64()}
    judged = [("grades", pyarrow.list_(_GRADES.type)), ("verdicts", pyarrow.list_(_VERDICTS.type))]
    summary = [(name, kinds[kind]) for name, (kind, _) in _SUMMARY.items()]
    return pyarrow.schema([*_of(_TRAJECTORIES.type), *judged, *summary])


def _of(struct: Any) -> Any:
    import pyarrow

    return pyarrow.schema([struct.field(place) for place in range(struct.num_fields)])


def _write_shards(folder: Path, name: str, rows: Iterable[dict[str, Any]], schema: Any) -> None:
    """At least one file, so that an empty table is one too."""
    import pyarrow
    from pyarrow import parquet

    rows = iter(rows)
    shard = 0
    group = list(islice(rows, ROW_GROUP))
    while group or not shard:
        with ExitStack() as stack:
            file = folder / f"{name}-{shard:05}.parquet"
            writer = stack.enter_context(parquet.ParquetWriter(file, schema, compression="zstd"))
            written = 0
            while group and written < SHARD:
                try:
                    writer.write_table(pyarrow.Table.from_pylist(group, schema))
                except (pyarrow.ArrowException, OverflowError) as error:
                    raise InputError(
                        f"a row of {name} cannot be written as Parquet ({error}); leave it out."
                    ) from error
                written += len(group)
                group = list(islice(rows, ROW_GROUP))
        shard += 1


def _recognise(head: Head) -> bool:
    if head.record is not None:  # the names come first, and there the tables were looked at
        return False
    return any(_holds(file) is Trajectory for file in islice(files_of(head.path), LOOKED_AT))


FORMAT = Format(
    name="parquet",
    title="Parquet with a data set card, for datasets.load_dataset and the Hugging Face hub",
    recognise=_recognise,
    read=read,
    write=write,
    unrun=unrun,
    folder=True,
)
