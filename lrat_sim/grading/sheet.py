"""Sheets by which a person checks the judges of a run: RUN/sheet-answers.csv and RUN/sheet-browses.csv.

A sheet shows answers or browses, drawn over the verdicts of one judge but without them.  It is a CSV file in UTF-8
with a byte order mark, by which spreadsheets know the encoding.  A cell that a spreadsheet would take for a formula
gets an apostrophe before it, which is taken off when the sheet is read.
"""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lrat_sim.artifact import Store, write_text
from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.answers import response
from lrat_sim.grading.relevance import browses
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.records import Grade, Verdict
from lrat_sim.rollout.index import asked_tasks, read_trajectories
from lrat_sim.tables import csv_text, unescape_formula

What = Literal["answers", "browses"]
SHEETS: dict[What, str] = {"answers": "sheet-answers.csv", "browses": "sheet-browses.csv"}
STATES: dict[What, tuple[str, str]] = {"answers": ("correct", "incorrect"), "browses": ("relevant", "irrelevant")}
"""What a person may say of an item, and a judge that did not fail says; the first is the positive one."""

_TEXTS: dict[What, str] = {"answers": "response", "browses": "reasoning"}
"""The heading of what the judge read."""
_LONGEST = 30_000
"""Characters shown in a cell: spreadsheets hold 32,767."""


class FilledRow(Struct, frozen=True, kw_only=True):
    """One row as a person left it."""

    line: int  # of the file, where the row begins, from 1
    row: int  # of the spreadsheet, from 1
    key: str
    judge: str
    verdict: str | None  # None where it was left empty


def write_sheets(
    run: Path, judges: Mapping[What, str] | None = None, *, size: int = 50, seed: int = 0
) -> dict[Path, int]:
    """Draws the sheets of a run for a person to fill, and returns the files written with their rows.

    Browses made in parallel in one turn share their reasoning and the judge's opinion, so they are one item.

    Args:
        run: a graded run folder.
        judges: the sheets to write, and the name of the judge of each; by default both, over the judge whose record
            is the last of the run.
        size: items a sheet, half of each verdict as far as there are; a sheet without any is not written.
        seed: decides which.

    Raises:
        InputError: nothing in it was judged, or a sheet there is already filled.
    """
    written = {}
    for what in SHEETS if judges is None else judges:
        judged = judged_items(run, what)
        judge = next(reversed(judged), "") if judges is None else judges[what]
        if keys := draw(judged.get(judge, {}), what, size, seed):
            shown = _shown(run, what, keys)
            rows = [(key, *shown[key]) for key in keys if key in shown]
            written[run / SHEETS[what]] = write_sheet(run / SHEETS[what], what, rows, judge)
    if not written:
        raise InputError(f"{run} has nothing that a judge decided; grade it first (lrat-sim grade).")
    return written


def judged_items(run: Path, what: What) -> dict[str, dict[str, str]]:
    """Judge to item to its latest state; the judge whose record is the last of the run comes last."""
    records: Iterable[tuple[str, str, str]]
    if what == "answers":
        records = ((g.judge, _answer_key(g.trajectory_id), g.state) for g in Store(run / GRADES, Grade))
    else:
        records = ((v.judge, _browse_key(v.trajectory_id, v.turn), v.state) for v in Store(run / VERDICTS, Verdict))
    judged: dict[str, dict[str, str]] = {}
    for judge, key, state in records:
        judged[judge] = judged.pop(judge, {})  # moves it to the end
        judged[judge][key] = state
    return judged


def _shown(run: Path, what: What, keys: Collection[str]) -> dict[str, tuple[str, str, str]]:
    """Question, accepted answers and what the judge read, of some items of a run."""
    tasks = {task.id: task for task in asked_tasks(run)}
    shown = {}
    for trajectory in read_trajectories(run):
        if what == "answers":
            texts = {_answer_key(trajectory.id): response(trajectory)}
        else:
            texts = {_browse_key(trajectory.id, browse.turn): browse.reasoning or "" for browse in browses(trajectory)}
        task = tasks.get(trajectory.task_id)
        for key in texts.keys() & keys:
            shown[key] = trajectory.question, "\n".join(task.answers) if task else "", texts[key]
    return shown


def _answer_key(trajectory: str) -> str:
    return f"answer:{trajectory}"


def _browse_key(trajectory: str, turn: int) -> str:
    return f"browse:turn {turn}:{trajectory}"


def sheet_of(key: str) -> What | None:
    """The sheet to which a key belongs."""
    kinds: dict[str, What] = {"answer": "answers", "browse": "browses"}
    return kinds.get(key.partition(":")[0])


def draw(verdicts: Mapping[str, str], what: What, size: int, seed: int) -> list[str]:
    """Items with as many of one verdict as of the other, as far as there are, in an order that tells nothing.

    It depends on the keys of the items and the seed alone.  Items without a verdict are passed over.
    """
    if size < 1:
        raise InputError(f"a sheet of {size} items holds nothing; give 1 or more.")
    yes, no = (
        heapq.nsmallest(size, (key for key in verdicts if verdicts[key] == state), key=partial(_lot, seed))
        for state in STATES[what]
    )
    from_no = min(len(no), max(size // 2, size - len(yes)))
    return sorted(yes[: size - from_no] + no[:from_no], key=partial(_lot, seed + 1))


def _lot(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:8])


def write_sheet(path: Path, what: What, rows: Sequence[tuple[str, ...]], judge: str) -> int:
    """Writes rows (the key and what is shown) with an empty column for the verdicts; returns how many.

    A sheet that is there and filled is not overwritten.
    """
    if path.is_file() and (filled := sum(row.verdict is not None for row in read_sheet(path, what))):
        raise InputError(f"{path} holds {filled} verdicts, which a new sheet would overwrite; move it away.")
    lines = [(key, *map(_short, shown), "", judge) for key, *shown in rows]
    head = ("item", "question", "accepted answers", _TEXTS[what], f"verdict ({' or '.join(STATES[what])})", "drawn by")
    write_text(path, "\ufeff" + csv_text([head, *lines]))
    return len(lines)


def _short(text: str) -> str:
    text = text.replace("\0", "�")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} [... {len(text) - _LONGEST:,} characters more]"


def read_sheet(path: Path, what: What | None = None) -> Iterator[FilledRow]:
    """The rows of a sheet (of answers or browses, if ``what`` says so), whichever way a spreadsheet separates them.

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
    line = rows.line_num + 1
    try:
        for number, cells in enumerate(rows, start=2):
            if any(cell.strip() for cell in cells):
                cells = [unescape_formula(cell) for cell in cells] + [""] * (len(names) - len(cells))
                row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
                verdict = _verdict(path, line, number, row["item"], row["verdict"], what)
                yield FilledRow(line=line, row=number, key=row["item"], judge=row["drawn by"], verdict=verdict)
            line = rows.line_num + 1
    except csv.Error as error:
        raise RecordError(path, line, f"not CSV: {error}", "save the sheet again as CSV UTF-8") from error


def _verdict(path: Path, line: int, row: int, key: str, cell: str, what: What | None) -> str | None:
    own = sheet_of(key)
    if own is None or (what is not None and own != what):
        wanted = f"one of a sheet of {what}" if what else "an item of a sheet"
        raise RecordError(path, line, f"row {row}: `item` is {key!r}, which is not {wanted}")
    if cell and cell.lower() not in STATES[own]:
        remedy = f"write {' or '.join(STATES[own])}, or leave it empty"
        raise RecordError(path, line, f"row {row}: the verdict on {key} is {cell!r}", remedy)
    return cell.lower() or None
