"""The tables of a comparison, for the terminal, the report and papers alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from lrat_sim.comparison.answer import sentences
from lrat_sim.comparison.measures import Measure
from lrat_sim.comparison.paired import Paired
from lrat_sim.comparison.record import Comparison, Pairing, Summary
from lrat_sim.comparison.results import (
    INTERVAL,
    RESULT_COLUMNS,
    RESULT_NOTE,
    arm_row,
    result_cells,
    result_record,
    role,
)
from lrat_sim.comparison.significance import LEVEL
from lrat_sim.tables import Group, Row, Table, dollars, interval, noise, number, p_value

if TYPE_CHECKING:
    from rich.console import RenderableType

# two tables of means, since one would not fit 80 columns
_RETRIEVAL = ("evidence_hit", "ndcg", "recall", "mrr", "calibration_error")
"""Measures with a table of their own."""
_OTHERS = ("success", "evidence_recall", "steps_both_solve")
"""Measures in which pairs without the base are shown."""
_COUNTS = "won/ tied/ lost"
_NAMED = 3

Column = Callable[[Summary], str]
"""The cell of an arm in a column."""


def summary(comparison: Comparison) -> Table:
    """A row an arm with its means and its gain over the base; what ends a command, with the answer below it."""
    return Table(
        slug="summary",
        title=f"Means over {comparison.tasks_asked:,} tasks",
        columns=["retriever", *RESULT_COLUMNS],
        groups=[Group([arm_row(comparison, arm, result_cells(comparison, arm)) for arm in comparison.arms])],
        records=[{"arm": arm, **result_record(comparison, arm)} for arm in comparison.arms],
        notes=[RESULT_NOTE.format(base=comparison.base), *_left_out(comparison)],
    )


def render(comparison: Comparison) -> RenderableType:
    """The answer and all tables; for a terminal, in 80 columns."""
    from rich.console import Group as Parts
    from rich.text import Text

    notes = []
    for pairing in comparison.against_base():
        relative, gain = pairing.measures["success"].relative, ""
        if relative.value is not None:
            change = number(relative.value, 0, scale=100, sign=True, unit=" %")
            gain = f"success {change} ({relative.interval(0, scale=100)}), "
        won = f"won {_tasks(pairing.won)}; tied {len(pairing.tied)}; lost {_tasks(pairing.lost)}"
        notes.append(f"{pairing.arm} against {pairing.base}: {gain}{won}.")
    if lengths := comparison.setting.get("text_length"):
        notes.append(f"Text length of the encoders, in tokens: {', '.join(f'{a} {n}' for a, n in lengths.items())}.")
    tables = [part for table in comparison_tables(comparison) for part in (Text(""), table)]
    answer = [Text(sentence, style="bold") for sentence in sentences(comparison).values()]
    return Parts(*answer, *tables, Text(""), *(Text(note, style="dim") for note in notes))


def _tasks(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names)} ({shown})" if names else "0"


def comparison_tables(comparison: Comparison, prefix: str = "") -> list[Table]:
    """Means, retrieval, differences from the base, and the other pairs, each where there is something to show.

    Args:
        comparison: what is shown.
        prefix: of the tables' slugs.
    """
    tables = [_means(comparison), _retrieval(comparison), _differences(comparison), _other_pairs(comparison)]
    return [replace(table, slug=prefix + table.slug) for table in tables if table.rows]


def task_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Every pair of arms with every task, and who did better on it."""
    return [
        {"arm": each.arm, "base": each.base, "task": task, "outcome": outcome}
        for each in comparison.pairings
        for outcome, tasks in (("won", each.won), ("tied", each.tied), ("lost", each.lost))
        for task in tasks
    ]


def _means(comparison: Comparison) -> Table:
    columns: dict[str, Column] = {}
    for measure in _shown_measures(comparison, retrieval=False):
        columns[_heading(measure)] = _mean_of(measure)
        if measure.name == "success":
            columns["±"] = lambda arm: noise(arm.over_tasks.get("success"), scale=100)
            columns["errors"] = lambda arm: f"{arm.errors:,}"
    if any(arm.not_run for arm in comparison.summaries):
        columns["not run"] = lambda arm: f"{arm.not_run:,}"
    if any(arm.ungraded for arm in comparison.summaries):
        columns["ungraded"] = lambda arm: f"{arm.ungraded:,}"
    known = any(arm.over_tasks.get("success") is not None for arm in comparison.summaries)
    notes = ["±: 95 % of the noise that the choice of tasks brings."] if known else []
    notes += _left_out(comparison)
    if without := comparison.tasks_asked - comparison.tasks_with_evidence:
        notes.append(f"{without:,} tasks have no evidence and are left out of the evidence measures.")
    return Table(
        slug="means",
        title=f"Means over {comparison.tasks_asked:,} tasks",
        columns=["retriever", *columns],
        groups=[_by_arm(comparison, columns)],
        records=[_mean_record(comparison, arm) for arm in comparison.summaries],
        notes=notes,
        # a terminal says these in the notes, and of searches how they differ
        wide_columns=tuple(at for at, name in enumerate(columns, 1) if name in ("searches", "not run", "ungraded")),
    )


