"""The comparisons of a study in 80 columns: success of every arm, along what was varied."""

from __future__ import annotations

from itertools import groupby
from statistics import fmean

from lrat_sim.comparison import Comparison
from lrat_sim.study.record import Cell, Kind
from lrat_sim.study.study import StudyResult
from lrat_sim.tables import Group, Row, Table, interval, noise, number, p_value

_NOTE = "±: 95 % of the noise from tasks. err.: runs that broke. gain: over the base, in points, by task."
_SEEDS = "± seeds: standard deviation between seeds."


def success_tables(result: StudyResult) -> list[Table]:
    """For each agent and task set the success of every arm, by k where that varies; of this call's comparisons."""
    by_folder = {cell.folder: cell for cell in result.record.cells}
    cells = [(by_folder[folder], comparison) for folder, comparison in result.comparisons.items()]
    cells.sort(key=lambda pair: (_title(pair[0]), pair[0].k))
    groups = groupby(cells, key=lambda pair: _title(pair[0]))
    return [_table(title, list(group), result.record.kind) for title, group in groups]


def _title(cell: Cell) -> str:
    seeds = f", {len(cell.seeds)} seeds" if len(cell.seeds) > 1 else ""
    return f"{cell.agent} on {cell.task_set}, {cell.tasks:,} {cell.split} tasks{seeds}"


def _table(title: str, cells: list[tuple[Cell, Comparison]], kind: Kind) -> Table:
    """The columns that tell something, and of those about training only what 80 columns hold."""
    arms = dict.fromkeys(summary.name for _, comparison in cells for summary in comparison.summaries)
    optional = {
        "k": len(cells) > 1,
        "pairs": any(cell.trained for cell, _ in cells),
        "their\ntasks": kind == "sweep",
        "±\nseeds": any(len(cell.seeds) > 1 for cell, _ in cells),
        "p\nHolm": kind != "ablate",
    }
    of_arms = [[_values(cell, comparison, arm) for cell, comparison in cells] for arm in arms]
    of_arms = [[values for values in rows if values] for rows in of_arms]
    columns = [column for column in of_arms[0][0] if optional.get(column, True)]
    groups = [Group([Row([values[column] for column in columns], arm=arm) for values in rows])
              for arm, rows in zip(arms, of_arms, strict=True)]  # fmt: skip
    if len(cells) == 1:
        title, groups = f"{title}, k = {cells[0][0].k}", [Group([row for group in groups for row in group.rows])]
    notes = [_NOTE, *[_SEEDS] * optional["±\nseeds"]]
    return Table(title=title, columns=columns, groups=groups, notes=notes, slug="success")


def _values(cell: Cell, comparison: Comparison, arm: str) -> dict[str, str]:
    """The figures of an arm by column; none where the comparison does not have it."""
    summary = next((summary for summary in comparison.summaries if summary.name == arm), None)
    if summary is None:
        return {}
    pairing = next((pair for pair in comparison.pairings if (pair.arm, pair.base) == (arm, comparison.base)), None)
    success = pairing.measures["success"] if pairing else None
    gain = success.difference if success else None
    trained, error = cell.trained.get(arm), summary.over_tasks.get("success")
    shown = number(summary.means["success"], scale=100)
    return {
        "retriever": arm,
        "k": str(cell.k),
        "pairs": f"{fmean(trained.pairs):,.0f}" if trained else "",
        "their\ntasks": f"{fmean(trained.tasks):,.0f}" if trained else "",
        "success": shown if error is None else f"{shown} {noise(error, scale=100)}",
        "±\nseeds": number(summary.over_seeds.get("success"), scale=100),
        "err.": f"{summary.errors:,}",
        "gain": number(gain.value, scale=100, sign=True) if gain else "",
        "95 %\ninterval": interval(gain.low, gain.high, scale=100) if gain else "",
        "p\nHolm": p_value(success.p_holm) if success else "",
        "evid.\nrecall": number(summary.means["evidence_recall"], scale=100),
        "steps": number(summary.means["steps"]),
    }
