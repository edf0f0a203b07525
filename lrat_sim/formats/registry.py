"""The formats that trajectories are exchanged in, and the files and folders that hold them.

To add a format, write a module with a ``FORMAT`` (:class:`Format`) and name it in :data:`FORMATS`.  A module is
imported only when its format is used.  Readers and writers stream: they hold one entry at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from lrat_sim.errors import InputError, RecordError, UnknownName
from lrat_sim.foreign import shortened
from lrat_sim.foreign.files import begins_as_records, records
from lrat_sim.foreign.values import SourceRecord, parsed, without_nulls
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.output import CONVERSION
from lrat_sim.records import Task

FORMATS = {
    "run": "run_folder:FORMAT",
    "lrat": "lrat:FORMAT",
    "browsecomp-plus": "lrat:BROWSECOMP",
    "parquet": "parquet:FORMAT",
    "openai": "openai:FORMAT",
    "responses": "responses:FORMAT",
    "atif": "atif:FORMAT",
    "session-traces": "sessions:FORMAT",
    "nemo-gym": "nemo_gym:FORMAT",
    "otel": "otel:FORMAT",
    "inspect": "inspect_ai:FORMAT",
    "verifiers": "verifiers:FORMAT",
    "trec": "trec:FORMAT",
}
"""Every format by name, with where it is defined in this room; a source is of the first that recognises it."""

# names of files that should hold records: damage in one is an error, in another it is left out
_OF_RECORDS = re.compile(r"\.(json|jsonl|ndjson|parquet|eval)(\.gz|\.xz)?\Z", re.IGNORECASE)
LOOKED_AT = 30  # files of a folder that are looked at to recognise its format
# fields that are lists or objects, and that a table may hold as a text of JSON
_NESTED = (
    "messages", "tools", "metadata", "agent", "steps", "result", "prompt", "completion", "nodes", "traces", "input",
    "output", "responses_create_params", "response", "ng_trajectory",
)  # fmt: skip


Arguments = Literal["object", "text"]


class About(Struct, frozen=True, kw_only=True):
    """What a writer knows of the whole data set."""

    name: str = "trajectories"  # for people
    license: str = "unknown"  # its identifier, such as ``cc-by-4.0``
    language: str = "en"  # of the questions, as a code
    arguments: Arguments = "object"  # of calls in messages: an object, or a text of JSON
    unrun: Iterable[Task] = ()  # tasks that were asked and have no trajectory; success is measured against them too


class Notes(Struct, kw_only=True):
    """What is noticed while a source is read, to be reported afterwards."""

    skip_unreadable: bool = False  # keep records that cannot be read in `unread`; otherwise the first ends the reading
    docid_field: str | None = None  # where a result of ATIF names its document, as a path with dots; its usual names
    score_field: str | None = None  # and where the document's score
    left_out: list[str] = []  # the files of a folder that hold no record of the format
    unread: list[str] = []  # what was wrong with each skipped record
    replaced: int = 0  # records that a later one with the same id replaces

    def refuse(self, error: InputError) -> None:
        """Raises the error of a record, or keeps it where such records are skipped."""
        if not self.skip_unreadable:
            raise error
        self.unread.append(str(error).rstrip("."))

    def sentence(self) -> str:
        """What to add to a summary; empty where there is nothing."""
        replaced = f"; {self.replaced:,} were superseded by later records with the same id" if self.replaced else ""
        left_out = f"; left out, as no trajectories of this format: {shortened(self.left_out)}" if self.left_out else ""
        unread = f"; {len(self.unread):,} could not be read: {shortened(self.unread, 3)}" if self.unread else ""
        return replaced + left_out + unread


class Format(Struct, frozen=True, kw_only=True):
    """One format.

    Attributes:
        name: as on the command line.
        title: what it is, in a few words.
        recognise: whether a source is of this format; told its path alone (an empty record), then the first record of
            each of its files in turn.
        read: streams the entries of a file or folder and fills the notes; None where the format is only written.
            Raises RecordError with file, line or step, and field.  See :func:`record_reader`.
        write: writes entries to a path that does not exist yet, a file or a folder, and returns how many it wrote;
            None where the format is only read.
        tasks: the tasks that a source was asked, with a trajectory or without, where the format knows them.
    """

    name: str
    title: str
    recognise: Callable[[Path, dict[str, Any]], bool]
    read: Callable[[Path, Notes], Iterator[Entry]] | None = None
    write: Callable[[Iterable[Entry], Path, About], int] | None = None
    tasks: Callable[[Path], Iterable[Task]] = lambda path: ()


def format_named(name: str) -> Format:
    """A format by its name."""
    if name not in FORMATS:
        raise UnknownName("format", name, sorted(FORMATS))
    module, _, attribute = FORMATS[name].partition(":")
    form: Format = getattr(import_module(f"lrat_sim.formats.{module}"), attribute)
    return form


# --- reading a source of any format


def recognise(path: Path | str) -> Format:
    """The format of a file or folder, by its names and its first records; an InputError names those it could be."""
    path = Path(path)
    readable = [form for form in map(format_named, FORMATS) if form.read is not None]
    damage: InputError | None = None
    for file in chain([None], islice(files_of(path), LOOKED_AT)):
        try:
            first = next(_records_in(file), None) if file is not None else None
            record = _opened(first) if first is not None else {}
        except InputError as error:
            damage = damage or error
            continue
        for form in readable if isinstance(record, dict) else ():
            if form.recognise(path, record):
                return form
    if damage is not None:
        raise damage
    known = ", ".join(form.name for form in readable)
    raise InputError(f"the format of {path} was not recognised; name it, one of {known}.")


def read_any(path: Path | str, format: str | None = None, notes: Notes | None = None) -> Iterator[Entry]:
    """The entries of a file or folder of any format that can be read, streaming.

    Args:
        path: the source.
        format: its format by name; by default it is recognised.
        notes: filled with what is noticed; says whether records that cannot be read are skipped.
    """
    form = recognise(path) if format is None else format_named(format)
    if form.read is None:
        raise InputError(f"the format {form.name} can only be written; choose another source format.")
    return form.read(Path(path), notes or Notes())


def files_of(path: Path) -> list[Path]:
    """A file itself; of a folder all the files below it, numbers by their size and before names."""
    if not path.exists():
        raise InputError(f"{path} does not exist; give an existing file or folder.")
    if path.is_file():
        return [path]

    def natural(name: str) -> tuple[int, int, str]:
        # LRAT names its files by question: 10.json comes after 9.json, in the order in which they were asked
        stem = name.split(".")[0]
        number = stem.isascii() and stem.isdigit() and len(stem) < 30
        return (0, int(stem), name) if number else (1, 0, name)

    files = (file for file in path.rglob("*") if file.is_file() and not file.name.endswith(CONVERSION))
    visible = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    return sorted(visible, key=lambda file: [natural(part) for part in file.relative_to(path).parts])


def _records_in(file: Path) -> Iterator[SourceRecord]:
    return records(file, _is_talk) if begins_as_records(file) else iter(())


def record_reader(
    name: str,
    is_one: Callable[[Any], bool],
    read: Callable[[Any, SourceRecord], Entry | list[Entry]],
    is_sampled: Callable[[Any], bool] = lambda record: True,
    records_in: Callable[[Path], Iterator[SourceRecord]] = _records_in,
) -> Callable[..., Iterator[Entry]]:
    """Makes the reader of a format whose sources are records, whatever file holds them.

    Args:
        name: the format's, for messages.
        is_one: whether a record is of it, perhaps a faulty one; a folder's files are taken by their first record.
        read: reads one record; told where it stands, for its errors.
        is_sampled: whether a record says which sample of its task it is; others are numbered in their order.
        records_in: the records of a file.

    Returns:
        A function of a path and notes that streams entries.  It raises InputError where no file is of the format or
        one is damaged, RecordError where a record is not.
    """

    def entries(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
        notes = notes or Notes()
        seen: Counter[tuple[str, str]] = Counter()
        samples: dict[str, int] = {}
        renamed: dict[str, str] = {}  # of one record's runs, since those of subagents name the one that called them
        for source in records_of(path, name, is_one, notes, records_in=records_in):
            try:
                several = read(source.data, source)
            except RecordError as error:
                notes.refuse(error)
                continue
            renamed.clear()
            for entry in several if isinstance(several, list) else [several]:
                run = entry.trajectory
                same = run.task_id, str(run.agent.get("fingerprint"))
                if run.id not in samples:  # the same record once more is no other sample
                    samples[run.id] = seen[same]
                    seen[same] += 1
                sample = run.sample if is_sampled(source.data) else samples[run.id]
                if sample != run.sample:
                    renamed[run.id] = f"{run.task_id}.{sample}.{run.id.rsplit('.', 1)[-1]}"
                    entry = entry.changed(id=renamed[run.id], sample=sample)
                if (parent := renamed.get(str(run.extra.get("subagent_of")))) is not None:
                    entry = entry.changed(extra={**run.extra, "subagent_of": parent})
                yield entry

    return entries


def records_of(
    path: Path,
    name: str,
    is_one: Callable[[Any], bool],
    notes: Notes,
    nulls: bool = False,
    records_in: Callable[[Path], Iterator[SourceRecord]] = _records_in,
) -> Iterator[SourceRecord]:
    """The records, read, of a file or of those files below a folder whose first record is of a kind.

    ``nulls`` says that nulls in a table stand for themselves, not for fields that a record does not have; the other
    arguments are as in :func:`record_reader`.
    """
    taken = 0
    for file in files_of(path):
        try:
            opened = records_in(file)
            first = next(opened, None)
            wanted = path.is_file() or (first is not None and is_one(_opened(first)))
        except InputError as error:
            if path.is_file() or _OF_RECORDS.search(file.name):
                notes.refuse(error)
                continue
            wanted = False
        if not wanted:
            notes.left_out.append(file.relative_to(path).as_posix())
            continue
        taken += 1
        rest = chain([first] if first else [], opened)
        while True:
            try:
                record = next(rest, None)
                if record is None:
                    break
                value = record.value() if nulls else _opened(record)
            except InputError as error:
                notes.refuse(error)
                continue  # a generator that raised has ended: then there is no next one
            yield record.holding(value)
    if not taken:
        there = f"; it has {shortened(notes.left_out)}" if notes.left_out else ""
        raise InputError(f"{path} holds no file of trajectories in the format {name}{there}.")


def _is_talk(items: list[Any]) -> bool:
    """Whether a list is of chat messages, which together are one record."""
    return bool(items) and all(isinstance(item, dict) and isinstance(item.get("role"), str) for item in items)


def _opened(record: SourceRecord) -> Any:
    """A record's value; one of a table without its nulls, and with what its texts of JSON hold."""
    value = record.value()
    if isinstance(value, list) and _is_talk(value):
        return {"messages": value}
    if record.unit == "row":
        value = without_nulls(value)
    if not isinstance(value, dict):
        return value
    texts = {name: parsed(value[name]) for name in _NESTED if isinstance(value.get(name), str)}
    value = {**value, **{name: nested for name, nested in texts.items() if nested is not None}}
    columns = value.get("messages")
    if record.unit == "row" and isinstance(columns, dict):
        # a list of objects that a table keeps as an object of lists, as some versions of `datasets` do
        lists = list(columns.values())
        if lists and all(isinstance(column, list) and len(column) == len(lists[0]) for column in lists):
            rows = (dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True))
            value["messages"] = [without_nulls(row) for row in rows]
    return value
