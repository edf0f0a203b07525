"""A table of a report, and how it is written as CSV and LaTeX."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from lrat_sim.spreadsheet import csv_text


class Column(Struct, frozen=True):
    """A column by its heading; numbers stand to the right."""

    heading: str
    number: bool = True


class Row(Struct, frozen=True, kw_only=True):
    """Cells as they are shown, the first one the row's heading; ``arm`` where it is the name of one.

    ``strong`` are the places of cells that stand out.
    """

    cells: list[str]
    arm: str | None = None
    strong: list[int] = []


class Group(Struct, frozen=True, kw_only=True):
    """Rows that belong together, below a line of their own where there is a title."""

    rows: list[Row]
    title: str | None = None
    arm: str | None = None


class Table(Struct, frozen=True, kw_only=True):
    """A table of a report.

    ``groups`` are shown, rounded; ``records`` hold the same and more as it was computed, for the CSV.
    """

    slug: str
    caption: str
    columns: list[Column]
    groups: list[Group]
    records: list[dict[str, Any]]
    notes: list[str] = []

    @property
    def empty(self) -> bool:
        """Whether it has no row."""
        return not any(group.rows for group in self.groups)


def to_csv(records: list[dict[str, Any]]) -> str:
    """Records with a heading: numbers as computed, nothing for None."""
    columns = list(dict.fromkeys(column for record in records for column in record))
    return csv_text([columns, *([record.get(column) for column in columns] for record in records)])


def to_latex(table: Table) -> str:
    """A table with the rules of the package booktabs, for pasting into a paper."""
    letters = "".join("r" if column.number else "l" for column in table.columns)
    lines = [
        r"% needs \usepackage{booktabs} and UTF-8",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escaped(table.caption)}}}",
        rf"  \label{{tab:{table.slug}}}",
        rf"  \begin{{tabular}}{{{letters}}}",
        r"    \toprule",
        f"    {_line([escaped(column.heading) for column in table.columns])}",
    ]
    for group in table.groups:
        if not group.rows:
            continue
        lines.append(r"    \midrule")
        if group.title is not None:
            lines.append(rf"    \multicolumn{{{len(letters)}}}{{l}}{{\textbf{{{escaped(group.title)}}}}} \\")
        for row in group.rows:
            cells = [_strong(escaped(cell), place in row.strong) for place, cell in enumerate(row.cells)]
            lines.append(f"    {_line(cells)}")
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    if table.notes:
        lines.append(rf"  \par\smallskip\footnotesize {escaped(' '.join(table.notes))}")
    return "\n".join([*lines, r"\end{table}", ""])


def escaped(text: str) -> str:
    """A text that LaTeX prints as it stands."""
    text = re.sub(r"\s+", " ", text)
    text = "".join(letter for letter in text if letter.isprintable())
    text = "".join(_LATEX.get(letter, letter) for letter in text)
    return text.replace("--", "-{}-").translate({0x2013: "--"})  # two hyphens would become a dash


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # at the start of a row it would be an argument of the line before
    "*": "{*}",
    "−": "$-$",
    "±": r"$\pm$",
    "…": r"\ldots{}",
}


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _strong(text: str, strong: bool) -> str:
    return rf"\textbf{{{text}}}" if strong else text
