"""Runs side by side in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lrat_sim.grading.metrics import JudgeMetrics, RunMetrics
from lrat_sim.records import known_sum
from lrat_sim.tables import NONE, Table, dollars, number, percent

_EVERY_K = 8
"""The k up to which each pass@k is shown; beyond, the powers of two and the number of samples."""


def runs_table(runs: Mapping[str, RunMetrics]) -> Table:
    """One column a run: what was asked and how it ended, success with its bounds, evidence, steps, tokens, cost.

    A row that no run has is left out: pass@k and spread need several samples, calibration stated confidences, the
    judges' tokens a model as judge.
    """
    every_k = sorted({k for run in runs.values() for k in _shown_k(run)})
    columns = [_column(run, every_k) for run in runs.values()]
    rows = []
    for row in columns[0] if columns else ():
        values = [column[row] for column in columns]
        if any(value is not None for value in values):
            rows.append([row, *(NONE if value is None else value for value in values)])
    return Table.of("Runs", ["", *runs], rows, slug="runs")


def _column(run: RunMetrics, every_k: Sequence[int]) -> dict[str, str | None]:
    """Row to value; None where the run has no such thing."""
    samples, judges = run.samples, run.judges
    pass_at = {found.k: found for found in samples.pass_at} if samples else {}
    paid = judges if judges and _tokens(judges) != "0" else None
    return {
        "tasks asked": f"{run.tasks:,}" + (f" ({run.missing:,} not run)" if run.missing else ""),
        "success": percent(run.success),
        "  if ungraded were wrong, right": f"{percent(run.success_low)}, {percent(run.success_high)}",
        **{f"  pass@{k}": percent(pass_at[k].value) if k in pass_at else None for k in every_k},
        "  deviation between samples": percent(samples.between) if samples else None,
        "  deviation within a task": percent(samples.within) if samples else None,
        "calibration error": f"{percent(run.calibration_error)} of {run.confident:,}" if run.confident else None,
        "evidence recall": percent(run.evidence_recall),
        "evidence opened": percent(run.evidence_opened),
        "evidence hit": percent(run.evidence_hit),
        "steps": number(run.steps),
        "  searches": number(run.searches),
        "  browses": number(run.browses),
        "answered": f"{run.answered:,}",
        "unanswered": f"{run.unanswered:,}",
        "errors": f"{run.errors:,}",
        "ungraded": f"{run.ungraded:,}" + _failed(judges.ungraded_failed if judges else 0),
        "browses unjudged": _unjudged(judges) if judges else None,
        "agent tokens": _tokens(run),
        "agent cost": dollars(run.cost),
        "judge tokens": _tokens(paid) if paid else None,
        "judge cost": dollars(paid.cost) if paid else None,
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
