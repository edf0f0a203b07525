"""Sheets for a person to fill: answers and browses of a run, drawn over the judge's verdicts but without them.

A sheet is a CSV file in UTF-8 with a byte order mark, by which spreadsheets know the encoding.  A cell that a
spreadsheet would take for a formula gets an apostrophe before it, which is taken off when the sheet is read.
"""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lrat_sim.artifact import write_text
from lrat_sim.errors import InputError, RecordError
from lrat_sim.spreadsheet import csv_text, unescape_formula

What = Literal["answers", "browses"]
STATES: dict[What, tuple[str, str]] = {"answers": ("correct", "incorrect"), "browses": ("relevant", "irrelevant")}
"""What a person may say of an item, and a judge that did not fail says; the first is the positive one."""

_COLUMNS: dict[What, tuple[str, ...]] = {
    "answers": ("question", "accepted answers", "response"),
    "browses": ("question", "accepted answers", "reasoning"),
}
_LONGEST = 30_000
"""Characters shown in a cell: spreadsheets hold 32,767."""


class Item(Struct, frozen=True, kw_only=True):
    """One row of a sheet.

    Args:
        key: what is judged: ``answer:TRAJECTORY`` or ``browse:turn TURN:TRAJECTORY``, in words that no spreadsheet
            takes for a number or a date.
        state: what the judge said of it; it decides how the row is drawn, and is not written.
        shown: the text columns, in the order of the sheet's.
    """

    key: str
    state: str
    shown: tuple[str, ...]


class Filled(Struct, frozen=True, kw_only=True):
    """One row as a person left it; ``verdict`` is None where it was left empty.

    ``line`` is that of the file where the row begins, ``row`` that of the spreadsheet; both from 1.
    """

    line: int
    row: int
    key: str
    judge: str
    verdict: str | None


def draw(items: Iterable[Item], size: int, seed: int) -> list[Item]:
    """A sample with as many items of one verdict as of the other, as far as there are, in an order that tells nothing.

    It depends on the keys and the seed alone, not on the order of the items, of which only the sample is held.

    Args:
        items: those of one sheet, of any verdict; those without a verdict are passed over.
        size: how many.
        seed: decides which.

    Raises:
        InputError: ``size`` is below 1.
    """
    if size < 1:
        raise InputError(f"a sheet of {size} items holds nothing; give 1 or more.")
    positive = {states[0] for states in STATES.values()}
    kept: dict[bool, list[tuple[int, int, Item]]] = {True: [], False: []}
    known = {state for states in STATES.values() for state in states}
    for number, item in enumerate(items):
        if item.state in known:
            heap = kept[item.state in positive]
            entry = (-_lot(seed, item.key), number, item)
            if len(heap) < size:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
    yes, no = ([entry[2] for entry in sorted(kept[side], reverse=True)] for side in (True, False))
    from_no = min(len(no), max(size // 2, size - len(yes)))
    drawn = yes[: size - from_no] + no[:from_no]
    return sorted(drawn, key=lambda item: _lot(seed + 1, item.key))


def _lot(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:8])


def write_sheet(path: Path, what: What, items: Iterable[Item], judge: str) -> int:
    """Writes a sheet with an empty column for the verdicts; returns the rows.

    Args:
        path: the file.
        what: which sheet.
        items: its rows.
        judge: the name of the judge over whose verdicts the items were drawn; it stands in each row.

    Raises:
        InputError: the file exists and holds verdicts, or its folder cannot be written to.
    """
    if path.is_file() and (filled := sum(row.verdict is not None for row in read_sheet(path, what))):
        raise InputError(f"{path} holds {filled} verdicts, which a new sheet would overwrite; move it away.")
    rows = [(item.key, *map(_short, item.shown), "", judge) for item in items]
    head = ("item", *_COLUMNS[what], f"verdict ({' or '.join(STATES[what])})", "drawn by")
    write_text(path, "\ufeff" + csv_text([head, *rows]))
    return len(rows)


def read_sheet(path: Path, what: What | None = None) -> Iterator[Filled]:
    """The rows of a sheet, filled or not, also as another spreadsheet separates them (semicolons, tabs).

    Args:
        path: the file.
        what: which sheet it has to be; either, if None.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
        RecordError: a column is missing, or a verdict is none of those allowed; names the line of the file, and the
            row of the spreadsheet, which differs where cells hold line breaks.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the file of a sheet.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not in UTF-8; save the sheet as CSV UTF-8.") from error
    head = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    names = [name.strip().partition(" (")[0].lower() for name in next(rows, [])]
    for column in ("item", "verdict", "drawn by"):
        if column not in names:
            raise RecordError(path, 1, f"the column `{column}` is missing", "keep the sheet's first row as it was")
    item, verdict, judge = (names.index(column) for column in ("item", "verdict", "drawn by"))
    line = rows.line_num + 1
    try:
        for number, cells in enumerate(rows, start=2):
            if any(cell.strip() for cell in cells):
                cells = [unescape_formula(cell) for cell in cells] + [""] * (len(names) - len(cells))
                key = cells[item].strip()
                said = _verdict(path, line, number, key, cells[verdict], what)
                yield Filled(line=line, row=number, key=key, judge=cells[judge].strip(), verdict=said)
            line = rows.line_num + 1
    except csv.Error as error:
        raise RecordError(path, line, f"not CSV: {error}", "save the sheet again as CSV UTF-8") from error


def sheet_of(key: str) -> What | None:
    """The sheet to which a key belongs."""
    kinds: dict[str, What] = {"answer": "answers", "browse": "browses"}
    return kinds.get(key.partition(":")[0])


def _verdict(path: Path, line: int, row: int, key: str, cell: str, what: What | None) -> str | None:
    own = sheet_of(key)
    if own is None or (what is not None and own != what):
        wanted = f"one of a sheet of {what}" if what else "an item of a sheet"
        raise RecordError(path, line, f"row {row}: `item` is {key!r}, which is not {wanted}")
    said = cell.strip().lower()
    if said and said not in STATES[own]:
        allowed = " or ".join(STATES[own])
        remedy = f"write {allowed}, or leave it empty"
        raise RecordError(path, line, f"row {row}: the verdict on {key} is {cell.strip()!r}", remedy)
    return said or None


def _short(text: str) -> str:
    text = text.replace("\0", "�")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} [... {len(text) - _LONGEST:,} characters more]"
