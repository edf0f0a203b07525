"""Runs side by side in a table."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from lrat_sim.grading.metrics import RunMetrics


def runs_table(runs: Mapping[str, RunMetrics]) -> Table:
    """One column a run: what was asked and how it ended, success with its bounds, evidence, steps, tokens, cost."""
    table = Table("", show_edge=False)
    columns = {name: _column(run) for name, run in runs.items()}
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    for row in next(iter(columns.values()), {}):
        table.add_row(row, *(column[row] for column in columns.values()))
    return table


def _column(run: RunMetrics) -> dict[str, str]:
    return {
        "tasks asked": f"{run.tasks:,}" + (f" ({run.missing:,} not run)" if run.missing else ""),
        "success": _share(run.success),
        "  if ungraded were wrong, right": f"{_share(run.success_low)}, {_share(run.success_high)}",
        "evidence recall": _share(run.evidence_recall),
        "evidence opened": _share(run.evidence_opened),
        "evidence hit": _share(run.evidence_hit),
        "steps": _mean(run.steps),
        "  searches": _mean(run.searches),
        "  browses": _mean(run.browses),
        "answered": f"{run.answered:,}",
        "unanswered": f"{run.unanswered:,}",
        "errors": f"{run.errors:,}",
        "ungraded": f"{run.ungraded:,}",
        "tokens": f"{run.prompt_tokens + run.completion_tokens:,}",
        "cost": "unknown" if run.cost is None else f"${run.cost:,.2f}",
    }


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