def _retrieval(comparison: Comparison) -> Table:
    measures = _shown_measures(comparison, retrieval=True)
    columns, notes = {_heading(measure): _mean_of(measure) for measure in measures}, list[str]()
    if any(arm.seeds > 1 for arm in comparison.summaries):
        columns["success: deviation over seeds"] = lambda arm: (
            f"{number(arm.over_seeds.get('success'), scale=100)} ({arm.seeds})"
        )
        notes = ["Deviation over seeds: standard deviation, in points (number of seeds)."]
    return Table(
        slug="retrieval",
        title="The agent's queries against the evidence, and calibration",
        columns=["retriever", *columns],
        groups=[_by_arm(comparison, columns)] if columns else [],
        records=[
            {"arm": arm.name, **{measure.name: arm.means.get(measure.name) for measure in measures}}
            for arm in comparison.summaries
        ],
        notes=notes,
    )


def _by_arm(comparison: Comparison, columns: Mapping[str, Column]) -> Group:
    rows = [(arm.name, [cell(arm) for cell in columns.values()]) for arm in comparison.summaries]
    return Group([arm_row(comparison, name, cells) for name, cells in rows])


def _deviation(arm: Summary) -> str:
    return f"{number(arm.over_seeds.get('success'), scale=100)} ({arm.seeds})"


def _mean_of(measure: Measure) -> Column:
    return lambda arm: _value(measure, arm.means.get(measure.name))


def _left_out(comparison: Comparison) -> list[str]:
    notes = []
    for arm in comparison.summaries:
        if arm.ungraded:
            bounds = interval(arm.success_low, arm.success_high, scale=100)
            left_out = f"{arm.ungraded:,} answers were not graded and are left out"
            notes.append(f"{arm.name}: {left_out}; success lies between {bounds.replace(' to ', ' and ')} %.")
        if arm.not_run:
            notes.append(f"{arm.name}: {arm.not_run:,} tasks were not run and count as failures.")
    return notes


def _mean_record(comparison: Comparison, arm: Summary) -> dict[str, Any]:
    record: dict[str, Any] = {"arm": arm.name, "tasks_asked": comparison.tasks_asked}
    names = ("seeds", "ran", "not_run", "errors", "ungraded", "success_low", "success_high")
    record |= {name: getattr(arm, name) for name in names}
    for name, value in arm.means.items():
        over_tasks, over_seeds = arm.over_tasks.get(name), arm.over_seeds.get(name)
        record |= {name: value, f"{name}_error_over_tasks": over_tasks, f"{name}_deviation_over_seeds": over_seeds}
    return record


def _differences(comparison: Comparison) -> Table:
    groups = []
    for pairing in comparison.against_base():
        rows = [
            _difference_row(measure, paired)
            for measure in comparison.measures
            if (paired := pairing.measures.get(measure.name)) is not None
            and paired.difference.value is not None
            and not (measure.unit == "dollar" and not paired.base and not paired.arm)  # nothing was paid
        ]
        if (closed := pairing.gap_closed) is not None and closed.value is not None:
            shown = [number(closed.value, 0, scale=100, unit=" %"), closed.interval(0, scale=100)]
            rows.append(Row(["gap closed", "", "", *shown, *[""] * 5]))
        groups.append(Group(rows, title=role(comparison, pairing.arm), arm=pairing.arm))
    return Table(
        slug="differences",
        title=f"Differences from {comparison.base}, paired by task; shares in points",
        columns=["measure", "base", "arm", "change", INTERVAL, "change, %", "p", "p, Holm", "could show", _COUNTS],
        groups=[group for group in groups if group.rows],
        records=[
            _difference_record(pairing, measure)
            for pairing in comparison.pairings
            for measure in comparison.measures
            if measure.name in pairing.measures
        ],
        notes=_how_tested(comparison),
        wide_columns=(1, 2),  # the table of means has them, but for those over other tasks
    )


