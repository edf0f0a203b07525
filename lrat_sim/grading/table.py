"""Runs side by side in a table."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from lrat_sim.grading.metrics import RunMetrics


def runs_table(runs: Mapping[str, RunMetrics]) -> Table:
    """One row a run: what was asked and how it ended, success with its bounds, evidence, steps, tokens, cost."""
    table = Table(title=None)
    for name in ("run", "tasks", "success", "evidence recall", "opened", "steps", "searches", "browses"):
        table.add_column(name, justify="left" if name == "run" else "right", overflow="fold")
    for name in ("answered", "unanswered", "errors", "ungraded", "tokens", "cost"):
        table.add_column(name, justify="right")
    for name, run in runs.items():
        bounds = f" ({run.success_low:.1%} to {run.success_high:.1%})" if run.ungraded else ""
        table.add_row(
            name,
            f"{run.tasks:,}" + (f", {run.missing:,} not run" if run.missing else ""),
            f"{_share(run.success)}{bounds}",
            _share(run.evidence_recall),
            _share(run.evidence_opened),
            _mean(run.steps),
            _mean(run.searches),
            _mean(run.browses),
            f"{run.answered:,}",
            f"{run.unanswered:,}",
            f"{run.errors:,}",
            f"{run.ungraded:,}",
            f"{run.prompt_tokens + run.completion_tokens:,}",
            "unknown" if run.cost is None else f"${run.cost:,.2f}",
        )
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
