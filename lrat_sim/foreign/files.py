"""Files as other tools write them: their lines, and their records whatever holds them."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign import reading, without_mark
from lrat_sim.foreign.values import DECODER, SourceRecord, json_value, not_json, recordable_within_depth

# UTF-32 first, since its little-endian mark begins with that of UTF-16
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PARQUET = b"PAR1"
_TABLES = (_PARQUET, b"ARRO", b"\xff\xff\xff\xff")
"""What tables begin with; the last is Arrow's stream, as `datasets` saves it."""
_REMEDY = "get the file again"
_SPACE = re.compile(r"\s*")
LARGEST = 1 << 31  # bytes of a value that has to be in memory as a whole: a small archive can hold any number of them
_BUFFER = 1 << 18  # bytes read at once: more than most records have, so that one call reads one
_ROWS = 64  # rows in memory at once: one may hold a whole trajectory


def open_bytes(path: Path) -> IO[bytes] | gzip.GzipFile | lzma.LZMAFile:
    """A file for reading bytes; ``.gz`` and ``.xz`` are decompressed on the way."""
    with reading(f"{path} cannot be read", "give an existing file"):
        if path.suffix == ".gz":
            return gzip.open(path, "rb")
        return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb", buffering=_BUFFER)


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line of a file with its number from 1, as UTF-8, without its line break and byte order mark."""
    with open_bytes(path) as raw, reading(f"{path} cannot be read to its end", _REMEDY):
        for number, line in enumerate(_read(raw, LARGEST), start=1):
            if len(line) >= LARGEST:
                raise _too_large(path)
            if number == 1:
                line = without_mark(line, path)
            # files that were joined have the mark in their middle
            yield number, line.rstrip(b"\r\n").removeprefix(codecs.BOM_UTF8)


def _read(raw: Any, most: int) -> Iterator[bytes]:
    """The lines of a stream as UTF-8, longer ones in parts of ``most``."""
    begin = raw.read(4)
    raw.seek(0)
    encoding = next((encoding for mark, encoding in _MARKS.items() if begin.startswith(mark)), None)
    if encoding is None:
        return iter(lambda: raw.readline(most), b"")
    text = io.TextIOWrapper(raw, encoding, newline="\n")
    return (line.encode() for line in iter(lambda: text.readline(most), ""))


def begins_as_records(path: Path) -> bool:
    """Whether a file begins as a JSON object, a list or a table does, so that it is worth reading whole."""
    if _is_table(path):
        return True
    with open_bytes(path) as raw, reading(f"{path} cannot be read to its end", _REMEDY):
        parts = (part.removeprefix(codecs.BOM_UTF8).lstrip() for part in _read(raw, 64))
        return next(filter(None, parts), b"")[:1] in (b"{", b"[")


def records(path: Path, is_record: Callable[[list[Any]], bool] = lambda items: False) -> Iterator[SourceRecord]:
    """The records of a file in order, streaming where a record is a line or a row.

    What stands in a file decides: a record a line, one record over many lines, several of them one after another, a
    list of them (unless ``is_record`` takes the list for one), or the rows of a Parquet or Arrow table; compressed or
    not, with or without a byte order mark.
    """
    if _is_table(path):
        yield from rows(path)
        return
    first = True
    numbered = lines(path)
    for number, line in numbered:
        if not line.strip():
            continue
        if first and line.lstrip()[:1] in b"{[":
            try:
                json_value(line, path, number)
            except RecordError:  # a record is more than a line, or a line more than a record
                yield from _values(line, numbered, path, number, is_record)
                return
        first = False
        if line.lstrip()[:1] == b"[":
            yield from _listed(SourceRecord(json_value(line, path, number), path, number), is_record)
        else:
            yield SourceRecord(line, path, number)


def _too_large(path: Path) -> InputError:
    return InputError(
        f"{path} has one record, or a list of them, of more than {LARGEST >> 30} GB; write one record per line."
    )


def _values(
    begin: bytes, rest: Iterable[tuple[int, bytes]], path: Path, line: int, is_record: Callable[[list[Any]], bool]
) -> Iterator[SourceRecord]:
    """One JSON value of many lines, or several one after another; ``line`` is the number of the first."""
    taken, size = [begin], len(begin)
    for _, data in rest:
        taken.append(data)
        size += len(data) + 1
        if size > LARGEST:
            raise _too_large(path)
    try:
        text = b"\n".join(taken).decode()
    except UnicodeDecodeError as error:
        raise not_json(error, path, line) from error
    start = opening = len(_SPACE.match(text)[0])  # type: ignore[index]
    number = line
    while start < len(text):
        try:
            value, end = DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            raise not_json(error, path, line) from error
        after = end + len(_SPACE.match(text, end)[0])  # type: ignore[index]
        alone = start == opening and after == len(text)
        value = recordable_within_depth(value, path, number)
        yield from _listed(SourceRecord(value, path, 0 if alone else number), is_record)
        number += text.count("\n", start, after)
        start = after


def _listed(record: SourceRecord, is_record: Callable[[list[Any]], bool]) -> Iterator[SourceRecord]:
    """The records of a list, each with its position in it."""
    if not isinstance(record.data, list) or is_record(record.data):
        yield record
        return
    for number, item in enumerate(record.data, start=1):
        yield from _listed(SourceRecord(item, Path(record.place), number, "record"), is_record)


# --- tables


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".arrow") or _begin(path) in _TABLES


def _begin(path: Path) -> bytes:
    with reading(f"{path} cannot be read", "give an existing file"), path.open("rb") as stream:
        return stream.read(4)


def columns_of(path: Path) -> dict[str, str]:
    """The columns of a Parquet table with their types; none of any other file."""
    from pyarrow import parquet

    if _begin(path) != _PARQUET:
        return {}
    with reading(f"{path} cannot be read", _REMEDY):
        return {column.name: str(column.type) for column in parquet.read_schema(path)}


def rows(path: Path) -> Iterator[SourceRecord]:
    """The rows of a Parquet or Arrow table, streaming."""
    number = 0
    with reading(f"{path} cannot be read", _REMEDY):
        for batch in _batches(path):
            batch.validate(full=True)  # otherwise pyarrow follows damaged offsets out of the buffer
            for start in range(0, batch.num_rows, _ROWS):
                for row in batch.slice(start, _ROWS).to_pylist():
                    number += 1
                    yield SourceRecord(row, path, number, "row")


def _batches(path: Path) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    if path.suffix.lower() == ".parquet" or _begin(path) == _PARQUET:
        with parquet.ParquetFile(path) as table:
            yield from table.iter_batches(_ROWS)
        return
    with pyarrow.memory_map(str(path)) as source:
        try:
            stream = pyarrow.ipc.open_stream(source)
        except pyarrow.ArrowInvalid:
            file = pyarrow.ipc.open_file(source)
            yield from map(file.get_batch, range(file.num_record_batches))
        else:
            yield from stream
