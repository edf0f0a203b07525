"""The comparisons of a study in 80 columns: success of every arm, along what was varied."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from statistics import fmean

from lrat_sim.comparison import Comparison
from lrat_sim.study.record import Cell
from lrat_sim.study.study import StudyResult
from lrat_sim.tables import Group, Row, Table, interval, noise, number, p_value

_NOTE = "±: 95 % of the noise from tasks. err.: runs that broke. gain: over the base, in points, by task."
_SEEDS = "± seeds: standard deviation between seeds."


def success_tables(result: StudyResult) -> list[Table]:
    """For each agent and task set the success of every arm, by k where it varies; one group of rows an arm.

    Args:
        result: of a comparison, a sweep or an ablation; only the cells of its own call are shown.
    """
    by_folder = {cell.folder: cell for cell in result.record.cells}
    cells = [(by_folder[folder], comparison) for folder, comparison in result.comparisons.items()]
    cells.sort(key=lambda pair: (_title(pair[0]), pair[0].k))
    return [_table(title, list(group)) for title, group in groupby(cells, key=lambda pair: _title(pair[0]))]


def _title(cell: Cell) -> str:
    return f"{cell.agent} on {cell.task_set}, {cell.split}"


def _table(title: str, cells: list[tuple[Cell, Comparison]]) -> Table:
    arms = list(dict.fromkeys(summary.name for _, comparison in cells for summary in comparison.summaries))
    trained = any(cell.trained for cell, _ in cells)
    seeded = any(len(cell.seeds) > 1 for cell, _ in cells)
    tested = not (trained and seeded)  # the table would be too wide
    columns = ["retriever", "k", *["pairs", "their\ntasks"] * trained, "success", *["±\nseeds"] * seeded, "err."]
    columns += ["gain", "95 %\ninterval", *["p\nHolm"] * tested, "evid.\nrecall", "steps"]
    groups = []
    for arm in arms:
        rows = [
            _row(cell, comparison, arm, trained, seeded, tested)
            for cell, comparison in cells
            if any(summary.name == arm for summary in comparison.summaries)
        ]
        groups.append(Group(rows))
    if len(cells) == 1:  # nothing to set apart
        groups = [Group([row for group in groups for row in group.rows])]
    return Table(title=title, columns=columns, groups=groups, notes=[_NOTE, *[_SEEDS] * seeded], slug="success")


def _row(cell: Cell, comparison: Comparison, arm: str, trained: bool, seeded: bool, tested: bool) -> Row:
    (summary,) = (summary for summary in comparison.summaries if summary.name == arm)
    pairing = next((pair for pair in comparison.pairings if (pair.arm, pair.base) == (arm, comparison.base)), None)
    made = cell.trained.get(arm)
    cells = [arm, str(cell.k)]
    if trained:
        cells += [_mean(made.pairs), _mean(made.tasks)] if made else ["", ""]
    error = summary.over_tasks.get("success")
    shown = number(summary.means["success"], scale=100)
    cells.append(shown if error is None else f"{shown} {noise(error, scale=100)}")
    cells += [number(summary.over_seeds.get("success"), scale=100)] * seeded
    cells.append(f"{summary.errors:,}")
    if pairing is None:
        cells += [""] * (2 + tested)
    else:
        success = pairing.measures["success"]
        gain = success.difference
        cells += [number(gain.value, scale=100, sign=True), interval(gain.low, gain.high, scale=100)]
        cells += [p_value(success.p_holm)] * tested
    cells += [number(summary.means["evidence_recall"], scale=100), number(summary.means["steps"])]
    return Row(cells, arm=arm)


def _mean(counts: Iterable[int]) -> str:
    return f"{fmean(counts):,.0f}"
