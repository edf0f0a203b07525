"""Tables of public data sets, whatever they are written as: JSON by lines or whole, TSV, CSV, Parquet, Arrow."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign import shortened
from lrat_sim.foreign.files import lines, records
from lrat_sim.foreign.values import SourceRecord

ID = ("docid", "_id", "id", "doc_id", "pid", "passage_id")
TEXT = ("text", "contents", "content", "body", "passage", "passage_text", "paragraph_text")
TITLE = ("title", "wikipedia_title")
TASK_ID = ("query_id", "question_id", "task_id", "qid", "_id", "id")
QUESTION = ("question", "query", "text")

Kind = Literal["json", "delimited", "arrow"]
KINDS: tuple[Kind, ...] = ("json", "delimited", "arrow")
_SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".tsv", ".csv"), "delimited"),
    **dict.fromkeys((".parquet", ".arrow"), "arrow"),
}
_PACKED = (".gz", ".xz")
_MOST_LINES = 1000  # that a field in quotation marks may span

# the library stops at 128 kB a field unless told otherwise, for the whole process; a document may be longer
csv.field_size_limit(1 << 28)

OF_THE_COPY = ("state.json", "dataset_info.json", "dataset_dict.json", "dataset_infos.json")
"""What the library `datasets` writes beside its tables."""


class Columns(NamedTuple):
    """What a file without field names is taken to hold: ``names``, unless its first line has one of the names ``key``
    of a record, or ``body`` of its text, and so is a header."""

    names: tuple[str, ...]
    key: tuple[str, ...]
    body: tuple[str, ...]


class Row(SourceRecord, frozen=True):
    """One record as read, its values by name."""

    def pick(self, names: Sequence[str]) -> Any:
        """The first field of ``names`` that it has with a value other than null."""
        return pick(self.data, names)

    def text(self, names: Sequence[str], what: str) -> str:
        """A field that has to be there as a text, under any of its names; a whole number counts, for an id."""
        value = _as_text(pick(self.data, names))
        if isinstance(value, str) and value.strip():
            return value
        if value is None or value == "":
            raise self.fault(f"no {what} (a field {', '.join(f'`{name}`' for name in names)})")
        if isinstance(value, str):
            raise self.fault(f"the {what} is empty")
        raise self.fault(f"the {what} should be a text, not {type(value).__name__}")

    def body(self, names: Sequence[str], what: str) -> str:
        """As :meth:`text`, but a field that is there and holds nothing is an empty text, and so is one that is missing
        beside an id and a title alone: some writers leave out what is empty."""
        value = pick(self.data, names)
        if isinstance(value, str) and value.strip():
            return value
        there = any(name in self.data for name in names) or ({*ID, *TITLE}.issuperset(self.data) and self.title())
        if there and (value is None or not str(value).strip()):
            return ""
        return self.text(names, what)

    def title(self) -> str:
        """The title, where it has one."""
        value = _as_text(pick(self.data, TITLE))
        return value if isinstance(value, str) else ""


def pick(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first field of ``names`` that a mapping has with a value other than null."""
    for name in names:  # a loop, since this is called three times a document
        if (value := fields.get(name)) is not None:
            return value
    return None


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def kind_of(path: Path) -> Kind | None:
    """What a file's name says that it is, None where no table is read from such a file."""
    kind = _SUFFIXES.get(_suffix(path))
    return None if kind == "arrow" and path.suffix in _PACKED else kind


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix in _PACKED else path).suffix.lower()


def table_files(
    source: Path, patterns: Sequence[str], remedy: str, kinds: Container[Kind | None] = KINDS
) -> list[Path]:
    """The tables of a folder whose names fit a pattern, sorted, one at least; ``source`` itself where it is a file."""
    if source.is_file():
        return [source]
    paths = {path for pattern in patterns for path in source.glob(pattern)}
    files = sorted(path for path in paths if kind_of(path) in kinds)
    if not files:
        raise not_there(source, " or ".join(patterns), remedy, kinds)
    return files


def named_table(source: Path, name: str) -> list[Path]:
    """The files of one table in a folder, sorted: ``corpus.jsonl`` and its like, shards as
    ``corpus-00000-of-00002.parquet``, or the tables in a folder ``corpus/``; none where there is no such table."""
    if not source.is_dir():
        return []
    shard = re.compile(rf"{re.escape(name)}(-\d+-of-\d+)?(\.\w+)+")
    files = [path for path in source.iterdir() if shard.fullmatch(path.name)]
    if not any(map(kind_of, files)) and (source / name).is_dir():
        files = list((source / name).iterdir())
    return sorted(path for path in files if kind_of(path) and path.name not in OF_THE_COPY)


def not_there(source: Path, pattern: str, remedy: str, kinds: Container[Kind | None] = KINDS) -> InputError:
    """The error for files that a reader needs and that are missing, or in no format that it can read."""
    if source.is_file():
        return InputError(f"{source} is a file, and {pattern} is looked for in a folder; {remedy}.")
    unreadable = [path.name for path in sorted(source.glob(pattern)) if kind_of(path) is None]
    why = f"and {shortened(unreadable, 3)} cannot be read: " if unreadable else ""
    return InputError(f"{source} has no {pattern} of a known format ({why}{_names(kinds)}); {remedy}.")


