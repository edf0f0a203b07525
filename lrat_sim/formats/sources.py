"""Sources: a file or folder of trajectories, its format recognised, its records read one by one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.files import begins_as_records, records
from lrat_sim.foreign.values import Found, json_value, without_nulls
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.output import CONVERSION
from lrat_sim.formats.registry import FORMATS, Format, Head, Notes, format_named, shortened

_JSON = re.compile(r"\.(json|jsonl|ndjson|parquet)(\.gz|\.xz)?\Z", re.IGNORECASE)
LOOKED_AT = 30
"""Files of a folder that are looked at to recognise its format."""
_NESTED = ("messages", "tools", "metadata", "agent", "steps", "result", "prompt", "completion", "nodes", "traces")
"""Fields that are lists or objects, and that a table may hold as a text of JSON."""


def recognise(path: Path | str) -> Format:
    """The format of a file or folder, by its names and its first records.

    Raises:
        InputError: there is no such file, it is damaged, or no format recognises it.
    """
    readable = [found for found in map(format_named, FORMATS) if found.read is not None]
    damage: InputError | None = None
    for head in _looks(Path(path)):
        if isinstance(head, InputError):
            damage = damage or head
        elif recognised := next((found for found in readable if found.recognise(head)), None):
            return recognised
    if damage is not None:
        raise damage
    names = ", ".join(found.name for found in readable)
    raise InputError(f"the format of {path} was not recognised; name it, one of {names}.")


def _looks(path: Path) -> Iterator[Head | InputError]:
    """First looks at a source: by its names alone, then with the first record of each file; or what damages it."""
    _check_exists(path)
    names = tuple(sorted(file.name for file in path.iterdir())) if path.is_dir() else ()
    yield Head(path=path, names=names)
    for file in islice(files_of(path), LOOKED_AT):
        try:
            first = next(records(file, _is_talk), None) if begins_as_records(file) else None
            value = None if first is None else _opened(first)
        except InputError as error:
            yield error
            continue
        if isinstance(value, dict):
            yield Head(path=path, names=names, record=value)


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path} does not exist; give an existing file or folder.")


def read_any(path: Path | str, format: str | None = None, notes: Notes | None = None) -> Iterator[Entry]:
    """The entries of a file or folder of any format that can be read, streaming.

    Args:
        path: the source.
        format: its format by name; by default it is recognised.
        notes: filled with what is noticed; says whether records that cannot be read are skipped.

    Raises:
        InputError: it cannot be read, or its format is only written or not recognised.
        RecordError: a record is not of the format.
    """
    chosen = recognise(path) if format is None else format_named(format)
    if chosen.read is None:
        raise InputError(f"the format {chosen.name} can only be written; choose another source format.")
    _check_exists(Path(path))
    return chosen.read(Path(path), notes or Notes())


def files_of(path: Path) -> list[Path]:
    """A file itself; of a folder all the files below it, numbers by their size and before names."""
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.is_file() and not file.name.endswith(CONVERSION))
    shown = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    return sorted(shown, key=lambda file: [_natural(part) for part in file.relative_to(path).parts])


def _natural(name: str) -> tuple[int, int, str]:
    stem = name.split(".")[0]
    number = stem.isascii() and stem.isdigit() and len(stem) < 30
    return (0, int(stem), name) if number else (1, 0, name)


def record_reader(
    name: str,
    is_one: Callable[[Any], bool],
    read: Callable[[Any, Path, int], Entry | list[Entry]],
    is_sampled: Callable[[Any], bool] = lambda record: True,
) -> Callable[..., Iterator[Entry]]:
    """Makes the reader of a format whose sources are records, whatever file holds them.

    Args:
        name: the format's, for messages.
        is_one: whether a record is of it, perhaps a faulty one; a folder's files are taken by their first record.
        read: reads one record; told the file and the line for its errors.
        is_sampled: whether a record says which sample of its task it is; others are numbered in their order.

    Returns:
        A function of a path and notes that streams entries.  It raises InputError where no file is of the format or
        one is damaged, RecordError where a record is not.
    """

    def entries(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
        notes = notes or Notes()
        seen: Counter[tuple[str, str]] = Counter()
        samples: dict[str, int] = {}
        for record, file, line in records_of(path, name, is_one, notes):
            try:
                found = read(record, file, line)
            except RecordError as error:
                notes.refuse(error)
                continue
            for entry in found if isinstance(found, list) else [found]:
                run, same = entry.trajectory, (entry.trajectory.task_id, str(entry.trajectory.agent.get("fingerprint")))
                if run.id not in samples:  # the same record once more is no other sample
                    samples[run.id] = seen[same]
                    seen[same] += 1
                yield entry if is_sampled(record) else _of_sample(entry, samples[run.id])

    return entries


def records_of(
    path: Path, name: str, is_one: Callable[[Any], bool], notes: Notes, nulls: bool = False
) -> Iterator[tuple[Any, Path, int]]:
    """The records of a file, or of those files below a folder whose first record is of a kind, with file and line.

    Args:
        path: the file or folder.
        name: of the format, for messages.
        is_one: whether a record is of the kind.
        notes: told the files that are left out, and the records that are not JSON.
        nulls: whether nulls in a table stand for themselves, not for fields that a record does not have.

    Raises:
        InputError: no file is of the kind, or one is damaged.
        RecordError: a record is not JSON.
    """
    taken = 0
    for file in files_of(path):
        try:
            found = records(file, _is_talk) if begins_as_records(file) else iter(())
            first = next(found, None)
            if path.is_dir() and (first is None or not is_one(_opened(first))):
                notes.left_out.append(file.relative_to(path).as_posix())
                continue
        except InputError as error:
            if path.is_dir() and not _JSON.search(file.name):
                notes.left_out.append(file.relative_to(path).as_posix())
            else:
                notes.refuse(error)
            continue
        taken += 1
        yield from _values(chain([first] if first else [], found), notes, nulls)
    if not taken:
        there = f"; it has {shortened(notes.left_out)}" if notes.left_out else ""
        raise InputError(f"{path} holds no file of trajectories in the format {name}{there}.")


def _is_talk(items: list[Any]) -> bool:
    """Whether a list is of chat messages, which together are one record."""
    return bool(items) and all(isinstance(item, dict) and isinstance(item.get("role"), str) for item in items)


def _values(found: Iterator[Found], notes: Notes, nulls: bool) -> Iterator[tuple[Any, Path, int]]:
    while True:
        try:
            record = next(found, None)
            if record is None:
                return
            value = record.value() if nulls else _opened(record)
        except RecordError as error:
            notes.refuse(error)
            continue  # a generator that raised has ended: then there is no next one
        yield value, record.path, record.line


def _opened(found: Found) -> Any:
    """A record's value; one of a table without its nulls, and with what its texts of JSON hold."""
    value = found.value()
    if isinstance(value, list) and _is_talk(value):
        return {"messages": value}
    if found.unit == "row":
        value = without_nulls(value)
    if not isinstance(value, dict):
        return value
    for name in _NESTED:
        given = value.get(name)
        if isinstance(given, str) and given.lstrip()[:1] in ("[", "{"):
            try:
                value = {**value, name: json_value(given, found.path, found.line)}
            except RecordError:
                continue  # a text that only looks like JSON
        elif found.unit == "row" and isinstance(given, dict) and name == "messages":
            value = {**value, name: _transposed(given)}
    return value


def _transposed(columns: dict[str, Any]) -> Any:
    """A list of objects that a table keeps as an object of lists, as some versions of ``datasets`` do."""
    lists = list(columns.values())
    if not lists or not all(isinstance(column, list) and len(column) == len(lists[0]) for column in lists):
        return columns
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True))
    return [without_nulls(row) for row in rows]


def _of_sample(entry: Entry, sample: int) -> Entry:
    """An entry as a later sample of its task, under another id."""
    trajectory = entry.trajectory
    if trajectory.sample == sample:
        return entry
    name = f"{trajectory.task_id}.{sample}.{trajectory.id.rsplit('.', 1)[-1]}"
    return msgspec.structs.replace(
        entry,
        trajectory=msgspec.structs.replace(trajectory, id=name, sample=sample),
        grades=[msgspec.structs.replace(grade, trajectory_id=name) for grade in entry.grades],
        verdicts=[msgspec.structs.replace(verdict, trajectory_id=name) for verdict in entry.verdicts],
    )
