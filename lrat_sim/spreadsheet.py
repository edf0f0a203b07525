"""CSV that a spreadsheet opens as it was meant: no text of a document or a task becomes a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV: nothing for None, numbers as computed, and an apostrophe before a text that could be a formula."""
    return "".join(_line([escape_formula(cell) if isinstance(cell, str) else cell for cell in row]) for row in rows)


def _line(cells: list[Any]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(cells)  # a terminator by which a lone return is quoted, too
    return written.getvalue().removesuffix("\r\n") + "\n"


def escape_formula(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: one that could be gets an apostrophe before it."""
    return f"'{cell}" if cell.lstrip(" \u00a0").startswith(_FORMULA) and not _is_number(cell) else cell


def unescape_formula(cell: str) -> str:
    """What :func:`escape_formula` was given."""
    return cell[1:] if cell.startswith("'") and escape_formula(cell[1:]) != cell[1:] else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
