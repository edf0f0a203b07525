"""One table for every result: built once, shown in a terminal, as Markdown, HTML, CSV or LaTeX.

Cells are texts, already formatted by the functions below; ``records`` hold the same and more as it was computed, and
become the CSV.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lrat_sim.spreadsheet import csv_text

if TYPE_CHECKING:
    from rich.console import RenderableType

NONE = "–"
"""What a cell without a value shows."""

NORMAL_QUANTILE = 1.96
"""Standard errors on either side of a mean that hold 95 % of the noise."""


class Row(Struct, frozen=True):
    """Cells as they are shown; ``strong`` are the positions of those that stand out, ``arm`` the name of an arm where
    the first cell is one."""

    cells: list[str]
    strong: list[int] = []
    arm: str | None = None


class Group(Struct, frozen=True):
    """Rows that belong together, below a line of their own where there is a title."""

    rows: list[Row]
    title: str | None = None
    arm: str | None = None


class Table(Struct, frozen=True, kw_only=True):
    """A table of results.

    Args:
        title: what it shows.
        columns: the headings; a line break in one is kept where the medium allows it.
        groups: its rows.
        notes: what a reader must know beside the numbers.
        records: the values as computed, for the CSV; without them the CSV has the cells.
        slug: its name as a file.
        text_columns: the positions of columns that hold text, which stand to the left; others stand to the right.
    """

    title: str
    columns: list[str]
    groups: list[Group]
    notes: list[str] = []
    records: list[dict[str, Any]] = []
    slug: str = "table"
    text_columns: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], **options: Any) -> Table:
        """A table of plain rows; ``options`` are further fields."""
        return cls(title=title, columns=[*columns], groups=[Group([Row([*cells]) for cells in rows])], **options)

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group.rows]

    def to_terminal(self) -> RenderableType:
        """For rich's console."""
        from rich import box
        from rich.console import Group as Parts
        from rich.table import Table as Drawn
        from rich.text import Text

        drawn = Drawn(
            title=Text(self.title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False,
            show_edge=False,
        )  # fmt: skip
        for position, heading in enumerate(self.columns):
            text = position in self.text_columns
            drawn.add_column(Text(heading), justify="left" if text else "right", overflow="fold", no_wrap=not text)
        for group in self.groups:
            if group.title is not None:
                drawn.add_row(Text(group.title, style="bold"))
            for row in group.rows:
                drawn.add_row(
                    *(Text(cell, "bold" if position in row.strong else "") for position, cell in enumerate(row.cells))
                )
            drawn.add_section()
        return Parts(drawn, *(Text(note, style="dim") for note in self.notes))

    def to_markdown(self) -> str:
        """As a pipe table, with the title above and the notes below."""

        def line(cells: Iterable[str]) -> str:
            return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |"

        rule = ["---" if position in self.text_columns else "---:" for position in range(len(self.columns))]
        lines = [f"**{self.title}**", "", line(self.columns), line(rule)]
        for group in self.groups:
            if group.title is not None:
                lines.append(line([f"**{group.title}**", *[""] * (len(self.columns) - 1)]))
            for row in group.rows:
                strong = (f"**{cell}**" if position in row.strong else cell for position, cell in enumerate(row.cells))
                lines.append(line(strong))
        return "\n".join([*lines, *(part for note in self.notes for part in ("", note)), ""])

    def to_html(self) -> str:
        """A ``<table>``, everything escaped; the classes ``number``, ``strong`` and ``group`` are for its style."""

        def cell(tag: str, text: str, position: int, strong: bool = False) -> str:
            kinds = [
                kind for kind, holds in (("number", position not in self.text_columns), ("strong", strong)) if holds
            ]
            of = f' class="{" ".join(kinds)}"' if kinds else ""
            return f"<{tag}{of}>{html.escape(text).replace(chr(10), '<br>')}</{tag}>"

        head = "".join(cell("th", heading, position) for position, heading in enumerate(self.columns))
        lines = ["<table>", f"<caption>{html.escape(self.title)}</caption>", f"<thead><tr>{head}</tr></thead>"]
        for group in self.groups:
            lines.append("<tbody>")
            if group.title is not None:
                title = html.escape(group.title)
                lines.append(f'<tr class="group"><th colspan="{len(self.columns)}">{title}</th></tr>')
            for row in group.rows:
                cells = (cell("td", text, position, position in row.strong) for position, text in enumerate(row.cells))
                lines.append(f"<tr>{''.join(cells)}</tr>")
            lines.append("</tbody>")
        notes = [f'<p class="note">{html.escape(note)}</p>' for note in self.notes]
        return "\n".join([*lines, "</table>", *notes])

    def to_csv(self) -> str:
        """The records with a heading, numbers as computed, nothing for None; texts are kept from being formulas."""
        records = self.records or [dict(zip(self.columns, row.cells, strict=False)) for row in self.rows]
        columns = list(dict.fromkeys(column for record in records for column in record))
        return csv_text([columns, *([record.get(column) for column in columns] for record in records)])

    def to_latex(self) -> str:
        """With the rules of the package booktabs, for pasting into a paper."""

        def line(cells: Iterable[str]) -> str:
            return f"    {' & '.join(cells)} \\\\"

        letters = "".join("l" if position in self.text_columns else "r" for position in range(len(self.columns)))
        lines = [
            r"% needs \usepackage{booktabs} and UTF-8",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape_latex(self.title)}}}",
            rf"  \label{{tab:{self.slug}}}",
            rf"  \begin{{tabular}}{{{letters}}}",
            r"    \toprule",
            line(map(escape_latex, self.columns)),
        ]
        for group in (group for group in self.groups if group.rows):
            lines.append(r"    \midrule")
            if group.title is not None:
                lines.append(line([rf"\multicolumn{{{len(letters)}}}{{l}}{{\textbf{{{escape_latex(group.title)}}}}}"]))
            for row in group.rows:
                cells = map(escape_latex, row.cells)
                lines.append(line(rf"\textbf{{{each}}}" if at in row.strong else each for at, each in enumerate(cells)))
        lines += [r"    \bottomrule", r"  \end{tabular}"]
        if self.notes:
            lines.append(rf"  \par\smallskip\footnotesize {escape_latex(' '.join(self.notes))}")
        return "\n".join([*lines, r"\end{table}", ""])