def _names(kinds: Container[Kind | None] = KINDS) -> str:
    known = ", ".join(suffix for suffix, kind in _SUFFIXES.items() if kind in kinds)
    return f"{known}, those of texts also packed as {' or '.join(_PACKED)}"


def rows(path: Path, columns: Columns) -> Iterator[Row]:
    """The rows of a file, streaming where its format allows."""
    kind = kind_of(path)
    if kind is None:
        raise InputError(f"{path} has an unknown format; give {_names()}.")
    yield from _delimited_rows(path, columns) if kind == "delimited" else _recorded_rows(path, columns)


def _recorded_rows(path: Path, columns: Columns) -> Iterator[Row]:
    read = records(path)
    first = list(islice(read, 2))
    if len(first) == 1 and first[0].unit == "line" and _is_columns(value := first[0].value(), columns):
        cells = enumerate(_of_columns(value), start=1)
        first = [SourceRecord(record, path, number, "record") for number, record in cells]
    for record in chain(first, read):
        value = record.data if record.unit == "row" else record.value()  # what a table holds is checked by field
        row = Row(value, record.file, record.number or 1, record.unit if record.number else "record")
        if not isinstance(value, dict):
            raise row.fault(f"should hold a JSON object, not {type(value).__name__}")
        yield row


def _is_columns(value: Any, columns: Columns) -> bool:
    """Whether a file's only record is all of its rows: an object with a list, or an object by row, for each column."""
    known = [value[name] for name in (*columns.key, *columns.body) if name in value] if isinstance(value, dict) else []
    return bool(known) and all(isinstance(cells, list | dict) for cells in known)


def _of_columns(value: dict[str, Any]) -> list[dict[str, Any]]:
    columns = {
        name: dict(enumerate(cells)) if isinstance(cells, list) else cells
        for name, cells in value.items()
        if isinstance(cells, list | dict)
    }
    keys = dict.fromkeys(key for cells in columns.values() for key in cells)
    return [{name: cells[key] for name, cells in columns.items() if key in cells} for key in keys]


def _delimited_rows(path: Path, columns: Columns) -> Iterator[Row]:
    header: list[str] = []
    for number, fields in delimited_lines(path, "," if _suffix(path) == ".csv" else "\t"):
        row = Row({}, path, number)
        if not header:
            header = [field.strip().casefold() for field in fields]
            if {*header} & {*columns.key} or header[0] in columns.body:
                if not {*header} & {*columns.body}:
                    names = " or ".join(columns.body)
                    raise row.fault(f"a header without a column {names} ({', '.join(header)})", "name that column so")
                continue
            header = list(columns.names)
        while len(fields) > len(header) and not fields[-1].strip():
            fields.pop()  # spreadsheets end lines with empty cells
        if len(fields) < 2 or len(fields) > len(header):
            raise row.fault(f"has {len(fields)} columns where {len(header)} are named ({', '.join(header)})")
        if fields[0].count('"') % 2:  # as the rest of a field with a line break would have
            remedy = "double the marks inside of quoted fields, or write the file as jsonl"
            raise row.fault("an unpaired quotation mark in the first column", remedy)
        yield row.holding(dict(zip(header, fields, strict=False)))


def delimited_lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each record, with the number of the line on which it begins.

    A field in double quotes is read as every csv writer means it.  A quotation mark anywhere else belongs to the text,
    since passages are written without any quoting.  A line that can be read in both ways is refused.
    """
    back = deque[tuple[int, str]]()  # lines that were read too far
    read = ((number, decoded(line, path, number)) for number, line in lines(path))

    def take() -> tuple[int, str] | None:
        return back.popleft() if back else next(read, None)

    unquoted = False  # whether a text had bare quotation marks: no csv writer leaves them, so the file has no quoting
    for number, line in iter(take, None):
        if not line.strip():
            continue
        plain = line.split(delimiter)
        if '"' not in line:
            yield number, plain
            continue
        taken: list[tuple[int, str]] = []
        try:
            fields = next(csv.reader(_quoted(line, iter(take, None), taken), delimiter=delimiter, strict=True))
        except csv.Error as error:
            back.extendleft(reversed(taken))
            if delimiter == ",":
                raise RecordError(path, number, f"quotation marks that do not pair ({error})") from error
            unquoted, fields = True, plain
        else:
            unquoted = unquoted or any('"' in field[1:] and not field.startswith('"') for field in plain)
            if taken and all(text.count(delimiter) == len(plain) - 1 > 0 for _, text in taken):
                # each line could be a record of its own, whose text merely begins or ends with a quotation mark
                if not unquoted:
                    closes = f"the quotation mark that opens here closes on line {taken[-1][0]}"
                    remedy = "double the marks that belong to a text, or write the file as jsonl"
                    raise RecordError(path, number, f"{closes}, so it may be one record or several", remedy)
                back.extendleft(reversed(taken))
                fields = plain
        yield number, fields


def _quoted(line: str, ahead: Iterator[tuple[int, str]], taken: list[tuple[int, str]]) -> Iterator[str]:
    yield f"{line}\n"
    for numbered in islice(ahead, _MOST_LINES):
        taken.append(numbered)
        yield f"{numbered[1]}\n"


def decoded(line: bytes, path: Path, number: int) -> str:
    """A line as text."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise RecordError(path, number, f"not UTF-8 ({error.reason})", "convert the file to UTF-8") from error
