"""Success by arm as a plot: the figure of reports, and what a comparison opens on in the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrat_sim.colours import Looks
from lrat_sim.comparison.record import Comparison
from lrat_sim.plots import Axis, Bars, Line, Note, Panel, Plot, noise_interval, short_name
from lrat_sim.tables import percent

NOISE_NOTE = "Bars hold 95 % of the noise from tasks."


def success_plot(comparison: Comparison, slug: str, looks: Looks) -> Plot:
    """Success by arm with its noise; without records where no success is known."""
    records = [success_record(comparison, arm) for arm in comparison.arms]
    records = [record for record in records if record["success"] is not None]
    marks = [
        Line(
            **looks.of(record["arm"])._asdict(),
            points=[(record["success"], row)],
            intervals=[noise_interval(record["success"], record["error_over_tasks"])],
            sideways=True,
        )
        for row, record in enumerate(records)
    ]
    said = "; ".join(f"{record['arm']} {percent(record['success'])}" for record in records)
    return Plot(
        slug=slug,
        title="Success by retriever",
        description=f"{said}.",
        panels=[row_panel(marks, [record["arm"] for record in records], Axis(label="success", percent=True))],
        note=f"Mean over {comparison.tasks_asked:,} tasks. {NOISE_NOTE}",
        records=records,
    )


def success_record(comparison: Comparison, arm: str) -> dict[str, Any]:
    """The success of an arm with its standard error, as computed."""
    summary = comparison.arm(arm)
    success, error = summary.means.get("success"), summary.over_tasks.get("success")
    return {"arm": arm, "success": success, "error_over_tasks": error}


def row_panel(marks: Sequence[Line | Bars | Note], names: Sequence[str], x: Axis, right: float = 12) -> Panel:
    """A panel with a row a name, the first one on top."""
    ticks = {float(row): short_name(name) for row, name in enumerate(names)}
    y = Axis(low=len(names) - 0.5, high=-0.5, ticks=ticks, grid=False)
    return Panel(marks=marks, x=x, y=y, height=18 + 30 * len(names), right=right)
