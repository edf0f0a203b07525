"""Sources: a file or folder of trajectories, its format recognised, its records read one by one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.files import begins_as_records, records
from lrat_sim.foreign.values import Found, json_value, without_nulls
from lrat_sim.formats.formats import CONVERSION, FORMATS, Entry, Format, Head, Notes, format_named, shortened

_JSON = re.compile(r"\.(json|jsonl|ndjson|parquet)(\.gz|\.xz)?\Z", re.IGNORECASE)
LOOKED_AT = 30
"""Files of a folder that are looked at to recognise its format."""
_NESTED = ("messages", "tools", "metadata", "agent", "steps", "result", "prompt", "completion", "nodes", "traces")
"""Fields that are lists or objects, and that a table may hold as a text of JSON."""


class Kind(Struct, frozen=True, kw_only=True):
    """The records of one format.

    Attributes:
        name: the format's.
        is_one: whether a record is of it, perhaps a faulty one; a folder's files are taken by their first record.
        entries: reads one; told the file and the line for its errors.
        sampled: whether a record says which sample of its task it is; others are numbered in their order.
    """

    name: str
    is_one: Callable[[Any], bool]
    entries: Callable[[Any, Path, int], Iterable[Entry]]
    sampled: Callable[[Any], bool] = lambda record: True


def recognise(path: Path | str) -> Format:
    """The format of a file or folder, by its names and its first records.

    Raises:
        InputError: there is no such file, it is damaged, or no format recognises it.
    """
    damage: InputError | None = None
    for head in look(Path(path)):
        if isinstance(head, InputError):
            damage = damage or head
            continue
        for name in FORMATS:
            found = format_named(name)
            if found.read is not None and found.recognise(head):
                return found
    if damage is not None:
        raise damage
    readable = ", ".join(name for name in FORMATS if format_named(name).read is not None)
    raise InputError(f"the format of {path} was not recognised; name it, one of {readable}.")


def look(path: Path) -> Iterator[Head | InputError]:
    """First looks at a source: by its names alone, then with the first record of each file; or what damages it.

    Raises:
        InputError: there is no such file or folder.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give an existing file or folder.")
    names = tuple(sorted(each.name for each in path.iterdir())) if path.is_dir() else ()
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


def read_any(path: Path | str, format: str | None = None, notes: Notes | None = None) -> Iterator[Entry]:
    """The entries of a file or folder of any format that can be read, streaming.

    Args:
        path: the source.
        format: its format by name; by default it is recognised.
        notes: filled with what is noticed; says whether records that cannot be read are passed over.

    Raises:
        InputError: it cannot be read, or its format is written only or not recognised.
        RecordError: a record is not of the format.
    """
    chosen = recognise(path) if format is None else format_named(format)
    if chosen.read is None:
        raise InputError(f"the format {chosen.name} can only be written; choose another source format.")
    if not Path(path).exists():
        raise InputError(f"{path} does not exist; give an existing file or folder.")
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


def read_records(path: Path, kind: Kind, notes: Notes | None = None) -> Iterator[Entry]:
    """The entries of a file, or of those files below a folder whose first record is of a kind.

    Raises:
        InputError: no file is of the kind, or one is damaged.
        RecordError: a record is not of it.
    """
    notes = notes or Notes()
    seen: Counter[tuple[str, str]] = Counter()
    samples: dict[str, int] = {}
    for record, place, line in of_kind(path, kind.name, kind.is_one, notes):
        try:
            entries = list(kind.entries(record, place, line))
        except RecordError as error:
            notes.refuse(error)
            continue
        for entry in entries:
            name, task = entry.trajectory.id, entry.trajectory.task_id
            same = task, str(entry.trajectory.agent.get("fingerprint"))
            if name not in samples:  # the same record once more is no other sample
                samples[name] = seen[same]
                seen[same] += 1
            yield entry if kind.sampled(record) else _of_sample(entry, samples[name])


def of_kind(
    path: Path, name: str, is_one: Callable[[Any], bool], notes: Notes, nulls: bool = False
) -> Iterator[tuple[Any, Path, int]]:
    """The records of a file, or of those files below a folder whose first one is of a kind, with file and line.

    Args:
        path: the file or folder.
        name: of the format, for messages.
        is_one: whether a record is of the kind.
        notes: told the files that are left out, and the records that are no JSON.
        nulls: whether nulls in a table stand for themselves, not for fields that a record does not have.

    Raises:
        InputError: no file is of the kind, or one is damaged.
        RecordError: a record is no JSON.
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
        yield from _each(chain([first] if first else [], found), notes, nulls)
    if not taken:
        there = f"; it has {shortened(notes.left_out)}" if notes.left_out else ""
        raise InputError(f"{path} holds no file of trajectories in the format {name}{there}.")


def _is_talk(items: list[Any]) -> bool:
    """A list of chat messages is one record."""
    return bool(items) and all(isinstance(item, dict) and isinstance(item.get("role"), str) for item in items)


def _each(found: Iterator[Found], notes: Notes, nulls: bool) -> Iterator[tuple[Any, Path, int]]:
    while True:
        try:
            each = next(found, None)
            if each is None:
                return
            value = each.value() if nulls else _opened(each)
        except RecordError as error:
            notes.refuse(error)
            continue  # a generator that raised has ended: then there is no next one
        yield value, each.path, each.line


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
    if not lists or not all(isinstance(each, list) and len(each) == len(lists[0]) for each in lists):
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
