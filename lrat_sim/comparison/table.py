"""A comparison on the terminal, in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lrat_sim.comparison.file import load, save
from lrat_sim.comparison.measures import MEASURES, Measure
from lrat_sim.comparison.paired import Estimate, Paired
from lrat_sim.comparison.record import Comparison, Pairing, Summary

__all__ = ["load", "p_value", "render", "save", "value_range"]

_BESIDE = ("calibration_error", "ndcg", "recall", "mrr")
"""Measures with a table of their own, so that the first one fits."""

_OWN = [measure for measure in MEASURES if measure.population != "both_solve" and measure.name not in _BESIDE]
_HEADINGS = {"calibration_error": "calib.\nerror", "recall": "query\nrecall"}
_LABELS = {"steps_both_solve": "steps, both", "calibration_error": "calibration"}
_IN_SHORT = ("success", "evidence_recall", "steps_both_solve")
_NAMED = 3


def render(comparison: Comparison) -> RenderableType:
    """The answer, tables of means with one row an arm, one of differences from the base with one part an arm, and one
    of the other pairs in short.

    Differences of shares are in points; a win is a task where the arm is better.
    """
    gap = Text("")
    against = [each for each in comparison.pairings if each.base == comparison.base]
    others = [each for each in comparison.pairings if each.base != comparison.base]
    parts: list[RenderableType] = [Text(comparison.answer, style="bold"), _means(comparison), _beside(comparison)]
    parts += [_differences(comparison.base, against), *([_in_short(others)] if others else [])]
    notes = [Text(note, style="dim") for note in _notes(comparison, against)]
    return Group(*(each for part in parts for each in (part, gap)), *notes)


def _means(comparison: Comparison) -> Table:
    table = _table(f"means over {comparison.tasks_asked} tasks", gap=0)
    table.add_column("retriever", overflow="fold")
    for measure in _OWN:
        # narrow headings, so that the table fits 80 columns
        table.add_column(measure.title.replace("evidence ", "evid.\n"), justify="right", no_wrap=True)
    table.add_column("errors", justify="right", no_wrap=True)
    for summary in comparison.summaries:
        cells = [_mean(measure, summary) for measure in _OWN]
        table.add_row(Text(_role(comparison, summary.name)), *cells, str(summary.errors))
    return table


def _beside(comparison: Comparison) -> Table:
    """Retrieval by the issued queries, calibration, and how sure success is."""
    measures = [measure for name in ("ndcg", "recall", "mrr", "calibration_error") for measure in _named(name)]
    table = _table("issued queries against the evidence; calibration; how sure success is", gap=1)
    table.add_column("retriever", overflow="fold")
    for measure in measures:
        table.add_column(_HEADINGS.get(measure.name, measure.title), justify="right", no_wrap=True)
    table.add_column("std. error\nover tasks", justify="right", no_wrap=True)
    several = any(summary.seeds > 1 for summary in comparison.summaries)
    if several:
        table.add_column("std. dev.\nover seeds", justify="right", no_wrap=True)
    for summary in comparison.summaries:
        cells = [_mean(measure, summary) for measure in measures] + [_points(summary.over_tasks.get("success"))]
        if several:
            cells.append(f"{_points(summary.over_seeds.get('success'))} ({summary.seeds})")
        table.add_row(Text(_role(comparison, summary.name)), *cells)
    return table


def _differences(base: str, pairings: Sequence[Pairing]) -> Table:
    table = _table(Text(f"against {base}"), gap=1)
    table.add_column("", overflow="fold")
    for heading in ("differ-\nence", "95 %\ninterval", "rela-\ntive", "p", "p\nHolm", "could\nshow", "win/tie/\nloss"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pairing in pairings:
        table.add_row(Text(pairing.arm, style="bold"))
        for measure in MEASURES:
            paired = pairing.measures.get(measure.name)
            if paired is not None and paired.difference.value is not None and not _free(measure, paired):
                label = _LABELS.get(measure.name, measure.title.replace("evidence ", "evid. "))
                table.add_row(" " + label, *_difference(measure, paired))
        closed = pairing.gap_closed
        if closed is not None and closed.value is not None:
            table.add_row(" gap closed", f"{100 * closed.value:z.0f} %", value_range(closed, 100, 0))
        table.add_section()
    return table


def _in_short(pairings: Sequence[Pairing]) -> Table:
    table = _table("the other pairs", gap=1)
    table.add_column("", overflow="fold")
    for heading in ("success", "95 %\ninterval", "p\nHolm", "evid.\nrecall", "p\nHolm", "steps,\nboth", "p\nHolm"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("win/tie/\nloss", justify="right", no_wrap=True)
    for pairing in pairings:
        cells: list[str] = []
        for measure in (measure for name in _IN_SHORT for measure in _named(name)):
            paired = pairing.measures[measure.name]
            difference, interval, *_ = _difference(measure, paired)
            cells += [difference, *([interval] if measure.name == "success" else []), p_value(paired.p_holm)]
        success = pairing.measures["success"]
        counts = f"{success.wins}/{success.ties}/{success.losses}"
        table.add_row(Text(f"{pairing.arm} against {pairing.base}"), *cells, counts)
    return table


def _table(title: str | Text, gap: int) -> Table:
    return Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, gap, 0, 0), pad_edge=False, show_edge=False
    )


def _named(name: str) -> list[Measure]:
    return [measure for measure in MEASURES if measure.name == name]


def _role(comparison: Comparison, name: str) -> str:
    role = {comparison.base: "base", comparison.oracle: "oracle"}.get(name)
    return name if role in (None, name) else f"{name} ({role})"


def _mean(measure: Measure, summary: Summary) -> str:
    value = summary.means.get(measure.name)
    if value is None:
        return "unknown" if measure.unit == "dollar" else "-"
    if measure.unit == "share":
        return f"{100 * value:.1f}%"
    if measure.unit == "dollar":
        return f"${value:.4f}"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _free(measure: Measure, paired: Paired) -> bool:
    """Whether nothing was paid, as with the simulated agent: no row then."""
    return measure.unit == "dollar" and not paired.base and not paired.arm


def _difference(measure: Measure, paired: Paired) -> list[str]:
    scale = 100 if measure.unit == "share" else 1
    digits = 4 if measure.unit == "dollar" else 0 if (paired.base or 0) >= 1000 else 1
    value, relative = paired.difference.value, paired.relative.value
    return [
        "-" if value is None else f"{scale * value:+z.{digits}f}",
        value_range(paired.difference, scale, digits),
        "-" if relative is None else f"{100 * relative:+z.0f} %",
        p_value(paired.p),
        p_value(paired.p_holm),
        "-" if paired.smallest is None else f"{scale * paired.smallest:.{digits}f}",
        f"{paired.wins}/{paired.ties}/{paired.losses}",
    ]


def p_value(value: float | None) -> str:
    """A p-value to three digits."""
    if value is None:
        return "-"
    return "<.001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 0.9995 else "1"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def value_range(estimate: Estimate, scale: float, digits: int) -> str:
    """The interval of an estimate, times ``scale``, to so many digits."""
    if estimate.low is None and estimate.high is None:
        return "-"
    low, high = ("no bound" if end is None else f"{scale * end:z.{digits}f}" for end in (estimate.low, estimate.high))
    return f"{low} to {high}"


def _notes(comparison: Comparison, against: Sequence[Pairing]) -> list[str]:
    """What a reader must know beside the numbers: which tasks, which tests, what is left out."""
    notes = []
    for pairing in against:
        relative = pairing.measures["success"].relative
        gain = (
            ""
            if relative.value is None
            else f"success {100 * relative.value:+z.0f} % ({value_range(relative, 100, 0)}), "
        )
        won = f"won {_tasks(pairing.won)}; tied {len(pairing.tied)}; lost {_tasks(pairing.lost)}"
        notes.append(f"{pairing.arm} against {pairing.base}: {gain}{won}.")
    if comparison.tests:
        notes.append(
            f"p: exact McNemar where every task is 0 or 1, else {comparison.permutations:,} exchanges of the arms by"
            f" task. p Holm: corrected for all {comparison.tests} tests, of every measure of every pair of arms. could"
            " show: the smallest true difference that these tasks show 4 times in 5, at p below .05."
        )
    lengths: dict[str, int] = comparison.setting.get("text_length", {})
    if lengths:
        alike = len({*lengths.values()}) == 1
        told = f"{min(lengths.values())}" if alike else ", ".join(f"{arm} {each}" for arm, each in lengths.items())
        told = f"{told} ({', '.join(lengths)})" if alike else told
        notes.append(f"text length of the encoders, in tokens: {told}.")
    without = comparison.tasks_asked - comparison.tasks_with_evidence
    if without:
        notes.append(f"without evidence, and so left out of evidence metrics: {without} tasks.")
    for summary in comparison.summaries:
        if summary.not_run:
            notes.append(f"{summary.name}: not run, and so failures: {summary.not_run}.")
        if summary.ungraded:
            notes.append(
                f"{summary.name}: ungraded, and so left out: {summary.ungraded}; success lies between "
                f"{100 * summary.success_low:.1f} % and {100 * summary.success_high:.1f} %."
            )
    return notes


def _tasks(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names)} ({shown})" if names else "0"
