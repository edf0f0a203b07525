"""Runs side by side in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from lrat_sim.grading.judges import JudgeMetrics
from lrat_sim.grading.metrics import RunMetrics
from lrat_sim.records import known_sum

_EVERY_K = 8
"""The k up to which each pass@k is shown; beyond, the powers of two and the number of samples."""


def runs_table(runs: Mapping[str, RunMetrics]) -> Table:
    """One column a run: what was asked and how it ended, success with its bounds, evidence, steps, tokens, cost.

    A row that no run has is left out: pass@k and spread need several samples, calibration stated confidences, the
    judges' tokens a model as judge.
    """
    table = Table("", show_edge=False)
    for name in runs:
        table.add_column(name, justify="right", overflow="fold")
    every_k = sorted({k for run in runs.values() for k in _shown_k(run)})
    columns = [_column(run, every_k) for run in runs.values()]
    for row in columns[0] if columns else ():
        values = [column[row] for column in columns]
        if any(value is not None for value in values):
            table.add_row(row, *("-" if value is None else value for value in values))
    return table


def _column(run: RunMetrics, every_k: Sequence[int]) -> dict[str, str | None]:
    """Row to value; None where the run has no such thing."""
    samples, judges = run.samples, run.judges
    pass_at = {found.k: found for found in samples.pass_at} if samples else {}
    paid = judges if judges and _tokens(judges) != "0" else None
    return {
        "tasks asked": f"{run.tasks:,}" + (f" ({run.missing:,} not run)" if run.missing else ""),
        "success": _share(run.success),
        "  if ungraded were wrong, right": f"{_share(run.success_low)}, {_share(run.success_high)}",
        **{f"  pass@{k}": _share(pass_at[k].value) if k in pass_at else None for k in every_k},
        "  deviation between samples": _share(samples.between) if samples else None,
        "  deviation within a task": _share(samples.within) if samples else None,
        "calibration error": f"{_share(run.calibration_error)} of {run.confident:,}" if run.confident else None,
        "evidence recall": _share(run.evidence_recall),
        "evidence opened": _share(run.evidence_opened),
        "evidence hit": _share(run.evidence_hit),
        "steps": _mean(run.steps),
        "  searches": _mean(run.searches),
        "  browses": _mean(run.browses),
        "answered": f"{run.answered:,}",
        "unanswered": f"{run.unanswered:,}",
        "errors": f"{run.errors:,}",
        "ungraded": f"{run.ungraded:,}" + _failed(judges.ungraded_failed if judges else 0),
        "browses unjudged": _unjudged(judges) if judges else None,
        "agent tokens": _tokens(run),
        "agent cost": _dollars(run.cost),
        "judge tokens": _tokens(paid) if paid else None,
        "judge cost": _dollars(paid.cost) if paid else None,
    }


def _shown_k(run: RunMetrics) -> list[int]:
    if run.samples is None:
        return []
    return [p.k for p in run.samples.pass_at if p.k <= _EVERY_K or not p.k & (p.k - 1) or p.k == run.samples.samples]


def _unjudged(judges: JudgeMetrics) -> str | None:
    browses = judges.relevant + judges.irrelevant + judges.unjudged
    return f"{judges.unjudged:,} of {browses:,}" + _failed(judges.unjudged_failed) if browses else None


def _failed(count: int) -> str:
    return f" (judge failed on {count:,})" if count else ""


def _tokens(used: RunMetrics | JudgeMetrics) -> str:
    tokens = known_sum((used.prompt_tokens, used.completion_tokens))
    return "unknown" if tokens is None else f"{tokens:,}"


def _dollars(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:,.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
