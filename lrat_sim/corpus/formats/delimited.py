"""Files separated by tabs or commas, record by record; every error names file and line."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lrat_sim.errors import RecordError
from lrat_sim.foreign.files import lines

_MOST_LINES = 1000  # that a field in quotation marks may span

# the library stops at 128 kB a field unless told otherwise, for the whole process; a document may be longer
csv.field_size_limit(1 << 28)


def delimited_lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each record, with the number of the line on which it begins.

    A field in double quotes may hold the delimiter, doubled quotes and line breaks, as every csv writer means it.  A
    quotation mark anywhere else belongs to the text: collections of passages are written without any quoting.  A line
    that can be read in both ways is refused.
    """
    ahead = _Ahead((number, decoded(line, path, number)) for number, line in lines(path))
    unquoted = (
        False  # whether some text had bare quotation marks, which no csv writer leaves: so the file has no quoting
    )
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


def decoded(line: bytes, path: Path, number: int) -> str:
    """A line as text."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise RecordError(path, number, f"not UTF-8 ({error.reason})", "convert the file to UTF-8") from error
