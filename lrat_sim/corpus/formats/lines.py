"""Text files as public data sets write them, line by line, with every fault placed by file and line."""

from __future__ import annotations

import csv
import json
import lzma
import math
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign import cause, without_mark
from lrat_sim.store import open_bytes

_LONGEST_LINE, _LARGEST_FILE = 1 << 28, 1 << 31
"""Bytes of a line, and of a file that has to be read whole: a small archive can hold any number of them."""
_MOST_LINES = 1000
"""Lines that a field in quotation marks may span."""
_MARK = b"\xef\xbb\xbf"

# the library stops at 128 kB a field unless told otherwise, for the whole process; a document may be longer
csv.field_size_limit(_LONGEST_LINE)


def text_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1, without line breaks and byte order marks; blank ones are left out.

    Raises:
        InputError: the file cannot be read, is cut off in its compressed stream, or is not UTF-8.
    """
    return ((number, line) for number, line in _every_line(path) if line.strip())


def _every_line(path: Path) -> Iterator[tuple[int, bytes]]:
    with open_bytes(path) as stream:
        try:
            for number, line in enumerate(iter(lambda: stream.readline(_LONGEST_LINE), b""), start=1):
                if len(line) == _LONGEST_LINE:
                    raise InputError(f"{path}, line {number} is longer than {_LONGEST_LINE >> 20} MB; split it.")
                if number == 1:
                    line = without_mark(line, path)
                # files that were joined have the mark in their middle
                yield number, line.rstrip(b"\r\n").removeprefix(_MARK)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{path} cannot be read to its end ({cause(error)}); get the file again.") from error


def whole_file(path: Path) -> bytes:
    """The content of a file, without a byte order mark.

    Raises:
        InputError: as for :func:`text_lines`, or it is too large to be read at once.
    """
    with open_bytes(path) as stream:
        try:
            content: bytes = stream.read(_LARGEST_FILE)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{path} cannot be read to its end ({cause(error)}); get the file again.") from error
    if len(content) == _LARGEST_FILE:
        raise InputError(f"{path} is one JSON value of more than {_LARGEST_FILE >> 30} GB; write it as jsonl.")
    return without_mark(content, path)


def json_value(data: bytes, path: Path, line: int = 0) -> Any:
    """One JSON value; NaN, infinities and halves of surrogate pairs, which Python's json writes, are read too.

    Raises:
        RecordError: it is no JSON, or cannot be held.
    """
    try:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _without_surrogates(json.loads(data))
    except (ValueError, RecursionError) as error:
        remedy = "correct or delete that line" if line else "correct the file, or get it again"
        raise RecordError(path, line, f"not JSON ({cause(error)})", remedy) from error


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def delimited_lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of a file separated by tabs or commas, with the number of the line on which each record begins.

    A field in double quotes may hold the delimiter, doubled quotes and line breaks, as every csv writer means it.
    A quotation mark anywhere else is one of the text: collections of passages are written without any quoting.

    Raises:
        RecordError: a line is not UTF-8, or its quotation marks can be read in two ways.
    """
    lines = _Ahead((number, _decoded(line, path, number)) for number, line in _every_line(path))
    unquoted = False  # whether a text was met whose quotation marks are its own: no csv writer leaves such a one bare
    for number, line in lines:
        if not line.strip():
            continue
        plain = line.split(delimiter)
        if '"' not in line:
            yield number, plain
            continue
        taken: list[tuple[int, str]] = []
        try:
            fields = next(csv.reader(_quoted(line, lines, taken), delimiter=delimiter, strict=True))
        except csv.Error as error:
            lines.put_back(taken)
            if delimiter == ",":
                raise RecordError(path, number, f"quotation marks that do not pair ({error})") from error
            unquoted, fields = True, plain
        else:
            unquoted = unquoted or any('"' in field[1:] and not field.startswith('"') for field in plain)
            if taken and all(text.count(delimiter) == len(plain) - 1 > 0 for _, text in taken):
                # each line could be a record of its own, whose text merely begins or ends with a quotation mark
                if not unquoted:
                    raise RecordError(
                        path,
                        number,
                        f"the quotation mark that opens here closes on line {taken[-1][0]}, so it may be one record or "
                        "several",
                        "double the marks that belong to a text, or write the file as jsonl",
                    )
                lines.put_back(taken)
                fields = plain
        yield number, fields


class _Ahead(Iterator[tuple[int, str]]):
    """Numbered lines, some of which can be put back."""

    def __init__(self, lines: Iterable[tuple[int, str]]):
        self._lines, self._back = iter(lines), deque[tuple[int, str]]()

    def __next__(self) -> tuple[int, str]:
        return self._back.popleft() if self._back else next(self._lines)

    def put_back(self, lines: list[tuple[int, str]]) -> None:
        self._back.extendleft(reversed(lines))


def _quoted(line: str, lines: _Ahead, taken: list[tuple[int, str]]) -> Iterator[str]:
    yield f"{line}\n"
    for numbered in islice(lines, _MOST_LINES):
        taken.append(numbered)
        yield f"{numbered[1]}\n"


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise RecordError(path, number, f"not UTF-8 ({error.reason})", "convert the file to UTF-8") from error


def trec_qrels(path: Path, least: int = 1) -> dict[str, list[str]]:
    """Relevant document ids by query id, from TREC judgements (``query 0 document grade``) or BEIR's tsv.

    A line with a tab is split at tabs alone, so that its ids may hold spaces; any other one at white space.

    Args:
        path: the file; a header line is passed over.
        least: the lowest grade that counts as relevant.

    Returns:
        A query all of whose documents have lower grades has an empty list.

    Raises:
        RecordError: a line has another number of columns or a grade that is no number.
    """
    found: dict[str, list[str]] = {}
    for place, (number, line) in enumerate(text_lines(path)):
        text = _decoded(line, path, number)
        columns = text.rstrip().split("\t") if "\t" in text else text.split()
        if len(columns) not in (3, 4):
            raise RecordError(path, number, f"a judgement has 3 or 4 columns, not {len(columns)}")
        query, document, grade = columns[0], columns[-2], columns[-1]
        if place == 0 and not is_grade(grade):
            continue
        if not is_grade(grade):
            raise RecordError(path, number, f"the grade {grade!r} is not a number")
        relevant = found.setdefault(query, [])
        if float(grade) >= least:
            relevant.append(document)
    return found


def is_grade(value: Any) -> bool:
    """Whether a value is a finite number, or a text that stands for one."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
