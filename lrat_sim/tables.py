"""One table for every result: built once, shown in a terminal, as Markdown, HTML, CSV or LaTeX.

Cells are formatted texts; ``records`` hold the same and more as it was computed, and become the CSV.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from rich.console import RenderableType

NONE = "–"  # what a cell without a value shows

_CLOSE = 9  # columns from which on a terminal sets them close together
_SHORT = 28  # characters of a name that a page keeps on one line
_HEADING = 20  # characters of a heading that a terminal keeps on one line
_NARROW = 8  # characters that the first column keeps on a narrow terminal

NORMAL_QUANTILE = 1.96  # standard errors on either side of a mean that hold 95 % of the noise


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
    """A table of results."""

    title: str
    columns: list[str]  # a line break in a heading is kept where the medium allows it
    groups: list[Group]
    notes: list[str] = []
    records: list[dict[str, Any]] = []  # the values as computed, for the CSV; without them it has the cells
    slug: str = "table"  # its name as a file
    text_columns: tuple[int, ...] = (0,)  # positions of columns that stand to the left; others stand to the right
    wide_columns: tuple[int, ...] = ()  # positions of columns for which a terminal has no room

    @classmethod
    def of(cls, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], **options: Any) -> Table:
        """A table of plain rows; ``options`` are further fields."""
        return cls(title=title, columns=[*columns], groups=[Group([Row([*cells]) for cells in rows])], **options)

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group.rows]

    def to_terminal(self) -> RenderableType:
        """For rich's console; the headings of numbers are broken at spaces, to keep the columns narrow."""
        from rich import box
        from rich.console import Group as Parts
        from rich.table import Table as Drawn
        from rich.text import Text

        from lrat_sim.progress import console

        kept = [position for position in range(len(self.columns)) if position not in self.wide_columns]
        gap = 1 if len(kept) < _CLOSE else 0
        # a column is no wider for its heading, which may be a path without a space
        headings = [
            [part for word in re.split(r"[ \n]+", name) for part in wrap(word, _HEADING)] for name in self.columns
        ]
        shown = [[row.cells[at] for row in self.rows if at < len(row.cells)] for at in kept]
        cells = [
            ["", *headings[at], *(line for cell in column for line in cell.split("\n"))]
            for at, column in zip(kept, shown, strict=True)
        ]
        widths = [max(map(len, column)) for column in cells]
        # a title that the first column has no room for stands above its rows, which then are a table of their own, with
        # columns as wide as in the others; only the first may give way
        room = max(_NARROW, console.width - sum(widths[1:]) - (1 + gap) * len(kept))
        titles = [group.title or "" for group in self.groups]
        apart = max(map(len, titles), default=0) > room and not set(kept[1:]).intersection(self.text_columns)
        widths[0] = min(widths[0], room)
        parts: list[RenderableType] = [Text(self.title)]
        for groups in [[group] for group in self.groups] if apart else [self.groups]:
            drawn = Drawn(
                box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False, show_edge=False,
                show_header=not apart or groups[0] is self.groups[0],
            )  # fmt: skip
            for position, width in zip(kept, widths, strict=True):
                text = position in self.text_columns
                drawn.add_column(
                    Text(self.columns[position] if text else "\n".join(headings[position])), overflow="fold",
                    justify="left" if text else "right", no_wrap=not text, width=width if apart else None,
                )  # fmt: skip
            for group in groups:
                if group.title is not None and apart:
                    parts.append(Text(f"\n{group.title}", style="bold"))
                elif group.title is not None:
                    drawn.add_row(Text(group.title, style="bold"))
                for row in group.rows:
                    texts = ((row.cells[at] if at < len(row.cells) else "", at in row.strong) for at in kept)
                    drawn.add_row(*(Text(cell, "bold" if strong else "") for cell, strong in texts))
                drawn.add_section()
            parts.append(drawn)
        return Parts(*parts, *(Text(note, style="dim") for note in self.notes))

    def __rich__(self) -> RenderableType:
        return self.to_terminal()

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

    def to_html(self, colour: Callable[[str], str] | None = None) -> str:
        """A ``<table>`` that scrolls within its part of a page, and its notes; ``colour`` gives an arm's colour in CSS.

        Classes for its style: ``wide`` (what scrolls), ``number``, ``short`` (a one-line name), ``group``, ``swatch``,
        ``note``.
        """

        def cell(tag: str, text: str, position: int, scope: str = "", strong: bool = False) -> str:
            kind = ' class="number"' if position not in self.text_columns else ""
            shown = html.escape(text).replace("\n", "<br>")
            return f"<{tag}{scope}{kind}>{f'<strong>{shown}</strong>' if strong else shown}</{tag}>"

        def named(name: str, arm: str | None) -> str:
            swatch = f'<span class="swatch" style="background: {colour(arm)}"></span>' if colour and arm else ""
            return f"{swatch}<bdi>{html.escape(name)}</bdi>"

        def line(row: Row) -> str:
            short = ' class="short"' if len(row.cells[0]) <= _SHORT else ""
            cells = [f'<th scope="row"{short}>{named(row.cells[0], row.arm)}</th>']
            cells += [cell("td", text, at, strong=at in row.strong) for at, text in enumerate(row.cells[1:], start=1)]
            return f"<tr>{''.join(cells)}</tr>"

        head = "".join(cell("th", heading, position, ' scope="col"') for position, heading in enumerate(self.columns))
        caption = f"{self.slug}-caption"
        lines = [
            f'<div class="wide" role="region" tabindex="0" aria-labelledby="{caption}">',
            "<table>",
            f'<caption id="{caption}"><span>{html.escape(self.title)}</span></caption>',
            f"<thead><tr>{head}</tr></thead>",
        ]
        for group in self.groups:
            lines.append("<tbody>")
            if group.title is not None:
                title = f"<span>{named(group.title, group.arm)}</span>"
                lines.append(f'<tr class="group"><th scope="rowgroup" colspan="{len(self.columns)}">{title}</th></tr>')
            lines += [*map(line, group.rows), "</tbody>"]
        return "\n".join([*lines, "</table>", "</div>", *(f'<p class="note">{html.escape(n)}</p>' for n in self.notes)])

    def to_csv(self) -> str:
        """The records, or else the cells, as CSV."""
        return records_csv(self.records or [dict(zip(self.columns, row.cells, strict=False)) for row in self.rows])

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
                lines.append(line(rf"\textbf{{{cell}}}" if at in row.strong else cell for at, cell in enumerate(cells)))
        lines += [r"    \bottomrule", r"  \end{tabular}"]
        if self.notes:
            lines.append(rf"  \par\smallskip\footnotesize {escape_latex(' '.join(self.notes))}")
        return "\n".join([*lines, r"\end{table}", ""])


def records_csv(records: Sequence[dict[str, Any]]) -> str:
    """Records with a heading, numbers as computed, nothing for None; texts are kept from being formulas."""
    columns = list(dict.fromkeys(column for record in records for column in record))
    return csv_text([columns, *([record.get(column) for column in columns] for record in records)])


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


def escape_latex(text: str) -> str:
    """A text with LaTeX's special characters escaped."""
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
    """A number times ``scale`` with the given digits after the point, ``–`` for None; ``sign`` also shows a plus."""
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
