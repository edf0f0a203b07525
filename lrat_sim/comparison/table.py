"""A comparison on the terminal, and as ``comparison.json``."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lrat_sim.comparison.arms import Comparison, Summary
from lrat_sim.comparison.measures import MEASURES, Measure
from lrat_sim.comparison.paired import Estimate, Paired
from lrat_sim.errors import InputError
from lrat_sim.store import ensure_folder

_OWN = [measure for measure in MEASURES if measure.population != "both_solve"]


def render(comparison: Comparison) -> RenderableType:
    """The answer, a table of means with one row an arm, and one of differences from the base with one part an arm.

    Differences of shares are in points; a win is a task where the arm is better.
    """
    gap = Text("")
    notes = [Text(note, style="dim") for note in _notes(comparison)]
    return Group(
        Text(comparison.answer, style="bold"), gap, _means(comparison), gap, _differences(comparison), gap, *notes
    )


def save(comparison: Comparison, path: Path) -> None:
    """Writes the comparison as indented JSON: every number of the tables, with intervals, counts and definitions.

    Raises:
        InputError: the folder cannot be written to.
    """
    ensure_folder(path.parent)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n")
    beside.replace(path)


def load(path: Path) -> Comparison:
    """Reads what :func:`save` wrote.

    Raises:
        InputError: the file is missing or does not hold a comparison.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Comparison)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give an existing comparison.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a comparison: {error}; compare the runs again.") from error


def _means(comparison: Comparison) -> Table:
    table = _table(f"means over {comparison.tasks_asked} tasks", gap=0)
    table.add_column("retriever", overflow="fold")
    for measure in _OWN:
        # narrow headings, so that the table fits 80 columns
        table.add_column(measure.title.replace("evidence ", "evid.\n"), justify="right", no_wrap=True)
    table.add_column("errors", justify="right", no_wrap=True)
    for summary in comparison.summaries:
        table.add_row(
            _role(comparison, summary.name),
            *(_mean(measure, summary) for measure in _OWN),
            str(summary.errors),
        )
    return table


def _differences(comparison: Comparison) -> Table:
    table = _table(f"against {comparison.base}", gap=1)
    table.add_column("", overflow="fold")
    for title in ("difference", "95 %\ninterval", "relative", "95 %\ninterval", "win/tie/\nloss"):
        table.add_column(title, justify="right", no_wrap=True)
    for pairing in comparison.pairings:
        closed = pairing.gap_closed
        table.add_row(Text(pairing.arm, style="bold"))
        for measure in MEASURES:
            paired = pairing.measures[measure.name]
            if paired.difference.value is not None:
                table.add_row(" " + measure.title, *_difference(measure, paired))
        if closed is not None and closed.value is not None:
            table.add_row(" gap closed", f"{100 * closed.value:z.0f} %", _range(closed, 100, 0))
        table.add_section()
    return table


def _table(title: str, gap: int) -> Table:
    return Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, gap, 0, 0), pad_edge=False, show_edge=False
    )


def _role(comparison: Comparison, name: str) -> str:
    role = {comparison.base: "base", comparison.oracle: "oracle"}.get(name)
    return name if role in (None, name) else f"{name} ({role})"


def _mean(measure: Measure, summary: Summary) -> str:
    value = summary.means[measure.name]
    if value is None:
        return "unknown" if measure.unit == "dollar" else "-"
    if measure.unit == "share":
        return f"{100 * value:.1f}%"
    if measure.unit == "dollar":
        return f"${value:.4f}"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _difference(measure: Measure, paired: Paired) -> list[str]:
    scale = 100 if measure.unit == "share" else 1
    digits = 4 if measure.unit == "dollar" else 1
    value, relative = paired.difference.value, paired.relative.value
    return [
        "-" if value is None else f"{scale * value:+z.{digits}f}",
        _range(paired.difference, scale, digits),
        "-" if relative is None else f"{100 * relative:+z.0f} %",
        _range(paired.relative, 100, 0),
        f"{paired.wins}/{paired.ties}/{paired.losses}",
    ]


def _range(estimate: Estimate, scale: float, digits: int) -> str:
    if estimate.low is None and estimate.high is None:
        return "-"
    low, high = ("no bound" if end is None else f"{scale * end:z.{digits}f}" for end in (estimate.low, estimate.high))
    return f"{low} to {high}"


def _notes(comparison: Comparison) -> list[str]:
    """What a reader must know beside the numbers: tasks that are left out, answers without a grade."""
    notes = []
    without = comparison.tasks_asked - comparison.tasks_with_evidence
    if without:
        notes.append(f"without evidence, and so left out of evidence metrics: {without} tasks.")
    for pairing in comparison.pairings:
        success = pairing.measures["success"]
        if success.mcnemar_p is not None:
            notes.append(
                f"{pairing.arm} against {comparison.base}: exact McNemar p = {success.mcnemar_p:.2g}; "
                f"both solve {pairing.measures['steps_both_solve'].tasks} tasks."
            )
    for summary in comparison.summaries:
        if summary.not_run:
            notes.append(f"{summary.name}: not run, and so failures: {summary.not_run}.")
        if summary.ungraded:
            notes.append(
                f"{summary.name}: ungraded, and so left out: {summary.ungraded}; success lies between "
                f"{100 * summary.success_low:.1f} % and {100 * summary.success_high:.1f} %."
            )
    return notes
