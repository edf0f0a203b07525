"""Several comparisons on the terminal, in 80 columns: their answers, and success along what was varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lrat_sim.comparison import Comparison, Estimate, Pairing, Summary
from lrat_sim.tables import NORMAL_QUANTILE, interval, p_value

_NOTE = "±: 95 % of the noise from tasks. err.: runs that broke. gain: over the first retriever, by task."


def render_cells(comparisons: Mapping[str, Comparison]) -> RenderableType:
    """The answer of every cell, and for each agent and task set a table of success, by arm and k.

    Args:
        comparisons: by the folder of their cell, as :func:`lrat_sim.experiment.run_experiment` gives them.
    """
    parts: list[RenderableType] = []
    for folder, comparison in comparisons.items():
        parts += [Text(f"{_cell(comparison)}, k = {comparison.setting['k']}: {folder}", style="dim")]
        parts += [Text(comparison.answer, style="bold"), Text("")]
    for title, group in groupby(sorted(comparisons.values(), key=_cell), key=_cell):
        by_k = sorted(group, key=lambda comparison: int(comparison.setting["k"]))
        arms = list(dict.fromkeys(summary.name for comparison in by_k for summary in comparison.summaries))
        table = _table(title, ("retriever", "k"))
        for arm in arms:
            for comparison in by_k:
                add_point(table, (arm, str(comparison.setting["k"])), comparison, arm)
            if len(by_k) > 1:
                table.add_section()
        parts += [table, Text("")]
    parts.append(Text(_NOTE, style="dim"))
    return Group(*parts)


def render_curve(title: str, head: Sequence[str], points: Mapping[str, Sequence[str]], found: Comparison) -> Group:
    """One comparison whose arms are points along a curve.

    Args:
        title: of the table.
        head: what is varied, one heading a column.
        points: the arm to its cells in these columns.
        found: the comparison.
    """
    table = _table(title, head)
    for arm, cells in points.items():
        add_point(table, cells, found, arm)
    return Group(Text(found.answer, style="bold"), Text(""), table)


def add_point(table: Table, cells: Sequence[str], comparison: Comparison, arm: str) -> None:
    """Adds the row of one arm of a comparison, where it has that arm.

    Args:
        table: to add to.
        cells: the first ones of the row.
        comparison: where the arm ran.
        arm: its name.
    """
    summary = next((each for each in comparison.summaries if each.name == arm), None)
    if summary is None:
        return
    pairing = next((each for each in comparison.pairings if (each.arm, each.base) == (arm, comparison.base)), None)
    table.add_row(*map(Text, cells), _success(summary), f"{summary.errors:,}", *_gain(pairing), *_rest(summary))


def _table(title: str, head: Sequence[str]) -> Table:
    table = Table(
        title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False,
        show_edge=False,
    )  # fmt: skip
    for number, heading in enumerate(head):
        table.add_column(heading, overflow="fold", justify="right" if number else "left", no_wrap=bool(number))
    for heading in ("success", "err.", "gain", "95 %\ninterval", "p\nHolm", "evid.\nrecall", "steps"):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _success(summary: Summary) -> str:
    value, error = summary.means.get("success"), summary.over_tasks.get("success")
    if value is None:
        return "-"
    noise = "" if error is None else f" ±{100 * NORMAL_QUANTILE * error:.1f}"
    return f"{100 * value:.1f}{noise}"


def _gain(pairing: Pairing | None) -> tuple[str, str, str]:
    if pairing is None:
        return "", "", ""
    success = pairing.measures["success"]
    estimate: Estimate = success.difference
    value = "-" if estimate.value is None else f"{100 * estimate.value:+z.1f}"
    return value, interval(estimate.low, estimate.high, scale=100), p_value(success.p_holm)


def _rest(summary: Summary) -> tuple[str, str]:
    recall, steps = summary.means.get("evidence_recall"), summary.means.get("steps")
    return "-" if recall is None else f"{100 * recall:.1f}", "-" if steps is None else f"{steps:.1f}"


def _cell(comparison: Comparison) -> str:
    setting = comparison.setting
    return f"{setting['agent']} on {setting['task_set']}, {setting['split']}"
