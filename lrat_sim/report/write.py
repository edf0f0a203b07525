"""Writes a report: the page, and beside it its plots and tables as files."""

from __future__ import annotations

import time
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lrat_sim import __version__
from lrat_sim.report.colours import Looks, variables
from lrat_sim.report.sections import Section, sections
from lrat_sim.report.subject import Kind, Subject, read_subject
from lrat_sim.report.table import to_csv, to_latex
from lrat_sim.store import ensure_folder

PAGE, FILES = "report.html", "report"
_TITLES: dict[Kind, str] = {
    "comparison": "Retrievers compared",
    "experiment": "Retrievers compared",
    "sweep": "Success by the number of pairs trained on",
    "flywheel": "A retriever improved in rounds",
}
_UNSEEN = (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SEEN = {number: 0xFFFD for number in _UNSEEN if chr(number) not in "\t\n"}
"""Control characters, and those that turn the direction of all text after them, as a character that shows."""


def write_report(folder: Path, out: Path | None = None, *, command: str | None = None) -> Path:
    """Writes the report of a comparison, an experiment of several, a sweep or a flywheel.

    The page asks for nothing beyond itself.  Beside it come every plot as SVG, every table as CSV, with all the digits
    that there are, and as LaTeX, in a folder ``report``.  The same folder gives the same numbers.

    Args:
        folder: holds what is reported.
        out: gets ``report.html`` and ``report/``; the folder itself by default.
        command: the command line that made what is reported; by default the one recorded there, if any.

    Returns:
        The page.

    Raises:
        InputError: the folder holds nothing to report, a file of it cannot be read, or ``out`` not be written to.
    """
    subject = read_subject(folder)
    parts, looks = sections(subject)
    out = ensure_folder(folder if out is None else out)
    page = _page(subject, parts, looks, command or subject.command).translate(_SEEN)
    _write_files(ensure_folder(out / FILES), parts)
    beside = out / f"{PAGE}.part"
    beside.write_text(page, encoding="utf-8")
    beside.replace(out / PAGE)
    return out / PAGE


def _page(subject: Subject, parts: list[Section], looks: Looks, command: str | None) -> str:
    templates = Environment(
        loader=PackageLoader("lrat_sim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(drawn=Markup, looks=looks, light=variables(dark=False), dark=variables(dark=True))
    return templates.get_template("report.html").render(
        title=_TITLES[subject.kind],
        name=subject.folder.resolve().name,
        sections=parts,
        command=command,
        written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=__version__,
        files=FILES,
    )


def _write_files(folder: Path, parts: list[Section]) -> None:
    for part in parts:
        for table in part.tables:
            _write(folder / f"{table.slug}.csv", to_csv(table.records))
            _write(folder / f"{table.slug}.tex", to_latex(table))
        for plot in part.plots:
            _write(folder / f"{plot.slug}.svg", plot.file)
            _write(folder / f"{plot.slug}.csv", to_csv(plot.records))
        for name, records in part.records.items():
            _write(folder / f"{name}.csv", to_csv(records))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
