"""The report of what a folder holds, as a page with plots and tables beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrat_sim.cli.app import LOOP, app
from lrat_sim.progress import say


@app.command(rich_help_panel=LOOP)
def report(
    folder: Annotated[Path, typer.Argument(help="The --out folder of compare, sweep, flywheel or demo.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Gets report.html and report/; by default FOLDER itself.")
    ] = None,
) -> None:
    """Write the report of a comparison or flywheel: a page that opens offline, its plots as SVG, its tables as CSV and
    LaTeX."""
    from lrat_sim.report import write_report

    say(f"report: {write_report(folder, out)}")
