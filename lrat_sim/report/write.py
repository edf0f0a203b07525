"""Writes a report: the page, and beside it its plots and tables as files."""

from __future__ import annotations

import time
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lrat_sim import __version__
from lrat_sim.artifact import ensure_folder, write_text
from lrat_sim.colours import variables
from lrat_sim.errors import InputError
from lrat_sim.progress import shown
from lrat_sim.report.sections import sections
from lrat_sim.report.subject import read_subject
from lrat_sim.tables import records_csv

PAGE, FILES = "report.html", "report"
_TITLES = {"sweep": "Success by the number of pairs trained on", "flywheel": "A retriever improved in rounds"}
_NAMED = 2_000
"""Tasks that the page names in a list; all of them stand in the CSV."""
_OURS = '<meta name="generator" content="lrat-sim">'
"""By which a page is known to be one of these, which may be replaced."""


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
        InputError: the folder holds nothing to report, a file of it cannot be read, or ``out`` not be written to, or
            holds a page or a folder of those names that is no report.
    """
    # all of it is read and drawn before anything is written
    subject = read_subject(folder)
    parts, looks = sections(subject)
    out = ensure_folder(folder if out is None else out)
    page, files = out / PAGE, out / FILES
    ours = page.is_file() and _OURS in page.read_text(encoding="utf-8", errors="replace")[:1000]
    if not ours and (page.exists() or files.exists()):
        name = PAGE if page.exists() else FILES
        raise InputError(f"{out} holds a {name} that is no report of lrat-sim; move it away, or give another folder.")
    templates = Environment(
        loader=PackageLoader("lrat_sim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = templates.get_template("report.html").render(
        title=_TITLES.get(subject.kind, "Retrievers compared"),
        name=folder.resolve().name,
        sections=parts,
        command=command or subject.command,
        written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=__version__,
        files=FILES,
        named=_NAMED,
        drawn=Markup,
        looks=looks,
        light=variables(dark=False),
        dark=variables(dark=True),
    )
    write_text(page, shown(text))  # first: by it the files are known to be ours
    ensure_folder(files)
    for part in parts:
        for table in part.tables:
            write_text(files / f"{table.slug}.csv", table.to_csv())
            write_text(files / f"{table.slug}.tex", table.to_latex())
        for plot in (*part.figures, *part.plots):
            write_text(files / f"{plot.slug}.svg", plot.to_svg())
            write_text(files / f"{plot.slug}.csv", records_csv(plot.records))
        for name, records in part.records.items():
            write_text(files / f"{name}.csv", records_csv(records))
    return page