def escape_latex(text: str) -> str:
    """A text that LaTeX prints as it stands."""
    text = re.sub(r"\s+", " ", text)
    text = "".join(_LATEX.get(letter, letter) for letter in text if letter.isprintable())
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


def number(value: float | None, digits: int = 1, *, scale: float = 1.0, sign: bool = False, unit: str = "") -> str:
    """A number to so many digits, ``–`` for None.

    Args:
        value: the number.
        digits: after the point.
        scale: what it is multiplied by first; 100 shows a share in percent or points.
        sign: shows a plus, too, as differences have it.
        unit: what follows, such as ``" %"``.
    """
    return NONE if value is None else f"{scale * value:{'+' if sign else ''}z,.{digits}f}{unit}".replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage, with its sign."""
    return number(value, digits, scale=100, unit=" %")


def interval(low: float | None, high: float | None, digits: int = 1, *, scale: float = 1.0) -> str:
    """``low to high``, ``–`` where both are unknown."""
    if low is None and high is None:
        return NONE
    return " to ".join("no bound" if end is None else number(end, digits, scale=scale) for end in (low, high))


def with_interval(
    value: float | None, low: float | None, high: float | None, digits: int = 1, *, scale: float = 1.0
) -> str:
    """A number with its interval behind it: ``44.0 (39.1 to 48.9)``."""
    shown = number(value, digits, scale=scale)
    return shown if value is None or (low is None and high is None) else (
        f"{shown} ({interval(low, high, digits, scale=scale)})"
    )  # fmt: skip


def noise(error: float | None, digits: int = 1, *, scale: float = 1.0) -> str:
    """Half the 95 % interval of a mean from its standard error: ``±4.9``."""
    return NONE if error is None else f"±{number(NORMAL_QUANTILE * error, digits, scale=scale)}"


def p_value(value: float | None) -> str:
    """A p-value to three digits."""
    if value is None:
        return NONE
    return "<.001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 0.9995 else "1"


def dollars(value: float | None) -> str:
    """US dollars; money of which nobody knows is not nothing."""
    if value is None:
        return "unknown"
    if 0 < value < 0.001:  # one call of a small model
        return f"${value:.4g}"
    return f"${value:,.4f}" if 0 < value < 1 else f"${value:,.2f}"
