"""Tables of tabs or commas and judgements, line by line, with every fault placed by file and line."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lrat_sim.errors import RecordError
from lrat_sim.foreign.files import lines

_MOST_LINES = 1000
"""Lines that a field in quotation marks may span."""

# the library stops at 128 kB a field unless told otherwise, for the whole process; a document may be longer
csv.field_size_limit(1 << 28)


def delimited_lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of a file separated by tabs or commas, with the number of the line on which each record begins.

    A field in double quotes may hold the delimiter, doubled quotes and line breaks, as every csv writer means it.
    A quotation mark anywhere else is one of the text: collections of passages are written without any quoting.

    Raises:
        RecordError: a line is not UTF-8, or its quotation marks can be read in two ways.
    """
    ahead = _Ahead((number, _decoded(line, path, number)) for number, line in lines(path))
    unquoted = False  # whether a text was met whose quotation marks are its own: no csv writer leaves such a one bare
    for number, line in ahead:
        if not line.strip():
            continue
        plain = line.split(delimiter)
        if '"' not in line:
            yield number, plain
            continue
        taken: list[tuple[int, str]] = []
        try:
            fields = next(csv.reader(_quoted(line, ahead, taken), delimiter=delimiter, strict=True))
        except csv.Error as error:
            ahead.put_back(taken)
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
                ahead.put_back(taken)
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


def _quoted(line: str, ahead: _Ahead, taken: list[tuple[int, str]]) -> Iterator[str]:
    yield f"{line}\n"
    for numbered in islice(ahead, _MOST_LINES):
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
    for place, (number, line) in enumerate(each for each in lines(path) if each[1].strip()):
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
