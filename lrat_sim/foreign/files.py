"""Files as other tools write them: their lines, and their records whatever holds them.

:func:`records` goes by what stands in a file: a record a line, one record over many lines, several of them one after
another, a list of them, or the rows of a Parquet or Arrow table; compressed or not, with or without a byte order mark.
"""

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
from lrat_sim.foreign.tables import is_table, rows
from lrat_sim.foreign.values import DECODER, Found, json_value, kept

# the shorter mark of UTF-16 opens the longer one of UTF-32, too
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_REMEDY = "get the file again"
_SPACE = re.compile(r"\s*")
LARGEST = 1 << 31
"""Bytes of a value that has to be in memory as a whole: a small archive can hold any number of them."""


_BUFFER = 1 << 18
"""Bytes read at once: more than most records have, so that one call reads one."""


def open_bytes(path: Path) -> IO[bytes] | gzip.GzipFile | lzma.LZMAFile:
    """A file for reading bytes; ``.gz`` and ``.xz`` are decompressed on the way.

    Raises:
        InputError: it cannot be read.
    """
    with reading(f"{path} cannot be read", "give an existing file"):
        if path.suffix == ".gz":
            return gzip.open(path, "rb")
        return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb", buffering=_BUFFER)


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line of a file with its number from 1, as UTF-8, without its line break and byte order mark.

    Raises:
        InputError: the file cannot be read, is cut off in its compressed stream, or is not UTF-8 and does not say so.
    """
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
    """Whether a file begins as a JSON object, a list or a table does, so that it is worth reading whole.

    Raises:
        InputError: its compressed data are damaged.
    """
    if is_table(path):
        return True
    with open_bytes(path) as raw, reading(f"{path} cannot be read to its end", _REMEDY):
        parts = (part.removeprefix(codecs.BOM_UTF8).lstrip() for part in _read(raw, 64))
        return next(filter(None, parts), b"")[:1] in (b"{", b"[")


def records(path: Path, is_record: Callable[[list[Any]], bool] = lambda items: False) -> Iterator[Found]:
    """The records of a file in order, streaming where a record is a line or a row.

    Args:
        path: the file.
        is_record: whether a list is one record, not a list of them.

    Raises:
        InputError: the file cannot be read.
        RecordError: it is no JSON.
    """
    if is_table(path):
        yield from rows(path)
        return
    first = True
    numbered = lines(path)
    for number, line in numbered:
        if not line.strip():
            continue
        # a record is more than a line, or a line more than a record
        if first and line.lstrip()[:1] in b"{[" and not _is_value(line):
            yield from _values(_whole(line, numbered, path), path, number, is_record)
            return
        first = False
        if line.lstrip()[:1] == b"[":
            yield from _listed(Found(json_value(line, path, number), path, number), is_record)
        else:
            yield Found(line, path, number)


def _whole(begin: bytes, rest: Iterable[tuple[int, bytes]], path: Path) -> bytes:
    taken, size = [begin], len(begin)
    for _, line in rest:
        taken.append(line)
        size += len(line) + 1
        if size > LARGEST:
            raise _too_large(path)
    return b"\n".join(taken)


def _too_large(path: Path) -> InputError:
    return InputError(
        f"{path} has one record, or a list of them, of more than {LARGEST >> 30} GB; write one record per line."
    )


def _is_value(line: bytes) -> bool:
    try:
        json_value(line, Path())
    except RecordError:
        return False
    return True


def _values(data: bytes, path: Path, line: int, is_record: Callable[[list[Any]], bool]) -> Iterator[Found]:
    """One JSON value, or several one after another; ``line`` is the first one's."""
    try:
        yield from _listed(Found(json_value(data, path, line), path), is_record)
        return
    except RecordError as error:
        whole = error
    try:
        text, place = data.decode(), 0
    except UnicodeDecodeError:
        raise whole from None
    while (start := place + len(_SPACE.match(text, place)[0])) < len(text):  # type: ignore[index]
        line, before = line + text.count("\n", place, start), start
        try:
            value, place = DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            if not before:
                raise whole from error
            raise RecordError(path, line, f"not JSON ({error})", "get or write the file again") from error
        yield from _listed(Found(kept(value, path, line), path, line), is_record)
        line += text.count("\n", start, place)


def _listed(found: Found, is_record: Callable[[list[Any]], bool]) -> Iterator[Found]:
    """The records of a list, each with its place in it."""
    if not isinstance(found.data, list) or is_record(found.data):
        yield found
        return
    for number, item in enumerate(found.data, start=1):
        within = f"{found.path.name}, line {found.line}" if found.line else found.path.name
        yield from _listed(Found(item, found.path.with_name(within), number, "record"), is_record)