def _difference_row(measure: Measure, paired: Paired) -> Row:
    cells = [
        measure.title,
        _value(measure, paired.base),
        _value(measure, paired.arm),
        *_change(measure, paired),
        number(paired.relative.value, 0, scale=100, sign=True),
        p_value(paired.p),
        p_value(paired.p_holm),
        number(paired.smallest, _digits(measure, paired.base), scale=_scale(measure)),
        f"{paired.wins:,}/{paired.ties:,}/{paired.losses:,}",
    ]
    return Row(cells, strong=[3] if _is_significant(paired) else [])


def _how_tested(comparison: Comparison) -> list[str]:
    notes = [
        f"Intervals: {comparison.interval}, {comparison.resamples:,} resamples. A task is won where the arm does "
        "better on it, whichever direction that is."
    ]
    if comparison.tests:
        notes += [
            f"p: exact McNemar test where every task is 0 or 1, else {comparison.permutations:,} exchanges of the arms "
            f"by task. Holm: corrected for all {comparison.tests:,} tests, of every measure of every pair of arms; a "
            "difference in bold has a corrected p below .05.",
            "Could show: the smallest true difference that these tasks show 4 times in 5, at p below .05.",
        ]
    return notes


def _other_pairs(comparison: Comparison) -> Table:
    others = [pairing for pairing in comparison.pairings if pairing.base != comparison.base]
    measures = [measure for name in _OTHERS for measure in comparison.measures if measure.name == name]
    columns, rows = ["pair"], []
    for measure in measures:
        columns += [measure.title + (", points" if measure.unit == "share" else ""), INTERVAL, "p, Holm"]
    for pairing in others:
        cells, strong = [f"{pairing.arm} against {pairing.base}"], []
        for measure in measures:
            paired = pairing.measures[measure.name]
            strong += [len(cells)] if _is_significant(paired) else []
            cells += [*_change(measure, paired), p_value(paired.p_holm)]
        success = pairing.measures["success"]
        cells.append(f"{success.wins:,}/{success.ties:,}/{success.losses:,}")
        rows.append(Row(cells, arm=pairing.arm, strong=strong))
    return Table(
        slug="other-pairs",
        title="The other pairs of retrievers",
        columns=[*columns, _COUNTS],
        groups=[Group(rows)],
        records=[_difference_record(each, measure) for each in others for measure in measures],
        wide_columns=(5, 8),
    )


def _difference_record(pairing: Pairing, measure: Measure) -> dict[str, Any]:
    paired = pairing.measures[measure.name]
    difference, relative = paired.difference, paired.relative
    record: dict[str, Any] = {"arm": pairing.arm, "base": pairing.base, "measure": measure.name, "unit": measure.unit}
    record |= {"tasks": paired.tasks, "base_mean": paired.base, "arm_mean": paired.arm}
    record |= {"difference": difference.value, "low": difference.low, "high": difference.high}
    record |= {"relative": relative.value, "relative_low": relative.low, "relative_high": relative.high}
    record |= {name: getattr(paired, name) for name in ("p", "p_holm", "test", "smallest", "wins", "ties", "losses")}
    return record | {"error_over_tasks": paired.over_tasks, "deviation_over_seeds": paired.over_seeds}


def _shown_measures(comparison: Comparison, *, retrieval: bool) -> list[Measure]:
    """The measures of an arm by itself that some arm has, in the comparison's order; nothing paid is no cost.

    A cost that nobody knows is shown, as unknown.
    """

    def is_shown(measure: Measure) -> bool:
        nothing = 0 if measure.unit == "dollar" else None
        return any(arm.means.get(measure.name) != nothing for arm in comparison.summaries)

    return [
        measure
        for measure in comparison.measures
        if measure.population != "both_solve" and (measure.name in _RETRIEVAL) == retrieval and is_shown(measure)
    ]


def _heading(measure: Measure) -> str:
    return f"{measure.title}, %" if measure.unit == "share" else measure.title


def _value(measure: Measure, value: float | None) -> str:
    if measure.unit == "dollar":
        return dollars(value)
    return number(value, _digits(measure, value), scale=_scale(measure))


def _change(measure: Measure, paired: Paired) -> list[str]:
    scale, digits = _scale(measure), _digits(measure, paired.base)
    change = number(paired.difference.value, digits, scale=scale, sign=True)
    return [change, paired.difference.interval(digits, scale=scale)]


def _is_significant(paired: Paired) -> bool:
    return paired.p_holm is not None and paired.p_holm < LEVEL


def _scale(measure: Measure) -> float:
    return 100.0 if measure.unit == "share" else 1.0


def _digits(measure: Measure, size: float | None) -> int:
    return 4 if measure.unit == "dollar" else 0 if abs(size or 0.0) >= 1000 else 1
